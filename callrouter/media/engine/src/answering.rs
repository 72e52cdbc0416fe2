//! Who answered: a person, a machine, a fax.
//!
//! A person says a word or two and waits; a machine talks on.  A greeting ends with a beep or with
//! silence.  A fax whistles before anybody has spoken.

use crate::pure_tone::{Run, find};
use crate::rtp::FRAME;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Human,
    MachineStart,
    MachineEndBeep,
    MachineEndSilence,
    MachineEndOther,
    Fax,
    Unknown,
}

/// All times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    pub token: u64,
    /// Wait for the end of a machine's greeting.
    pub to_end: bool,
    /// Longest detection.
    pub timeout_ms: u32,
    /// Talk this long is a machine's.
    pub speech_ms: u32,
    /// Silence this long after talk ends it.
    pub speech_end_ms: u32,
    /// Silence this long from the start on leaves it unknown.
    pub silence_ms: u32,
    /// Silence this long after a machine's talk, without a beep, ends its greeting.
    pub greeting_end_ms: u32,
}

const FRAME_MS: u32 = 20;
/// A steady tone this long is a beep, or a fax if it is one of a fax's.  Frames.
const BEEP: u32 = 5;
const FAX: u32 = 18;
/// A beep that goes on and on is over.
const LONGEST_BEEP: u32 = 150;
/// Calling tone and answering tone with their tolerances, in hertz.
const FAX_TONES: [(f32, f32); 2] = [(1100.0, 38.0), (2100.0, 25.0)];
/// Talk shorter than this is a click on the line.
const CLICK_MS: u32 = 100;

/// Listens to the first half minute of a call.
#[derive(Debug)]
pub struct Answering {
    plan: Plan,
    elapsed_ms: u32,
    /// From the first to the last voice of the present talk, and the silence since.
    talked_ms: u32,
    silent_ms: u32,
    run: Run,
    /// The run so far, should it turn out to have been voice.
    run_ms: u32,
    frame: [i16; FRAME],
    filled: usize,
    /// The frame being filled has voice in it.
    voiced: bool,
}

