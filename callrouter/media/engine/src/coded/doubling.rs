//! 8 kHz to 16 kHz: every sample stays, and one is put between any two by an interpolator of 16
//! taps, flat to 3.4 kHz.

use std::f32::consts::PI;

use crate::rtp::FRAME;

/// Samples on each side of the one that is made.
const SIDE: usize = 8;

#[derive(Debug)]
pub struct Doubling {
    taps: [f32; SIDE],
    /// The last samples of the frame before.
    before: [f32; 2 * SIDE - 1],
}

impl Default for Doubling {
    fn default() -> Self {
        // The sinc half way between two samples, let down gently to its ends.
        let mut taps: [f32; SIDE] = std::array::from_fn(|at| {
            let distance = at as f32 + 0.5;
            let window = (PI * distance / (2 * SIDE + 1) as f32).cos().powi(2);
            let sign = if at % 2 == 0 { 1.0 } else { -1.0 };
            sign / (PI * distance) * window
        });
        let sum: f32 = taps.iter().sum::<f32>() * 2.0;
        taps.iter_mut().for_each(|tap| *tap /= sum);
        Self { taps, before: [0.0; 2 * SIDE - 1] }
    }
}

impl Doubling {
    /// The result is half a millisecond late.
    pub fn double(&mut self, samples: &[i16; FRAME]) -> [i16; 2 * FRAME] {
        let mut line = [0.0; FRAME + 2 * SIDE - 1];
        line[..self.before.len()].copy_from_slice(&self.before);
        line[self.before.len()..].iter_mut().zip(samples).for_each(|(to, &from)| *to = f32::from(from));
        let mut out = [0; 2 * FRAME];
        for (pair, window) in out.chunks_exact_mut(2).zip(line.windows(2 * SIDE)) {
            let (left, right) = window.split_at(SIDE);
            let sides = left.iter().rev().zip(right).zip(&self.taps);
            let between: f32 = sides.map(|((left, right), tap)| (left + right) * tap).sum();
            pair[0] = left[SIDE - 1] as i16;
            // `as` saturates.
            pair[1] = between.round() as i16;
        }
        self.before.copy_from_slice(&line[FRAME..]);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_voice_band_keeps_its_shape() {
        for hertz in [100.0, 1000.0, 3000.0, 3400.0] {
            let wave = |at: f64, rate: f64| 10_000.0 * (2.0 * std::f64::consts::PI * hertz * at / rate).sin();
            let mut doubling = Doubling::default();
            let (mut noise, mut power) = (0.0, 0.0);
            for frame in 0..10 {
                let samples =
                    std::array::from_fn(|at| wave((frame * FRAME + at) as f64, 8000.0).round() as i16);
                for (at, sample) in doubling.double(&samples).into_iter().enumerate() {
                    // Eight samples at 8 kHz are what it is late.
                    let expected = wave((frame * 2 * FRAME + at) as f64 - 16.0, 16_000.0);
                    if frame > 0 {
                        noise += (f64::from(sample) - expected).powi(2);
                        power += expected.powi(2);
                    }
                }
            }
            let ratio = 10.0 * (power / noise).log10();
            assert!(ratio > if hertz < 3200.0 { 40.0 } else { 25.0 }, "{hertz} Hz: {ratio} dB");
        }
    }

    #[test]
    fn full_scale_is_cut_off_and_does_not_wrap() {
        let mut doubling = Doubling::default();
        let square = std::array::from_fn(|at| if at % 20 < 10 { i16::MAX } else { i16::MIN });
        doubling.double(&square);
        for (at, sample) in doubling.double(&square).into_iter().enumerate() {
            match (at + 24) / 2 % 20 {
                2..8 => assert!(sample > 20_000, "{at}: {sample}"),
                12..18 => assert!(sample < -20_000, "{at}: {sample}"),
                _ => {}
            }
        }
    }
}
