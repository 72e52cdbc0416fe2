//! G.711 µ-law and A-law, by tables made at compile time.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    Pcmu,
    Pcma,
}

/// µ-law's largest magnitude before it clips, on the 16-bit scale.
const MULAW_CLIP: i32 = 32635;
const MULAW_BIAS: i32 = 0x84;

impl Codec {
    /// The encoding name of RFC 3551, in any case.
    pub fn named(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("PCMU") {
            Some(Self::Pcmu)
        } else if name.eq_ignore_ascii_case("PCMA") {
            Some(Self::Pcma)
        } else {
            None
        }
    }

    /// The code word for digital silence.
    pub const fn silence(self) -> u8 {
        match self {
            Self::Pcmu => 0xFF,
            Self::Pcma => 0xD5,
        }
    }

    pub const fn table(self) -> &'static [i16; 256] {
        match self {
            Self::Pcmu => &MULAW,
            Self::Pcma => &ALAW,
        }
    }

    pub fn decode(self, word: u8) -> i16 {
        self.table()[word as usize]
    }

    pub fn encode(self, sample: i16) -> u8 {
        match self {
            Self::Pcmu => encode_mulaw(sample),
            Self::Pcma => encode_alaw(sample),
        }
    }

    /// A word for each sample.
    pub fn encoded(self, samples: &[i16]) -> Box<[u8]> {
        samples.iter().map(|&sample| self.encode(sample)).collect()
    }

    /// Code words of `self` to code words of the other law.
    pub const fn to_other(self) -> &'static [u8; 256] {
        match self {
            Self::Pcmu => &MULAW_TO_ALAW,
            Self::Pcma => &ALAW_TO_MULAW,
        }
    }
}

const fn decode_mulaw(word: u8) -> i16 {
    let word = !word;
    let magnitude = ((((word & 0x0F) as i32) << 3) + MULAW_BIAS) << ((word & 0x70) >> 4);
    if word & 0x80 != 0 { (MULAW_BIAS - magnitude) as i16 } else { (magnitude - MULAW_BIAS) as i16 }
}

const fn encode_mulaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80u8 } else { 0 };
    let mut magnitude = (sample as i32).abs();
    if magnitude > MULAW_CLIP {
        magnitude = MULAW_CLIP;
    }
    magnitude += MULAW_BIAS;
    let segment = 24 - (magnitude as u32).leading_zeros() as i32;
    let mantissa = (magnitude >> (segment + 3)) & 0x0F;
    !(sign | ((segment as u8) << 4) | mantissa as u8)
}

const fn decode_alaw(word: u8) -> i16 {
    let word = word ^ 0x55;
    let segment = (word & 0x70) >> 4;
    let step = ((word & 0x0F) as i32) << 4;
    let magnitude = match segment {
        0 => step + 8,
        _ => (step + 0x108) << (segment - 1),
    };
    if word & 0x80 != 0 { magnitude as i16 } else { -magnitude as i16 }
}

const fn encode_alaw(sample: i16) -> u8 {
    // A-law has no code for zero: non-negative samples start at +8, negative ones at -8, so the
    // one's complement is what mirrors the decision values of table 1a into table 1b.
    let (mask, magnitude) = if sample >= 0 { (0xD5u8, sample as i32) } else { (0x55u8, !(sample as i32)) };
    let segment = match magnitude >> 8 {
        0 => 0,
        high => 32 - (high as u32).leading_zeros() as i32,
    };
    let mantissa = match segment {
        0 => magnitude >> 4,
        _ => magnitude >> (segment + 3),
    } & 0x0F;
    (((segment as u8) << 4) | mantissa as u8) ^ mask
}

const fn decoding_table(mulaw: bool) -> [i16; 256] {
    let mut table = [0; 256];
    let mut word = 0;
    while word < 256 {
        table[word] = if mulaw { decode_mulaw(word as u8) } else { decode_alaw(word as u8) };
        word += 1;
    }
    table
}

const fn crossing_table(from_mulaw: bool) -> [u8; 256] {
    let mut table = [0; 256];
    let mut word = 0;
    while word < 256 {
        table[word] = if from_mulaw {
            encode_alaw(decode_mulaw(word as u8))
        } else {
            encode_mulaw(decode_alaw(word as u8))
        };
        word += 1;
    }
    table
}

static MULAW: [i16; 256] = decoding_table(true);
static ALAW: [i16; 256] = decoding_table(false);
static MULAW_TO_ALAW: [u8; 256] = crossing_table(true);
static ALAW_TO_MULAW: [u8; 256] = crossing_table(false);

