//! Telling voice from silence: energy against a noise floor that follows the line, and the
//! stretches of talk and silence that make up a call.

/// Length of the stretches whose quietest frame is remembered, and how many of them: speech
/// pauses within that time, noise does not.
const STRETCH: u32 = 3200;
const STRETCHES: usize = 4;
/// Before anything is known about the line, and between which bounds the floor moves (dBFS).  Above
/// the upper bound a steady sound is music or a tone rather than noise.
const FIRST_FLOOR: f32 = -54.0;
const LOWEST_FLOOR: f32 = -66.0;
const HIGHEST_FLOOR: f32 = -38.0;
/// Voice stands out from the floor by so many decibels, and is never softer than this.
const STANDS_OUT: f32 = 9.0;
const SOFTEST: f32 = -48.0;

/// Root mean square in decibels below a full-scale square wave; nothing at all is -100.
pub fn level(samples: &[i16]) -> f32 {
    let energy: i64 = samples.iter().map(|&sample| i64::from(sample) * i64::from(sample)).sum();
    let mean = energy as f32 / samples.len().max(1) as f32;
    (10.0 * (mean / (32768.0 * 32768.0)).log10()).max(-100.0)
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    pub voiced: bool,
    /// In dBFS.
    pub level: f32,
}

/// Judges frame after frame of one line.
#[derive(Clone, Debug)]
pub struct VoiceDetector {
    quietest: [f32; STRETCHES],
    current: f32,
    /// Samples of the current stretch so far.
    filled: u32,
    floor: f32,
}

impl Default for VoiceDetector {
    fn default() -> Self {
        Self { quietest: [FIRST_FLOOR; STRETCHES], current: f32::MAX, filled: 0, floor: FIRST_FLOOR }
    }
}

impl VoiceDetector {
    /// Judge 10 to 30 ms of samples at 8 kHz.
    pub fn judge(&mut self, samples: &[i16]) -> Judgement {
        let level = level(samples);
        self.current = self.current.min(level);
        self.filled += samples.len() as u32;
        if self.filled >= STRETCH {
            self.quietest.rotate_left(1);
            self.quietest[STRETCHES - 1] = self.current;
            (self.current, self.filled) = (f32::MAX, 0);
            let floor = self.quietest.iter().copied().fold(f32::MAX, f32::min);
            self.floor = floor.clamp(LOWEST_FLOOR, HIGHEST_FLOOR);
        }
        Judgement { voiced: level > SOFTEST.max(self.floor + STANDS_OUT), level }
    }
}

/// Voice for so long, in samples, is talk; silence for so long is its end.
const BEGIN: u64 = 320;
const END: u64 = 2400;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Somebody talks, after so much silence.
    Started { silent_ms: u64 },
    /// They stopped, having talked for so long.
    Stopped { spoke_ms: u64 },
}

/// The turns of one talker.  Times are of the voice itself: the time it takes to be sure is not
/// counted as talk.
#[derive(Clone, Debug, Default)]
pub struct Talk {
    is_talking: bool,
    /// Samples of the present state, up to where the other one may have begun.
    lasted: u64,
    /// Samples in a row that speak for the other state.
    doubtful: u64,
}

impl Talk {
    pub fn is_talking(&self) -> bool {
        self.is_talking
    }

    pub fn hear(&mut self, samples: usize, voiced: bool) -> Option<Turn> {
        let samples = samples as u64;
        if voiced == self.is_talking {
            self.lasted += self.doubtful + samples;
            self.doubtful = 0;
            return None;
        }
        self.doubtful += samples;
        let enough = if self.is_talking { END } else { BEGIN };
        if self.doubtful < enough {
            return None;
        }
        let ms = self.lasted / 8;
        self.is_talking = voiced;
        self.lasted = self.doubtful;
        self.doubtful = 0;
        Some(if voiced { Turn::Started { silent_ms: ms } } else { Turn::Stopped { spoke_ms: ms } })
    }

