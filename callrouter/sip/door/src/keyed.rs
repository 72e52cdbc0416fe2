//! Short keyed hashes: of what is remembered, and for tags that nobody can make up.

use std::hash::{BuildHasher, RandomState};

/// SipHash with a key that each process draws from the operating system.
#[derive(Clone, Default)]
pub struct Key(RandomState);

impl Key {
    pub fn hash(&self, parts: &[&[u8]]) -> u64 {
        self.0.hash_one(parts)
    }

    /// The To tag of our 503 to a call: its ACK brings it back, and is known by it.
    pub fn tag(&self, call_id: &[u8]) -> [u8; 16] {
        let hash = self.hash(&[b"503", call_id]);
        std::array::from_fn(|at| b"0123456789abcdef"[(hash >> (4 * at)) as usize & 15])
    }
}