impl Answering {
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            elapsed_ms: 0,
            talked_ms: 0,
            silent_ms: 0,
            run: Run::default(),
            run_ms: 0,
            frame: [0; FRAME],
            filled: 0,
            voiced: false,
        }
    }

    pub fn token(&self) -> u64 {
        self.plan.token
    }

    pub fn elapsed_ms(&self) -> u32 {
        self.elapsed_ms
    }

    /// Listen to at most 20 ms, of which is known whether they are voiced.
    pub fn hear(&mut self, samples: &[i16], voiced: bool) -> Option<Answer> {
        self.voiced |= voiced;
        let took = samples.len().min(FRAME - self.filled);
        self.frame[self.filled..self.filled + took].copy_from_slice(&samples[..took]);
        self.filled += took;
        if self.filled < FRAME {
            return None;
        }
        let tone = if self.voiced { find(&self.frame) } else { None };
        let answer = self.step(tone, self.voiced);
        let rest = &samples[took..(took + FRAME).min(samples.len())];
        self.frame[..rest.len()].copy_from_slice(rest);
        self.filled = rest.len();
        self.voiced = voiced && !rest.is_empty();
        answer
    }

    /// 20 ms in which nothing came.
    pub fn miss(&mut self) -> Option<Answer> {
        self.step(None, false)
    }

    fn step(&mut self, tone: Option<f32>, voiced: bool) -> Option<Answer> {
        self.elapsed_ms += FRAME_MS;
        let ended = self.run.hear(tone);
        let toned = ended.and_then(|run| self.tone(run, true)).or_else(|| self.tone(self.run, false));
        if toned.is_some() {
            return toned;
        }
        if self.run.frames > 0 {
            // It is told when it is over what this was.
            self.run_ms += FRAME_MS;
        } else {
            let late = std::mem::take(&mut self.run_ms);
            self.talk(late + FRAME_MS * u32::from(voiced), voiced);
        }
        self.verdict()
    }

    fn tone(&self, run: Run, is_over: bool) -> Option<Answer> {
        let is_fax = FAX_TONES.iter().any(|(hertz, off)| (run.hertz - hertz).abs() <= *off);
        if is_fax && self.talked_ms < CLICK_MS {
            return (run.frames >= FAX).then_some(Answer::Fax);
        }
        let is_beep = run.frames >= BEEP && is_over || run.frames >= LONGEST_BEEP;
        is_beep.then_some(if self.plan.to_end { Answer::MachineEndBeep } else { Answer::MachineStart })
    }

    fn talk(&mut self, talked_ms: u32, voiced: bool) {
        if talked_ms > 0 {
            // Short silence within talk is part of it.
            self.talked_ms += talked_ms + if self.talked_ms > 0 { self.silent_ms } else { 0 };
            self.silent_ms = 0;
        }
        if !voiced {
            self.silent_ms += FRAME_MS;
        }
        if self.talked_ms < CLICK_MS && self.silent_ms > 5 * CLICK_MS {
            self.talked_ms = 0;
        }
    }

    fn verdict(&self) -> Option<Answer> {
        let plan = &self.plan;
        let is_machine = self.talked_ms >= plan.speech_ms;
        if is_machine && !plan.to_end {
            return Some(Answer::MachineStart);
        }
        if is_machine && self.silent_ms >= plan.greeting_end_ms.max(plan.speech_end_ms) {
            return Some(Answer::MachineEndSilence);
        }
        if !is_machine && self.talked_ms >= CLICK_MS && self.silent_ms >= plan.speech_end_ms {
            return Some(Answer::Human);
        }
        if self.talked_ms < CLICK_MS && self.run_ms == 0 && self.elapsed_ms >= plan.silence_ms {
            return Some(Answer::Unknown);
        }
        let over = if is_machine { Answer::MachineEndOther } else { Answer::Unknown };
        (self.elapsed_ms >= plan.timeout_ms).then_some(over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic_speech::Talker;
    use crate::voice::VoiceDetector;

    fn plan(to_end: bool) -> Plan {
        Plan {
            token: 1,
            to_end,
            timeout_ms: 30_000,
            speech_ms: 2400,
            speech_end_ms: 1200,
            silence_ms: 5000,
            greeting_end_ms: 2000,
        }
    }

    #[derive(Clone, Copy)]
    enum Part {
        Talk(u32),
        Silence(u32),
        Tone(f32, u32),
    }
    use Part::{Silence, Talk, Tone};

    fn line(parts: &[Part], noise: i16) -> Vec<i16> {
        let mut talker = Talker::new(5);
        let mut out: Vec<i16> = vec![];
        for part in parts {
            match *part {
                Silence(ms) => out.resize(out.len() + ms as usize * 8, 0),
                Talk(ms) => {
                    let mut said = 0;
                    while said < ms * 8 {
                        let sample = talker.sample();
                        // No talk begins with a pause.
                        if said > 0 || sample.abs() > 500 {
                            out.push(sample);
                            said += 1;
                        }
                    }
                }
                Tone(hertz, ms) => out
                    .extend((0..ms * 8).map(|n| {
                        (6000.0 * (std::f32::consts::TAU * hertz / 8000.0 * n as f32).sin()) as i16
                    })),
            }
        }
        let hiss = |n: usize| if n * 7 % 13 < 6 { noise } else { -noise };
        out.iter_mut().enumerate().for_each(|(n, sample)| *sample = sample.saturating_add(hiss(n)));
        out
    }

    /// The answer and after how many milliseconds; `step` samples at a time.
    fn told(plan: Plan, parts: &[Part], noise: i16, step: usize) -> Option<(Answer, u32)> {
        let (mut voice, mut answering) = (VoiceDetector::default(), Answering::new(plan));
        for samples in line(parts, noise).chunks(step) {
            let voiced = voice.judge(samples).voiced;
            if let Some(answer) = answering.hear(samples, voiced) {
                return Some((answer, answering.elapsed_ms()));
            }
        }
        None
    }

    fn assert_told(to_end: bool, parts: &[Part], answer: Answer, between: std::ops::RangeInclusive<u32>) {
        for (noise, step) in [(0, 160), (0, 80), (60, 160), (30, 120)] {
            let told = told(plan(to_end), parts, noise, step);
            assert!(
                told.is_some_and(|(who, after)| who == answer && between.contains(&after)),
                "{told:?} rather than {answer:?} after {between:?} (noise {noise}, step {step})"
            );
        }
    }

    #[test]
    fn a_short_hello_and_silence_is_a_person() {
        let hello = [Silence(600), Talk(900), Silence(3000)];
        assert_told(false, &hello, Answer::Human, 2100..=3000);
        assert_told(true, &hello, Answer::Human, 2100..=3000);
    }

    #[test]
    fn a_person_who_says_two_things_with_a_short_pause_is_one() {
        assert_told(false, &[Talk(600), Silence(800), Talk(600), Silence(3000)], Answer::Human, 3000..=3700);
    }

    #[test]
    fn long_talk_is_a_machine_as_soon_as_it_is_too_long_for_a_person() {
        assert_told(false, &[Silence(400), Talk(6000)], Answer::MachineStart, 2700..=3400);
    }

    #[test]
    fn a_greeting_ends_with_its_beep() {
        for (hertz, ms) in [(1000.0, 300), (440.0, 500), (1400.0, 200), (850.0, 1000), (1100.0, 500)] {
            let parts = [Silence(300), Talk(5000), Silence(700), Tone(hertz, ms), Silence(3000)];
            let end = 6000 + ms;
            assert_told(true, &parts, Answer::MachineEndBeep, end - 40..=end + 60);
        }
    }

    #[test]
    fn a_greeting_without_a_beep_ends_with_silence() {
        let parts = [Talk(5000), Silence(6000)];
        assert_told(true, &parts, Answer::MachineEndSilence, 6500..=7100);
    }

    #[test]
    fn a_greeting_that_never_ends_is_a_machine_all_the_same() {
        let mut endless = plan(true);
        endless.timeout_ms = 5000;
        assert_eq!(told(endless, &[Talk(9000)], 0, 160), Some((Answer::MachineEndOther, 5000)));
    }

    #[test]
    fn nobody_saying_anything_is_unknown() {
        assert_told(false, &[Silence(9000)], Answer::Unknown, 5000..=5000);
        let mut quiet = Answering::new(plan(false));
        assert_eq!((0..249).find_map(|_| quiet.miss()), None);
        assert_eq!(quiet.miss(), Some(Answer::Unknown));
    }

    #[test]
    fn a_click_is_not_talk() {
        assert_told(false, &[Silence(1000), Talk(40), Silence(9000)], Answer::Unknown, 5000..=5100);
    }

    #[test]
    fn a_fax_that_calls_and_one_that_answers_are_faxes() {
        assert_told(false, &[Silence(1000), Tone(1100.0, 500), Silence(3000)], Answer::Fax, 1300..=1500);
        assert_told(true, &[Silence(200), Tone(2100.0, 3000)], Answer::Fax, 500..=700);
    }

    #[test]
    fn the_thresholds_are_the_callers() {
        let mut brief = plan(false);
        (brief.speech_ms, brief.speech_end_ms, brief.silence_ms) = (1000, 700, 2000);
        let parts = [Talk(1500)];
        let machine = told(brief, &parts, 0, 160);
        assert!(matches!(machine, Some((Answer::MachineStart, 1000..=1300))), "{machine:?}");
        let parts = [Talk(600), Silence(2000)];
        assert!(matches!(told(brief, &parts, 0, 160), Some((Answer::Human, 1000..=1400))));
        assert_eq!(told(brief, &[Silence(4000)], 0, 160), Some((Answer::Unknown, 2000)));
    }
}
