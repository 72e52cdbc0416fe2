//! Codecs other than G.711.  A leg that speaks one is decoded and encoded at its edge: everything
//! behind that is 8 kHz µ-law in frames of 20 ms, but in a room of more than 8 kHz; and two legs of
//! the same codec are relayed unread.

mod buffer;
mod decoder;
mod doubling;
mod encoder;

use crate::clock::MILLISECOND;
use crate::g711::Codec as Law;
use crate::quality::{CONCEALED, Impairment};
use crate::rates::{Lowering, Raising};
use crate::regrouping::Regrouping;
use crate::rtp::FRAME;
use buffer::Buffer;
use decoder::Decoder;
pub use encoder::{Encoder, MAX_CODED};

/// Samples of 20 ms at 48 kHz, the most there are.
pub const WIDEST: usize = 6 * FRAME;
/// What of a stream is passed on unread need not be decoded, for so long after the last packet.
const UNREAD: i64 = 100 * MILLISECOND;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    G722,
    Opus,
}

impl Codec {
    /// The encoding name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("G722") {
            Some(Self::G722)
        } else if name.eq_ignore_ascii_case("OPUS") {
            Some(Self::Opus)
        } else {
            None
        }
    }

    /// Ticks of its RTP clock in a sample of 8 kHz.  G.722's clock is 8 kHz by an old mistake
    /// (RFC 3551 §4.5.2).
    pub const fn scale(self) -> u32 {
        match self {
            Self::G722 => 1,
            Self::Opus => 6,
        }
    }

    /// The rate of its sound, in multiples of 8 kHz.
    pub const fn width(self) -> usize {
        match self {
            Self::G722 => 2,
            Self::Opus => 6,
        }
    }

    /// G.113 rates neither on the narrow-band scale: G.722 is taken for G.711, which it carries
    /// below 4 kHz, Opus with its redundancy for what stands loss best.
    pub const fn impairment(self) -> Impairment {
        match self {
            Self::G722 => CONCEALED,
            Self::Opus => Impairment { equipment: 0, robustness: 300 },
        }
    }
}

/// A frame of µ-law, and its timestamp.
pub type Decoded = (u32, [u8; FRAME]);

/// The edge of one leg.
pub struct Edge {
    pub codec: Codec,
    buffer: Buffer,
    decoder: Option<Decoder>,
    encoder: Option<Encoder>,
    /// Audio of the partner in another codec, to be encoded in the leg's own slots.
    pub relayed: Regrouping,
    unread_ns: i64,
    /// An RTP timestamp of the far end, and ours in samples.
    clock: Option<(u32, u32)>,
    /// Frames decoded in the last slot, to be passed on, by timestamp.
    pub decoded: Vec<Decoded>,
    pub counts: Counts,
    /// Something was decoded or encoded since the last look.
    pub is_busy: bool,
    /// What is decoded and encoded, in multiples of 8 kHz; above 1 the rest of the leg is given
    /// the same at 8 kHz.
    scale: usize,
    lowering: Option<[Lowering; 2]>,
    raising: Option<Raising>,
    wide: Vec<i16>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub concealed: u64,
    pub recovered: u64,
    pub too_late: u64,
}

