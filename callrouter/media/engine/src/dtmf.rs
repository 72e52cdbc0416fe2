//! Keys heard as tones (ITU-T Q.23), within the limits of ITU-T Q.24: level, twist, frequency,
//! duration and pause, and deaf to speech.
//!
//! Windows of 20 ms, 5 ms apart, are correlated with the eight frequencies.  How far the phase of
//! a tone turns from one window to the next tells its true frequency to a hertz or two; its power,
//! corrected for the distance from the nominal one, must make up nearly all there is.

use std::f32::consts::{PI, TAU};
use std::sync::LazyLock;

use crate::telephone_event::Press;
use crate::tone::{HIGH, KEYS, LOW};

const RATE: f32 = 8000.0;
const WINDOW: usize = 160;
const HOP: usize = 40;
const LANES: usize = 8;
/// Amplitude of 0 dBm0: a full-scale sine of the µ-law is +3.17 dBm0.
const DBM0: f32 = 22_300.0;
/// Each tone is at least this loud.  Q.24: -25 dBm0 operates, -29 does not.
const SOFTEST: f32 = DBM0 * 0.0447; // -27 dBm0
/// High over low, in decibels.  Q.24: +4 to -8 operates.
const TWIST: std::ops::RangeInclusive<f32> = -10.0..=6.5;
/// Q.24: 1.5 % off (1.8 in one network) operates, 3.5 % (3.0) does not.
const OFF: f32 = 0.024;
/// Share of all power that the two tones make up.
const PURITY: f32 = 0.74;
/// Windows in a row before a key is down: 40 ms do, 24 ms do not.
const DOWN: u32 = 5;
/// Windows without it before it is up: a pause of 30 ms is one, an interruption of 10 ms is not.
const UP: u32 = 6;
/// Samples by which the tone is longer than the time from its first window's end to its last's.
const EDGES: u32 = 110;

struct Table {
    window: [f32; WINDOW],
    /// Windowed cosines of the eight frequencies, then their sines, for each sample.
    waves: [[f32; 2 * LANES]; WINDOW],
    sum: f32,
    energy: f32,
}

static TABLE: LazyLock<Box<Table>> = LazyLock::new(|| {
    let mut table =
        Box::new(Table { window: [0.0; WINDOW], waves: [[0.0; 2 * LANES]; WINDOW], sum: 0.0, energy: 0.0 });
    for n in 0..WINDOW {
        let hann = 0.5 - 0.5 * (TAU * (n as f32 + 0.5) / WINDOW as f32).cos();
        table.window[n] = hann;
        table.sum += hann;
        table.energy += hann * hann;
        for lane in 0..LANES {
            let (sin, cos) = (TAU * nominal(lane) / RATE * n as f32).sin_cos();
            table.waves[n][lane] = cos * hann;
            table.waves[n][LANES + lane] = sin * hann;
        }
    }
    table
});

fn nominal(lane: usize) -> f32 {
    if lane < 4 { LOW[lane] } else { HIGH[lane - 4] }
}

/// What a stretch of samples told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// A key that is over now.
    pub ended: Option<Press>,
    /// A key that went down.
    pub began: Option<char>,
}

/// Listens to one line.
#[derive(Debug)]
pub struct KeyDetector {
    recent: [f32; WINDOW],
    /// Samples of `recent` that came since the last window.
    fresh: usize,
    /// Phase of each tone in the window before, if there was anything in it.
    phases: Option<[f32; LANES]>,
    candidate: Option<char>,
    hits: u32,
    down: Option<Down>,
}

#[derive(Clone, Copy, Debug)]
struct Down {
    key: char,
    /// Windows from the first to the last that had it, and those since.
    windows: u32,
    misses: u32,
}

impl Default for KeyDetector {
    fn default() -> Self {
        Self { recent: [0.0; WINDOW], fresh: 0, phases: None, candidate: None, hits: 0, down: None }
    }
}

