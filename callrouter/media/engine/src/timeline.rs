//! Audio laid out on the engine's ruler of samples, so that several directions of several legs
//! can be recorded in step, whatever order and time their packets came in.

use crate::g711::Codec;

const SIZE: usize = 4096;
/// Recorders read this many samples behind the present: packets may be that late.
pub const LAG: i64 = 1920;
/// And who listens in, who would rather miss some of a jittery stream than wait for all of it.
pub const TAP_LAG: i64 = 640;
/// A stream whose packets lie further than this from where they should be is laid out anew: the
/// first packet was early or late, or the far end's clock has drifted.
const EARLY: i64 = 1200;
const LATE: i64 = LAG - 160;
/// So is one of which so many packets in a row came too late to be tapped: its way has become longer.
const MISSED: u8 = 50;
/// But the network may have stood still for a moment: of what is late by no more than this, so many in a
/// row have no place, rather than move all that follows.
const STALLED: i64 = 8000;
const STALE: u8 = 25;
/// The most samples in a packet.
const LONGEST: usize = 1024;

/// The last half second of one direction of one leg.
#[derive(Debug)]
pub struct Timeline {
    samples: Box<[i16; SIZE]>,
    /// One past the newest sample written.
    end: i64,
    /// Where an RTP timestamp lies on the ruler.
    anchor: Option<(u32, i64)>,
    /// Packets in a row that came too late to be tapped.
    missed: u8,
    /// Packets in a row that came too late to be recorded.
    stale: u8,
    /// How many recordings and taps read it; without any it is not kept.
    pub readers: u32,
}

impl Default for Timeline {
    fn default() -> Self {
        Self {
            samples: Box::new([0; SIZE]),
            end: i64::MIN / 2,
            anchor: None,
            missed: 0,
            stale: 0,
            readers: 0,
        }
    }
}

impl Timeline {
    /// Forget the relation of timestamps to time, for a new stream.
    pub fn restart(&mut self) {
        self.anchor = None;
    }

    /// Lay out the payload with RTP `timestamp` that is at hand at sample time `now`.
    pub fn write(&mut self, timestamp: u32, now: i64, codec: Codec, payload: &[u8]) {
        if payload.len() > LONGEST {
            return;
        }
        let Some(at) = self.place(timestamp, now) else { return };
        let fresh = at + payload.len() as i64;
        // Whatever lies between the newest sample and this packet was never heard.
        let gap_from = self.end.max(fresh - SIZE as i64);
        for index in gap_from..at {
            self.samples[slot(index)] = 0;
        }
        let table = codec.table();
        for (index, word) in (at..).zip(payload) {
            self.samples[slot(index)] = table[usize::from(*word)];
        }
        self.end = self.end.max(fresh);
    }

    fn place(&mut self, timestamp: u32, now: i64) -> Option<i64> {
        if let Some((anchor, place)) = self.anchor {
            let at = place + i64::from(timestamp.wrapping_sub(anchor) as i32);
            let late = now - at;
            self.missed = if late > TAP_LAG - 160 { self.missed + 1 } else { 0 };
            if (-EARLY..=LATE).contains(&late) && self.missed < MISSED {
                self.anchor = Some((timestamp, at));
                self.stale = 0;
                return Some(at);
            }
            if (LATE..STALLED).contains(&late) && self.stale < STALE {
                self.stale += 1;
                return None;
            }
        }
        self.anchor = Some((timestamp, now));
        (self.missed, self.stale) = (0, 0);
        Some(now)
    }

    /// Add the samples from `from` on to `mix`; what is not there is silence.
    pub fn mix_into(&self, from: i64, mix: &mut [i32]) {
        for (index, sum) in (from..).zip(mix) {
            if index < self.end && index >= self.end - SIZE as i64 {
                *sum += i32::from(self.samples[slot(index)]);
            }
        }
    }
}

fn slot(index: i64) -> usize {
    index.rem_euclid(SIZE as i64) as usize
}

