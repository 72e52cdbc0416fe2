//! A room: every member hears all the others.
//!
//! It mixes at 8 kHz, or at 16 or 48 where that is what it was made for or what the codecs of two
//! members have.
//!
//! At its own slot a member adds the frame that all will hear 20 ms later to one running sum, and
//! takes the frame of now out of it, less its own part.  The silent add nothing, and those who
//! hear the same share it, encoded once.

mod shared;
mod sounds;
#[cfg(test)]
mod tests;
mod wide;

use crate::coded;
use crate::event::{EventSender, LegId, Told};
use crate::g711::Codec;
use crate::mix_ring::MixRing;
use crate::rates::{Lowering, lowered};
use crate::roster::SLOTS;
use crate::rtp::FRAME;
use crate::seat::{RoomId, Seat};
use shared::{Output, Shared};
use sounds::Sound;

/// Somebody else is the speaker when they are louder by this much (decibels), or the last one has
/// been silent for so long, and no sooner than so long after the last change (samples).
const LOUDER: f32 = 6.0;
const SILENT: i64 = 4800;
const SETTLED: i64 = 8000;

/// The highest rate, in multiples of 8 kHz.
pub const WIDEST: usize = 6;

pub struct Room {
    pub id: RoomId,
    pub members: Vec<LegId>,
    /// The rate of the sum, in multiples of 8 kHz: the one it was made with, or what two members' codecs have.
    scale: usize,
    fixed: Option<usize>,
    /// Of members that have more than 8 kHz.
    widths: Vec<(LegId, usize)>,
    sum: MixRing,
    /// What single members hear besides, by the coached member.
    whispers: Vec<(LegId, MixRing)>,
    sounds: Vec<Sound>,
    /// Up to where the sounds have been mixed in.
    sounded: i64,
    shared: [Option<Box<Shared>>; SLOTS],
    speaker: Option<Speaker>,
}

#[derive(Clone, Copy, Debug)]
struct Speaker {
    leg: LegId,
    loudness: f32,
    since: i64,
    last: i64,
}

/// What a member needs to hear and speak.
pub struct Turn<'a> {
    pub leg: LegId,
    pub seat: &'a mut Seat,
    /// Which of the slots of 20 ms is the leg's.
    pub phase: usize,
    /// Sample time of the frame to be sent.
    pub from: i64,
    /// On hold a member is not heard.
    pub is_held: bool,
}

impl Room {
    pub fn new(id: RoomId) -> Self {
        Self {
            id,
            members: vec![],
            scale: 1,
            fixed: None,
            widths: vec![],
            sum: MixRing::default(),
            whispers: vec![],
            sounds: vec![],
            sounded: 0,
            shared: Default::default(),
            speaker: None,
        }
    }

    /// A leg is gone.
    pub fn leave(&mut self, leg: LegId, at_ns: i64, events: &EventSender) {
        self.members.retain(|member| *member != leg);
        self.set_width(leg, 1);
        self.whispers.retain(|(coached, _)| *coached != leg);
        self.speaker = self.speaker.filter(|speaker| speaker.leg != leg);
        self.leave_sounds(leg, at_ns, events);
    }

    /// Put in what a member says, for the frame after the one it will hear.
    pub fn speak(&mut self, turn: &mut Turn<'_>, at_ns: i64, events: &EventSender) {
        let ahead = turn.from + FRAME as i64;
        self.sound(ahead, at_ns, events);
        if self.scale > 1 {
            let frame = turn.seat.speak_wide(ahead, self.scale).filter(|_| !turn.is_held);
            return frame.iter().for_each(|frame| self.say(turn, ahead, frame, at_ns, events));
        }
        let Some(frame) = turn.seat.speak(ahead).filter(|_| !turn.is_held) else { return };
        self.say(turn, ahead, &frame, at_ns, events);
    }

    fn say(&mut self, turn: &mut Turn<'_>, ahead: i64, frame: &[i16], at_ns: i64, events: &EventSender) {
        let at = ahead * self.scale as i64;
        if let Some(coached) = turn.seat.part.coaching {
            // Nobody coaches themselves: they would hear their own voice.
            if coached != turn.leg {
                self.whisper(coached, at, frame);
            }
            return;
        }
        self.sum.add(at, frame);
        turn.seat.spoke(at, frame);
        if self.leads(turn.leg, turn.seat.loudness, ahead) {
            events.send(turn.leg, at_ns, Told::SpeakerChanged { room: self.id.0 });
        }
    }

    fn whisper(&mut self, coached: LegId, from: i64, frame: &[i16]) {
        if !self.members.contains(&coached) {
            return;
        }
        match self.whispers.iter_mut().find(|(leg, _)| *leg == coached) {
            Some((_, ring)) => ring.add(from, frame),
            None => {
                let mut ring = MixRing::new(self.scale);
                ring.add(from, frame);
                self.whispers.push((coached, ring));
            }
        }
    }

