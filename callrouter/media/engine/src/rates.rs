//! Sound at twice, three or six times the rate and back, 20 ms at a time: what lets members of a
//! room of 16 or 48 kHz hear each other as well as their codecs can.

use std::f32::consts::PI;
use std::sync::LazyLock;

use crate::dot_product::dot_product;

/// Samples of the lower rate that a sample is made of, whichever way; half of them are its delay.
const REACH: usize = 24;
/// Where the filter has fallen by half, as a share of half the lower rate: 3.7 of 4 kHz.
const CUTOFF: f32 = 0.925;

/// The low-pass of a ratio, at the higher rate; its sum is 1.
fn taps(ratio: usize) -> Vec<f32> {
    let length = REACH * ratio;
    let middle = (length - 1) as f32 / 2.0;
    let raw: Vec<f32> = (0..length)
        .map(|at| {
            let x = (at as f32 - middle) * CUTOFF / ratio as f32;
            let sinc = if x.abs() < 1e-6 { 1.0 } else { (PI * x).sin() / (PI * x) };
            // Hamming's window: what is beyond the band is 50 dB down.
            sinc * (0.54 - 0.46 * (2.0 * PI * at as f32 / (length - 1) as f32).cos())
        })
        .collect();
    let sum: f32 = raw.iter().sum();
    raw.iter().map(|tap| tap / sum).collect()
}

static TAPS: LazyLock<[Vec<f32>; 3]> = LazyLock::new(|| [2, 3, 6].map(taps));

/// `ratio` is 2, 3 or 6.
fn taps_of(ratio: usize) -> &'static [f32] {
    &TAPS[match ratio {
        2 => 0,
        3 => 1,
        _ => 2,
    }]
}

/// To a higher rate.
#[derive(Debug)]
pub struct Raising {
    ratio: usize,
    before: [f32; REACH - 1],
}

impl Raising {
    pub fn new(ratio: usize) -> Self {
        Self { ratio, before: [0.0; REACH - 1] }
    }

    /// The one that is `kept`, where it is of that ratio; else one that begins with silence.
    pub fn of(kept: &mut Option<Self>, ratio: usize) -> &mut Self {
        let same = kept.take().filter(|raising| raising.ratio == ratio);
        kept.insert(same.unwrap_or_else(|| Self::new(ratio)))
    }

    /// The samples that follow those of the last call.
    pub fn raise(&mut self, samples: &[i16]) -> Vec<i16> {
        let taps = taps_of(self.ratio);
        let line: Vec<f32> =
            self.before.iter().copied().chain(samples.iter().map(|&sample| f32::from(sample))).collect();
        let mut out = Vec::with_capacity(samples.len() * self.ratio);
        for window in line.windows(REACH) {
            for phase in 0..self.ratio {
                let own = taps[phase..].iter().step_by(self.ratio);
                let sum: f32 = window.iter().rev().zip(own).map(|(sample, tap)| sample * tap).sum();
                // `as` saturates.
                out.push((sum * self.ratio as f32).round() as i16);
            }
        }
        self.before.copy_from_slice(&line[line.len() - (REACH - 1)..]);
        out
    }
}

/// To a lower rate.
#[derive(Debug)]
pub struct Lowering {
    ratio: usize,
    before: Vec<f32>,
}

impl Lowering {
    pub fn new(ratio: usize) -> Self {
        Self { ratio, before: vec![0.0; Self::history(ratio)] }
    }

    /// Samples ahead of the first one that its result is made of.
    pub const fn history(ratio: usize) -> usize {
        REACH * ratio - 1
    }

    /// The samples that follow those of the last call, as many as are a multiple of the ratio.
    pub fn lower(&mut self, samples: &[i16]) -> Vec<i16> {
        let line: Vec<f32> =
            self.before.iter().copied().chain(samples.iter().map(|&sample| f32::from(sample))).collect();
        let kept = line.len() - self.before.len();
        self.before.copy_from_slice(&line[kept..]);
        // `as` saturates.
        lowered(&line, self.ratio).map(|sample| sample as i16).collect()
    }
}