#[cfg(test)]
mod hostile;

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: u8 = 0xF0;

    fn read(timeline: &Timeline, from: i64, length: usize) -> Vec<i32> {
        let mut mix = vec![0; length];
        timeline.mix_into(from, &mut mix);
        mix
    }

    fn level() -> i32 {
        i32::from(Codec::Pcmu.decode(ONE))
    }

    #[test]
    fn packets_lie_where_their_timestamps_say_whatever_their_order() {
        let mut timeline = Timeline::default();
        timeline.write(1000, 10_000, Codec::Pcmu, &[ONE; 160]);
        timeline.write(1320, 10_330, Codec::Pcmu, &[ONE; 160]);
        assert_eq!(read(&timeline, 10_160, 160), vec![0; 160], "not yet arrived");
        timeline.write(1160, 10_340, Codec::Pcmu, &[ONE; 160]);
        assert_eq!(read(&timeline, 10_000, 480), vec![level(); 480]);
        assert_eq!(read(&timeline, 9_900, 100), vec![0; 100]);
        assert_eq!(read(&timeline, 10_480, 100), vec![0; 100]);
    }

    #[test]
    fn a_long_gap_is_silence_and_not_old_audio() {
        let mut timeline = Timeline::default();
        timeline.write(0, 0, Codec::Pcmu, &[ONE; 160]);
        timeline.write(8000, 8000, Codec::Pcmu, &[ONE; 160]);
        assert_eq!(read(&timeline, 8000 - 1500, 1500), vec![0; 1500]);
        assert_eq!(read(&timeline, 8000, 160), vec![level(); 160]);
    }

    #[test]
    fn a_drifting_clock_is_laid_out_anew_before_it_leaves_the_window() {
        let mut timeline = Timeline::default();
        for packet in 0..5000i64 {
            // The far end's clock runs 0.1 % fast.
            let now = packet * 160 - packet * 160 / 1000;
            timeline.write((packet * 160) as u32, now, Codec::Pcmu, &[ONE; 160]);
            assert!(timeline.end - now <= EARLY + 160);
        }
    }

    #[test]
    fn a_stream_whose_way_has_become_longer_is_soon_heard_by_taps_again() {
        let mut timeline = Timeline::default();
        let mut whole = 0;
        for packet in 0..200i64 {
            let now = packet * 160 + if packet < 50 { 0 } else { 1000 };
            timeline.write((packet * 160) as u32, now, Codec::Pcmu, &[ONE; 160]);
            whole += i64::from(read(&timeline, now - TAP_LAG, 160) == vec![level(); 160]);
        }
        assert!(whole >= 200 - i64::from(MISSED) - 10, "{whole}");
    }

    #[test]
    fn a_network_that_stands_still_for_a_moment_moves_nothing_that_comes_after() {
        let mut timeline = Timeline::default();
        for packet in 0..100i64 {
            // Half a second of packets comes at once.
            let now = if (40..65).contains(&packet) { 65 * 160 } else { packet * 160 };
            timeline.write((packet * 160) as u32, now, Codec::Pcmu, &[ONE; 160]);
            let late = now - packet * 160 > LATE;
            let found = read(&timeline, packet * 160, 160) == vec![level(); 160];
            assert_eq!(found, !late, "{packet}");
        }
    }

    #[test]
    fn two_timelines_add_up() {
        let mut timeline = Timeline::default();
        timeline.write(0, 0, Codec::Pcmu, &[ONE; 160]);
        let mut mix = vec![5; 160];
        timeline.mix_into(0, &mut mix);
        assert_eq!(mix, vec![level() + 5; 160]);
    }

    #[test]
    fn an_absurd_payload_is_not_laid_out() {
        let mut timeline = Timeline::default();
        timeline.write(0, 0, Codec::Pcmu, &[ONE; 1500]);
        assert_eq!(read(&timeline, 0, 10), vec![0; 10]);
    }
}