    /// The far end sends nothing any more: whoever talked has stopped.
    pub fn cut(&mut self) -> Option<Turn> {
        if !self.is_talking {
            return None;
        }
        let spoke_ms = self.lasted / 8;
        *self = Self::default();
        Some(Turn::Stopped { spoke_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;

    fn noise(chance: &mut Chance, dbfs: f32) -> Vec<i16> {
        // Uniform noise has a third of the power of its peak squared.
        let peak = 32768.0 * 10f32.powf(dbfs / 20.0) * 3f32.sqrt();
        (0..160).map(|_| (chance.unit() * peak) as i16).collect()
    }

    /// The share of frames that are voiced.
    fn share(detector: &mut VoiceDetector, mut frame: impl FnMut() -> Vec<i16>, frames: usize) -> f32 {
        (0..frames).filter(|_| detector.judge(&frame()).voiced).count() as f32 / frames as f32
    }

    #[test]
    fn levels_are_decibels_below_full_scale() {
        assert!((level(&[i16::MIN; 160]) - 0.0).abs() < 0.01);
        assert!((level(&[3277; 160]) + 20.0).abs() < 0.01);
        assert_eq!((level(&[0; 160]), level(&[])), (-100.0, -100.0));
    }

    #[test]
    fn a_noisy_line_becomes_silence_and_a_voice_above_it_is_still_heard() {
        for dbfs in [-60.0, -50.0, -42.0, -39.0] {
            let mut chance = Chance::new(7);
            let mut detector = VoiceDetector::default();
            share(&mut detector, || noise(&mut chance, dbfs), 100);
            assert_eq!(share(&mut detector, || noise(&mut chance, dbfs), 200), 0.0, "{dbfs}");
            assert_eq!(share(&mut detector, || noise(&mut chance, dbfs + 15.0), 20), 1.0, "{dbfs}");
        }
    }

    #[test]
    fn a_quiet_room_is_silence_from_the_first_frame_and_a_soft_voice_is_not() {
        let mut chance = Chance::new(9);
        assert!(!VoiceDetector::default().judge(&noise(&mut chance, -50.0)).voiced);
        assert!(VoiceDetector::default().judge(&noise(&mut chance, -40.0)).voiced);
        assert!(!VoiceDetector::default().judge(&[]).voiced);
    }

    #[test]
    fn speech_with_pauses_does_not_become_the_floor_however_long_it_lasts() {
        let mut chance = Chance::new(11);
        let mut detector = VoiceDetector::default();
        for second in 0..60 {
            let voiced = share(&mut detector, || noise(&mut chance, -25.0), 40);
            let quiet = share(&mut detector, || noise(&mut chance, -55.0), 10);
            assert_eq!((voiced, quiet), (1.0, 0.0), "second {second}");
        }
    }

    #[test]
    fn a_loud_tone_stays_sound_for_ever() {
        let mut detector = VoiceDetector::default();
        assert_eq!(share(&mut detector, || vec![1500; 160], 3000), 1.0);
    }

    #[test]
    fn turns_tell_how_long_talk_and_silence_lasted_without_the_time_to_be_sure() {
        let mut talk = Talk::default();
        let mut turns = vec![];
        let script = [(false, 50), (true, 1), (false, 10), (true, 40), (false, 10), (true, 10), (false, 20)];
        for (voiced, frames) in script {
            turns.extend((0..frames).filter_map(|_| talk.hear(160, voiced)));
        }
        assert_eq!(turns, [Turn::Started { silent_ms: 1220 }, Turn::Stopped { spoke_ms: 1200 }]);
        assert!(!talk.is_talking());
        assert_eq!(talk.cut(), None);
    }

    #[test]
    fn talk_that_is_cut_off_by_the_network_is_told_once() {
        let mut talk = Talk::default();
        for _ in 0..10 {
            talk.hear(160, true);
        }
        assert_eq!(talk.cut(), Some(Turn::Stopped { spoke_ms: 200 }));
        assert_eq!(talk.cut(), None);
    }
}
