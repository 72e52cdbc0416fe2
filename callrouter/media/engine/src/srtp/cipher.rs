//! One direction's session keys for RTP or for RTCP, and what is done with them.

use aes::cipher::{KeyIvInit, StreamCipher};
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::aead::{AeadInOut, Nonce, Tag};
use aes_gcm::{Aes128Gcm, Aes256Gcm, KeyInit};
use hmac::{Hmac, Mac};
use sha1::Sha1;

use crate::srtp::derivation::{Purpose, derive};
use crate::srtp::{Master, Suite};

type AesCtr = ctr::Ctr128BE<aes::Aes128>;
type HmacSha1 = Hmac<Sha1>;

/// The keys, made ready once: a packet only costs what its octets do.
enum Keyed {
    Counter { key: [u8; 16], salt: [u8; 14], mac: Box<HmacSha1>, tag: usize },
    Gcm128 { aead: Box<Aes128Gcm>, salt: [u8; 12] },
    Gcm256 { aead: Box<Aes256Gcm>, salt: [u8; 12] },
}

pub struct Cipher {
    keyed: Keyed,
}

/// Which packet is meant: its stream and its place in it.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub ssrc: u32,
    pub index: u64,
}

/// The tag did not fit the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadTag;

impl Cipher {
    pub fn new(master: &Master, is_rtcp: bool) -> Self {
        let suite = master.suite;
        let mut key = [0; 32];
        let key = &mut key[..suite.key_length()];
        derive(master, Purpose::Encryption, is_rtcp, key);
        let mut salt = [0; 14];
        derive(master, Purpose::Salt, is_rtcp, &mut salt[..suite.salt_length()]);
        Self { keyed: keyed(master, is_rtcp, key, salt) }
    }

    /// Octets that `seal` adds.
    pub fn tag_length(&self) -> usize {
        match &self.keyed {
            Keyed::Counter { tag, .. } => *tag,
            Keyed::Gcm128 { .. } | Keyed::Gcm256 { .. } => 16,
        }
    }

    /// Encrypt `body` and write the tag over `head`, `body` and, with the counter suites,
    /// `trailer` to `tag`, which is `tag_length` long.
    pub fn seal(&self, place: Place, head: &[u8], body: &mut [u8], trailer: &[u8], tag: &mut [u8]) {
        match &self.keyed {
            Keyed::Counter { key, salt, mac, .. } => {
                counter(key, salt, place, body);
                tag.copy_from_slice(&authenticate(mac, [head, body, trailer])[..tag.len()]);
            }
            Keyed::Gcm128 { aead, salt } => {
                seal_gcm(&**aead, &nonce(salt, place), [head, trailer], body, tag)
            }
            Keyed::Gcm256 { aead, salt } => {
                seal_gcm(&**aead, &nonce(salt, place), [head, trailer], body, tag)
            }
        }
    }

    /// Check the tag, and only then decrypt `body`.
    pub fn open(
        &self,
        place: Place,
        head: &[u8],
        body: &mut [u8],
        trailer: &[u8],
        tag: &[u8],
    ) -> Result<(), BadTag> {
        match &self.keyed {
            Keyed::Counter { key, salt, mac, .. } => {
                check(mac, [head, body, trailer], tag)?;
                counter(key, salt, place, body);
                Ok(())
            }
            Keyed::Gcm128 { aead, salt } => {
                open_gcm(&**aead, &nonce(salt, place), [head, trailer], body, tag)
            }
            Keyed::Gcm256 { aead, salt } => {
                open_gcm(&**aead, &nonce(salt, place), [head, trailer], body, tag)
            }
        }
    }

    /// Check a packet that is authenticated only; `clear` is all of it but the tag and, with the
    /// counter suites, the trailer.
    pub fn check_clear(&self, place: Place, clear: &[u8], trailer: &[u8], tag: &[u8]) -> Result<(), BadTag> {
        match &self.keyed {
            Keyed::Counter { mac, .. } => check(mac, [clear, &[], trailer], tag),
            Keyed::Gcm128 { aead, salt } => {
                open_gcm(&**aead, &nonce(salt, place), [clear, trailer], &mut [], tag)
            }
            Keyed::Gcm256 { aead, salt } => {
                open_gcm(&**aead, &nonce(salt, place), [clear, trailer], &mut [], tag)
            }
        }
    }
}

