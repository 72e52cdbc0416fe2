//! Packets to frames, and something in place of those that do not come.

use audio_codec::g722::{Bitrate, G722Decoder};

use crate::coded::buffer::{Buffer, Turn};
use crate::coded::{Codec, Counts, WIDEST};
use crate::rtp::FRAME;

/// 120 ms at 48 kHz, the longest packet of Opus, and of others the most that is taken.
const LONGEST: usize = 6 * WIDEST;
/// Frames made up in a row before there is silence.
const MAX_MADE_UP: u32 = 5;

pub struct Decoder {
    kind: Kind,
    ready: Vec<i16>,
    /// The last frame, to be made longer.
    last: Vec<i16>,
    /// Samples of 20 ms.
    frame: usize,
    /// Of the last packet: those that are lost were as long.
    packet: usize,
    made_up: u32,
}

enum Kind {
    G722(Box<G722Decoder>),
    Opus(Box<opus::Decoder>),
}

impl Decoder {
    /// To samples at `scale` times 8 kHz, at most the codec's own.  None: there is no memory for it.
    pub fn new(codec: Codec, scale: usize) -> Option<Self> {
        let kind = match codec {
            // At 8 kHz only the lower band is asked for: nothing has to be resampled.
            Codec::G722 => {
                Kind::G722(Box::new(G722Decoder::with_options(Bitrate::Mode1_64000, false, scale == 1)))
            }
            Codec::Opus => {
                Kind::Opus(Box::new(opus::Decoder::new(8000 * scale as u32, opus::Channels::Mono).ok()?))
            }
        };
        let frame = FRAME * scale;
        Some(Self { kind, ready: vec![], last: vec![0; frame], frame, packet: frame, made_up: 0 })
    }

    /// A frame from what the buffer has; None when the stream is not running.
    pub fn frame(&mut self, buffer: &mut Buffer, counts: &mut Counts) -> Option<&[i16]> {
        while self.ready.len() < self.frame {
            match buffer.turn() {
                Turn::Idle if self.ready.is_empty() => return None,
                Turn::Idle | Turn::Nothing => self.conceal(self.frame, counts),
                Turn::Packet(packet) => {
                    if !self.decode(&packet, false) {
                        self.conceal(self.packet, counts);
                    } else {
                        self.made_up = 0;
                    }
                }
                Turn::Lost { behind } => {
                    if behind.is_some_and(|packet| self.recover(&packet)) {
                        counts.recovered += 1;
                    } else {
                        self.conceal(self.packet, counts);
                    }
                }
            }
        }
        self.last.copy_from_slice(&self.ready[..self.frame]);
        self.ready.drain(..self.frame);
        Some(&self.last)
    }

    fn decode(&mut self, packet: &[u8], fec: bool) -> bool {
        let mut space = [0; LONGEST];
        let length = match &mut self.kind {
            Kind::G722(decoder) => decoder.decode_frame_into(packet, &mut space).unwrap_or(0),
            Kind::Opus(decoder) => {
                // What a packet recovers is the one before it, which was as long as the others.
                let room = if fec { &mut space[..self.packet] } else { &mut space[..] };
                decoder.decode(packet, room, fec).unwrap_or(0)
            }
        };
        self.ready.extend(&space[..length]);
        if length > 0 {
            self.packet = length;
        }
        length > 0
    }

    /// Opus packets can carry the one before them once more, at a low rate.
    fn recover(&mut self, behind: &[u8]) -> bool {
        matches!(self.kind, Kind::Opus(_)) && self.decode(behind, true)
    }

    /// Make up so many samples.
    fn conceal(&mut self, length: usize, counts: &mut Counts) {
        counts.concealed += 1;
        self.made_up += 1;
        let mut space = vec![0; length];
        if let Kind::Opus(decoder) = &mut self.kind {
            // An empty packet asks for concealment.
            if decoder.decode(&[], &mut space, false).is_ok() {
                self.ready.append(&mut space);
                return;
            }
        }
        if self.made_up <= MAX_MADE_UP {
            // The last frame again, softer each time.
            let (share, whole) = ((MAX_MADE_UP - self.made_up) as i32, MAX_MADE_UP as i32);
            let softer = self.last.iter().cycle().map(|&sample| (i32::from(sample) * share / whole) as i16);
            space.iter_mut().zip(softer).for_each(|(to, sample)| *to = sample);
        }
        self.ready.append(&mut space);
    }
}
