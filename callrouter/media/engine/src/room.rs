//! A room: every member hears all the others.
//!
//! It mixes at 8 kHz, or at 16 or 48 where that is what it was made for or what the codecs of two
//! members have.
//!
//! At its own slot a member adds the frame that all will hear 20 ms later to one running sum, and
//! takes the frame of now out of it, less its own part.  The silent add nothing, and those who
//! hear the same share it, encoded once.

mod wide;

use crate::event::{EventSender, LegId, PlayEnd, Told};
use crate::g711::Codec;
use crate::limiter::Limiter;
use crate::mix_ring::MixRing;
use crate::playback::{Playback, Slot};
use crate::rates::{Lowering, Raising};
use crate::roster::SLOTS;
use crate::rtp::FRAME;
use crate::seat::{RoomId, Seat};
use crate::tone;

/// Somebody else is the speaker when they are louder by this much (decibels), or the last one has
/// been silent for so long, and no sooner than so long after the last change (samples).
const LOUDER: f32 = 6.0;
const SILENT: i64 = 4800;
const SETTLED: i64 = 8000;

pub struct Room {
    pub id: RoomId,
    pub members: Vec<LegId>,
    /// The rate of the sum, in multiples of 8 kHz: the one it was made with, or what two members' codecs have.
    scale: usize,
    pub fixed: Option<usize>,
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

/// Something played to everybody, told to the leg that asked for it.
struct Sound {
    playback: Playback,
    owner: Option<LegId>,
    raising: Option<Raising>,
}

/// What those hear who have no part in the sum, for one slot.
struct Shared {
    from: i64,
    limiter: Limiter,
    frame: [i16; FRAME],
    encoded: [Option<[u8; FRAME]>; 2],
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

    /// Play to everybody, beside the voices.
    pub fn play(&mut self, playback: Playback, owner: Option<LegId>) {
        self.sounds.push(Sound { playback, owner, raising: None });
    }

    /// End a sound of a leg.
    pub fn stop(&mut self, owner: LegId, token: u64, at_ns: i64, events: &EventSender) {
        self.sounds.retain(|sound| {
            let goes = sound.owner == Some(owner) && token == sound.playback.token;
            if goes {
                sound.tell(PlayEnd::Stopped, at_ns, events);
            }
            !goes
        });
    }

    /// A leg is gone: its sounds play on, and nobody is told of them.
    pub fn leave(&mut self, leg: LegId, at_ns: i64, events: &EventSender) {
        self.members.retain(|member| *member != leg);
        self.set_width(leg, 1);
        self.whispers.retain(|(coached, _)| *coached != leg);
        self.speaker = self.speaker.filter(|speaker| speaker.leg != leg);
        for sound in self.sounds.iter_mut().filter(|sound| sound.owner == Some(leg)) {
            sound.tell(PlayEnd::Closed, at_ns, events);
            sound.owner = None;
        }
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
            return self.whisper(coached, at, frame);
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

    /// Mix in what is played to everybody, up to the end of the frame at `from`.
    fn sound(&mut self, from: i64, at_ns: i64, events: &EventSender) {
        if self.sounds.is_empty() {
            return;
        }
        if self.sounded < from - FRAME as i64 {
            self.sounded = from;
        }
        while self.sounded < from + FRAME as i64 {
            let (sum, sounded, scale) = (&mut self.sum, self.sounded, self.scale);
            self.sounds.retain_mut(|sound| {
                let frame = sound.next();
                match &frame {
                    Some(frame) if scale == 1 => sum.add(sounded, frame),
                    Some(frame) => sum.add(sounded * scale as i64, &sound.raised(frame, scale)),
                    None => sound.tell(PlayEnd::Finished, at_ns, events),
                }
                frame.is_some()
            });
            self.sounded += FRAME as i64;
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

    /// Fill `out` with what a member hears.
    pub fn hear(&mut self, turn: &mut Turn<'_>, codec: Codec, out: &mut [u8; FRAME]) {
        let from = turn.from;
        let whisper = self.whispers.iter().find(|(leg, ring)| *leg == turn.leg && ring.end() > from);
        if whisper.is_none() && self.sum.end() <= from {
            return out.fill(codec.silence());
        }
        if whisper.is_none() && !turn.seat.has_own(from) {
            return out.copy_from_slice(self.shared(turn.phase, from, codec));
        }
        let mut mix = [0; FRAME];
        self.sum.mix_into(from, &mut mix, 1);
        turn.seat.take_out(from, &mut mix);
        if let Some((_, ring)) = whisper {
            ring.mix_into(from, &mut mix, 1);
        }
        let mut frame = [0; FRAME];
        turn.seat.limiter.limit(&mix, &mut frame);
        out.iter_mut().zip(frame).for_each(|(word, sample)| *word = codec.encode(sample));
    }

    fn shared(&mut self, phase: usize, from: i64, codec: Codec) -> &[u8; FRAME] {
        let shared = self.shared[phase].get_or_insert_with(|| {
            let frame = [0; FRAME];
            Box::new(Shared { from: i64::MIN, limiter: Limiter::default(), frame, encoded: [None; 2] })
        });
        if shared.from != from {
            let mut mix = [0; FRAME];
            self.sum.mix_into(from, &mut mix, 1);
            shared.limiter.limit(&mix, &mut shared.frame);
            shared.from = from;
            shared.encoded = [None; 2];
        }
        let frame = &shared.frame;
        shared.encoded[codec as usize].get_or_insert_with(|| frame.map(|sample| codec.encode(sample)))
    }

    /// Add everything that is said in the room to `mix`, at 8 kHz, for recordings.
    pub fn mix_into(&self, from: i64, mix: &mut [i32]) {
        if self.scale == 1 {
            return self.sum.mix_into(from, mix, 1);
        }
        // By positions, not by what was asked for last: any number of recordings may read.
        let frames = Lowering::history(self.scale).div_ceil(self.scale);
        let mut wide = vec![0; (frames + mix.len()) * self.scale];
        self.sum.mix_into((from - frames as i64) * self.scale as i64, &mut wide, 1);
        let lower = Lowering::new(self.scale).lower(&wide);
        mix.iter_mut().zip(&lower[frames..]).for_each(|(to, value)| *to += value);
    }
}

impl Sound {
    fn raised(&mut self, frame: &[i16; FRAME], scale: usize) -> Vec<i16> {
        let raising = self.raising.take().filter(|raising| raising.ratio() == scale);
        self.raising.insert(raising.unwrap_or_else(|| Raising::new(scale))).raise(frame)
    }

    fn next(&mut self) -> Option<[i16; FRAME]> {
        let mut words = [0; FRAME];
        match self.playback.fill(Codec::Pcmu, &mut words) {
            Slot::Audio | Slot::Late => {}
            Slot::Key { payload, frame } => tone::key(payload[0], frame, &mut words, Codec::Pcmu),
            Slot::Finished => return None,
        }
        Some(words.map(|word| Codec::Pcmu.decode(word)))
    }

    fn tell(&self, reason: PlayEnd, at_ns: i64, events: &EventSender) {
        if let Some(owner) = self.owner {
            let (token, played_ms) = (self.playback.token, self.playback.played_ms());
            events.send(owner, at_ns, Told::PlayEnded { token, reason, key: None, played_ms });
        }
    }
}
