//! Packets to frames of 8 kHz, and something in place of those that do not come.

use audio_codec::g722::{Bitrate, G722Decoder};

use crate::coded::buffer::{Buffer, Turn};
use crate::coded::{Codec, Counts};
use crate::rtp::FRAME;

/// 120 ms, the longest packet of Opus, and of others the most that is taken.
const LONGEST: usize = 6 * FRAME;
/// Frames made up in a row before there is silence.
const MAX_MADE_UP: u32 = 5;

pub struct Decoder {
    kind: Kind,
    ready: Vec<i16>,
    /// The last frame, to be made longer.
    last: [i16; FRAME],
    made_up: u32,
}

enum Kind {
    G722(Box<G722Decoder>),
    Opus(Box<opus::Decoder>),
}

impl Decoder {
    /// None: there is no memory for it.
    pub fn new(codec: Codec) -> Option<Self> {
        let kind = match codec {
            // Only the lower band is asked for, at its own 8 kHz: nothing has to be resampled.
            Codec::G722 => Kind::G722(Box::new(G722Decoder::with_options(Bitrate::Mode1_64000, false, true))),
            Codec::Opus => Kind::Opus(Box::new(opus::Decoder::new(8000, opus::Channels::Mono).ok()?)),
        };
        Some(Self { kind, ready: vec![], last: [0; FRAME], made_up: 0 })
    }

    /// Fill a frame from what the buffer has; false when the stream is not running.
    pub fn frame(&mut self, buffer: &mut Buffer, out: &mut [i16; FRAME], counts: &mut Counts) -> bool {
        while self.ready.len() < FRAME {
            match buffer.turn() {
                Turn::Idle if self.ready.is_empty() => return false,
                Turn::Idle | Turn::Nothing => self.conceal(counts),
                Turn::Packet(packet) => {
                    if !self.decode(&packet, false) {
                        self.conceal(counts);
                    } else {
                        self.made_up = 0;
                    }
                }
                Turn::Lost { behind } => {
                    if behind.is_some_and(|packet| self.recover(&packet)) {
                        counts.recovered += 1;
                    } else {
                        self.conceal(counts);
                    }
                }
            }
        }
        out.copy_from_slice(&self.ready[..FRAME]);
        self.ready.drain(..FRAME);
        self.last = *out;
        true
    }

    fn decode(&mut self, packet: &[u8], fec: bool) -> bool {
        let mut space = [0; LONGEST];
        let length = match &mut self.kind {
            Kind::G722(decoder) => decoder.decode_frame_into(packet, &mut space).unwrap_or(0),
            Kind::Opus(decoder) => {
                // What a packet recovers is the one before it, which was as long as the others.
                let room = if fec { &mut space[..FRAME] } else { &mut space[..] };
                decoder.decode(packet, room, fec).unwrap_or(0)
            }
        };
        self.ready.extend(&space[..length]);
        length > 0
    }

    /// Opus packets can carry the one before them once more, at a low rate.
    fn recover(&mut self, behind: &[u8]) -> bool {
        matches!(self.kind, Kind::Opus(_)) && self.decode(behind, true)
    }

    fn conceal(&mut self, counts: &mut Counts) {
        counts.concealed += 1;
        self.made_up += 1;
        let mut space = [0; FRAME];
        if let Kind::Opus(decoder) = &mut self.kind {
            // An empty packet asks for concealment.
            if decoder.decode(&[], &mut space, false).is_ok() {
                self.ready.extend(space);
                return;
            }
        }
        if self.made_up <= MAX_MADE_UP {
            // The last frame again, softer each time.
            let (share, whole) = ((MAX_MADE_UP - self.made_up) as i32, MAX_MADE_UP as i32);
            space = self.last.map(|sample| (i32::from(sample) * share / whole) as i16);
        }
        self.ready.extend(space);
    }
}
