//! Frames of a leg for the engine's user: what it receives, what it sends, or both, 20 ms each.
//! A media thread never waits for whoever takes them: the oldest make room, and are counted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_queue::ArrayQueue;

use crate::clock::samples_at;
use crate::event::LegId;
use crate::g711::Codec;
use crate::recording::Side;
use crate::room::Room;
use crate::rtp::FRAME;
use crate::timeline::{TAP_LAG, Timeline};

/// Frames of one side that wait: two seconds.
const WAITING: usize = 100;

/// Where the samples of a leg's sides come from; what is not there is silence.
#[derive(Clone, Copy, Default)]
pub struct Heard<'a> {
    pub received: Option<&'a Timeline>,
    pub sent: Option<&'a Timeline>,
    pub room: Option<&'a Room>,
}

impl Heard<'_> {
    /// Add the samples of a side from `from` on to `mix`.
    pub fn mix_into(&self, side: Side, from: i64, mix: &mut [i32]) {
        let timeline = match side {
            Side::Received => self.received,
            Side::Sent => self.sent,
            Side::Room => {
                if let Some(room) = self.room {
                    room.mix_into(from, mix);
                }
                return;
            }
        };
        if let Some(timeline) = timeline {
            timeline.mix_into(from, mix);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What the leg sends rather than what it receives, or its room says.
    pub sent: bool,
    /// Counts from 0 for each side; those dropped are missing.
    pub number: u64,
    /// µ-law.
    pub words: [u8; FRAME],
}

/// What the media thread and the user have in common.
#[derive(Debug)]
pub struct Shared {
    pub leg: LegId,
    pub token: u64,
    frames: ArrayQueue<Frame>,
    dropped: AtomicU64,
    /// The media thread has let go: nothing will come after what waits.
    is_over: AtomicBool,
}

impl PartialEq for Shared {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Shared {}

impl Shared {
    /// The frames that wait, oldest first.
    pub fn take(&self) -> Vec<Frame> {
        (0..self.frames.len()).map_while(|_| self.frames.pop()).collect()
    }

    /// Frames dropped so far because nobody took them.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The media thread's end.
#[derive(Debug)]
pub struct Tap {
    shared: Arc<Shared>,
    sides: &'static [Side],
    /// Sample time of the next frame, and its number; nothing has been taken yet without.
    position: Option<i64>,
    number: u64,
}

impl Tap {
    pub fn token(&self) -> u64 {
        self.shared.token
    }

    pub fn sides(&self) -> &'static [Side] {
        self.sides
    }

    pub fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Take what is due by now; whether there was anything.
    pub fn advance(&mut self, now_ns: i64, heard: Heard<'_>) -> bool {
        self.take_until(samples_at(now_ns) - TAP_LAG, heard)
    }

    /// Take what there is, without waiting for what may be late.
    pub fn finish(&mut self, now_ns: i64, heard: Heard<'_>) {
        // What has been read of a packet that came just now reaches ahead.
        self.take_until(samples_at(now_ns) + FRAME as i64, heard);
    }

    fn take_until(&mut self, until: i64, heard: Heard<'_>) -> bool {
        let mut position = self.position.unwrap_or(until);
        // After a stall of more than the timelines hold there is nothing to take.
        position = position.max(until - 8 * FRAME as i64);
        let begun = position;
        while position + FRAME as i64 <= until {
            for &side in self.sides {
                let mut sum = [0; FRAME];
                heard.mix_into(side, position, &mut sum);
                self.push(Frame { sent: side == Side::Sent, number: self.number, words: words(&sum) });
            }
            self.number += 1;
            position += FRAME as i64;
        }
        self.position = Some(position);
        position > begun
    }

    fn push(&self, frame: Frame) {
        if self.shared.frames.force_push(frame).is_some() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
    }
}

/// A crowd can be louder than there are words for.
fn words(sum: &[i32; FRAME]) -> [u8; FRAME] {
    sum.map(|sample| Codec::Pcmu.encode(sample.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16))
}

/// All taps, for whoever takes their frames.
#[derive(Default)]
pub struct Taps {
    open: Mutex<Vec<Arc<Shared>>>,
}

impl Taps {
    /// A tap for a leg, to be handed to its media thread.
    pub fn open(&self, leg: LegId, token: u64, sides: &'static [Side]) -> Tap {
        let shared = Arc::new(Shared {
            leg,
            token,
            frames: ArrayQueue::new(WAITING * sides.len().max(1)),
            dropped: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        self.lock().push(shared.clone());
        Tap { shared, sides, position: None, number: 0 }
    }

    /// Those that have frames waiting.  A tap that is over is forgotten: its end tells the rest.
    pub fn ready(&self) -> Vec<Arc<Shared>> {
        let mut open = self.lock();
        open.retain(|tap| !tap.is_over.load(Ordering::Acquire));
        open.iter().filter(|tap| !tap.frames.is_empty()).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Shared>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MILLISECOND;

    fn received(timeline: &Timeline) -> Heard<'_> {
        Heard { received: Some(timeline), ..Heard::default() }
    }

    fn heard(value: u8) -> Timeline {
        let mut timeline = Timeline::default();
        timeline.write(0, 0, Codec::Pcmu, &[value; 960]);
        timeline
    }

    #[test]
    fn both_sides_come_in_step_and_a_missing_one_is_silence() {
        let taps = Taps::default();
        let mut tap = taps.open(LegId(1), 9, &[Side::Received, Side::Sent]);
        let timeline = heard(0x20);
        for ms in [30, 50, 70, 90, 110, 130, 150] {
            tap.advance(ms * MILLISECOND, received(&timeline));
        }
        let frames = taps.ready()[0].take();
        let told: Vec<(bool, u64, u8)> = frames.iter().map(|f| (f.sent, f.number, f.words[159])).collect();
        assert_eq!(told.len(), 12);
        assert_eq!(told[..2], [(false, 0, 0xFF), (true, 0, 0xFF)], "before there was anything");
        assert_eq!(told[10..], [(false, 5, 0x20), (true, 5, 0xFF)]);
        assert!(taps.ready().is_empty());
    }

    #[test]
    fn the_oldest_make_room_and_are_counted() {
        let taps = Taps::default();
        let mut tap = taps.open(LegId(1), 9, &[Side::Received]);
        for tick in 0..=130 {
            tap.advance(tick * 20 * MILLISECOND, Heard::default());
        }
        let shared = &taps.ready()[0];
        assert_eq!(shared.dropped(), 30);
        let frames = shared.take();
        assert_eq!((frames.len(), frames[0].number, frames[99].number), (100, 30, 129));
    }

    #[test]
    fn at_its_end_a_tap_hands_over_what_there_is() {
        let taps = Taps::default();
        let mut tap = taps.open(LegId(1), 9, &[Side::Received]);
        let timeline = heard(0x20);
        tap.advance(80 * MILLISECOND, received(&timeline));
        tap.finish(100 * MILLISECOND, received(&timeline));
        let frames = taps.ready()[0].take();
        assert_eq!(frames.len(), 6);
        assert!(frames.iter().all(|frame| frame.words == [0x20; FRAME]));
    }

    #[test]
    fn a_long_stall_is_not_made_up_for() {
        let taps = Taps::default();
        let mut tap = taps.open(LegId(1), 9, &[Side::Received]);
        tap.advance(0, Heard::default());
        tap.advance(10_000 * MILLISECOND, Heard::default());
        assert_eq!(taps.ready()[0].take().len(), 8);
    }

    #[test]
    fn a_tap_that_its_thread_dropped_is_forgotten() {
        let taps = Taps::default();
        let tap = taps.open(LegId(1), 9, &[Side::Received, Side::Sent]);
        assert_eq!(taps.lock().len(), 1);
        drop(tap);
        assert!(taps.ready().is_empty() && taps.lock().is_empty());
    }
}