    /// Whether a voice makes its member the speaker who was not.
    fn leads(&mut self, leg: LegId, loudness: f32, now: i64) -> bool {
        let fresh = Speaker { leg, loudness, since: now, last: now };
        match &mut self.speaker {
            Some(speaker) if speaker.leg == leg => {
                speaker.last = now;
                speaker.loudness = loudness.max(speaker.loudness - 0.5);
                false
            }
            Some(speaker) => {
                let is_silent = now - speaker.last > SILENT;
                let is_louder = loudness > speaker.loudness + LOUDER && now - speaker.since > SETTLED;
                if is_silent || is_louder {
                    *speaker = fresh;
                }
                is_silent || is_louder
            }
            None => {
                self.speaker = Some(fresh);
                true
            }
        }
    }

    /// Fill `out` with what a member hears, at 8 kHz.
    pub fn hear(&mut self, turn: &mut Turn<'_>, codec: Codec, out: &mut [u8; FRAME]) {
        if self.is_silent(turn) {
            return out.fill(codec.silence());
        }
        if self.hears_its_own(turn) {
            let mut frame = [0; FRAME];
            self.hear_apart(turn, &mut frame);
            return out.iter_mut().zip(frame).for_each(|(word, sample)| *word = codec.encode(sample));
        }
        let output = self.output(turn, 1);
        turn.seat.limiter = output.limiter;
        out.copy_from_slice(output.law(codec));
    }

    /// The packet of another codec, of `scale` times 8 kHz, for a member who hears the same as others, and
    /// whether it had to be encoded first; None for one who hears something else.
    pub fn hear_coded(
        &mut self,
        turn: &mut Turn<'_>,
        codec: coded::Codec,
        scale: usize,
    ) -> Option<(&[u8], bool)> {
        let hears_its_own = self.hears_its_own(turn);
        if turn.seat.is_apart(turn.from, hears_its_own) {
            return None;
        }
        let output = self.output(turn, scale);
        turn.seat.limiter = output.limiter;
        output.coded(codec)
    }

    /// Fill `out` with what only this member hears, at its own rate: as many samples as 20 ms of that are.
    pub fn hear_apart(&mut self, turn: &mut Turn<'_>, out: &mut [i16]) {
        let from = turn.from * self.scale as i64;
        let mut mix = [0; FRAME * WIDEST];
        let mix = &mut mix[..out.len()];
        let own = turn.seat.own(from).map(|own| (own, -1));
        let whisper = self.whisper_to(turn).map(|ring| (ring, 1));
        mixed(&[Some((&self.sum, 1)), own, whisper], turn.from, self.scale, mix);
        turn.seat.limiter.limit(mix, out);
    }

    fn output(&mut self, turn: &Turn<'_>, scale: usize) -> &mut Output {
        let shared = self.shared[turn.phase].get_or_insert_default();
        shared.output(turn.from, &self.sum, self.scale, scale)
    }

    fn is_silent(&self, turn: &Turn<'_>) -> bool {
        self.sum.end() <= turn.from * self.scale as i64 && self.whisper_to(turn).is_none()
    }

    /// Whether it hears something else than those who say nothing: less what it says, or a whisper.
    fn hears_its_own(&self, turn: &Turn<'_>) -> bool {
        turn.seat.own(turn.from * self.scale as i64).is_some() || self.whisper_to(turn).is_some()
    }

    fn whisper_to(&self, turn: &Turn<'_>) -> Option<&MixRing> {
        let from = turn.from * self.scale as i64;
        let mut whispers = self.whispers.iter().filter(|(_, ring)| ring.end() > from);
        whispers.find(|(leg, _)| *leg == turn.leg).map(|(_, ring)| ring)
    }

    /// Add everything that is said in the room to `mix`, at 8 kHz, for recordings and taps.
    pub fn mix_into(&self, from: i64, mix: &mut [i32]) {
        let mut all = [0; FRAME];
        let all = &mut all[..mix.len().min(FRAME)];
        mixed(&[Some((&self.sum, 1))], from, self.scale, all);
        mix.iter_mut().zip(all).for_each(|(to, value)| *to += *value);
    }
}

/// Fill `mix`, 20 ms or less of any rate up to the room's, with parts of a sum at `room` times 8 kHz,
/// each so many times.  By positions, not by what was asked for last: whoever reads takes what comes
/// before from the rings, and goes over from one mix to another without a seam.
fn mixed(parts: &[Option<(&MixRing, i32)>], from: i64, room: usize, mix: &mut [i32]) {
    // Less than a frame is asked for at 8 kHz only, by recordings.
    let scale = mix.len().div_ceil(FRAME);
    let ratio = room / scale;
    if ratio <= 1 {
        parts.iter().flatten().for_each(|(ring, sign)| ring.mix_into(from * room as i64, mix, *sign));
        return;
    }
    let history = Lowering::history(ratio);
    let mut wide = [0; FRAME * WIDEST + Lowering::history(WIDEST)];
    let wide = &mut wide[..mix.len() * ratio + history];
    let begin = from * room as i64 - history as i64;
    parts.iter().flatten().for_each(|(ring, sign)| ring.mix_into(begin, wide, *sign));
    let mut line = [0.0; FRAME * WIDEST + Lowering::history(WIDEST)];
    line.iter_mut().zip(&*wide).for_each(|(to, &value)| *to = value as f32);
    mix.iter_mut().zip(lowered(&line[..wide.len()], ratio)).for_each(|(to, value)| *to = value as i32);
}
