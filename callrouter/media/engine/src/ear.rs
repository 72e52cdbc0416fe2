//! What is made of the sound a leg receives, when anybody wants to know: voice, keys, who answered.

use crate::answering::{Answer, Answering};
use crate::dtmf::{self, KeyDetector};
use crate::rtp::FRAME;
use crate::voice::{Judgement, Talk, Turn, VoiceDetector};

/// Whether keys are listened for in the sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyWish {
    /// If the far end did not agree on telephone events.
    #[default]
    Needed,
    Always,
    Never,
}

#[derive(Debug, Default)]
pub struct Ear {
    voice: VoiceDetector,
    talk: Talk,
    pub tells_voice: bool,
    pub keys: Option<Box<KeyDetector>>,
    pub answering: Option<Box<Answering>>,
    /// Nothing came since, in slots of the leg.
    missed: u32,
}

/// What up to 20 ms of sound told.
pub struct Heard {
    pub judged: Judgement,
    pub turn: Option<Turn>,
    pub keys: dtmf::Heard,
    /// Who answered, and after how many milliseconds.
    pub answer: Option<(u64, Answer, u32)>,
}

/// Slots without a packet after which nothing comes any more.
const GAP: u32 = 4;
/// And after which that is no gap in the network but the far end's doing: it is muted, say.
const CUT: u32 = 50;

impl Ear {
    pub fn hear(&mut self, samples: &[i16]) -> Heard {
        let judged = self.voice.judge(samples);
        self.hear_judged(samples, judged)
    }

    /// Samples that are known to be silence: what is heard of it is what voices are told from.
    pub fn hear_silence(&mut self, samples: &[i16]) -> Heard {
        let judged = Judgement { voiced: false, ..self.voice.judge(samples) };
        self.hear_judged(samples, judged)
    }

    fn hear_judged(&mut self, samples: &[i16], judged: Judgement) -> Heard {
        self.missed = 0;
        let turn = self.talk.hear(samples.len(), judged.voiced).filter(|_| self.tells_voice);
        let keys = self.keys.as_mut().map(|keys| keys.hear(samples)).unwrap_or_default();
        let answer = self.answering.as_mut().and_then(|answering| answering.hear(samples, judged.voiced));
        Heard { judged, turn, keys, answer: self.answered(answer) }
    }

    /// A slot went by.  What it tells, when nothing has come for too long.
    pub fn tick(&mut self) -> Option<Heard> {
        self.missed = self.missed.saturating_add(1);
        if self.missed < GAP {
            return None;
        }
        let answer = self.answering.as_mut().and_then(|answering| answering.miss());
        let answer = self.answered(answer);
        Some(Heard { answer, ..self.finish() })
    }

    /// Samples of silence that the slot which went by adds to what nothing came of.
    pub fn unheard(&self) -> usize {
        match self.missed {
            0..CUT => 0,
            CUT => CUT as usize * FRAME,
            _ => FRAME,
        }
    }

    /// No more will come: a key that is down and a talk that goes on are over.
    pub fn finish(&mut self) -> Heard {
        let ended = self.keys.as_mut().and_then(|keys| keys.finish());
        let turn = self.talk.cut().filter(|_| self.tells_voice);
        let judged = Judgement { voiced: false, level: -100.0 };
        Heard { judged, turn, keys: dtmf::Heard { ended, began: None }, answer: None }
    }

    fn answered(&mut self, answer: Option<Answer>) -> Option<(u64, Answer, u32)> {
        let answer = answer?;
        let answering = self.answering.take()?;
        Some((answering.token(), answer, answering.elapsed_ms()))
    }
}
