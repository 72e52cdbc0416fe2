//! Any rate to 8 kHz by a windowed-sinc polyphase filter.  Runs where files are decoded, never on
//! a media thread.

use std::f64::consts::PI;

use crate::dot_product::dot_product;

pub const RATE: u32 = 8000;
/// Zero crossings of the sinc on each side: with the window below, a stop band under -80 dB that
/// begins a tenth above the pass band's edge.
const CROSSINGS: f64 = 32.0;
const KAISER_BETA: f64 = 8.0;
/// Where the filter has fallen by half, as a share of the lower of the two Nyquist frequencies.
const CUTOFF: f64 = 0.93;
/// Rates that share few factors with 8000 would need as many phases: beyond this many, positions
/// are rounded to the nearest phase.
const MAX_PHASES: u64 = 1024;

struct Filter {
    taps: Vec<f32>,
    width: usize,
    phases: u64,
}

impl Filter {
    fn new(rate: u32, phases: u64) -> Self {
        // In units of input samples; the lower rate decides how wide the sinc is.
        let scale = CUTOFF * f64::from(RATE.min(rate)) / f64::from(rate);
        let reach = CROSSINGS / scale;
        let width = 2 * reach.ceil() as usize;
        let mut taps = Vec::with_capacity(width * phases as usize);
        for phase in 0..phases {
            let fraction = phase as f64 / phases as f64;
            let row: Vec<f64> = (0..width)
                .map(|tap| {
                    let distance = tap as f64 - (width / 2 - 1) as f64 - fraction;
                    sinc(distance * scale) * kaiser(distance / reach)
                })
                .collect();
            let sum: f64 = row.iter().sum();
            taps.extend(row.iter().map(|tap| (tap / sum) as f32));
        }
        Self { taps, width, phases }
    }

    fn identity() -> Self {
        Self { taps: vec![1.0], width: 1, phases: 1 }
    }

    fn row(&self, phase: u64) -> &[f32] {
        let start = phase as usize * self.width;
        &self.taps[start..start + self.width]
    }
}

fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-9 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

fn kaiser(x: f64) -> f64 {
    if x.abs() >= 1.0 {
        return 0.0;
    }
    bessel(KAISER_BETA * (1.0 - x * x).sqrt()) / bessel(KAISER_BETA)
}

/// The modified Bessel function I0, by its series.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..60 {
        term *= (x / (2.0 * f64::from(k))).powi(2);
        sum += term;
        if term < sum * 1e-12 {
            break;
        }
    }
    sum
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Sound at any rate to 8 kHz, piece by piece.
pub struct Resampler {
    filter: Filter,
    /// Input samples that `per` output samples take.
    step: u64,
    per: u64,
    /// Input samples that are still needed, and the position of the first of them.
    held: Vec<f32>,
    from: u64,
    /// Output samples so far.
    made: u64,
}

impl Resampler {
    /// From `rate`, above zero.
    pub fn new(rate: u32) -> Self {
        let divisor = gcd(u64::from(rate), u64::from(RATE));
        let (step, per) = (u64::from(rate) / divisor, u64::from(RATE) / divisor);
        // At 8 kHz there is nothing to do, and nothing is done.
        let filter = if step == per { Filter::identity() } else { Filter::new(rate, per.min(MAX_PHASES)) };
        Self { filter, step, per, held: vec![], from: 0, made: 0 }
    }

    /// Add the samples that can be made of all so far to `out`.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.held.extend_from_slice(samples);
        let end = self.from + self.held.len() as u64;
        while self.last_needed() < end {
            out.push(self.next());
        }
        let first = self.place().0.max(0) as u64;
        let gone = first.saturating_sub(self.from).min(self.held.len() as u64);
        self.held.drain(..gone as usize);
        self.from += gone;
    }

    /// Add what is left, which silence follows.
    pub fn finish(mut self, out: &mut Vec<f32>) {
        let end = self.from + self.held.len() as u64;
        let length = (end * self.per).div_ceil(self.step);
        while self.made < length {
            out.push(self.next());
        }
    }

    /// Where the next output's first input lies, and its phase.
    fn place(&self) -> (i64, u64) {
        let position = self.made * self.step;
        let mut whole = (position / self.per) as i64;
        let mut phase = (position % self.per * self.filter.phases + self.per / 2) / self.per;
        if phase == self.filter.phases {
            phase = 0;
            whole += 1;
        }
        (whole - (self.filter.width as i64 / 2 - 1).max(0), phase)
    }

    fn last_needed(&self) -> u64 {
        (self.place().0 + self.filter.width as i64 - 1).max(0) as u64
    }

    fn next(&mut self) -> f32 {
        let (start, phase) = self.place();
        self.made += 1;
        convolve(&self.held, start - self.from as i64, self.filter.row(phase))
    }
}

