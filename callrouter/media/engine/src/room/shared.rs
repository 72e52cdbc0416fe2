//! What those hear who have no part in the sum, in one of the slots of 20 ms: brought to each rate
//! once, and encoded once for each codec, however many they are.

use crate::coded::{self, Encoder, MAX_CODED};
use crate::g711::Codec;
use crate::limiter::Limiter;
use crate::mix_ring::MixRing;
use crate::room::mixed;
use crate::rtp::FRAME;

#[derive(Default)]
pub struct Shared {
    outputs: Vec<Output>,
}

/// At one rate.
pub struct Output {
    /// In multiples of 8 kHz.
    scale: usize,
    /// Sample time of the frame.
    from: i64,
    pub limiter: Limiter,
    pub frame: Vec<i16>,
    laws: [Option<[u8; FRAME]>; 2],
    coded: Vec<Coded>,
}

/// The frames of one codec.  One stream for all: their decoders follow its encoder.
struct Coded {
    codec: coded::Codec,
    from: i64,
    encoder: Encoder,
    packet: [u8; MAX_CODED],
    length: usize,
}

impl Shared {
    /// The frame of a sum at `room` times 8 kHz, at `scale` times 8 kHz.
    pub fn output(&mut self, from: i64, sum: &MixRing, room: usize, scale: usize) -> &mut Output {
        let at = match self.outputs.iter().position(|output| output.scale == scale) {
            Some(at) => at,
            None => {
                self.outputs.push(Output::new(scale));
                self.outputs.len() - 1
            }
        };
        let output = &mut self.outputs[at];
        if output.from != from {
            output.from = from;
            output.laws = [None; 2];
            let mut mix = [0; FRAME * crate::room::WIDEST];
            let mix = &mut mix[..FRAME * scale];
            mixed(&[Some((sum, 1))], from, room, mix);
            output.limiter.limit(mix, &mut output.frame);
        }
        output
    }
}

impl Output {
    fn new(scale: usize) -> Self {
        let frame = vec![0; FRAME * scale];
        Self { scale, from: i64::MIN, limiter: Limiter::default(), frame, laws: [None; 2], coded: vec![] }
    }

    /// In one of the two laws; of 8 kHz.
    pub fn law(&mut self, codec: Codec) -> &[u8; FRAME] {
        let frame = &self.frame;
        self.laws[codec as usize].get_or_insert_with(|| {
            let mut words = [codec.silence(); FRAME];
            words.iter_mut().zip(frame).for_each(|(word, &sample)| *word = codec.encode(sample));
            words
        })
    }

    /// The packet of another codec, and whether it was encoded for this call; None: there is no memory.
    pub fn coded(&mut self, codec: coded::Codec) -> Option<(&[u8], bool)> {
        let at = match self.coded.iter().position(|coded| coded.codec == codec) {
            Some(at) => at,
            None => {
                let encoder = Encoder::new(codec, self.scale)?;
                self.coded.push(Coded { codec, from: i64::MIN, encoder, packet: [0; MAX_CODED], length: 0 });
                self.coded.len() - 1
            }
        };
        let coded = &mut self.coded[at];
        let is_fresh = coded.from != self.from;
        if is_fresh {
            coded.from = self.from;
            coded.length = coded.encoder.encode(&self.frame, &mut coded.packet);
        }
        Some((&coded.packet[..coded.length], is_fresh))
    }
}