impl Edge {
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            buffer: Buffer::default(),
            decoder: None,
            encoder: None,
            relayed: Regrouping::default(),
            unread_ns: i64::MIN / 2,
            clock: None,
            decoded: vec![],
            counts: Counts::default(),
            is_busy: false,
            scale: 1,
            lowering: None,
            raising: None,
            wide: vec![],
        }
    }

    /// In multiples of 8 kHz.
    pub fn scale(&self) -> usize {
        self.scale
    }

    /// Decode and encode at `scale` times 8 kHz, or as much of it as the codec has.
    pub fn tune(&mut self, scale: usize) {
        let scale = scale.min(self.codec.width());
        if scale == self.scale {
            return;
        }
        self.scale = scale;
        (self.decoder, self.encoder) = (None, None);
        self.wide.clear();
        let is_wide = scale > 1;
        self.lowering = is_wide.then(|| [Lowering::new(scale), Lowering::new(scale)]);
        self.raising = is_wide.then(|| Raising::new(scale));
    }

    /// The frame that was decoded last, at the edge's own rate, where that is above 8 kHz.
    pub fn take_wide(&mut self) -> Vec<i16> {
        std::mem::take(&mut self.wide)
    }

    /// A timestamp of the far end in samples of 8 kHz, continuous across its wrap.
    pub fn samples_of(&mut self, timestamp: u32) -> u32 {
        let scale = self.codec.scale() as i32;
        let (theirs, ours) = self.clock.unwrap_or((timestamp, timestamp / self.codec.scale()));
        let steps = (timestamp.wrapping_sub(theirs) as i32).div_euclid(scale);
        let samples = ours.wrapping_add(steps as u32);
        let anchor = theirs.wrapping_add(steps.wrapping_mul(scale) as u32);
        self.clock = Some((anchor, samples));
        samples
    }

    /// A packet came; `is_new` begins another stream.
    pub fn hear(&mut self, sequence: u16, is_new: bool, payload: &[u8]) {
        if is_new {
            self.buffer = Buffer::default();
        }
        self.buffer.put(sequence, payload);
    }

    /// The far end is silent now: nothing is made up for packets that do not come.
    pub fn will_rest(&mut self) {
        self.buffer.will_rest();
    }

    /// Nothing that came waits to be decoded.
    pub fn is_resting(&self) -> bool {
        self.buffer.is_idle()
    }

    /// What the far end says was passed on unread.
    pub fn was_unread(&mut self, now_ns: i64) {
        self.unread_ns = now_ns;
    }

    /// A slot of 20 ms: decode what is due.  Nothing is, where everything is passed on unread and
    /// nobody `listens`, and where nothing has been heard for long.
    pub fn decode(&mut self, listens: bool, now_ns: i64) -> Option<[u8; FRAME]> {
        if !listens && now_ns - self.unread_ns < UNREAD {
            self.buffer.skip();
            return None;
        }
        if self.decoder.is_none() {
            self.decoder = Decoder::new(self.codec, self.scale);
        }
        let decoder = self.decoder.as_mut()?;
        let samples = decoder.frame(&mut self.buffer, &mut self.counts)?;
        self.is_busy = true;
        self.counts.too_late = self.buffer.too_late;
        let Some([heard, _]) = &mut self.lowering else { return Some(words(samples)) };
        self.wide = samples.to_vec();
        Some(words(&heard.lower(samples)))
    }

    /// What is sent was encoded for others as well: the next that is not begins with an encoder of its own.
    pub fn was_shared(&mut self) {
        self.encoder = None;
    }

    /// Encode a frame of µ-law; empty when the encoder fails.
    pub fn encode<'b>(&mut self, frame: &[u8; FRAME], out: &'b mut [u8; MAX_CODED]) -> &'b [u8] {
        let samples = frame.map(|word| Law::Pcmu.decode(word));
        match &mut self.raising {
            None => self.encode_samples(&samples, out),
            Some(raising) => {
                let wide = raising.raise(&samples);
                self.encode_samples(&wide, out)
            }
        }
    }

    /// Encode 20 ms at the edge's own rate; empty when the encoder fails.
    pub fn encode_samples<'b>(&mut self, samples: &[i16], out: &'b mut [u8; MAX_CODED]) -> &'b [u8] {
        if self.encoder.is_none() {
            self.encoder = Encoder::new(self.codec, self.scale);
        }
        let Some(encoder) = &mut self.encoder else { return &[] };
        self.is_busy = true;
        let length = encoder.encode(samples, out);
        &out[..length]
    }

    /// What is sent at the edge's own rate, as the rest of the leg sees it; None at 8 kHz.
    pub fn narrowed(&mut self, wide: &[i16]) -> Option<[u8; FRAME]> {
        self.lowering.as_mut().map(|[_, sent]| words(&sent.lower(wide)))
    }
}

fn words(samples: &[i16]) -> [u8; FRAME] {
    let mut frame = [Law::Pcmu.silence(); FRAME];
    frame.iter_mut().zip(samples).for_each(|(word, &sample)| *word = Law::Pcmu.encode(sample));
    frame
}

#[cfg(test)]
mod tests;
