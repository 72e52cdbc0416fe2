//! Sound in place of packets of G.711 that were lost or are late: the last period of the voice again and
//! again, softer with time, in the manner of ITU-T G.711 appendix I.

/// Periods of voices, in samples: 200 to 66 hertz.
const SHORTEST: usize = 40;
const LONGEST: usize = 120;
/// Samples that are held against those a period before.
const COMPARED: usize = 160;
const KEPT: usize = COMPARED + LONGEST;
/// Samples over which what was made up goes over into what is heard again.
const SEAM: usize = 32;
/// Made-up samples that are as loud as what came before, and after which there is silence.
const LOUD: usize = 80;
const LAST: usize = 480;

/// In place of a sample of which nothing is known; no word of G.711 is that far down.
pub const NOTHING: i16 = i16::MIN;

#[derive(Debug)]
pub struct Concealment {
    /// What was heard last, oldest first.
    past: [i16; KEPT],
    gap: Option<Gap>,
}

#[derive(Clone, Copy, Debug)]
struct Gap {
    period: usize,
    /// Samples made up so far.
    made: usize,
    /// Samples since something is heard again.
    seam: usize,
}

impl Default for Concealment {
    fn default() -> Self {
        Self { past: [0; KEPT], gap: None }
    }
}

impl Concealment {
    /// Put something in place of those samples that are `NOTHING`.
    pub fn fill(&mut self, samples: &mut [i16]) {
        if self.gap.is_some() || samples.contains(&NOTHING) {
            samples.iter_mut().for_each(|sample| *sample = self.next(*sample));
        }
        if self.gap.is_none() {
            let length = samples.len().min(KEPT);
            self.past.copy_within(length.., 0);
            self.past[KEPT - length..].copy_from_slice(&samples[samples.len() - length..]);
        }
    }

    fn next(&mut self, sample: i16) -> i16 {
        let is_lost = sample == NOTHING;
        let Some(gap) = &mut self.gap else {
            if !is_lost {
                return sample;
            }
            self.gap = Some(Gap { period: period(&self.past), made: 0, seam: 0 });
            return self.next(sample);
        };
        if !is_lost && (gap.made >= LAST || self.past == [0; KEPT]) {
            // Nothing sounds that it had to go over from.
            self.gap = None;
            return sample;
        }
        let again = i32::from(self.past[KEPT - gap.period + gap.made % gap.period]);
        let share = LAST.saturating_sub(gap.made).min(LAST - LOUD) as i32;
        let made_up = again * share / (LAST - LOUD) as i32;
        gap.made += 1;
        if is_lost {
            gap.seam = 0;
            return made_up as i16;
        }
        gap.seam += 1;
        let (heard, seam) = (gap.seam as i32, SEAM as i32);
        if gap.seam >= SEAM {
            self.gap = None;
        }
        ((i32::from(sample) * heard + made_up * (seam - heard)) / seam) as i16
    }
}

/// That after which the sound is most like itself.
fn period(past: &[i16; KEPT]) -> usize {
    let past = past.map(f32::from);
    let newest = &past[LONGEST..];
    let likeness = |period: usize| {
        let before = &past[LONGEST - period..KEPT - period];
        let product: f32 = newest.iter().zip(before).map(|(a, b)| a * b).sum();
        let power: f32 = before.iter().map(|sample| sample * sample).sum();
        product / power.sqrt().max(1.0)
    };
    (SHORTEST..=LONGEST).max_by(|&a, &b| likeness(a).total_cmp(&likeness(b))).unwrap_or(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f32::consts::TAU;

    /// A voice of `hertz` with four overtones.
    fn voice(hertz: f32, length: usize) -> Vec<i16> {
        let wave = |n: usize, k: f32| (TAU * hertz * k * n as f32 / 8000.0).sin() / k;
        (0..length)
            .map(|n| (1..=5).map(|k| wave(n, k as f32)).sum::<f32>() * 4000.0)
            .map(|s| s as i16)
            .collect()
    }

    /// 20 ms at a time, those that `lost` names missing.
    fn heard(said: &[i16], lost: &[usize]) -> Vec<i16> {
        let mut concealment = Concealment::default();
        let mut frame = |(number, frame): (usize, &[i16])| {
            let mut frame = if lost.contains(&number) { vec![NOTHING; frame.len()] } else { frame.to_vec() };
            concealment.fill(&mut frame);
            frame
        };
        said.chunks(160).enumerate().flat_map(&mut frame).collect()
    }

    fn decibels(said: &[i16], heard: &[i16]) -> f32 {
        let power =
            |samples: &mut dyn Iterator<Item = f32>| samples.map(|sample| sample * sample).sum::<f32>();
        let error = power(&mut said.iter().zip(heard).map(|(a, b)| f32::from(*a) - f32::from(*b)));
        10.0 * (power(&mut said.iter().map(|sample| f32::from(*sample))) / error.max(1.0)).log10()
    }

    #[test]
    fn what_is_whole_stays_as_it_is() {
        let said = voice(120.0, 8000);
        assert_eq!(heard(&said, &[]), said);
    }

    #[test]
    fn a_lost_packet_sounds_like_the_voice_before_it_without_a_break() {
        for hertz in [80.0, 103.0, 125.0, 160.0, 190.0] {
            let said = voice(hertz, 4800);
            let heard = heard(&said, &[10, 20]);
            for lost in [10, 20] {
                let part = lost * 160..(lost + 1) * 160 + SEAM;
                let close = decibels(&said[part.clone()], &heard[part]);
                assert!(close > 6.0, "{hertz}: {close}");
            }
            let steps = |samples: &[i16]| {
                samples.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max()
            };
            assert!(steps(&heard).map(|most| most * 2 / 3) <= steps(&said), "{hertz}: it clicks");
            assert_eq!(heard[21 * 160 + SEAM..], said[21 * 160 + SEAM..]);
        }
    }

    #[test]
    fn what_stays_away_is_softer_and_silent_after_60_ms() {
        let heard = heard(&voice(100.0, 4800), &[10, 11, 12, 13, 14]);
        let loudest =
            |range: std::ops::Range<usize>| heard[range].iter().map(|sample| sample.unsigned_abs()).max();
        assert!(loudest(1600..1680) > loudest(1760..1920) && loudest(1760..1920) > loudest(1920..2079));
        assert_eq!(loudest(2080..2400), Some(0));
        assert_eq!(loudest(0..160), loudest(2560..2720), "and loud again");
    }

    #[test]
    fn before_anything_was_heard_there_is_silence_and_what_follows_is_as_it_is() {
        assert_eq!(heard(&[1; 480], &[0, 1]), [[0; 320].as_slice(), &[1; 160]].concat());
    }
}
