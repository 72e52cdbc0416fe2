//! Rooms of more than 8 kHz.

use crate::event::LegId;
use crate::mix_ring::MixRing;
use crate::room::Room;

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
}
