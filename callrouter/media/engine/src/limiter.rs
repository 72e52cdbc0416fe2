//! Keeps a mix within 16 bits without the crackle of clipping: the gain falls at once for a peak
//! and comes back slowly.

/// Peaks are brought down to this.
const CEILING: f32 = 31_000.0;
/// Over so many samples the gain falls.
const ATTACK: usize = 32;
/// The gain comes back by this factor per frame: 10 dB a second.
const RELEASE: f32 = 1.0233;

#[derive(Clone, Copy, Debug)]
pub struct Limiter {
    gain: f32,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { gain: 1.0 }
    }
}

impl Limiter {
    /// As many samples of `out` as of `mix`: 20 ms.
    pub fn limit(&mut self, mix: &[i32], out: &mut [i16]) {
        let peak = mix.iter().fold(0, |peak, value| peak.max(value.unsigned_abs())) as f32;
        let needed = if peak > CEILING { CEILING / peak } else { 1.0 };
        if needed == 1.0 && self.gain == 1.0 {
            out.iter_mut().zip(mix).for_each(|(out, &value)| *out = value as i16);
            return;
        }
        let target = needed.min(self.gain * RELEASE);
        let span = if target < self.gain { ATTACK } else { mix.len() };
        let step = (target - self.gain) / span as f32;
        for (n, (out, &value)) in out.iter_mut().zip(mix).enumerate() {
            let gain = if n < span { self.gain + step * (n + 1) as f32 } else { target };
            // A peak within the attack still clips.
            *out = (value as f32 * gain).clamp(-32768.0, 32767.0) as i16;
        }
        self.gain = target;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::FRAME;

    fn limited(limiter: &mut Limiter, value: i32) -> [i16; FRAME] {
        let mut out = [0; FRAME];
        limiter.limit(&[value; FRAME], &mut out);
        out
    }

    #[test]
    fn what_fits_passes_to_the_bit() {
        let mut limiter = Limiter::default();
        assert_eq!(limited(&mut limiter, 30_999), [30_999; FRAME]);
        assert_eq!(limited(&mut limiter, -30_999), [-30_999; FRAME]);
    }

    #[test]
    fn what_does_not_is_turned_down_at_once_and_comes_back_slowly() {
        let mut limiter = Limiter::default();
        let loud = limited(&mut limiter, 120_000);
        assert!(loud[ATTACK..].iter().all(|&sample| (30_900..=31_100).contains(&sample)));
        let after = limited(&mut limiter, 10_000);
        assert!(after[159] < 3000, "no jump back");
        assert!(after.windows(2).all(|pair| pair[1] >= pair[0]));
        let frames = (0..200).position(|_| limited(&mut limiter, 10_000) == [10_000; FRAME]);
        assert!((30..80).contains(&frames.unwrap_or(999)), "{frames:?}");
    }

    #[test]
    fn the_most_there_can_be_does_not_overflow() {
        let mut limiter = Limiter::default();
        limited(&mut limiter, i32::MIN);
        assert!(limited(&mut limiter, i32::MAX)[159] >= 30_000);
    }
}
