//! A recording as its media thread sees it: sources mixed into channels in step with the clock,
//! and the reasons for it to end.

use std::collections::VecDeque;

use crate::clock::samples_at;
use crate::event::{LegId, RecordingEnd};
use crate::limiter::Limiter;
use crate::rtp::FRAME;
use crate::telephone_event::KeySet;
use crate::timeline::{LAG, TAP_LAG};
use crate::voice::VoiceDetector;
use crate::wav;
use crate::writer::{Ending, Sink, Writer};

/// Samples of a channel that go to the writer at once.
const BLOCK: usize = 10 * FRAME;
/// Silence that trimming leaves before the first and after the last sound, in frames of 20 ms.
const MARGIN: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Received,
    Sent,
    /// Everything said in the room the leg is in.
    Room,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Track {
    pub leg: LegId,
    pub side: Side,
}

#[derive(Clone, Debug)]
pub struct RecordingPlan {
    pub id: u64,
    pub token: u64,
    pub path: std::path::PathBuf,
    pub channels: Vec<Vec<Track>>,
    pub max_ms: u64,
    /// Of the file, in octets.
    pub max_size: u64,
    pub silence_ms: u64,
    pub stop_keys: KeySet,
    pub trim: bool,
}

pub struct Recording {
    pub token: u64,
    pub stop_keys: KeySet,
    channels: Vec<Vec<Track>>,
    /// Of channels in which several may be heard at once; one alone always fits.
    limiters: Vec<Option<Limiter>>,
    sink: Sink,
    /// Sample time up to which has been recorded, and at which the maximum is reached.
    position: i64,
    /// How far behind the present it is recorded.
    lag: i64,
    limit: i64,
    limit_is_size: bool,
    /// What has been asked to be left out, oldest first.
    pauses: VecDeque<Pause>,
    silence_limit: u64,
    /// Samples of silence received since the last sound.
    silent: u64,
    trim: Option<Trim>,
    block: Vec<i16>,
    /// Sample times of each channel handed to the writer.
    written: u64,
    ending: Option<(RecordingEnd, Option<char>, i64)>,
}

#[derive(Clone, Copy, Debug)]
struct Pause {
    /// Sample times.
    from: i64,
    until: i64,
    with_silence: bool,
}

#[derive(Default)]
struct Trim {
    voice: VoiceDetector,
    has_begun: bool,
    /// Samples of each channel up to the end of the last sound.
    sound_until: u64,
}

impl Recording {
    pub fn start(plan: RecordingPlan, sink: Sink, now_ns: i64) -> Self {
        let position = samples_at(now_ns);
        let most = |value: u64| value.min(i64::MAX as u64 / 4) as i64;
        let by_time = if plan.max_ms == 0 { i64::MAX / 2 } else { most(plan.max_ms.saturating_mul(8)) };
        let octets = plan.max_size.saturating_sub(wav::HEADER as u64);
        let by_size = match plan.max_size {
            0 => i64::MAX / 2,
            _ => most(octets / (2 * plan.channels.len().max(1) as u64)),
        };
        let limit = position.saturating_add(by_time.min(by_size));
        let is_mixed =
            |tracks: &Vec<Track>| tracks.len() > 1 || tracks.iter().any(|track| track.side == Side::Room);
        let limiters = plan.channels.iter().map(|tracks| is_mixed(tracks).then(Limiter::default)).collect();
        // What is said in a room has been put in order already, and is not kept for longer.
        let is_room = plan.channels.iter().flatten().any(|track| track.side == Side::Room);
        Self {
            lag: if is_room { TAP_LAG } else { LAG },
            limiters,
            token: plan.token,
            stop_keys: plan.stop_keys,
            channels: plan.channels,
            sink,
            position,
            limit,
            limit_is_size: by_size < by_time,
            pauses: VecDeque::new(),
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

    /// Audio of the owner's far end arrived, or none for so long that it is no gap in the network.
    pub fn hear(&mut self, samples: usize, silent: bool, now_ns: i64) {
        if self.silence_limit == 0 {
            return;
        }
        if self.is_paused() {
            self.silent = 0;
            return;
        }
        self.silent = if silent { self.silent + samples as u64 } else { 0 };
        if self.silent >= self.silence_limit {
            self.end(RecordingEnd::Silence, None, now_ns);
        }
    }

    /// Whether silence ends it.
    pub fn minds_silence(&self) -> bool {
        self.silence_limit > 0
    }

    /// From now on record silence in place of what is heard, or nothing.
    pub fn pause(&mut self, with_silence: bool, now_ns: i64) {
        self.resume(now_ns);
        self.pauses.push_back(Pause { from: samples_at(now_ns), until: i64::MAX, with_silence });
    }

    /// Go on; without a pause nothing changes.
    pub fn resume(&mut self, now_ns: i64) {
        if let Some(pause) = self.pauses.back_mut().filter(|pause| pause.until == i64::MAX) {
            pause.until = samples_at(now_ns);
        }
    }

    fn is_paused(&self) -> bool {
        self.pauses.back().is_some_and(|pause| pause.until == i64::MAX)
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
            None => samples_at(now_ns) - self.lag,
        };
        while self.position < until.min(self.limit) {
            let length = (until.min(self.limit) - self.position).min(FRAME as i64);
            if length < FRAME as i64 && self.ending.is_none() && until < self.limit {
                break;
            }
            self.stretch(length, &mut mix);
        }
        if self.position >= self.limit {
            let reason = if self.limit_is_size { RecordingEnd::MaxSize } else { RecordingEnd::MaxLength };
            self.end(reason, None, now_ns);
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

    /// Record, leave out or silence at most `length` samples: up to where that changes.
    fn stretch(&mut self, length: i64, mix: &mut dyn FnMut(Track, i64, &mut [i32])) {
        while self.pauses.front().is_some_and(|pause| pause.until <= self.position) {
            self.pauses.pop_front();
        }
        match self.pauses.front().copied() {
            Some(pause) if pause.from > self.position => {
                self.frame(length.min(pause.from - self.position) as usize, mix);
            }
            Some(pause) => {
                let length = length.min(pause.until - self.position);
                if pause.with_silence {
                    self.frame(length as usize, &mut |_, _, _| {});
                } else {
                    self.position += length;
                    self.limit = self.limit.saturating_add(length);
                }
            }
            None => self.frame(length as usize, mix),
        }
    }

    fn frame(&mut self, length: usize, mix: &mut dyn FnMut(Track, i64, &mut [i32])) {
        let width = self.channels.len();
        let start = self.block.len();
        self.block.resize(start + length * width, 0);
        for (channel, tracks) in self.channels.iter().enumerate() {
            let mut sum = [0i32; FRAME];
            for &track in tracks {
                mix(track, self.position, &mut sum[..length]);
            }
            let mut samples = sum.map(|value| value.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16);
            if let Some(limiter) = &mut self.limiters[channel] {
                limiter.limit(&sum[..length], &mut samples[..length]);
            }
            let cells = self.block[start + channel..].iter_mut().step_by(width);
            cells.zip(&samples[..length]).for_each(|(cell, &sample)| *cell = sample);
        }
        self.position += length as i64;
        let Some(trim) = &mut self.trim else { return };
        let sounds = trim.voice.judge(&self.block[start..]).voiced;
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

#[cfg(test)]
mod exact;
