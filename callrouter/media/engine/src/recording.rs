//! A recording as its media thread sees it: sources mixed into channels in step with the clock,
//! and the reasons for it to end.

use crate::clock::samples_at;
use crate::event::{LegId, RecordingEnd};
use crate::rtp::FRAME;
use crate::telephone_event::KeySet;
use crate::timeline::LAG;
use crate::voice::is_silence;
use crate::writer::{Ending, Sink, Writer};

/// Samples of a channel that go to the writer at once.
const BLOCK: usize = 10 * FRAME;
/// Silence that trimming leaves before the first and after the last sound, in frames of 20 ms.
const MARGIN: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Track {
    pub leg: LegId,
    /// What the leg sends rather than what it receives.
    pub sent: bool,
}

#[derive(Clone, Debug)]
pub struct RecordingPlan {
    pub id: u64,
    pub token: u64,
    pub path: std::path::PathBuf,
    pub channels: Vec<Vec<Track>>,
    pub max_ms: u64,
    pub silence_ms: u64,
    pub stop_keys: KeySet,
    pub trim: bool,
}

pub struct Recording {
    pub token: u64,
    pub stop_keys: KeySet,
    channels: Vec<Vec<Track>>,
    sink: Sink,
    /// Sample time up to which has been recorded, and at which the maximum is reached.
    position: i64,
    limit: i64,
    silence_limit: u64,
    /// Samples of silence received since the last sound.
    silent: u64,
    trim: Option<Trim>,
    block: Vec<i16>,
    /// Sample times of each channel handed to the writer.
    written: u64,
    ending: Option<(RecordingEnd, Option<char>, i64)>,
}

#[derive(Default)]
struct Trim {
    has_begun: bool,
    /// Samples of each channel up to the end of the last sound.
    sound_until: u64,
}

impl Recording {
    pub fn start(plan: RecordingPlan, sink: Sink, now_ns: i64) -> Self {
        let position = samples_at(now_ns);
        let limit = match plan.max_ms {
            0 => i64::MAX,
            ms => position.saturating_add(ms.saturating_mul(8).min(i64::MAX as u64 / 2) as i64),
        };
        Self {
            token: plan.token,
            stop_keys: plan.stop_keys,
            channels: plan.channels,
            sink,
            position,
            limit,
            silence_limit: plan.silence_ms * 8,
            silent: 0,
            trim: plan.trim.then(Trim::default),
            block: vec![],
            written: 0,
            ending: None,
        }
    }

    pub fn tracks(&self) -> impl Iterator<Item = Track> {
        self.channels.iter().flatten().copied()
    }

    /// Audio of the owner's far end arrived.  Only what arrives can be silence: a gap is not.
    pub fn hear(&mut self, samples: usize, silent: bool, now_ns: i64) {
        if self.silence_limit == 0 {
            return;
        }
        self.silent = if silent { self.silent + samples as u64 } else { 0 };
        if self.silent >= self.silence_limit {
            self.end(RecordingEnd::Silence, None, now_ns);
        }
    }

    /// Ask for the end; the first reason counts.
    pub fn end(&mut self, reason: RecordingEnd, key: Option<char>, at_ns: i64) {
        self.ending.get_or_insert((reason, key, at_ns));
    }

    /// Record what the present allows.  `mix` adds the samples of a track from a sample time on.
    /// True when the recording is over and everything has been handed to the writer.
    pub fn advance(
        &mut self,
        now_ns: i64,
        writer: &Writer,
        mut mix: impl FnMut(Track, i64, &mut [i32]),
    ) -> bool {
        if self.sink.has_failed() {
            return true;
        }
        let until = match self.ending {
            Some((_, _, at_ns)) => samples_at(at_ns),
            None => samples_at(now_ns) - LAG,
        }
        .min(self.limit);
        while self.position < until {
            let length = (until - self.position).min(FRAME as i64) as usize;
            if length < FRAME && self.ending.is_none() && until < self.limit {
                break;
            }
            self.frame(length, &mut mix);
        }
        if self.position >= self.limit {
            self.end(RecordingEnd::MaxLength, None, now_ns);
        }
        let full = self.block.len() >= BLOCK * self.channels.len();
        let begun = self.trim.as_ref().is_none_or(|trim| trim.has_begun);
        if begun && (full || self.ending.is_some()) && !self.hand_over(writer) {
            self.ending = Some((RecordingEnd::Failed, None, now_ns));
        }
        let Some((reason, key, at_ns)) = self.ending else {
            return false;
        };
        let keep = self.trim.as_ref().map(|trim| match trim.sound_until {
            0 => 0,
            until => until + (MARGIN * FRAME) as u64,
        });
        writer.end(&self.sink, Ending { at_ns, reason, key, keep });
        true
    }

    fn frame(&mut self, length: usize, mix: &mut impl FnMut(Track, i64, &mut [i32])) {
        let width = self.channels.len();
        let start = self.block.len();
        self.block.resize(start + length * width, 0);
        for (channel, tracks) in self.channels.iter().enumerate() {
            let mut sum = [0i32; FRAME];
            for &track in tracks {
                mix(track, self.position, &mut sum[..length]);
            }
            let cells = self.block[start + channel..].iter_mut().step_by(width);
            cells.zip(&sum[..length]).for_each(|(cell, &value)| {
                *cell = value.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
            });
        }
        self.position += length as i64;
        let Some(trim) = &mut self.trim else { return };
        let sounds = !is_silence(self.block[start..].iter().copied());
        if sounds {
            trim.has_begun = true;
            trim.sound_until = self.written + (self.block.len() / width) as u64;
        } else if !trim.has_begun && self.block.len() > MARGIN * FRAME * width {
            let excess = self.block.len() - MARGIN * FRAME * width;
            self.block.drain(..excess);
        }
    }

    fn hand_over(&mut self, writer: &Writer) -> bool {
        self.written += (self.block.len() / self.channels.len()) as u64;
        writer.samples(&self.sink, std::mem::take(&mut self.block))
    }
}