impl KeyDetector {
    /// Listen to what comes next, at most 30 ms at a time: no two keys fit into that.
    pub fn hear(&mut self, samples: &[i16]) -> Heard {
        let mut heard = Heard::default();
        let mut rest = samples;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(HOP - self.fresh));
            rest = later;
            self.recent.copy_within(now.len().., 0);
            let tail = &mut self.recent[WINDOW - now.len()..];
            tail.iter_mut().zip(now).for_each(|(to, &from)| *to = f32::from(from));
            self.fresh += now.len();
            if self.fresh == HOP {
                self.fresh = 0;
                let key = self.window();
                let one = self.judge(key);
                heard.ended = heard.ended.or(one.ended);
                heard.began = heard.began.or(one.began);
            }
        }
        heard
    }

    /// The audio ended: so does a key that is down.
    pub fn finish(&mut self) -> Option<Press> {
        let down = self.down.take()?;
        *self = Self::default();
        Some(down.press())
    }

    fn judge(&mut self, key: Option<char>) -> Heard {
        self.hits =
            if key.is_some() && key == self.candidate { self.hits + 1 } else { u32::from(key.is_some()) };
        self.candidate = key;
        let mut heard = Heard::default();
        match &mut self.down {
            Some(down) if key == Some(down.key) => {
                down.windows += down.misses + 1;
                down.misses = 0;
                return heard;
            }
            Some(down) => {
                down.misses += 1;
                if down.misses < UP && self.hits < DOWN {
                    return heard;
                }
                heard.ended = Some(down.press());
                self.down = None;
            }
            None => {}
        }
        if let Some(key) = key.filter(|_| self.hits >= DOWN) {
            heard.began = Some(key);
            self.down = Some(Down { key, windows: self.hits, misses: 0 });
        }
        heard
    }

    /// The key that the latest window is full of.
    fn window(&mut self) -> Option<char> {
        let table = &**TABLE;
        let mut energy = 0.0;
        for (sample, window) in self.recent.iter().zip(&table.window) {
            energy += (sample * window) * (sample * window);
        }
        // Two tones of the least power would be louder.
        if energy < SOFTEST * SOFTEST * table.energy * 0.8 {
            self.phases = None;
            return None;
        }
        let mut sums = [0.0f32; 2 * LANES];
        for (sample, waves) in self.recent.iter().zip(&table.waves) {
            for (sum, wave) in sums.iter_mut().zip(waves) {
                *sum += sample * wave;
            }
        }
        let (cosines, sines) = sums.split_at(LANES);
        let powers: [f32; LANES] =
            std::array::from_fn(|lane| cosines[lane] * cosines[lane] + sines[lane] * sines[lane]);
        let phases: [f32; LANES] = std::array::from_fn(|lane| -sines[lane].atan2(cosines[lane]));
        let before = self.phases.replace(phases)?;
        let row = strongest(&powers[..4]);
        let column = 4 + strongest(&powers[4..]);
        let low = tone(row, powers[row], phases[row] - before[row], table)?;
        let high = tone(column, powers[column], phases[column] - before[column], table)?;
        let twist = 20.0 * (high / low).log10();
        let share = (low * low + high * high) / 2.0 * table.energy / energy;
        let code = KEYS.iter().position(|&key| key == (row, column - 4))?;
        crate::telephone_event::key_of(code as u8).filter(|_| TWIST.contains(&twist) && share >= PURITY)
    }
}

impl Down {
    fn press(&self) -> Press {
        let samples = (self.windows - 1) * HOP as u32 + EDGES;
        Press { key: self.key, duration_ms: samples / 8 }
    }
}

fn strongest(powers: &[f32]) -> usize {
    (0..powers.len()).max_by(|&a, &b| powers[a].total_cmp(&powers[b])).unwrap_or(0)
}

/// The amplitude of a tone near a nominal frequency; None when it is too soft or too far off.
fn tone(lane: usize, power: f32, turned: f32, table: &Table) -> Option<f32> {
    let expected = TAU * nominal(lane) / RATE * HOP as f32;
    let surplus = (turned - expected + PI).rem_euclid(TAU) - PI;
    let off = surplus / TAU * RATE / HOP as f32;
    if off.abs() > OFF * nominal(lane) {
        return None;
    }
    let amplitude = 2.0 * power.sqrt() / (table.sum * response(off));
    (amplitude >= SOFTEST).then_some(amplitude)
}

/// How much a window of Hann's shape passes of a tone so many hertz beside it.
fn response(off: f32) -> f32 {
    let x = off / (RATE / WINDOW as f32);
    if x.abs() < 1e-3 {
        return 1.0;
    }
    (PI * x).sin() / (PI * x) / (1.0 - x * x)
}

#[cfg(test)]
mod tests;
