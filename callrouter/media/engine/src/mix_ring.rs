//! The last quarter of a second of a sum of voices, by position on the ruler of samples.

/// At 8 kHz.
const SIZE: usize = 2048;

#[derive(Debug)]
pub struct MixRing {
    /// A power of two of them.
    samples: Box<[i32]>,
    /// One past the newest position anything was added at.
    end: i64,
}

impl Default for MixRing {
    fn default() -> Self {
        Self::new(1)
    }
}

impl MixRing {
    /// For samples at `scale` times 8 kHz.
    pub fn new(scale: usize) -> Self {
        let size = (SIZE * scale).next_power_of_two();
        Self { samples: vec![0; size].into(), end: i64::MIN / 2 }
    }

    fn size(&self) -> i64 {
        self.samples.len() as i64
    }

    fn slot(&self, index: i64) -> usize {
        (index & (self.size() - 1)) as usize
    }

    pub fn end(&self) -> i64 {
        self.end
    }

    /// Add `samples`, no more than the ring holds, from position `from` on.  What lies further
    /// back than the ring reaches is forgotten.
    pub fn add(&mut self, from: i64, samples: &[i16]) {
        let end = from + samples.len() as i64;
        if end > self.end {
            for index in self.end.max(end - self.size())..end {
                let slot = self.slot(index);
                self.samples[slot] = 0;
            }
            self.end = end;
        }
        let slot = self.slot(from);
        let (first, second) = samples.split_at(samples.len().min(self.samples.len() - slot));
        add(&mut self.samples[slot..], first);
        add(&mut self.samples[..], second);
    }

    /// Add what is there from position `from` on to `mix`, `sign` times.
    pub fn mix_into(&self, from: i64, mix: &mut [i32], sign: i32) {
        let length = mix.len() as i64;
        let gone = (self.end - self.size() - from).clamp(0, length);
        let there = (self.end - from).clamp(gone, length);
        let mix = &mut mix[gone as usize..there as usize];
        let (from, there) = (from + gone, mix.len());
        let slot = self.slot(from);
        let (first, second) = mix.split_at_mut(there.min(self.samples.len() - slot));
        first.iter_mut().zip(&self.samples[slot..]).for_each(|(sum, value)| *sum += sign * value);
        second.iter_mut().zip(&self.samples[..]).for_each(|(sum, value)| *sum += sign * value);
    }
}

fn add(to: &mut [i32], samples: &[i16]) {
    to.iter_mut().zip(samples).for_each(|(sum, &value)| *sum += i32::from(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(ring: &MixRing, from: i64) -> [i32; 160] {
        let mut mix = [0; 160];
        ring.mix_into(from, &mut mix, 1);
        mix
    }

    #[test]
    fn what_is_added_at_one_place_adds_up_and_elsewhere_is_silence() {
        let mut ring = MixRing::default();
        for round in 0..40 {
            let from = round * 160 - 1000;
            ring.add(from, &[7; 160]);
            ring.add(from + 80, &[1; 160]);
            assert_eq!(read(&ring, from)[..80], [if round == 0 { 7 } else { 8 }; 80]);
            assert_eq!(read(&ring, from)[80..], [8; 80]);
            assert_eq!(read(&ring, from + 160)[..81], [[1; 80].as_slice(), &[0]].concat());
        }
    }

    #[test]
    fn a_gap_is_silence_and_what_is_too_old_is_gone() {
        let mut ring = MixRing::default();
        ring.add(0, &[7; 160]);
        ring.add(1600, &[7; 160]);
        assert_eq!(read(&ring, 800), [0; 160]);
        ring.add(10_000, &[7; 160]);
        assert_eq!(read(&ring, 0), [0; 160]);
        assert_eq!(read(&ring, 9_900)[..100], [0; 100]);
        assert_eq!(read(&ring, 9_900)[100..], [7; 60]);
    }

    #[test]
    fn a_part_can_be_taken_out_again() {
        let (mut all, mut own) = (MixRing::default(), MixRing::default());
        all.add(2000, &[100; 160]);
        all.add(2000, &[-30; 160]);
        own.add(2000, &[-30; 160]);
        let mut mix = [0; 160];
        all.mix_into(2000, &mut mix, 1);
        own.mix_into(2000, &mut mix, -1);
        assert_eq!(mix, [100; 160]);
    }
}
