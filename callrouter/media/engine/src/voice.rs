//! Telling sound from silence by energy.

/// Frames whose root mean square is below this (-45 dBFS, some -42 dBm0) are silence: line noise
/// and a quiet room are, a soft voice is not.
const SILENCE_RMS: i64 = 184;

/// Whether a stretch of samples is silence.  Nothing at all is.
pub fn is_silence(samples: impl ExactSizeIterator<Item = i16>) -> bool {
    let length = samples.len() as i64;
    let energy: i64 = samples.map(|sample| i64::from(sample) * i64::from(sample)).sum();
    energy < SILENCE_RMS * SILENCE_RMS * length.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_levels_are_sound_and_line_noise_is_silence() {
        let tone = |peak: i16| (0..160).map(move |n| if n % 8 < 4 { peak } else { -peak });
        assert!(is_silence(tone(100)));
        assert!(!is_silence(tone(400)));
        assert!(is_silence([].into_iter()));
        assert!(!is_silence([i16::MIN; 160].into_iter()));
    }
}
