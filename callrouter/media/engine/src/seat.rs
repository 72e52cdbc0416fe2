//! A leg's place in a room: what it puts into the mix, which must not come back to it.

use crate::event::LegId;
use crate::limiter::Limiter;
use crate::mix_ring::MixRing;
use crate::playback::Item;
use crate::playout::Playout;
use crate::rates::Raising;
use crate::rtp::FRAME;

/// A room's name, chosen by the engine's user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RoomId(pub u64);

/// How a member takes part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    pub muted: bool,
    /// Factor on what the member says.
    pub gain: f32,
    /// The only member that hears this one.
    pub coaching: Option<LegId>,
}

/// Samples after its last own sound for which a member is not given the packets of the others.
const APART: i64 = 24_000;

/// Frames that a member is mixed in for after its last voiced packet: words end softly.
const TAIL: u32 = 15;

#[derive(Debug)]
pub struct Seat {
    pub room: RoomId,
    pub part: Part,
    /// What everybody hears when the member leaves.
    pub leave_sound: Option<Item>,
    playout: Option<Box<Playout>>,
    /// What an edge above 8 kHz has decoded for this slot.
    wide: Option<Vec<i16>>,
    raising: Option<Raising>,
    /// The rate of `own`, and that of the member's codec as the room knows it, in multiples of 8 kHz.
    scale: usize,
    pub width: usize,
    /// What of the room's sum is this member's own.
    own: Option<MixRing>,
    /// Frames that are still to be mixed in.
    sounding: u32,
    /// Level of the latest voiced packet, in dBFS.
    pub loudness: f32,
    pub limiter: Limiter,
    /// Position of the next frame this member will put in.
    head: i64,
    /// Up to there what it hears is encoded for it alone.
    apart_until: i64,
}

impl Seat {
    pub fn new(room: RoomId, part: Part) -> Self {
        Self {
            room,
            part,
            leave_sound: None,
            playout: None,
            wide: None,
            raising: None,
            scale: 1,
            width: 1,
            own: None,
            sounding: 0,
            loudness: -100.0,
            limiter: Limiter::default(),
            head: 0,
            apart_until: i64::MIN,
        }
    }

    /// A new stream of the far end.
    pub fn restart(&mut self) {
        if let Some(playout) = &mut self.playout {
            playout.restart();
        }
    }

    /// A packet came.  One without voice costs nothing while the member is silent, but the stream
    /// goes on: what it says next finds its place.
    pub fn hear(&mut self, timestamp: u32, in_order: bool, voiced: Option<f32>, samples: &[i16]) {
        if let Some(loudness) = voiced {
            self.sounding = TAIL;
            self.loudness = loudness;
        }
        if self.wide.is_some() || voiced.is_none() && self.playout.is_none() {
            return;
        }
        let quiet = self.sounding == 0;
        self.playout.get_or_insert_default().put(timestamp, self.head, in_order, quiet, samples);
    }

    /// The frame for position `from`; None when there is nothing to hear.
    pub fn speak(&mut self, from: i64) -> Option<[i16; FRAME]> {
        if !self.is_heard_at(from) {
            return None;
        }
        let mut frame = [0; FRAME];
        self.playout.as_mut()?.take(from, &mut frame);
        self.amplify(&mut frame);
        Some(frame)
    }

    /// Whether there is something to hear in the frame for position `from`, the next that is put in.
    fn is_heard_at(&mut self, from: i64) -> bool {
        self.head = from + FRAME as i64;
        let sounds = self.sounding > 0;
        self.sounding = self.sounding.saturating_sub(1);
        sounds && !self.part.muted
    }

    fn amplify(&self, samples: &mut [i16]) {
        if self.part.gain != 1.0 {
            samples.iter_mut().for_each(|sample| *sample = (f32::from(*sample) * self.part.gain) as i16);
        }
    }

    /// What an edge decoded for this slot, at more than 8 kHz: it is in order and in time.
    pub fn hear_wide(&mut self, samples: Vec<i16>) {
        self.wide = Some(samples).filter(|samples| !samples.is_empty());
    }

    /// As `speak`, for a room of `scale` times 8 kHz.
    pub fn speak_wide(&mut self, from: i64, scale: usize) -> Option<Vec<i16>> {
        let samples = match self.wide.take() {
            None => self.speak(from)?.to_vec(),
            Some(_) if !self.is_heard_at(from) => return None,
            Some(mut samples) => {
                self.amplify(&mut samples);
                samples
            }
        };
        let ratio = FRAME * scale / samples.len();
        if ratio <= 1 {
            return Some(samples);
        }
        Some(Raising::of(&mut self.raising, ratio).raise(&samples))
    }

    /// The room's rate is another now: what is in the sum begins anew.
    pub fn rescale(&mut self, scale: usize) {
        if self.scale != scale {
            self.scale = scale;
            (self.own, self.wide, self.raising) = (None, None, None);
        }
    }

    /// Remember what went into the sum, by positions at the room's rate.
    pub fn spoke(&mut self, from: i64, frame: &[i16]) {
        let scale = self.scale;
        self.own.get_or_insert_with(|| MixRing::new(scale)).add(from, frame);
    }

    /// What of the sum is its own, where there is something from `from` on, at the room's rate.
    pub fn own(&self, from: i64) -> Option<&MixRing> {
        self.own.as_ref().filter(|own| own.end() > from)
    }

    /// Whether what it hears at a sample time has to be encoded for it alone.  Who has just spoken is
    /// likely to again: changing between two encoders can be heard, if barely.
    pub fn is_apart(&mut self, from: i64, hears_its_own: bool) -> bool {
        if hears_its_own {
            self.apart_until = from + APART;
        }
        from < self.apart_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(muted: bool, gain: f32) -> Seat {
        Seat::new(RoomId(1), Part { muted, gain, coaching: None })
    }

    #[test]
    fn a_silent_member_puts_in_nothing_and_holds_nothing() {
        let mut seat = seat(false, 1.0);
        for n in 0..100 {
            seat.hear(n as u32 * 160, true, None, &[50; 160]);
            assert_eq!(seat.speak(n * 160), None);
        }
        assert!(seat.playout.is_none() && seat.own.is_none());
    }

    #[test]
    fn a_voice_is_put_in_whole_with_its_soft_end() {
        let mut seat = seat(false, 2.0);
        let mut said = vec![];
        for n in 0..60i64 {
            let voiced = (10..20).contains(&n);
            seat.hear(n as u32 * 160, true, voiced.then_some(-20.0), &[n as i16; 160]);
            said.extend(seat.speak(n * 160).into_iter().flatten());
        }
        let begin = said.iter().position(|&sample| sample == 20).expect("the first voiced packet");
        let expected: Vec<i16> = (10..33).flat_map(|n| [n * 2; 160]).collect();
        assert_eq!(said[begin..begin + expected.len()], expected);
    }

    #[test]
    fn a_muted_member_is_not_heard_and_a_loud_one_does_not_wrap() {
        let speak = |mut seat: Seat| {
            seat.hear(0, true, Some(-3.0), &[30_000; 160]);
            seat.speak(0)
        };
        assert_eq!(speak(seat(true, 1.0)), None);
        assert_eq!(speak(seat(false, 4.0)).map(|frame| frame[159]), Some(i16::MAX));
    }
}