#[cfg(test)]
mod tests {
    use super::Codec::{Pcma, Pcmu};

    /// Output values of G.711 tables 2a (µ-law) and 1a (A-law) at the first and last step of each
    /// segment, for positive input, scaled from 14 and 13 bits to 16.
    #[test]
    fn decoding_matches_the_tables_of_g711() {
        let mulaw = [
            (0x80u8, 8031),
            (0x8F, 4191),
            (0x90, 3999),
            (0x9F, 2079),
            (0xA0, 1983),
            (0xAF, 1023),
            (0xB0, 975),
            (0xBF, 495),
            (0xC0, 471),
            (0xCF, 231),
            (0xD0, 219),
            (0xDF, 99),
            (0xE0, 93),
            (0xEF, 33),
            (0xF0, 30),
            (0xFE, 2),
            (0xFF, 0),
        ];
        for (word, value) in mulaw {
            assert_eq!(i32::from(Pcmu.decode(word)), value * 4, "word {word:#x}");
            assert_eq!(i32::from(Pcmu.decode(word & 0x7F)), -value * 4, "word {:#x}", word & 0x7F);
        }
        // Table 1a lists A-law before the even bits are inverted.
        let alaw = [
            (0xFFu8, 4032),
            (0xF0, 2112),
            (0xEF, 2016),
            (0xE0, 1056),
            (0xDF, 1008),
            (0xD0, 528),
            (0xCF, 504),
            (0xC0, 264),
            (0xBF, 252),
            (0xB0, 132),
            (0xAF, 126),
            (0xA0, 66),
            (0x9F, 63),
            (0x90, 33),
            (0x8F, 31),
            (0x80, 1),
        ];
        for (word, value) in alaw {
            assert_eq!(i32::from(Pcma.decode(word ^ 0x55)), value * 8, "word {word:#x}");
            assert_eq!(i32::from(Pcma.decode((word ^ 0x55) & 0x7F)), -value * 8);
        }
    }

    #[test]
    fn every_code_word_survives_decoding_and_encoding() {
        for codec in [Pcmu, Pcma] {
            for word in 0..=255u8 {
                let again = codec.encode(codec.decode(word));
                // µ-law has two zeros; both decode to 0, which encodes as the positive one.
                let expected = if codec == Pcmu && word == 0x7F { 0xFF } else { word };
                assert_eq!(again, expected, "{codec:?} {word:#x}");
            }
        }
    }

    /// The decision values x of tables 2a and 1a between segments: at x the code word is the last
    /// of the upper segment, just below it the first of the lower one.
    #[test]
    fn segments_meet_at_the_decision_values_of_g711() {
        for (x, upper) in
            [(4063, 0x8Fu8), (2015, 0x9F), (991, 0xAF), (479, 0xBF), (223, 0xCF), (95, 0xDF), (31, 0xEF)]
        {
            assert_eq!((Pcmu.encode(x * 4), Pcmu.encode(x * 4 - 1)), (upper, upper + 1), "mu-law {x}");
            assert_eq!((Pcmu.encode(-x * 4), Pcmu.encode(1 - x * 4)), (upper & 0x7F, (upper + 1) & 0x7F));
        }
        for (x, upper) in [(2048, 0xF0u8), (1024, 0xE0), (512, 0xD0), (256, 0xC0), (128, 0xB0), (64, 0xA0)] {
            assert_eq!(
                (Pcma.encode(x * 8) ^ 0x55, Pcma.encode(x * 8 - 1) ^ 0x55),
                (upper, upper - 1),
                "A-law {x}"
            );
        }
    }

    #[test]
    fn the_error_is_at_most_half_a_step_of_the_segment_above() {
        for codec in [Pcmu, Pcma] {
            for sample in i16::MIN..=i16::MAX {
                let got = i32::from(codec.decode(codec.encode(sample)));
                let error = (got - i32::from(sample)).abs();
                let magnitude = i32::from(sample).abs();
                assert!(error <= 16 + magnitude / 31, "{codec:?} {sample}: {error}");
            }
        }
    }

    #[test]
    fn silence_crosses_the_laws_as_near_silence() {
        assert_eq!(Pcma.decode(Pcmu.to_other()[Pcmu.silence() as usize]), 8);
        assert_eq!(Pcmu.decode(Pcma.to_other()[Pcma.silence() as usize]), 8);
    }
}
