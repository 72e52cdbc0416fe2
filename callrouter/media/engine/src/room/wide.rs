//! Rooms of more than 8 kHz.

use crate::event::LegId;
use crate::mix_ring::MixRing;
use crate::rates::Lowering;
use crate::room::{Room, Turn};
use crate::rtp::FRAME;

impl Room {
    /// The rate it mixes at, in multiples of 8 kHz.
    pub fn scale(&self) -> usize {
        self.scale
    }

    /// Mix at `scale` times 8 kHz whoever is in it, if nobody has said before.
    pub fn fix(&mut self, scale: usize) {
        self.fixed.get_or_insert(scale);
        self.settle();
    }

    /// What a member's codec has, in multiples of 8 kHz.
    pub fn set_width(&mut self, leg: LegId, width: usize) {
        self.widths.retain(|(member, _)| *member != leg);
        if width > 1 {
            self.widths.push((leg, width));
        }
        self.settle();
    }

    /// More than 8 kHz is of use to two members at the least: the one who says it and one who hears it.
    /// Another rate costs the voices of this moment 20 ms.
    fn settle(&mut self) {
        let mut widths: Vec<usize> = self.widths.iter().map(|(_, width)| *width).collect();
        widths.sort_unstable_by(|a, b| b.cmp(a));
        let scale = self.fixed.unwrap_or_else(|| widths.get(1).copied().unwrap_or(1));
        if scale != self.scale {
            self.scale = scale;
            self.sum = MixRing::new(scale);
            self.whispers.clear();
            self.shared = Default::default();
        }
    }

    /// Fill `out` with what a member hears, at its own rate: as many samples as 20 ms of that are.
    pub fn hear_wide(&mut self, turn: &mut Turn<'_>, out: &mut [i16]) {
        let from = turn.from * self.scale as i64;
        let whisper = self.whispers.iter().find(|(leg, ring)| *leg == turn.leg && ring.end() > from);
        if whisper.is_none() && self.sum.end() <= from {
            turn.seat.lowering = None;
            return out.fill(0);
        }
        let mut mix = vec![0; FRAME * self.scale];
        self.sum.mix_into(from, &mut mix, 1);
        turn.seat.take_out(from, &mut mix);
        if let Some((_, ring)) = whisper {
            ring.mix_into(from, &mut mix, 1);
        }
        let ratio = mix.len() / out.len();
        if ratio > 1 {
            let lowering = turn.seat.lowering.take().filter(|lowering| lowering.ratio() == ratio);
            mix = turn.seat.lowering.insert(lowering.unwrap_or_else(|| Lowering::new(ratio))).lower(&mix);
        }
        turn.seat.limiter.limit(&mix, out);
    }
}
