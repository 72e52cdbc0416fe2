//! What a leg sends, protected.

use crate::rtp::header_length;
use crate::srtp::cipher::{Cipher, Place};
use crate::srtp::replay::Replay;
use crate::srtp::{MAX_PACKET, Master, tag_and_rest};

/// Says in a report's index that it is encrypted.
const ENCRYPTED: u32 = 1 << 31;
/// A report's header, which stays readable.
const REPORT_HEADER: usize = 8;

pub struct Outgoing {
    rtp: Cipher,
    rtcp: Cipher,
    is_gcm: bool,
    pub(super) mki: Vec<u8>,
    sent: Replay,
    reports: u32,
    buffer: Box<[u8; MAX_PACKET]>,
}

impl Outgoing {
    pub fn new(master: &Master) -> Self {
        Self {
            rtp: Cipher::new(master, false),
            rtcp: Cipher::new(master, true),
            is_gcm: master.suite.salt_length() == 12,
            mki: master.mki.clone(),
            sent: Replay::default(),
            reports: 0,
            buffer: Box::new([0; MAX_PACKET]),
        }
    }

    /// Another key from now on.  The stream goes on, and so does the count of its cycles (RFC 3711
    /// §3.3.1), but to somebody `new` who has not heard of it (RFC 4568 §7.1.4).
    pub fn renewed(&self, master: &Master, new: bool) -> Self {
        Self { sent: if new { Replay::default() } else { self.sent }, ..Self::new(master) }
    }

    /// An RTP packet of our one stream.  None for one whose index has been used: the same keystream
    /// over two packets gives both away.
    pub fn rtp(&mut self, packet: &[u8]) -> Option<&[u8]> {
        let head = header_length(packet)?;
        let index = self.sent.index_of(u16::from_be_bytes([packet[2], packet[3]]));
        let length = packet.len();
        let tag_length = self.rtp.tag_length();
        let whole = length + tag_length + self.mki.len();
        if !self.sent.is_fresh(index) || whole > MAX_PACKET {
            return None;
        }
        self.sent.mark(index);
        let ssrc = u32::from_be_bytes(*packet[8..].first_chunk()?);
        self.buffer[..length].copy_from_slice(packet);
        let (packet, behind) = self.buffer[..whole].split_at_mut(length);
        let (tag, mki) = tag_and_rest(behind, tag_length, self.is_gcm);
        mki.copy_from_slice(&self.mki);
        let (head, body) = packet.split_at_mut(head);
        // The cycles are authenticated although nobody sends them (RFC 3711 §4.2); GCM has them in
        // its nonce.
        let cycles = ((index >> 16) as u32).to_be_bytes();
        let trailer = if self.is_gcm { &[][..] } else { &cycles };
        self.rtp.seal(Place { ssrc, index }, head, body, trailer, tag);
        Some(&self.buffer[..whole])
    }

    /// A compound RTCP packet.
    pub fn rtcp(&mut self, packet: &[u8]) -> Option<&[u8]> {
        let length = packet.len();
        let tag_length = self.rtcp.tag_length();
        let whole = length + 4 + tag_length + self.mki.len();
        if length < REPORT_HEADER || whole > MAX_PACKET || self.reports >= ENCRYPTED - 1 {
            return None;
        }
        self.reports += 1;
        let ssrc = u32::from_be_bytes(*packet[4..].first_chunk()?);
        let place = Place { ssrc, index: u64::from(self.reports) };
        let trailer = (self.reports | ENCRYPTED).to_be_bytes();
        self.buffer[..length].copy_from_slice(packet);
        let (packet, behind) = self.buffer[..whole].split_at_mut(length);
        let (tag, rest) = tag_and_rest(behind, tag_length, self.is_gcm);
        let (index, mki) = rest.split_at_mut(4);
        index.copy_from_slice(&trailer);
        mki.copy_from_slice(&self.mki);
        let (head, body) = packet.split_at_mut(REPORT_HEADER);
        self.rtcp.seal(place, head, body, &trailer, tag);
        Some(&self.buffer[..whole])
    }
}