fn convolve(samples: &[f32], start: i64, taps: &[f32]) -> f32 {
    let skip = (-start).max(0) as usize;
    let from = start.max(0) as usize;
    if skip >= taps.len() || from >= samples.len() {
        return 0.0;
    }
    dot_product(&samples[from..], &taps[skip..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;

    fn to_8k(samples: &[f32], rate: u32) -> Vec<f32> {
        let (mut resampler, mut out) = (Resampler::new(rate), vec![]);
        resampler.push(samples, &mut out);
        resampler.finish(&mut out);
        out
    }

    #[test]
    fn pieces_of_any_length_join_without_a_seam() {
        let mut chance = Chance::new(11);
        for rate in [4000, 8000, 11127, 16000, 44100, 48000] {
            let whole = sine(440.0, rate, 0.3);
            let (mut resampler, mut out) = (Resampler::new(rate), vec![]);
            let mut rest = &whole[..];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(chance.next() as usize % 700));
                resampler.push(piece, &mut out);
                assert!(resampler.held.len() < 5000, "what is not needed is let go");
                rest = after;
            }
            resampler.finish(&mut out);
            assert_eq!(out, to_8k(&whole, rate), "{rate} Hz");
        }
    }

    fn sine(hertz: f64, rate: u32, seconds: f64) -> Vec<f32> {
        let length = (f64::from(rate) * seconds) as usize;
        (0..length).map(|n| (2.0 * PI * hertz * n as f64 / f64::from(rate)).sin() as f32 * 0.5).collect()
    }

    /// Level of the middle of a signal against that of a sine of 0.5, in dB.
    fn level(samples: &[f32]) -> f64 {
        let middle = &samples[samples.len() / 4..samples.len() * 3 / 4];
        let power: f64 = middle.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / middle.len() as f64;
        10.0 * (power / 0.125 + 1e-20).log10()
    }

    #[test]
    fn the_voice_band_passes_unchanged_from_every_common_rate() {
        for rate in [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000] {
            for hertz in [300.0, 1000.0, 3000.0, 3400.0] {
                let got = level(&to_8k(&sine(hertz, rate, 0.5), rate));
                assert!(got.abs() < 0.2, "{rate} Hz, {hertz} Hz: {got} dB");
            }
        }
    }

    #[test]
    fn what_8_khz_cannot_carry_is_removed_instead_of_folded_down() {
        for rate in [16000, 22050, 44100, 48000] {
            for hertz in [4200.0, 5000.0, 7000.0] {
                let got = level(&to_8k(&sine(hertz, rate, 0.5), rate));
                assert!(got < -60.0, "{rate} Hz, {hertz} Hz: {got} dB");
            }
        }
    }

    #[test]
    fn a_tone_keeps_its_waveform() {
        let got = to_8k(&sine(1000.0, 44100, 0.5), 44100);
        let expected = sine(1000.0, 8000, 0.5);
        let noise: f64 = (1000..3000).map(|n| f64::from(got[n] - expected[n]).powi(2)).sum::<f64>() / 2000.0;
        assert!(10.0 * (0.125 / noise).log10() > 60.0);
    }

    #[test]
    fn lengths_are_in_proportion_and_odd_rates_work() {
        assert_eq!(to_8k(&[0.0; 44100], 44100).len(), 8000);
        assert_eq!(to_8k(&[0.0; 6000], 6000).len(), 8000);
        assert_eq!(to_8k(&[0.0; 11127], 11127).len(), 8000);
        assert!(to_8k(&[], 44100).is_empty());
        let got = level(&to_8k(&sine(1000.0, 11127, 0.5), 11127));
        assert!(got.abs() < 0.2);
    }
}
