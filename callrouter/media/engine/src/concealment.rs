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

/// A gap, until what follows it is heard alone.
#[derive(Debug)]
struct Gap {
    /// The last period before it, in its first samples.
    cycle: [i16; LONGEST],
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
        let mut rest = samples;
        while !rest.is_empty() {
            let length = match &mut self.gap {
                None => rest.iter().position(|&sample| sample == NOTHING).unwrap_or(rest.len()),
                Some(gap) => gap.fill(rest),
            };
            let (done, behind) = rest.split_at_mut(length);
            self.hear(done);
            self.gap = match self.gap.take() {
                None => (!behind.is_empty()).then(|| Gap::after(&self.past)),
                gap => gap.filter(|gap| gap.seam < SEAM),
            };
            rest = behind;
        }
    }

    fn hear(&mut self, samples: &[i16]) {
        let newest = &samples[samples.len().saturating_sub(KEPT)..];
        self.past.copy_within(newest.len().., 0);
        self.past[KEPT - newest.len()..].copy_from_slice(newest);
    }
}

impl Gap {
    fn after(past: &[i16; KEPT]) -> Self {
        let period = period(past);
        let mut cycle = [0; LONGEST];
        cycle[..period].copy_from_slice(&past[KEPT - period..]);
        Self { cycle, period, made: 0, seam: 0 }
    }

    /// Fill `samples` up to where the gap is over; how many that is.
    fn fill(&mut self, samples: &mut [i16]) -> usize {
        for (index, sample) in samples.iter_mut().enumerate() {
            let made_up = self.next();
            if *sample == NOTHING {
                (*sample, self.seam) = (made_up, 0);
                continue;
            }
            self.seam = if self.is_silent() { SEAM } else { self.seam + 1 };
            let (heard, seam) = (self.seam as i32, SEAM as i32);
            *sample = ((i32::from(*sample) * heard + i32::from(made_up) * (seam - heard)) / seam) as i16;
            if self.seam == SEAM {
                return index + 1;
            }
        }
        samples.len()
    }

    fn next(&mut self) -> i16 {
        let again = i32::from(self.cycle[self.made % self.period]);
        let share = LAST.saturating_sub(self.made).min(LAST - LOUD) as i32;
        self.made += 1;
        (again * share / (LAST - LOUD) as i32) as i16
    }

    /// Nothing sounds that would have to go over into what is heard again.
    fn is_silent(&self) -> bool {
        self.made > LAST || self.cycle == [0; LONGEST]
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

    /// 20 ms at a time; the 20 ms from each of `lost` on are.
    fn heard(said: &[i16], lost: &[usize]) -> Vec<i16> {
        let mut heard = said.to_vec();
        lost.iter().for_each(|&from| heard[from..from + 160].fill(NOTHING));
        let mut concealment = Concealment::default();
        heard.chunks_mut(160).for_each(|frame| concealment.fill(frame));
        heard
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
            // Packets seldom begin where what is taken does.
            let gaps = [1600, 1980, 3280];
            let heard = heard(&said, &gaps);
            for from in gaps {
                let part = from..from + 160 + SEAM;
                let close = decibels(&said[part.clone()], &heard[part]);
                assert!(close > 6.0, "{hertz}, from {from}: {close}");
            }
            let steps = |samples: &[i16]| {
                samples.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max()
            };
            assert!(steps(&heard).map(|most| most * 2 / 3) <= steps(&said), "{hertz}: it clicks");
            assert_eq!(heard[3440 + SEAM..], said[3440 + SEAM..]);
        }
    }

    #[test]
    fn what_stays_away_is_softer_and_silent_after_60_ms() {
        let heard = heard(&voice(100.0, 4800), &[1600, 1760, 1920, 2080, 2240]);
        let loudest =
            |range: std::ops::Range<usize>| heard[range].iter().map(|sample| sample.unsigned_abs()).max();
        assert!(loudest(1600..1680) > loudest(1760..1920) && loudest(1760..1920) > loudest(1920..2079));
        assert_eq!(loudest(2080..2400), Some(0));
        assert_eq!(loudest(0..160), loudest(2560..2720), "and loud again");
    }

    #[test]
    fn before_anything_was_heard_there_is_silence_and_what_follows_is_as_it_is() {
        assert_eq!(heard(&[1; 480], &[0, 160]), [[0; 320].as_slice(), &[1; 160]].concat());
    }
}
