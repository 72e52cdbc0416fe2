//! What far ends say, and whether what they hear is what it should be, octet by octet.

use std::f32::consts::TAU;
use std::sync::Arc;

use _engine::coded::{Codec, Edge, MAX_CODED};
use _engine::g711::Codec as Law;
use _engine::rtp::FRAME;

/// Of the frame, the octets that say who says it and which of its packets it is.
const NAME: usize = 6;
const LOUD: u8 = 0x20;
/// Its payload type.
pub const OPUS: u8 = 111;
/// Packets of Opus that are not silence are no shorter.
const SHORTEST: usize = 12;
const SILENCE: u8 = 0xFF;
/// Most packets of a far end that are left out after silence was sent in their place.
const MAX_LEFT_OUT: u16 = 40;

#[derive(Clone, Debug)]
pub enum Check {
    /// These words, over and over.
    Prompt(Arc<Vec<u8>>),
    Partner,
    Sound,
    /// Opus, and not silence.
    Coded,
    Nothing,
}

/// A square wave of 1 kHz.
const WAVE: [u8; FRAME] = {
    let mut frame = [LOUD; FRAME];
    let mut n = 0;
    while n < FRAME {
        frame[n] ^= ((n / 4 % 2) << 7) as u8;
        n += 1;
    }
    frame
};

/// The frame that a far end says in its packet `count`: a wave behind its name, or silence.
pub fn said(number: u32, count: u16, is_loud: bool) -> [u8; FRAME] {
    if !is_loud {
        return [SILENCE; FRAME];
    }
    let mut frame = WAVE;
    frame[..4].copy_from_slice(&number.to_be_bytes());
    frame[4..NAME].copy_from_slice(&count.to_be_bytes());
    frame
}

/// Compares what a leg hears with what it should.
///
/// A far end that falls behind is made up for with silence, and what it says after that is dropped
/// where it comes too late.  Both are counted apart from what is wrong.
pub struct Listener {
    check: Check,
    partner: u32,
    /// The packet before: its sequence number, and its frame's place in what should be heard.
    before: Option<(u16, usize)>,
    /// Silence was heard since.
    is_interrupted: bool,
    pub checked: u64,
    pub wrong: u64,
    /// Frames of silence where there should be none, and frames left out behind them.
    pub made_up: u64,
    pub left_out: u64,
}

impl Listener {
    pub fn new(check: Check, partner: u32) -> Self {
        Self {
            check,
            partner,
            before: None,
            is_interrupted: false,
            checked: 0,
            wrong: 0,
            made_up: 0,
            left_out: 0,
        }
    }

    pub fn hear(&mut self, sequence: u16, payload: &[u8]) {
        if matches!(self.check, Check::Nothing) {
            return;
        }
        self.checked += 1;
        let is_silence = payload.len() == FRAME && payload.iter().all(|&word| word | 0x80 == SILENCE);
        if is_silence && !matches!(self.check, Check::Prompt(_)) {
            self.made_up += 1;
            self.is_interrupted = true;
            return;
        }
        let is_right = match &self.check {
            Check::Coded => payload.len() >= SHORTEST,
            Check::Prompt(words) => {
                let step = self.before.map(|(before, at)| (sequence.wrapping_sub(before), at));
                let at = place_in_prompt(words, payload, step);
                self.before = at.map(|at| (sequence, at));
                at.is_some()
            }
            Check::Partner => self.is_next_of_partner(sequence, payload),
            Check::Sound | Check::Nothing => payload.len() == FRAME,
        };
        self.wrong += u64::from(!is_right);
    }

    /// Relayed packets keep their distance in sequence numbers, those of keys included.
    fn is_next_of_partner(&mut self, sequence: u16, payload: &[u8]) -> bool {
        let Some(&[high, low]) = payload.get(4..NAME) else { return false };
        let count = u16::from_be_bytes([high, low]);
        let before = self.before.replace((sequence, usize::from(count)));
        let is_interrupted = std::mem::take(&mut self.is_interrupted);
        let follows = match before {
            None => true,
            Some((_, at)) if is_interrupted => {
                let step = count.wrapping_sub(at as u16);
                self.left_out += u64::from(step.wrapping_sub(1));
                (1..MAX_LEFT_OUT).contains(&step)
            }
            Some((before, at)) => sequence.wrapping_sub(before) == count.wrapping_sub(at as u16),
        };
        follows && payload == said(self.partner, count, true)
    }
}

/// Which frame of the prompt this is: the one that follows, or, of the first, any.
fn place_in_prompt(words: &[u8], payload: &[u8], step: Option<(u16, usize)>) -> Option<usize> {
    let frames = words.len() / FRAME;
    let is_at = |at: &usize| words.get(at * FRAME..(at + 1) * FRAME) == Some(payload);
    match step {
        Some((step, before)) => Some((before + usize::from(step)) % frames).filter(is_at),
        None => (0..frames).find(is_at),
    }
}

/// So many packets of Opus, one after the other: what a voice may cost to decode.
pub fn coded_words(packets: u32) -> Vec<Vec<u8>> {
    let mut edge = Edge::new(Codec::Opus);
    (0..packets)
        .map(|number| {
            let mut frame = [SILENCE; FRAME];
            for (n, word) in (number * FRAME as u32..).zip(&mut frame) {
                let seconds = n as f32 / 8000.0;
                let pitch = 120.0 + 30.0 * (seconds * 3.0).sin();
                let voice: f32 = (1..12).map(|k| (seconds * pitch * k as f32 * TAU).sin() / k as f32).sum();
                *word = Law::Pcmu.encode((voice * 4000.0 * (1.0 + (seconds * 8.0).sin())) as i16);
            }
            edge.encode(&frame, &mut [0; MAX_CODED]).to_vec()
        })
        .collect()
}
