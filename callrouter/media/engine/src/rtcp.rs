//! Sender and receiver reports (RFC 3550 §6): enough for both ends to know loss, jitter and
//! round-trip time.

use rustix::time::{ClockId, clock_gettime};

use crate::clock::SECOND;
use crate::reception::ReportBlock;

/// Seconds between 1900, where NTP time begins, and 1970.
const NTP_EPOCH: u64 = 2_208_988_800;
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;

/// The wall clock as an NTP timestamp.
pub fn ntp_now() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    let fraction = ((now.tv_nsec as u64) << 32) / SECOND as u64;
    (((now.tv_sec as u64).wrapping_add(NTP_EPOCH)) << 32) | fraction
}

fn middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

/// What a sender report says of its sender.
#[derive(Clone, Copy, Debug)]
pub struct SenderInfo {
    pub ssrc: u32,
    pub ntp: u64,
    pub timestamp: u32,
    pub packets: u64,
    pub octets: u64,
}

/// The far end's last sender report and when it came, to be echoed in ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastReport {
    middle: u32,
    arrived_ntp: u64,
}

/// What the far end reports of the stream we send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    pub sender: Option<LastReport>,
    pub about_us: Option<AboutUs>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AboutUs {
    pub lost: u64,
    pub jitter: u32,
    pub round_trip_us: Option<u64>,
}

/// A compound packet: a sender report where `sender` has sent, a canonical name, and BYE when the
/// leg ends.
pub fn compose(
    sender: &SenderInfo,
    block: Option<ReportBlock>,
    last: Option<LastReport>,
    cname: &str,
    leaving: bool,
) -> Vec<u8> {
    let mut out = vec![];
    let has_sent = sender.packets > 0;
    let kind = if has_sent { SENDER_REPORT } else { RECEIVER_REPORT };
    section(&mut out, u8::from(block.is_some()), kind, |out| {
        out.extend(sender.ssrc.to_be_bytes());
        if has_sent {
            out.extend(sender.ntp.to_be_bytes());
            out.extend(sender.timestamp.to_be_bytes());
            out.extend((sender.packets as u32).to_be_bytes());
            out.extend((sender.octets as u32).to_be_bytes());
        }
        if let Some(block) = block {
            report_block(out, &block, last, sender.ntp);
        }
    });
    section(&mut out, 1, DESCRIPTION, |out| {
        out.extend(sender.ssrc.to_be_bytes());
        out.push(1);
        out.push(cname.len().min(255) as u8);
        out.extend(cname.bytes().take(255));
        // A null octet ends the list, more fill up the word.
        out.push(0);
        while out.len() % 4 != 0 {
            out.push(0);
        }
    });
    if leaving {
        section(&mut out, 1, GOODBYE, |out| out.extend(sender.ssrc.to_be_bytes()));
    }
    out
}

fn section(out: &mut Vec<u8>, count: u8, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0x80 | count, kind, 0, 0]);
    body(out);
    let words = ((out.len() - start) / 4 - 1) as u16;
    out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
}

fn report_block(out: &mut Vec<u8>, block: &ReportBlock, last: Option<LastReport>, ntp: u64) {
    out.extend(block.ssrc.to_be_bytes());
    out.extend((((block.lost as u32) & 0x00FF_FFFF) | u32::from(block.fraction_lost) << 24).to_be_bytes());
    out.extend(block.highest.to_be_bytes());
    out.extend(block.jitter.to_be_bytes());
    let (middle, delay) =
        last.map_or((0, 0), |last| (last.middle, middle(ntp.wrapping_sub(last.arrived_ntp))));
    out.extend(middle.to_be_bytes());
    out.extend(delay.to_be_bytes());
}

