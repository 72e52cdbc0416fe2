//! What a leg hears, checked and decrypted in place.

use crate::counters::Counters;
use crate::rtp::header_length;
use crate::srtp::cipher::{Cipher, Place};
use crate::srtp::replay::Replay;
use crate::srtp::{Master, tag_and_rest};

const ENCRYPTED: u32 = 1 << 31;
const REPORT_HEADER: usize = 8;
/// Streams a far end may begin under one key.  None is ever forgotten, or its packets could be
/// played back.
const MAX_STREAMS: usize = 64;
/// The first number heard of a stream is below this where those ahead of a wrap may have been lost.
const EARLY: u16 = 1 << 15;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// Too short, or not of the shape.
    Malformed,
    BadTag,
    Replayed,
}

impl Rejected {
    pub fn counter(self, counters: &mut Counters) -> &mut u64 {
        match self {
            Self::Malformed => &mut counters.garbage,
            Self::BadTag => &mut counters.bad_tags,
            Self::Replayed => &mut counters.replays,
        }
    }
}

pub struct Incoming {
    rtp: Cipher,
    rtcp: Cipher,
    is_gcm: bool,
    pub(super) mki: Vec<u8>,
    streams: Vec<(u32, Replay)>,
    reports: Vec<(u32, Replay)>,
    /// What held before the key was changed, until something comes that is sealed with the new one.
    former: Option<Box<Incoming>>,
}

fn of(known: &[(u32, Replay)], ssrc: u32) -> Replay {
    known.iter().find(|(of, _)| *of == ssrc).map(|(_, replay)| *replay).unwrap_or_default()
}

/// Only after the tag was found good: strangers leave no trace.
fn mark(known: &mut Vec<(u32, Replay)>, ssrc: u32, index: u64) -> Result<(), Rejected> {
    if let Some((_, replay)) = known.iter_mut().find(|(of, _)| *of == ssrc) {
        replay.mark(index);
        return Ok(());
    }
    if known.len() >= MAX_STREAMS {
        return Err(Rejected::Malformed);
    }
    let mut replay = Replay::default();
    replay.mark(index);
    known.push((ssrc, replay));
    Ok(())
}

impl Incoming {
    pub fn new(master: &Master) -> Self {
        Self {
            rtp: Cipher::new(master, false),
            rtcp: Cipher::new(master, true),
            is_gcm: master.suite.salt_length() == 12,
            mki: master.mki.clone(),
            streams: vec![],
            reports: vec![],
            former: None,
        }
    }

    /// Another key from now on.  What is on its way is still sealed with the one before.
    pub fn renewed(self, master: &Master) -> Self {
        Self { former: Some(Box::new(Self { former: None, ..self })), ..Self::new(master) }
    }

    #[cfg(test)]
    pub(super) fn has_heard(&mut self, ssrc: u32, index: u64) {
        mark(&mut self.streams, ssrc, index).expect("there is room");
    }

    #[cfg(test)]
    pub(super) fn streams_known(&self) -> (usize, usize) {
        (self.streams.len(), self.reports.len())
    }

    /// An RTP packet; its length without the tag.
    pub fn rtp(&mut self, packet: &mut [u8]) -> Result<usize, Rejected> {
        let opened = self.own_rtp(packet);
        self.or_former(opened, |former| former.rtp(packet))
    }

    /// A compound RTCP packet; its length without index and tag.
    pub fn rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Rejected> {
        let opened = self.own_rtcp(packet);
        self.or_former(opened, |former| former.rtcp(packet))
    }

    fn or_former(
        &mut self,
        opened: Result<usize, Rejected>,
        by: impl FnOnce(&mut Self) -> Result<usize, Rejected>,
    ) -> Result<usize, Rejected> {
        match (&mut self.former, opened) {
            (former, Ok(length)) => {
                *former = None;
                Ok(length)
            }
            (Some(former), Err(_)) => by(former),
            (None, rejected) => rejected,
        }
    }

    /// Which packets of its stream this may be, the likeliest first.  Of one that has not been heard
    /// the cycle is a guess: the first there is; that of before the key was changed, for some go on
    /// counting (RFC 3711 §3.3.1) and some begin again (RFC 4568 §7.1.4); or the second, where what
    /// was sent ahead of the first wrap is lost.  An error where it has come before.
    fn indices_of(&self, ssrc: u32, sequence: u16) -> Result<[Option<u64>; 3], Rejected> {
        if let Some((_, replay)) = self.streams.iter().find(|(of, _)| *of == ssrc) {
            let index = replay.index_of(sequence);
            return if replay.is_fresh(index) {
                Ok([Some(index), None, None])
            } else {
                Err(Rejected::Replayed)
            };
        }
        let first = u64::from(sequence);
        let before = self.former.as_ref().map(|former| of(&former.streams, ssrc).index_of(sequence));
        let wrapped = (sequence < EARLY).then_some(1 << 16 | first);
        Ok([Some(first), before.filter(|index| *index != first), wrapped.filter(|_| before != wrapped)])
    }

    fn own_rtp(&mut self, packet: &mut [u8]) -> Result<usize, Rejected> {
        let head = header_length(packet).ok_or(Rejected::Malformed)?;
        let tag_length = self.rtp.tag_length();
        let length = packet.len().checked_sub(tag_length + self.mki.len()).ok_or(Rejected::Malformed)?;
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let ssrc = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        if length < head {
            return Err(Rejected::Malformed);
        }
        let indices = self.indices_of(ssrc, sequence)?;
        let (packet, behind) = packet.split_at_mut(length);
        let (tag, mki) = tag_and_rest(behind, tag_length, self.is_gcm);
        if mki != self.mki {
            return Err(Rejected::BadTag);
        }
        let (head, body) = packet.split_at_mut(head);
        let index = indices.into_iter().flatten().find(|index| {
            let cycles = ((index >> 16) as u32).to_be_bytes();
            let trailer = if self.is_gcm { &[][..] } else { &cycles };
            self.rtp.open(Place { ssrc, index: *index }, head, body, trailer, tag).is_ok()
        });
        mark(&mut self.streams, ssrc, index.ok_or(Rejected::BadTag)?)?;
        Ok(length)
    }

    fn own_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Rejected> {
        let tag_length = self.rtcp.tag_length();
        let length = packet.len().checked_sub(4 + tag_length + self.mki.len()).ok_or(Rejected::Malformed)?;
        if length < REPORT_HEADER {
            return Err(Rejected::Malformed);
        }
        let (packet, behind) = packet.split_at_mut(length);
        let (tag, rest) = tag_and_rest(behind, tag_length, self.is_gcm);
        let (trailer, mki) = rest.split_at(4);
        if mki != self.mki {
            return Err(Rejected::BadTag);
        }
        let word = |bytes: &[u8]| bytes.first_chunk().map(|four| u32::from_be_bytes(*four));
        let (ssrc, word) = word(&packet[4..]).zip(word(trailer)).ok_or(Rejected::Malformed)?;
        let index = u64::from(word & !ENCRYPTED);
        if !of(&self.reports, ssrc).is_fresh(index) {
            return Err(Rejected::Replayed);
        }
        let place = Place { ssrc, index };
        let opened = if word & ENCRYPTED == 0 {
            self.rtcp.check_clear(place, packet, trailer, tag)
        } else {
            let (head, body) = packet.split_at_mut(REPORT_HEADER);
            self.rtcp.open(place, head, body, trailer, tag)
        };
        opened.map_err(|_| Rejected::BadTag)?;
        mark(&mut self.reports, ssrc, index)?;
        Ok(length)
    }
}
