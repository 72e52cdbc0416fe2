//! Whether a frame is one steady sine, and which: the beep of an answering machine, the calling
//! and answering tones of a fax (ITU-T T.30 §4.2, §4.3).

use std::f32::consts::{PI, TAU};

use crate::rtp::FRAME;

const RATE: f32 = 8000.0;
const HALF: usize = FRAME / 2;
/// Share of the power that the sine makes up.
const PURITY: f32 = 0.85;
/// Softer frames (-38 dBFS) are not looked at.
const SOFTEST: f32 = 412.0 * 412.0;
/// What is looked for, in hertz.
const LOWEST: f32 = 330.0;
const HIGHEST: f32 = 2600.0;

/// The frequency of the sine that a frame of 20 ms consists of, in hertz.
pub fn find(frame: &[i16; FRAME]) -> Option<f32> {
    let samples: [f32; FRAME] = frame.map(f32::from);
    let power = samples.iter().map(|x| x * x).sum::<f32>() / FRAME as f32;
    if power < SOFTEST {
        return None;
    }
    let rough = predicted(&samples)?;
    let (first, second) = (project(&samples[..HALF], rough), project(&samples[HALF..], rough));
    let turned = second.1 - first.1 - TAU * rough / RATE * HALF as f32;
    let off = ((turned + PI).rem_euclid(TAU) - PI) / TAU * RATE / HALF as f32;
    let hertz = rough + off;
    let passed = response(off);
    let amplitude = (first.0 + second.0) / (HALF as f32 * passed);
    let is_pure = amplitude * amplitude / 2.0 >= PURITY * power;
    (is_pure && passed > 0.5 && (LOWEST..=HIGHEST).contains(&hertz)).then_some(hertz)
}

/// The frequency from the autocorrelation at one and two samples, which white noise has no part
/// in (Pisarenko): r1 = S cos(w), r2 = S cos(2w).
fn predicted(samples: &[f32; FRAME]) -> Option<f32> {
    let (mut one, mut two) = (0.0, 0.0);
    for three in samples.windows(3) {
        one += three[1] * (three[0] + three[2]) / 2.0;
        two += three[0] * three[2];
    }
    let cosine = (two + (two * two + 8.0 * one * one).sqrt()) / (4.0 * one);
    (cosine.abs() < 1.0).then(|| cosine.acos() / TAU * RATE)
}

/// Magnitude and phase of half a frame at a frequency.
fn project(samples: &[f32], hertz: f32) -> (f32, f32) {
    let (turn_sin, turn_cos) = (TAU * hertz / RATE).sin_cos();
    let (mut cos, mut sin) = (1.0f32, 0.0f32);
    let (mut re, mut im) = (0.0, 0.0);
    for sample in samples {
        re += sample * cos;
        im -= sample * sin;
        (cos, sin) = (cos * turn_cos - sin * turn_sin, sin * turn_cos + cos * turn_sin);
    }
    (re.hypot(im), im.atan2(re))
}

/// How much half a frame passes of a tone so many hertz beside it.
fn response(off: f32) -> f32 {
    let x = PI * off * HALF as f32 / RATE;
    if x.abs() < 1e-3 { 1.0 } else { x.sin() / x }
}

/// A tone that goes on from frame to frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Run {
    pub hertz: f32,
    pub frames: u32,
}

/// A steady tone moves by no more than this from its mean, in hertz.
const STEADY: f32 = 12.0;

impl Run {
    /// Take in what the next frame is; the run that it ended, if it ended one.
    pub fn hear(&mut self, tone: Option<f32>) -> Option<Run> {
        if let Some(hertz) = tone.filter(|hertz| self.frames > 0 && (hertz - self.hertz).abs() < STEADY) {
            self.frames += 1;
            self.hertz += (hertz - self.hertz) / self.frames as f32;
            return None;
        }
        let before = *self;
        *self = tone.map_or(Run::default(), |hertz| Run { hertz, frames: 1 });
        (before.frames > 0).then_some(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;
    use crate::g711::Codec;
    use crate::synthetic_speech::Talker;

    fn sine(hertz: f32, level: f32, noise: f32, chance: &mut Chance) -> [i16; FRAME] {
        std::array::from_fn(|n| {
            let sound = level * (TAU * hertz / RATE * n as f32 + 1.0).sin() + noise * chance.unit();
            Codec::Pcmu.decode(Codec::Pcmu.encode(sound as i16))
        })
    }

    #[test]
    fn a_sine_is_found_to_the_hertz_even_in_noise() {
        let mut chance = Chance::new(1);
        for hertz in [400.0, 440.0, 620.0, 1000.0, 1100.0, 1400.0, 2100.0, 2500.0] {
            for (level, noise, tolerance) in [(8000.0, 0.0, 2.0), (1000.0, 0.0, 3.0), (8000.0, 2000.0, 8.0)] {
                let found = find(&sine(hertz, level, noise, &mut chance)).unwrap_or(0.0);
                assert!((found - hertz).abs() < tolerance, "{hertz} found as {found} ({level}, {noise})");
            }
        }
    }

    #[test]
    fn noise_silence_and_two_tones_are_no_sine() {
        let mut chance = Chance::new(2);
        for _ in 0..500 {
            assert_eq!(find(&sine(1000.0, 0.0, 8000.0, &mut chance)), None);
        }
        assert_eq!(find(&[0; FRAME]), None);
        let two: [i16; FRAME] = std::array::from_fn(|n| {
            (4000.0 * ((TAU * 350.0 / RATE * n as f32).sin() + (TAU * 440.0 / RATE * n as f32).sin())) as i16
        });
        assert_eq!(find(&two), None);
    }

    #[test]
    fn speech_is_never_a_steady_tone_for_long() {
        let mut longest = 0;
        for voice in 1..=20 {
            let mut talker = Talker::new(voice);
            let mut run = Run::default();
            for _ in 0..50 * 20 {
                let frame = std::array::from_fn(|_| talker.sample());
                longest = longest.max(run.hear(find(&frame)).map_or(0, |run| run.frames));
            }
        }
        assert!(longest < 5, "{longest} frames");
    }

    #[test]
    fn a_run_ends_when_the_tone_moves_or_stops() {
        let mut run = Run::default();
        let heard: Vec<Run> = [Some(1000.0), Some(1004.0), Some(996.0), Some(1100.0), None, None]
            .into_iter()
            .filter_map(|tone| run.hear(tone))
            .collect();
        assert_eq!(heard, [Run { hertz: 1000.0, frames: 3 }, Run { hertz: 1100.0, frames: 1 }]);
    }
}
