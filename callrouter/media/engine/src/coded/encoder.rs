//! Frames to packets.

use audio_codec::Encoder as _;
use audio_codec::g722::{Bitrate, G722Encoder};

use crate::coded::Codec;
use crate::coded::doubling::Doubling;
use crate::rtp::FRAME;

/// The largest packet that is made.
pub const MAX_CODED: usize = 400;
/// The loss that Opus is to be ready for, in percent: what makes it send each frame twice.
const EXPECTED_LOSS: i32 = 10;
/// Out of ten: half the time of the best, and hardly to be told from it at 8 kHz.
const COMPLEXITY: i32 = 5;

/// Above 8 kHz, in bits a second: with less, Opus gives up width for what it sends twice.
const WIDE_BITRATE: i32 = 48_000;

pub enum Encoder {
    /// Without a doubling it is given 16 kHz.
    G722(Box<G722Encoder>, Option<Doubling>),
    Opus(Box<opus::Encoder>),
}

impl Encoder {
    /// Of samples at `scale` times 8 kHz, at most the codec's own.  None: there is no memory for it.
    pub fn new(codec: Codec, scale: usize) -> Option<Self> {
        match codec {
            Codec::G722 => {
                let encoder = G722Encoder::with_options(Bitrate::Mode1_64000, false, false);
                Some(Self::G722(Box::new(encoder), (scale == 1).then(Doubling::default)))
            }
            Codec::Opus => {
                opus_encoder(8000 * scale as u32).ok().map(|encoder| Self::Opus(Box::new(encoder)))
            }
        }
    }

    /// The packet's length; 0 when it cannot be made.
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8; MAX_CODED]) -> usize {
        match self {
            Self::G722(encoder, None) => encoder.encode_into(samples, out).unwrap_or(0),
            Self::G722(encoder, Some(doubling)) => samples
                .first_chunk::<FRAME>()
                .and_then(|samples| encoder.encode_into(&doubling.double(samples), out).ok())
                .unwrap_or(0),
            Self::Opus(encoder) => encoder.encode(samples, out).unwrap_or(0),
        }
    }
}

fn opus_encoder(rate: u32) -> Result<opus::Encoder, opus::Error> {
    let mut encoder = opus::Encoder::new(rate, opus::Channels::Mono, opus::Application::Voip)?;
    encoder.set_complexity(COMPLEXITY)?;
    encoder.set_inband_fec(true)?;
    encoder.set_packet_loss_perc(EXPECTED_LOSS)?;
    if rate > 8000 {
        encoder.set_bitrate(opus::Bitrate::Bits(WIDE_BITRATE))?;
    }
    Ok(encoder)
}