/// A stretch of sound at the lower rate, in whole numbers: `Lowering::history` samples of it are what
/// was before.
pub fn lowered(line: &[f32], ratio: usize) -> impl Iterator<Item = f32> {
    let taps = taps_of(ratio);
    // The filter is its own mirror image.
    line.windows(taps.len()).step_by(ratio).map(|window| dot_product(window, taps).round())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::FRAME;

    fn tone(hertz: f64, rate: usize, frames: usize) -> Vec<i16> {
        let step = 2.0 * std::f64::consts::PI * hertz / rate as f64;
        (0..frames * rate / 50).map(|at| (8000.0 * (step * at as f64).sin()).round() as i16).collect()
    }

    /// Level of a tone in the second half of some samples.
    fn level(samples: &[i16], hertz: f64, rate: usize) -> f64 {
        let half = &samples[samples.len() / 2..];
        let step = 2.0 * std::f64::consts::PI * hertz / rate as f64;
        let part = |wave: fn(f64) -> f64| {
            half.iter().enumerate().map(|(n, &s)| f64::from(s) * wave(step * n as f64)).sum::<f64>()
        };
        part(f64::sin).hypot(part(f64::cos)) * 2.0 / half.len() as f64
    }

    fn raised(samples: &[i16], ratio: usize, frame: usize) -> Vec<i16> {
        let mut raising = Raising::new(ratio);
        samples.chunks(frame).flat_map(|chunk| raising.raise(chunk)).collect()
    }

    fn lowered(samples: &[i16], ratio: usize, frame: usize) -> Vec<i16> {
        let mut lowering = Lowering::new(ratio);
        samples.chunks(frame).flat_map(|chunk| lowering.lower(chunk)).collect()
    }

    #[test]
    fn what_the_lower_rate_carries_passes_both_ways_and_leaves_no_image() {
        for (rate, ratio) in [(8000, 2), (8000, 6), (16_000, 3)] {
            for share in [0.05, 0.25, 0.40] {
                let hertz = (share * rate as f64 / 50.0).round() * 50.0;
                let samples = tone(hertz, rate, 20);
                let up = raised(&samples, ratio, rate / 50);
                assert_eq!(up.len(), samples.len() * ratio);
                let kept = level(&up, hertz, rate * ratio);
                let image = level(&up, rate as f64 - hertz, rate * ratio);
                assert!((7600.0..8400.0).contains(&kept), "{rate} x{ratio} {hertz} Hz: {kept}");
                assert!(image < 80.0, "{rate} x{ratio} {hertz} Hz: image {image}");
                let back = level(&lowered(&up, ratio, rate * ratio / 50), hertz, rate);
                assert!((7300.0..8700.0).contains(&back), "{rate} x{ratio} {hertz} Hz: back {back}");
            }
        }
    }

    #[test]
    fn what_it_does_not_carry_is_not_folded_down() {
        for (rate, ratio) in [(16_000, 2), (48_000, 6), (48_000, 3)] {
            let low = rate / ratio;
            let hertz = low as f64 * 0.65;
            let down = lowered(&tone(hertz, rate, 20), ratio, rate / 50);
            let folded = level(&down, low as f64 - hertz, low);
            assert!(folded < 80.0, "{rate} /{ratio}: {folded}");
        }
    }

    #[test]
    fn pieces_join_without_a_seam() {
        let samples = tone(1000.0, 8000, 10);
        let raised_frames = raised(&samples, 6, FRAME);
        assert_eq!(raised_frames, raised(&samples, 6, samples.len()));
        assert_eq!(lowered(&raised_frames, 6, 6 * FRAME), lowered(&raised_frames, 6, raised_frames.len()));
    }
}
