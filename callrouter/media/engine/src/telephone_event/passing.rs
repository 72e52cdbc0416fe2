//! A key that is passed on beside audio that is not: under a timestamp of our own, which has to be
//! the same in all of its packets.

use super::{SET_BACK_MS, TICKS, rescaled};

/// The key, as it came and as it goes out; in samples of 8 kHz.
#[derive(Clone, Copy, Debug)]
pub struct PassedKey {
    code: u8,
    timestamp_in: u32,
    timestamp_out: u32,
    /// Of earlier segments of a key that is held long (RFC 4733 §2.5.1.3), which is one segment for as
    /// long as our duration field has room.
    earlier: u32,
    has_ended: bool,
}

/// One packet of it to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    pub timestamp: u32,
    pub payload: [u8; 4],
    /// The key goes down with it.
    pub is_first: bool,
}

impl PassedKey {
    /// What becomes of a packet of a key, after that of `before`.  `timestamp` is in samples, the payload's duration
    /// in ticks of a clock with `from` of them in a sample, which the answer's has `to` of; `begin`
    /// gives the timestamp of a key that goes down now.  None for one that is late or no event.
    pub fn next(
        before: &mut Option<Self>,
        (timestamp, payload): (u32, &[u8]),
        (from, to): (u16, u16),
        begin: impl FnOnce() -> u32,
    ) -> Option<Passed> {
        let [code, flags, high, low] = rescaled(payload, from, 1)?;
        let duration = u32::from(u16::from_be_bytes([high, low]));
        let mut is_first = false;
        let key = match before {
            Some(key) if key.timestamp_in == timestamp && key.code == code => key,
            Some(key) if key.is_after(timestamp) => return None,
            Some(key) if key.goes_on(code, timestamp, from) => {
                key.earlier += timestamp.wrapping_sub(key.timestamp_in);
                key.timestamp_in = timestamp;
                key
            }
            _ => {
                is_first = true;
                let timestamp_out = begin();
                before.insert(Self {
                    code,
                    timestamp_in: timestamp,
                    timestamp_out,
                    earlier: 0,
                    has_ended: false,
                })
            }
        };
        key.has_ended |= flags & 0x80 != 0;
        let duration = (key.earlier + duration).saturating_mul(to.into()).min(u16::MAX.into()) as u16;
        let [high, low] = duration.to_be_bytes();
        Some(Passed { timestamp: key.timestamp_out, payload: [code, flags, high, low], is_first })
    }

    fn is_after(&self, timestamp: u32) -> bool {
        let since = timestamp.wrapping_sub(self.timestamp_in) as i32;
        since <= 0 && since > -SET_BACK_MS * TICKS as i32
    }

    /// Whether a segment begins where the one before is full.
    fn goes_on(&self, code: u8, timestamp: u32, scale: u16) -> bool {
        let full = u32::from(u16::MAX / scale.max(1));
        let step = timestamp.wrapping_sub(self.timestamp_in);
        self.code == code && !self.has_ended && (full..=full + 1).contains(&step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(
        before: &mut Option<PassedKey>,
        timestamp: u32,
        payload: [u8; 4],
        scales: (u16, u16),
        begin: u32,
    ) -> Option<(u32, u16, bool)> {
        let passed = PassedKey::next(before, (timestamp, &payload), scales, || begin)?;
        assert_eq!(passed.payload[..2], payload[..2]);
        Some((passed.timestamp, u16::from_be_bytes([passed.payload[2], passed.payload[3]]), passed.is_first))
    }

    fn event(code: u8, end: bool, duration: u16) -> [u8; 4] {
        let [high, low] = duration.to_be_bytes();
        [code, if end { 0x8A } else { 0x0A }, high, low]
    }

    #[test]
    fn all_packets_of_a_key_keep_the_timestamp_of_its_first() {
        let mut key = None;
        assert_eq!(pass(&mut key, 100, event(5, false, 960), (6, 1), 7000), Some((7000, 160, true)));
        assert_eq!(pass(&mut key, 100, event(5, false, 1920), (6, 1), 7160), Some((7000, 320, false)));
        assert_eq!(pass(&mut key, 100, event(5, true, 2880), (6, 1), 7320), Some((7000, 480, false)));
        assert_eq!(pass(&mut key, 100, event(5, true, 2880), (6, 1), 7480), Some((7000, 480, false)));
        assert_eq!(pass(&mut key, 900, event(5, false, 960), (6, 1), 8000), Some((8000, 160, true)));
        assert_eq!(pass(&mut key, 100, event(5, true, 2880), (6, 1), 8160), None, "late");
        let back = 900u32.wrapping_sub(1 << 30);
        assert_eq!(pass(&mut key, back, event(6, true, 960), (6, 1), 9000), Some((9000, 160, true)));
    }

    #[test]
    fn segments_of_a_fast_clock_are_one_key_of_a_slow_one() {
        let mut key = None;
        pass(&mut key, 100, event(5, false, u16::MAX), (6, 1), 7000);
        assert_eq!(pass(&mut key, 11_022, event(5, false, 960), (6, 1), 1), Some((7000, 11_082, false)));
        assert_eq!(pass(&mut key, 11_022, event(5, true, 1920), (6, 1), 1), Some((7000, 11_242, false)));
        assert_eq!(
            pass(&mut key, 21_944, event(5, false, 960), (6, 1), 2),
            Some((2, 160, true)),
            "pressed again"
        );
    }

    #[test]
    fn a_key_that_does_not_fit_into_a_fast_clock_s_field_ends_at_its_longest() {
        let mut key = None;
        assert_eq!(pass(&mut key, 100, event(5, false, 16_000), (1, 6), 7), Some((7, u16::MAX, true)));
        assert_eq!(pass(&mut key, 100, event(5, true, 16_160), (1, 6), 8), Some((7, u16::MAX, false)));
    }

    #[test]
    fn what_is_no_event_is_not_passed_on() {
        assert!(PassedKey::next(&mut None, (1, &[5, 10, 0]), (1, 1), || 0).is_none());
    }
}
