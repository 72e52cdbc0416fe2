//! The legs of a thread, laid out in the order they are served: by slot, without a look-up.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::event::LegId;
use crate::leg::{Leg, TICK};

/// Slots of a tick: how finely legs are spread, how often a thread wakes (400 times a second),
/// and the most a relayed packet or a command waits.
pub const SLOTS: usize = 8;
pub const SLOT: i64 = TICK / SLOTS as i64;

/// Leg ids are ours: one multiplication spreads them well enough.
#[derive(Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(u64::from(byte)));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(26);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Default)]
pub struct Roster {
    slots: [Vec<Leg>; SLOTS],
    /// Slot and position of each leg.
    places: HashMap<LegId, (usize, usize), BuildHasherDefault<IdHasher>>,
}

impl Roster {
    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub fn contains(&self, id: LegId) -> bool {
        self.places.contains_key(&id)
    }

    pub fn get(&self, id: LegId) -> Option<&Leg> {
        let &(slot, position) = self.places.get(&id)?;
        self.slots[slot].get(position)
    }

    pub fn get_mut(&mut self, id: LegId) -> Option<&mut Leg> {
        let &(slot, position) = self.places.get(&id)?;
        self.slots[slot].get_mut(position)
    }

    /// How many legs a slot has.
    pub fn count(&self, slot: usize) -> usize {
        self.slots[slot].len()
    }

    /// The leg at a position of a slot; None past the last.
    pub fn at(&mut self, slot: usize, position: usize) -> Option<&mut Leg> {
        self.slots[slot].get_mut(position)
    }

    pub fn all(&self) -> impl Iterator<Item = &Leg> {
        self.slots.iter().flatten()
    }

    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut Leg> {
        self.slots.iter_mut().flatten()
    }

    /// The slot with the fewest legs.
    pub fn emptiest(&self) -> usize {
        (0..SLOTS).min_by_key(|&slot| self.slots[slot].len()).unwrap_or(0)
    }

    /// Add a leg at the slot of its phase.
    pub fn insert(&mut self, leg: Leg) {
        let slot = &mut self.slots[leg.phase];
        self.places.insert(leg.id, (leg.phase, slot.len()));
        slot.push(leg);
    }

    pub fn remove(&mut self, id: LegId) -> Option<Leg> {
        let (slot, position) = self.places.remove(&id)?;
        let leg = self.slots[slot].swap_remove(position);
        if let Some(moved) = self.slots[slot].get(position) {
            self.places.insert(moved.id, (slot, position));
        }
        Some(leg)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leg::Policy;
    use crate::ports::PortPair;
    use std::sync::Arc;

    #[test]
    fn legs_are_found_by_name_and_by_place_after_any_removal() {
        let policy = Arc::new(Policy { rtp_timeout_ns: 1, report_interval_ns: 1, handshakes: None });
        let mut roster = Roster::default();
        for id in 1..=20 {
            let mut leg = Leg::new(LegId(id), PortPair::free(), policy.clone(), [0; 12]);
            leg.phase = roster.emptiest();
            roster.insert(leg);
        }
        for id in [1, 20, 9, 2] {
            assert_eq!(roster.remove(LegId(id)).map(|leg| leg.id), Some(LegId(id)));
            assert!(roster.remove(LegId(id)).is_none() && !roster.contains(LegId(id)));
        }
        let mut seen: Vec<u64> = (0..SLOTS)
            .flat_map(|slot| (0..9).map(move |position| (slot, position)))
            .filter_map(|(slot, position)| roster.at(slot, position).map(|leg| leg.id.0))
            .collect();
        seen.sort_unstable();
        assert_eq!((seen.len(), roster.len(), roster.all().count()), (16, 16, 16));
        assert!(seen.iter().all(|&id| roster.get(LegId(id)).is_some_and(|leg| leg.id.0 == id)));
    }
}
