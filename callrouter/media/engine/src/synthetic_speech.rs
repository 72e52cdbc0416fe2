//! Speech of a sort, for tests: a glottal pulse train with a moving pitch through moving formants,
//! fricatives, pauses.  Its harmonics wander through every pair of key frequencies.

use crate::chance::Chance;

const RATE: f32 = 8000.0;

/// A two-pole resonator.
#[derive(Clone, Copy, Default)]
struct Formant {
    hertz: f32,
    width: f32,
    y1: f32,
    y2: f32,
}

impl Formant {
    fn pass(&mut self, x: f32) -> f32 {
        let r = (-std::f32::consts::PI * self.width / RATE).exp();
        let turn = std::f32::consts::TAU * self.hertz / RATE;
        let y = (1.0 - r) * x + 2.0 * r * turn.cos() * self.y1 - r * r * self.y2;
        (self.y2, self.y1) = (self.y1, y);
        y
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Segment {
    Vowel,
    Fricative,
    Pause,
}

pub struct Talker {
    chance: Chance,
    formants: [Formant; 4],
    pitch: f32,
    glide: f32,
    phase: f32,
    segment: Segment,
    left: u32,
    level: f32,
    base: f32,
}

impl Talker {
    /// `voice` is not 0; it sets the pitch: 80 to 320 Hz.
    pub fn new(voice: u64) -> Self {
        let mut chance = Chance::new(voice.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        for _ in 0..10 {
            chance.next();
        }
        let base = 200.0 + 120.0 * chance.unit();
        Self {
            chance,
            formants: Default::default(),
            pitch: base,
            glide: 0.0,
            phase: 0.0,
            segment: Segment::Pause,
            left: 800,
            level: 0.0,
            base,
        }
    }

    pub fn sample(&mut self) -> i16 {
        if self.left == 0 {
            self.next_segment();
        }
        self.left -= 1;
        self.pitch = (self.pitch + self.glide).clamp(60.0, 500.0);
        let source = match self.segment {
            Segment::Pause => return 0,
            Segment::Fricative => self.chance.unit() * 0.5,
            Segment::Vowel => {
                self.phase += self.pitch / RATE;
                let pulse = self.phase >= 1.0;
                self.phase -= self.phase.floor();
                if pulse { 8.0 } else { 0.0 }
            }
        };
        let sound: f32 = self.formants.iter_mut().map(|formant| formant.pass(source)).sum();
        (sound * self.level).clamp(-32000.0, 32000.0) as i16
    }

    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * (self.chance.unit() + 1.0) / 2.0
    }

    fn next_segment(&mut self) {
        self.segment = match self.chance.next() % 8 {
            0 => Segment::Pause,
            1 | 2 => Segment::Fricative,
            _ => Segment::Vowel,
        };
        self.left = self.between(400.0, 2800.0) as u32;
        let (base, swing) = (self.base, self.base * 0.3);
        self.pitch = self.between(base - swing, base + swing);
        self.glide = self.between(-0.01, 0.01);
        self.level = self.between(3000.0, 16000.0);
        let places = match self.segment {
            Segment::Fricative => [(1500.0, 2500.0), (2000.0, 3500.0), (3000.0, 3800.0), (900.0, 1500.0)],
            _ => [(270.0, 950.0), (800.0, 2300.0), (2300.0, 3000.0), (3100.0, 3700.0)],
        };
        for (index, (low, high)) in places.into_iter().enumerate() {
            let hertz = self.between(low, high);
            let width = self.between(40.0, 160.0);
            self.formants[index] = Formant { hertz, width, ..self.formants[index] };
        }
    }
}
