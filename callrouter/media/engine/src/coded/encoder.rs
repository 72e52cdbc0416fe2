//! Frames of 8 kHz to packets.

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

pub enum Encoder {
    G722(Box<G722Encoder>, Doubling),
    Opus(Box<opus::Encoder>),
}

impl Encoder {
    /// None: there is no memory for it.
    pub fn new(codec: Codec) -> Option<Self> {
        match codec {
            Codec::G722 => {
                let encoder = G722Encoder::with_options(Bitrate::Mode1_64000, false, false);
                Some(Self::G722(Box::new(encoder), Doubling::default()))
            }
            Codec::Opus => opus_encoder().ok().map(|encoder| Self::Opus(Box::new(encoder))),
        }
    }

    /// The packet's length; 0 when it cannot be made.
    pub fn encode(&mut self, samples: &[i16; FRAME], out: &mut [u8; MAX_CODED]) -> usize {
        match self {
            Self::G722(encoder, doubling) => encoder.encode_into(&doubling.double(samples), out).unwrap_or(0),
            Self::Opus(encoder) => encoder.encode(samples, out).unwrap_or(0),
        }
    }
}

fn opus_encoder() -> Result<opus::Encoder, opus::Error> {
    let mut encoder = opus::Encoder::new(8000, opus::Channels::Mono, opus::Application::Voip)?;
    encoder.set_complexity(COMPLEXITY)?;
    encoder.set_inband_fec(true)?;
    encoder.set_packet_loss_perc(EXPECTED_LOSS)?;
    Ok(encoder)
}
