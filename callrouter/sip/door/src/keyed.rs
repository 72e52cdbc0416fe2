//! Short keyed hashes: of what is remembered, and for tags and branches that nobody can make up.

use std::hash::{BuildHasher, RandomState};

/// Hexadecimal digits that nobody guesses often enough for it to matter.
const CHECK: usize = 8;

/// SipHash with a key that each process draws from the operating system.
#[derive(Clone, Default)]
pub struct Key(RandomState);

impl Key {
    pub fn hash(&self, parts: &[&[u8]]) -> u64 {
        self.0.hash_one(parts)
    }

    /// The To tag of our 503 to a call: its ACK brings it back, and is known by it.
    pub fn tag(&self, call_id: &[u8]) -> [u8; 16] {
        hex(self.hash(&[b"503", call_id]))
    }

    /// A tag or branch of ours: whoever brings it back has had it from us, or from who has.
    pub fn sign(&self, token: &str) -> String {
        token.chars().chain(self.check(token.as_bytes()).map(char::from)).collect()
    }

    pub fn has_signed(&self, token: &[u8]) -> bool {
        token.split_last_chunk().is_some_and(|(token, check)| *check == self.check(token))
    }

    fn check(&self, token: &[u8]) -> [u8; CHECK] {
        hex(self.hash(&[b"ours", token]))
    }
}

fn hex<const DIGITS: usize>(hash: u64) -> [u8; DIGITS] {
    std::array::from_fn(|at| b"0123456789abcdef"[(hash >> (4 * at)) as usize & 15])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_signed_with_this_key_is_known() {
        let key = Key::default();
        let signed = key.sign("0123");
        assert!(signed.starts_with("0123") && signed.len() == 4 + CHECK);
        assert!(key.has_signed(signed.as_bytes()));
        assert!(!Key::default().has_signed(signed.as_bytes()));
        for at in 0..signed.len() {
            let mut other = signed.clone().into_bytes();
            other[at] ^= 1;
            assert!(!key.has_signed(&other) && !key.has_signed(&signed.as_bytes()[..at]));
        }
    }
}
