//! Indices that have been used: each is good once (RFC 3711 §3.3.2).

/// A packet this far behind the newest can still be told from a repeated one.
const WINDOW: u64 = 128;

#[derive(Clone, Copy, Debug, Default)]
pub struct Replay {
    highest: Option<u64>,
    /// Bit n: `highest - n` has been used.
    used: u128,
}

impl Replay {
    /// Whether an index has not been used, as far as can be told.
    pub fn is_fresh(&self, index: u64) -> bool {
        match self.highest {
            Some(highest) if index <= highest => {
                let behind = highest - index;
                behind < WINDOW && self.used & (1 << behind) == 0
            }
            _ => true,
        }
    }

    pub fn mark(&mut self, index: u64) {
        match self.highest {
            Some(highest) if index <= highest => {
                if let Some(bit) = u32::try_from(highest - index).ok().and_then(|n| 1u128.checked_shl(n)) {
                    self.used |= bit;
                }
            }
            highest => {
                let ahead = highest.map_or(WINDOW, |highest| index - highest);
                let kept = u32::try_from(ahead).ok().and_then(|n| self.used.checked_shl(n)).unwrap_or(0);
                self.used = kept | 1;
                self.highest = Some(index);
            }
        }
    }

    /// The index of an RTP sequence number, whose cycles nobody sends (RFC 3711 §3.3.1, appendix A).
    pub fn index_of(&self, sequence: u16) -> u64 {
        let Some(highest) = self.highest else { return u64::from(sequence) };
        let newest = highest as u16;
        let cycle = highest >> 16;
        let step = i64::from(sequence.wrapping_sub(newest) as i16);
        let behind = step < 0 && sequence > newest;
        let ahead = step >= 0 && sequence < newest;
        let cycle = if ahead { cycle + 1 } else { cycle.saturating_sub(u64::from(behind)) };
        cycle << 16 | u64::from(sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_is_good_once() {
        let mut replay = Replay::default();
        for index in [5, 7, 6, 200, 199, 73] {
            assert!(replay.is_fresh(index), "{index}");
            replay.mark(index);
            assert!(!replay.is_fresh(index), "{index}");
        }
        assert!(!replay.is_fresh(72), "too old to tell");
        assert!(replay.is_fresh(74) && replay.is_fresh(201));
        replay.mark(100_000);
        assert!(!replay.is_fresh(200) && replay.is_fresh(99_999));
    }

    #[test]
    fn the_first_index_leaves_those_before_it_fresh() {
        let mut replay = Replay::default();
        replay.mark(1000);
        assert!(replay.is_fresh(999) && !replay.is_fresh(1000));
    }

    #[test]
    fn cycles_are_counted_across_the_wrap_in_any_order() {
        let mut replay = Replay::default();
        replay.mark(65_534);
        assert_eq!(replay.index_of(65_535), 65_535);
        assert_eq!(replay.index_of(1), 65_537);
        replay.mark(65_537);
        assert_eq!(replay.index_of(65_535), 65_535, "late, from before the wrap");
        assert_eq!(replay.index_of(2), 65_538);
        let mut fresh = Replay::default();
        fresh.mark(3);
        assert_eq!(fresh.index_of(65_000), 65_000, "there is no cycle before the first");
    }
}
