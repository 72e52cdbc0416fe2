//! SRTP and SRTCP (RFC 3711, RFC 7714) with keys that signalling agreed on (RFC 4568).
//!
//! Made of RustCrypto's primitives.  A packet's tag is checked before anything is learned from it;
//! an index is used for sending once, and accepted once.

mod cipher;
mod derivation;
mod incoming;
mod outgoing;
mod replay;
mod suite;

pub use incoming::{Incoming, Rejected};
pub use outgoing::Outgoing;
pub use suite::Suite;

/// The longest packet that is protected, its tag included.
pub const MAX_PACKET: usize = 2048;

/// A master key and its salt, one after the other, as `a=crypto` carries them.
#[derive(Clone, PartialEq, Eq)]
pub struct Master {
    suite: Suite,
    bytes: Vec<u8>,
    /// The identifier that its packets carry (RFC 3711 §3.1), if any.
    mki: Vec<u8>,
}

impl Master {
    /// None where the length is not the suite's.
    pub fn new(suite: Suite, bytes: &[u8]) -> Option<Self> {
        (bytes.len() == suite.key_length() + suite.salt_length()).then(|| Self {
            suite,
            bytes: bytes.to_vec(),
            mki: vec![],
        })
    }

    pub fn with_mki(self, mki: &[u8]) -> Self {
        Self { mki: mki.to_vec(), ..self }
    }

    /// The same key, whatever it is named.
    fn is(&self, other: &Self) -> bool {
        (self.suite, &self.bytes) == (other.suite, &other.bytes)
    }

    pub fn suite(&self) -> Suite {
        self.suite
    }

    fn key(&self) -> &[u8] {
        &self.bytes[..self.suite.key_length()]
    }

    fn salt(&self) -> &[u8] {
        &self.bytes[self.suite.key_length()..]
    }
}

impl std::fmt::Debug for Master {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Master({:?})", self.suite)
    }
}

/// What offer and answer agreed on: each end's own key, for what it sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    pub send: Master,
    pub receive: Master,
}

/// Both directions of a leg.
pub struct Protection {
    keys: Keys,
    pub out: Outgoing,
    pub heard: Incoming,
}

impl Protection {
    pub fn new(keys: &Keys) -> Self {
        Self { out: Outgoing::new(&keys.send), heard: Incoming::new(&keys.receive), keys: keys.clone() }
    }

    /// Take over what offer and answer now say, `moved` where the far end is at another address.  A
    /// direction whose key stays goes on where it is: its indices must never be used again.
    pub fn renewed(self, keys: &Keys, moved: bool) -> Self {
        let Self { keys: before, mut out, mut heard } = self;
        if before.send.is(&keys.send) {
            out.mki.clone_from(&keys.send.mki);
        } else {
            out = out.renewed(&keys.send, moved);
        }
        if before.receive.is(&keys.receive) {
            heard.mki.clone_from(&keys.receive.mki);
        } else {
            heard = heard.renewed(&keys.receive);
        }
        Self { keys: keys.clone(), out, heard }
    }
}

/// What is behind the body of a packet: the tag, and the rest (a report's index, the identifier of
/// the key), which comes before the tag of the counter suites and after that of GCM.
fn tag_and_rest(behind: &mut [u8], tag_length: usize, is_gcm: bool) -> (&mut [u8], &mut [u8]) {
    if is_gcm {
        return behind.split_at_mut(tag_length);
    }
    let (rest, tag) = behind.split_at_mut(behind.len() - tag_length);
    (tag, rest)
}

#[cfg(test)]
mod tests;
