//! Session keys from a master key (RFC 3711 §4.3.1, RFC 7714 §11).

use aes::cipher::{KeyIvInit, StreamCipher};
use aes::{Aes128, Aes256};

use crate::srtp::Master;

type Ctr128 = ctr::Ctr128BE<Aes128>;
type Ctr256 = ctr::Ctr128BE<Aes256>;

/// What a key is for: RTP's labels are 0 to 2, RTCP's 3 to 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Encryption = 0,
    Authentication = 1,
    Salt = 2,
}

/// Fill `key` with the session key for a purpose.  The key derivation rate is always zero.
pub fn derive(master: &Master, purpose: Purpose, is_rtcp: bool, key: &mut [u8]) {
    let label = purpose as u8 + if is_rtcp { 3 } else { 0 };
    let mut start = [0; 16];
    start[..master.salt().len()].copy_from_slice(master.salt());
    start[7] ^= label;
    key.fill(0);
    if let Ok(mut stream) = Ctr128::new_from_slices(master.key(), &start) {
        stream.apply_keystream(key);
    } else if let Ok(mut stream) = Ctr256::new_from_slices(master.key(), &start) {
        stream.apply_keystream(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::Suite;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
    }

    /// RFC 3711 appendix B.3.
    #[test]
    fn session_keys_are_those_of_the_rfc() {
        let bytes = hex("E1F97A0D3E018BE0D64FA32C06DE41390EC675AD498AFEEBB6960B3AABE6");
        let master = Master::new(Suite::AesCm80, &bytes).expect("the suite's length");
        let mut key = [0; 16];
        derive(&master, Purpose::Encryption, false, &mut key);
        assert_eq!(key[..], hex("C61E7A93744F39EE10734AFE3FF7A087"));
        let mut salt = [0; 14];
        derive(&master, Purpose::Salt, false, &mut salt);
        assert_eq!(salt[..], hex("30CBBC08863D8C85D49DB34A9AE1"));
        let mut authentication = [0; 20];
        derive(&master, Purpose::Authentication, false, &mut authentication);
        assert_eq!(authentication[..], hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
    }
}