/// Read a compound packet; None when it is not RTCP.
pub fn parse(datagram: &[u8], our_ssrc: u32, ntp: u64) -> Option<Heard> {
    let mut heard = Heard::default();
    let mut rest = datagram;
    while let Some((&[first, kind, high, low], _)) = rest.split_first_chunk::<4>() {
        let length = 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
        if first >> 6 != 2 || !(192..=223).contains(&kind) {
            return None;
        }
        let body = rest.get(4..length)?;
        let blocks = match kind {
            SENDER_REPORT => {
                let middle = u32::from_be_bytes(*body.get(6..)?.first_chunk()?);
                heard.sender = Some(LastReport { middle, arrived_ntp: ntp });
                body.get(24..)?
            }
            RECEIVER_REPORT => body.get(4..)?,
            _ => &[],
        };
        let ours = blocks
            .chunks_exact(24)
            .take(usize::from(first & 0x1F))
            .find(|b| b[..4] == our_ssrc.to_be_bytes());
        if let Some(block) = ours {
            heard.about_us = about_us(block, ntp);
        }
        rest = &rest[length..];
    }
    rest.is_empty().then_some(heard)
}

fn about_us(block: &[u8], ntp: u64) -> Option<AboutUs> {
    let word = |at: usize| block.get(at..).and_then(|b| b.first_chunk()).map(|b| u32::from_be_bytes(*b));
    let lost = (word(4)? << 8) as i32 >> 8;
    let (last, delay) = (word(16)?, word(20)?);
    // §6.4.1: arrival - last - delay, in units of 1/65536 s.
    let trip = middle(ntp).wrapping_sub(last).wrapping_sub(delay);
    let plausible = last != 0 && trip < 60 << 16;
    Some(AboutUs {
        lost: lost.max(0) as u64,
        jitter: word(12)?,
        round_trip_us: plausible.then(|| (u64::from(trip) * 1_000_000) >> 16),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NTP: u64 = 0x1234_5678_0000_0000;

    fn sender(packets: u64) -> SenderInfo {
        SenderInfo { ssrc: 7, ntp: NTP, timestamp: 99, packets, octets: packets * 160 }
    }

    fn block() -> ReportBlock {
        ReportBlock { ssrc: 8, fraction_lost: 25, lost: 3, highest: 70000, jitter: 12 }
    }

    #[test]
    fn a_report_is_read_by_the_other_end() {
        let bytes = compose(&sender(10), Some(block()), None, "a@b", false);
        let heard = parse(&bytes, 8, NTP).expect("is RTCP");
        assert_eq!(heard.sender, Some(LastReport { middle: 0x5678_0000, arrived_ntp: NTP }));
        assert_eq!(heard.about_us, Some(AboutUs { lost: 3, jitter: 12, round_trip_us: None }));
        assert_eq!(parse(&bytes, 9, NTP).map(|h| h.about_us), Some(None));
    }

    #[test]
    fn the_round_trip_is_the_time_neither_end_held_the_report() {
        let first = compose(&sender(1), None, None, "x", false);
        let heard = parse(&first, 0, NTP + (1 << 30)).expect("is RTCP"); // a quarter second later
        let mut reply = sender(1);
        reply.ntp = NTP + (1 << 32);
        let answer = compose(&reply, Some(ReportBlock { ssrc: 7, ..block() }), heard.sender, "y", true);
        let back = parse(&answer, 7, NTP + (1 << 32) + (1 << 30)).expect("is RTCP");
        assert_eq!(back.about_us.and_then(|a| a.round_trip_us), Some(500_000));
    }

    #[test]
    fn one_that_has_not_sent_makes_a_receiver_report() {
        let bytes = compose(&sender(0), Some(block()), None, "a", false);
        assert_eq!((bytes[1], bytes.len() % 4), (RECEIVER_REPORT, 0));
        assert!(parse(&bytes, 8, NTP).is_some_and(|h| h.about_us.is_some() && h.sender.is_none()));
    }

    #[test]
    fn garbage_is_not_rtcp() {
        let good = compose(&sender(1), Some(block()), None, "a", true);
        for length in 0..good.len() {
            // Whatever is cut off, nothing is read beyond the end.
            let _ = parse(&good[..length], 8, NTP);
        }
        assert_eq!(parse(&[0x80, 0, 0, 0], 8, NTP), None);
        assert_eq!(parse(&[0x80, 200, 0, 9, 1], 8, NTP), None);
        assert_eq!(parse(&[0x81, 200, 0, 0], 8, NTP), None);
    }
}
