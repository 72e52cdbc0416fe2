//! The lite end of ICE (RFC 8445 §2.5): a server whose address is known answers the far end's
//! connectivity checks and lets it choose the path.
//!
//! A check is believed when it knows the username and the password that went by signalling, and
//! only then answered; whoever guesses gets nothing.  The far end proves by its checks that it is
//! at an address and wants to be sent to (RFC 7675 §4): none for `CONSENT`, and it is sent no more.

use std::net::SocketAddr;

use crc::{CRC_32_ISO_HDLC, Crc};
use is::stun::{StunError, StunMessage};
use is::{DefaultSha1HmacProvider, Sha1HmacProvider};

use crate::clock::SECOND;

/// How long a check of the far end is its consent to be sent to.
pub const CONSENT: i64 = 30 * SECOND;
/// The longest answer: header, mapped address, integrity, fingerprint, an error with its words.
pub const MAX_ANSWER: usize = 256;
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
/// FINGERPRINT, the last attribute (RFC 8489 §14.7): type and length ahead of its four octets.
const FINGERPRINT: [u8; 4] = [0x80, 0x28, 0, 4];
const FINGERPRINT_LENGTH: usize = 8;
const FINGERPRINT_MASK: u32 = 0x5354_554E;

/// What signalling exchanged: requests to us are named `ours:theirs` and keyed with our password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub local_ufrag: String,
    pub local_password: String,
    pub remote_ufrag: String,
}

pub struct Lite {
    credentials: Credentials,
    nominated: Option<SocketAddr>,
    checked_ns: i64,
}

/// A check that proved itself: the length of what to answer it with, and whether it changed the
/// path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub length: usize,
    pub nominates: bool,
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    DefaultSha1HmacProvider.sha1_hmac(key, parts)
}

fn has_fingerprint(datagram: &[u8]) -> bool {
    let Some(at) = datagram.len().checked_sub(FINGERPRINT_LENGTH) else { return false };
    let (message, attribute) = datagram.split_at(at);
    let checksum = (CRC.checksum(message) ^ FINGERPRINT_MASK).to_be_bytes();
    attribute[..4] == FINGERPRINT && attribute[4..] == checksum
}

impl Lite {
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials, nominated: None, checked_ns: 0 }
    }

    /// New credentials are a restart (RFC 8445 §9): the path stays until another is chosen.
    pub fn renew(&mut self, credentials: &Credentials) {
        if self.credentials != *credentials {
            self.credentials = credentials.clone();
        }
    }

    /// The address that the far end has chosen.
    pub fn nominated(&self) -> Option<SocketAddr> {
        self.nominated
    }

    /// Where the far end has chosen, and lately consented, to be sent to.
    pub fn target(&self, now_ns: i64) -> Option<SocketAddr> {
        self.nominated.filter(|_| now_ns - self.checked_ns < CONSENT)
    }

    /// Judge a STUN datagram and write what it is answered with.  None: nothing is owed.
    pub fn check(
        &mut self,
        datagram: &[u8],
        from: SocketAddr,
        now_ns: i64,
        answer: &mut [u8; MAX_ANSWER],
    ) -> Option<Answer> {
        let message = self.believed(datagram)?;
        let id = message.trans_id();
        if message.ice_controlled().is_some() {
            // Both ends cannot leave the choice to the other (§7.3.1.1), and this one always does.
            let length = self.write(StunMessage::binding_role_conflict_reply(id), answer).ok()?;
            return Some(Answer { length, nominates: false });
        }
        let length = self.write(StunMessage::binding_reply(id, from), answer).ok()?;
        let mut nominates = false;
        if message.use_candidate() {
            nominates = self.nominated != Some(from);
            self.nominated = Some(from);
        }
        if self.nominated == Some(from) {
            self.checked_ns = now_ns;
        }
        Some(Answer { length, nominates })
    }

    /// A binding request of the far end's (§7.3).
    fn believed<'d>(&self, datagram: &'d [u8]) -> Option<StunMessage<'d>> {
        let message = StunMessage::parse(datagram).ok().filter(StunMessage::is_binding_request)?;
        let (local, remote) = message.split_username()?;
        let Credentials { local_ufrag, local_password, remote_ufrag } = &self.credentials;
        let is_named = local == local_ufrag && remote == remote_ufrag;
        let is_theirs =
            is_named && has_fingerprint(datagram) && message.verify(local_password.as_bytes(), hmac);
        is_theirs.then_some(message)
    }

    fn write(&self, message: StunMessage<'_>, answer: &mut [u8; MAX_ANSWER]) -> Result<usize, StunError> {
        message.to_bytes(Some(self.credentials.local_password.as_bytes()), answer, hmac)
    }
}

#[cfg(test)]
mod tests;