fn keyed(master: &Master, is_rtcp: bool, key: &[u8], salt: [u8; 14]) -> Keyed {
    let suite = master.suite;
    let short = |salt: [u8; 14]| std::array::from_fn(|at| salt[at]);
    match suite {
        Suite::AesCm80 | Suite::AesCm32 => {
            let mut authentication = [0; 20];
            derive(master, Purpose::Authentication, is_rtcp, &mut authentication);
            Keyed::Counter {
                key: std::array::from_fn(|at| key[at]),
                salt,
                mac: Box::new(KeyInit::new_from_slice(&authentication).expect("HMAC takes any length")),
                tag: if is_rtcp { suite.rtcp_tag() } else { suite.rtp_tag() },
            }
        }
        Suite::Gcm128 => Keyed::Gcm128 {
            aead: Box::new(KeyInit::new_from_slice(key).expect("16 octets")),
            salt: short(salt),
        },
        Suite::Gcm256 => Keyed::Gcm256 {
            aead: Box::new(KeyInit::new_from_slice(key).expect("32 octets")),
            salt: short(salt),
        },
    }
}

/// AES in counter mode (RFC 3711 §4.1.1).
fn counter(key: &[u8; 16], salt: &[u8; 14], place: Place, body: &mut [u8]) {
    let mut start = [0; 16];
    start[..14].copy_from_slice(salt);
    start[4..8].iter_mut().zip(place.ssrc.to_be_bytes()).for_each(|(octet, word)| *octet ^= word);
    let index = &place.index.to_be_bytes()[2..];
    start[8..14].iter_mut().zip(index).for_each(|(octet, word)| *octet ^= word);
    AesCtr::new(key.into(), &start.into()).apply_keystream(body);
}

fn authenticate(mac: &HmacSha1, parts: [&[u8]; 3]) -> [u8; 20] {
    let mut mac = mac.clone();
    parts.into_iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn check(mac: &HmacSha1, parts: [&[u8]; 3], tag: &[u8]) -> Result<(), BadTag> {
    let mut mac = mac.clone();
    parts.into_iter().for_each(|part| mac.update(part));
    mac.verify_truncated_left(tag).map_err(|_| BadTag)
}

/// RFC 7714 §8.1 and §9.1: the same layout, RTCP's cycles being zero and its index 31 bits.
fn nonce(salt: &[u8; 12], place: Place) -> [u8; 12] {
    let mut nonce = *salt;
    nonce[2..6].iter_mut().zip(place.ssrc.to_be_bytes()).for_each(|(octet, word)| *octet ^= word);
    let index = &place.index.to_be_bytes()[2..];
    nonce[6..].iter_mut().zip(index).for_each(|(octet, word)| *octet ^= word);
    nonce
}

/// What is authenticated and not encrypted, in one piece.  The longest is an RTP header with
/// everything that may follow it; a longer one is cut off, and then fits no tag.
fn associated<'b>(parts: [&[u8]; 2], buffer: &'b mut [u8; crate::srtp::MAX_PACKET]) -> &'b [u8] {
    let mut length = 0;
    for part in parts {
        let room = part.len().min(buffer.len() - length);
        buffer[length..length + room].copy_from_slice(&part[..room]);
        length += room;
    }
    &buffer[..length]
}

fn seal_gcm<A: AeadInOut>(aead: &A, nonce: &[u8; 12], parts: [&[u8]; 2], body: &mut [u8], tag: &mut [u8]) {
    let mut buffer = [0; crate::srtp::MAX_PACKET];
    let known = associated(parts, &mut buffer);
    let Ok(nonce) = <&Nonce<A>>::try_from(&nonce[..]) else { return };
    // Refused only beyond 64 GB.
    if let Ok(made) = aead.encrypt_inout_detached(nonce, known, InOutBuf::from(body)) {
        tag.copy_from_slice(&made);
    }
}

fn open_gcm<A: AeadInOut>(
    aead: &A,
    nonce: &[u8; 12],
    parts: [&[u8]; 2],
    body: &mut [u8],
    tag: &[u8],
) -> Result<(), BadTag> {
    let mut buffer = [0; crate::srtp::MAX_PACKET];
    let known = associated(parts, &mut buffer);
    let nonce = <&Nonce<A>>::try_from(&nonce[..]).map_err(|_| BadTag)?;
    let tag = <&Tag<A>>::try_from(tag).map_err(|_| BadTag)?;
    aead.decrypt_inout_detached(nonce, known, InOutBuf::from(body), tag).map_err(|_| BadTag)
}
