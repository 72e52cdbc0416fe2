//! Fingerprints of certificates (RFC 8122 §5).

use sha2::{Digest, Sha256, Sha384, Sha512};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    hash: Hash,
    digest: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    fn of(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha384 => Sha384::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }
}

impl Fingerprint {
    /// `hash` as `a=fingerprint` names it, in any case.  None for one that is not safe, or a digest
    /// of another length.
    pub fn new(hash: &str, digest: &[u8]) -> Option<Self> {
        let (hash, length) = match hash.to_ascii_lowercase().as_str() {
            "sha-256" => (Hash::Sha256, 32),
            "sha-384" => (Hash::Sha384, 48),
            "sha-512" => (Hash::Sha512, 64),
            _ => return None,
        };
        (digest.len() == length).then(|| Self { hash, digest: digest.to_vec() })
    }

    /// Whether this is the fingerprint of a certificate in DER.
    pub fn is_of(&self, certificate: &[u8]) -> bool {
        self.hash.of(certificate) == self.digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_of_its_certificate_alone() {
        let digest = Sha256::digest(b"certificate");
        let fingerprint = Fingerprint::new("SHA-256", &digest).expect("is one");
        assert!(fingerprint.is_of(b"certificate") && !fingerprint.is_of(b"certificatf"));
        let longer = Fingerprint::new("sha-512", &Sha512::digest(b"certificate")).expect("is one");
        assert!(longer.is_of(b"certificate") && longer != fingerprint);
    }

    #[test]
    fn unsafe_hashes_and_odd_lengths_are_none() {
        assert_eq!(Fingerprint::new("sha-1", &[0; 20]), None);
        assert_eq!(Fingerprint::new("sha-256", &[0; 31]), None);
        assert_eq!(Fingerprint::new("", &[]), None);
    }
}
