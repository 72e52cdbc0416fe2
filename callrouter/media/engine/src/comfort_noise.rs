//! What silence sounds like where a far end sends none: noise of a level and colour that a packet of
//! a few octets tells (RFC 3389).

/// Reflection coefficients that are heeded; senders have ten at the most.
const ORDER: usize = 16;
/// The loudest there is, 0 dBov, as the effective value of samples.
const OVERLOAD: f32 = 32_768.0;
/// A filter whose coefficients come nearer to 1 rings rather than hisses.
const STEADY: f32 = 0.98;

#[derive(Clone, Debug)]
pub struct ComfortNoise {
    /// The effective value of what goes into the filter.
    drive: f32,
    reflections: [f32; ORDER],
    /// What each section of the lattice remembers.
    sections: [f32; ORDER],
    chance: u32,
}

impl ComfortNoise {
    /// `seed` is any number: two noises that are added up should not be the same.
    pub fn new(seed: u32) -> Self {
        Self { drive: 0.0, reflections: [0.0; ORDER], sections: [0.0; ORDER], chance: seed | 1 }
    }

    /// Sound as a packet says from now on: its level in -dBov, then reflection coefficients (§3).
    pub fn update(&mut self, payload: &[u8]) {
        let Some((&level, rest)) = payload.split_first() else { return };
        self.reflections = [0.0; ORDER];
        for (reflection, &index) in self.reflections.iter_mut().zip(rest) {
            *reflection = ((f32::from(index) - 127.0) * 258.0 / 32_768.0).clamp(-STEADY, STEADY);
        }
        // What the filter adds to the level is taken off what goes into it.
        let gain: f32 = self.reflections.iter().map(|reflection| 1.0 - reflection * reflection).product();
        self.drive = OVERLOAD * 10f32.powf(-f32::from(level & 127) / 20.0) * gain.sqrt();
    }

    pub fn fill(&mut self, out: &mut [i16]) {
        out.iter_mut().for_each(|sample| *sample = self.next() as i16);
    }

    /// The lattice of the coefficients, driven by white noise.
    fn next(&mut self) -> f32 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 17;
        self.chance ^= self.chance << 5;
        // Evenly between -1 and 1, which has an effective value of the root of a third.
        let white = self.chance as f32 / (1u32 << 31) as f32 - 1.0;
        let mut forward = white * self.drive * 3f32.sqrt();
        for at in (0..ORDER).rev() {
            forward -= self.reflections[at] * self.sections[at];
            let backward = self.sections[at] + self.reflections[at] * forward;
            if at + 1 < ORDER {
                self.sections[at + 1] = backward;
            }
        }
        self.sections[0] = forward;
        forward
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(payload: &[u8], samples: usize) -> Vec<i16> {
        let mut noise = ComfortNoise::new(7);
        noise.update(payload);
        let mut out = vec![0; samples];
        noise.fill(&mut out);
        out
    }

    /// In dBov.
    fn level(samples: &[i16]) -> f64 {
        let power: f64 = samples.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / samples.len() as f64;
        10.0 * (power / f64::from(OVERLOAD).powi(2)).log10()
    }

    /// How alike samples are to those `later` ones: of neighbours, 1 where all is low, -1 where all is high.
    fn likeness(samples: &[i16], later: usize) -> f64 {
        let product = |(one, other): (&i16, &i16)| f64::from(*one) * f64::from(*other);
        let power: f64 = samples.iter().map(|s| product((s, s))).sum();
        samples.iter().zip(&samples[later..]).map(product).sum::<f64>() / power
    }

    #[test]
    fn it_is_as_loud_as_it_is_said_to_be_whatever_its_colour() {
        let colours: [&[u8]; 4] =
            [&[], &[40], &[210, 90, 140], &[60, 180, 100, 150, 120, 130, 127, 120, 135, 127]];
        for dbov in [20u8, 40, 55, 65] {
            for colour in colours {
                let payload = [&[dbov], colour].concat();
                let got = level(&noise(&payload, 80_000));
                assert!((got + f64::from(dbov)).abs() < 0.7, "{payload:?}: {got}");
            }
        }
    }

    /// Descriptions that FFmpeg's encoder made of noises: with the levels of these, and how alike to
    /// itself one, two and three samples later is what its decoder made of them.
    #[test]
    fn what_other_software_describes_sounds_as_it_does_there() {
        let noises: [(&[u8], f64, [f64; 3]); 4] = [
            (&[41, 122, 126, 118, 123, 114, 116, 117, 131, 116, 120], -40.7, [0.05, 0.01, 0.08]),
            (&[38, 30, 121, 115, 120, 115, 125, 126, 130, 115, 129], -37.8, [0.76, 0.6, 0.52]),
            (&[38, 210, 127, 120, 123, 117, 117, 112, 123, 128, 114], -37.7, [-0.64, 0.41, -0.22]),
            (&[35, 37, 212, 116, 120, 116, 125, 120, 120, 117, 132], -34.8, [0.71, 0.17, -0.24]),
        ];
        for (payload, loudness, colour) in noises {
            let got = noise(payload, 80_000);
            assert!((level(&got) - loudness).abs() < 1.0, "{payload:?}: {}", level(&got));
            for (later, wanted) in (1..).zip(colour) {
                let alike = likeness(&got, later);
                assert!((alike - wanted).abs() < 0.1, "{payload:?}, {later}: {alike}");
            }
        }
    }

    #[test]
    fn its_colour_is_that_of_the_coefficients() {
        assert!(likeness(&noise(&[40], 80_000), 1).abs() < 0.02, "white");
        // The first coefficient is the likeness of neighbours, with its sign turned.
        let low = likeness(&noise(&[40, 127 - 89], 80_000), 1);
        let high = likeness(&noise(&[40, 127 + 89], 80_000), 1);
        assert!((low - 0.7).abs() < 0.02 && (high + 0.7).abs() < 0.02, "{low} {high}");
    }

    #[test]
    fn no_packet_makes_it_ring_or_silences_it_for_good() {
        let mut chance = crate::chance::Chance::new(5);
        let mut noise = ComfortNoise::new(1);
        let mut out = [0; 800];
        for _ in 0..2000 {
            let length = chance.next() as usize % 20;
            let payload: Vec<u8> = (0..length).map(|_| chance.next() as u8).collect();
            noise.update(&payload);
            noise.fill(&mut out);
            assert!(noise.sections.iter().all(|section| section.is_finite()));
        }
        noise.update(&[50]);
        noise.fill(&mut out);
        let mut settled = vec![0; 8000];
        noise.fill(&mut settled);
        assert!((level(&settled) + 50.0).abs() < 1.0);
    }

    #[test]
    fn the_least_is_silence() {
        assert!(noise(&[127], 1000).iter().all(|sample| sample.abs() <= 1));
        assert!(noise(&[], 1000).iter().all(|sample| *sample == 0));
    }
}
