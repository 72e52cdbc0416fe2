//! Which leg is on which media thread: by weight, and together with whom it has to be.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::io::Error;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use crate::clock::wall_ns;
use crate::coded;
use crate::command::{Action, Command};
use crate::counters::Totals;
use crate::event::LegId;
use crate::load;
use crate::ports::{PortPair, Ports};
use crate::seat::RoomId;
use crate::shard::Order;

pub(super) struct Thread {
    pub orders: Sender<Order>,
    pub totals: Arc<Totals>,
    pub handle: JoinHandle<()>,
    /// What the directory's entries that name it weigh together.
    pub weight: u32,
}

/// Which leg is where.  Only users of the engine come here; media threads never do.
pub(super) struct Directory {
    threads: Vec<Thread>,
    writers: Vec<JoinHandle<()>>,
    pools: Vec<Ports>,
    entries: HashMap<LegId, Entry>,
    rooms: HashMap<RoomId, Vec<LegId>>,
    /// Slot numbers to be used again, with their next generation.
    vacant: Vec<(u32, u32)>,
    slots: u32,
    pub recordings: u64,
    pub lines: u64,
}

struct Entry {
    thread: usize,
    /// What it costs its thread, by its codec.
    weight: u32,
    is_v6: bool,
    /// Legs that must be on the same thread: joined to this one, or recorded with it.
    tied: Vec<LegId>,
    /// The room it is in, with whose other members it must be.
    room: Option<RoomId>,
}

impl Directory {
    pub fn new(threads: Vec<Thread>, writer: JoinHandle<()>, pools: Vec<Ports>) -> Self {
        Self {
            threads,
            writers: vec![writer],
            pools,
            entries: HashMap::new(),
            rooms: HashMap::new(),
            vacant: vec![],
            slots: 0,
            recordings: 0,
            lines: 0,
        }
    }

    /// Know no leg any more; the threads that served them, and those that write.
    pub fn dissolve(&mut self) -> (Vec<Thread>, Vec<JoinHandle<()>>) {
        self.entries.clear();
        (std::mem::take(&mut self.threads), std::mem::take(&mut self.writers))
    }

    /// The name and the thread of a new leg; None: there are no threads any more.
    pub fn enlist(&mut self, is_v6: bool) -> Option<(LegId, usize)> {
        let thread = (0..self.threads.len()).min_by_key(|&thread| self.threads[thread].weight)?;
        let (leg, weight) = (self.name(), load::weight(None));
        self.threads[thread].weight += weight;
        self.entries.insert(leg, Entry { thread, weight, is_v6, tied: vec![], room: None });
        Some((leg, thread))
    }

    /// Of a leg that lives.
    pub fn is_v6(&self, leg: LegId) -> Option<bool> {
        self.entries.get(&leg).map(|entry| entry.is_v6)
    }

    /// A leg is in a codec from now on; whether it weighs more than before.
    fn weigh(&mut self, leg: LegId, coded: Option<coded::Codec>) -> bool {
        let Some(entry) = self.entries.get_mut(&leg) else { return false };
        let before = std::mem::replace(&mut entry.weight, load::weight(coded));
        let thread = &mut self.threads[entry.thread];
        thread.weight = thread.weight - before + entry.weight;
        entry.weight > before
    }

    pub fn ports(&mut self, is_v6: bool) -> Result<PortPair, Error> {
        let pool = self.pools.iter_mut().find(|pool| pool.is_v6() == is_v6);
        pool.ok_or_else(|| Error::other("no address of this family is configured"))?.take()
    }

    fn name(&mut self) -> LegId {
        let (slot, generation) = self.vacant.pop().unwrap_or_else(|| {
            self.slots += 1;
            (self.slots, 1)
        });
        LegId(u64::from(generation) << 32 | u64::from(slot))
    }

    pub fn order(&self, thread: usize, order: Order) {
        // A thread ends only with the engine.
        let _ = self.threads[thread].orders.send(order);
    }

    pub fn submit(&mut self, mut commands: Vec<Command>) {
        if self.threads.is_empty() {
            return;
        }
        let given_ns = wall_ns();
        commands.retain(|command| self.is_live(command));
        let mut involved: Vec<LegId> = vec![];
        let mut has_grown = false;
        for command in &commands {
            let companions = command.companions();
            for &companion in &companions {
                self.tie(command.leg, companion);
            }
            match &command.action {
                Action::EnterRoom(entrance) => self.enter(command.leg, Some(entrance.room)),
                Action::LeaveRoom => self.enter(command.leg, None),
                Action::Join { with } => {
                    self.enter(command.leg, None);
                    self.enter(*with, None);
                }
                Action::SetRemote(agreed) => has_grown |= self.weigh(command.leg, agreed.coded),
                _ => {}
            }
            involved.push(command.leg);
            involved.extend(companions);
        }
        let Some(thread) = self.gather(involved, has_grown, given_ns) else { return };
        let closed: Vec<LegId> =
            commands.iter().filter(|c| matches!(c.action, Action::Close)).map(|c| c.leg).collect();
        self.order(thread, Order::Batch { commands, given_ns });
        closed.into_iter().for_each(|leg| self.forget(leg));
    }

    fn is_live(&self, command: &Command) -> bool {
        let known = |leg: &LegId| self.entries.contains_key(leg);
        let partner_is = match &command.action {
            Action::Join { with } | Action::JoinLines { with, .. } => known(with),
            _ => true,
        };
        known(&command.leg) && partner_is
    }

    fn tie(&mut self, a: LegId, b: LegId) {
        if !self.entries.contains_key(&a) || !self.entries.contains_key(&b) {
            return;
        }
        for (one, other) in [(a, b), (b, a)] {
            if let Some(entry) = self.entries.get_mut(&one)
                && !entry.tied.contains(&other)
            {
                entry.tied.push(other);
            }
        }
    }

    /// Note which room a leg is in from now on.
    fn enter(&mut self, leg: LegId, room: Option<RoomId>) {
        let Some(entry) = self.entries.get_mut(&leg) else { return };
        let before = std::mem::replace(&mut entry.room, room);
        if before == room {
            return;
        }
        if let Some(before) = before
            && let Some(members) = self.rooms.get_mut(&before)
        {
            members.retain(|member| *member != leg);
            if members.is_empty() {
                self.rooms.remove(&before);
            }
        }
        if let Some(room) = room {
            self.rooms.entry(room).or_default().push(leg);
        }
    }

    /// Legs, all that are tied to them, and whoever is in a room with any of them.
    fn component(&self, legs: Vec<LegId>) -> HashSet<LegId> {
        let mut component: HashSet<LegId> = HashSet::new();
        let mut visited: HashSet<RoomId> = HashSet::new();
        let mut open = legs;
        while let Some(leg) = open.pop() {
            let Some(entry) = self.entries.get(&leg) else { continue };
            if !component.insert(leg) {
                continue;
            }
            open.extend(&entry.tied);
            if let Some(room) = entry.room.filter(|room| visited.insert(*room)) {
                open.extend(self.rooms.get(&room).into_iter().flatten());
            }
        }
        component
    }

    /// Bring legs, and all that have to be with them, to one thread: where most of their weight is,
    /// or, where that `has_grown`, to the lightest if that evens out what threads have to do.
    fn gather(&mut self, legs: Vec<LegId>, has_grown: bool, given_ns: i64) -> Option<usize> {
        let component = self.component(legs);
        let mut weights = vec![0; self.threads.len()];
        for entry in component.iter().filter_map(|leg| self.entries.get(leg)) {
            weights[entry.thread] += entry.weight;
        }
        let others = |thread: usize| self.threads[thread].weight - weights[thread];
        let heaviest = |&thread: &usize| (weights[thread], Reverse(others(thread)));
        let home = (0..weights.len()).filter(|&thread| weights[thread] > 0).max_by_key(heaviest)?;
        let lightest = (0..weights.len()).min_by_key(|&thread| others(thread))?;
        let whole: u32 = weights.iter().sum();
        let is_relief = has_grown && others(lightest) + whole / 2 < others(home);
        let thread = if is_relief { lightest } else { home };
        let mut moving: HashMap<usize, Vec<LegId>> = HashMap::new();
        for leg in component {
            if let Some(entry) = self.entries.get_mut(&leg).filter(|entry| entry.thread != thread) {
                moving.entry(entry.thread).or_default().push(leg);
                self.threads[entry.thread].weight -= entry.weight;
                self.threads[thread].weight += entry.weight;
                entry.thread = thread;
            }
        }
        for (from, legs) in moving {
            let (to, handed) = channel();
            self.order(from, Order::Give { legs, to, given_ns });
            self.order(thread, Order::Take(handed));
        }
        Some(thread)
    }

    fn forget(&mut self, leg: LegId) {
        self.enter(leg, None);
        let Some(entry) = self.entries.remove(&leg) else { return };
        self.threads[entry.thread].weight -= entry.weight;
        for tied in entry.tied {
            if let Some(other) = self.entries.get_mut(&tied) {
                other.tied.retain(|one| *one != leg);
            }
        }
        let (slot, generation) = (leg.0 as u32, (leg.0 >> 32) as u32);
        // A slot that has used up its generations is not used again.
        if let Some(next) = generation.checked_add(1) {
            self.vacant.push((slot, next));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::chance::Chance;
    use crate::command::Negotiated;
    use crate::engine::{Config, Engine};
    use crate::leg::stand;

    fn engine(threads: usize) -> Engine {
        let config = Config {
            addresses: vec![[127, 0, 0, 1].into()],
            ports: 46200..46600,
            threads,
            quarantine_ns: 0,
            rtp_timeout_ns: i64::MAX,
            report_interval_ns: 3_600_000_000_000,
            identity: None,
        };
        Engine::start(&config).expect("an engine")
    }

    /// What the legs of each thread weigh, as it is counted and as it is.
    fn weights(engine: &Engine) -> (Vec<u32>, Vec<u32>) {
        let directory = engine.lock();
        let mut real = vec![0; directory.threads.len()];
        directory.entries.values().for_each(|entry| real[entry.thread] += entry.weight);
        (directory.threads.iter().map(|thread| thread.weight).collect(), real)
    }

    fn agree(engine: &Engine, leg: LegId, coded: Option<coded::Codec>) {
        let agreed = Negotiated { coded, ..stand::agreed(SocketAddr::from(([127, 0, 0, 1], 9))) };
        engine.submit(vec![Command { leg, action: Action::SetRemote(agreed) }]);
    }

    #[test]
    fn the_weight_of_each_thread_is_known_whatever_happens_to_its_legs() {
        let engine = engine(3);
        let mut chance = Chance::new(11);
        let mut legs: Vec<LegId> = vec![];
        for _ in 0..600 {
            let pick = |chance: &mut Chance, legs: &[LegId]| legs[chance.next() as usize % legs.len()];
            match chance.next() % 7 {
                0..=2 if legs.len() < 60 => legs.push(engine.open(false).expect("a leg").0),
                3 if !legs.is_empty() => {
                    let leg = legs.swap_remove(chance.next() as usize % legs.len());
                    engine.submit(vec![Command { leg, action: Action::Close }]);
                    // Again: it is gone already.
                    engine.submit(vec![Command { leg, action: Action::Close }]);
                }
                4 if legs.len() > 1 => {
                    let (leg, with) = (pick(&mut chance, &legs), pick(&mut chance, &legs));
                    engine.submit(vec![Command { leg, action: Action::Join { with } }]);
                }
                5 if !legs.is_empty() => {
                    let leg = pick(&mut chance, &legs);
                    engine.submit(vec![Command { leg, action: Action::Part }]);
                }
                6 if !legs.is_empty() => {
                    let codecs = [None, Some(coded::Codec::G722), Some(coded::Codec::Opus)];
                    let coded = codecs[chance.next() as usize % codecs.len()];
                    agree(&engine, pick(&mut chance, &legs), coded);
                }
                _ => {}
            }
            let (counted, real) = weights(&engine);
            assert_eq!(counted, real);
        }
        engine.stop();
    }

    #[test]
    fn legs_are_spread_over_the_threads() {
        let engine = engine(4);
        for _ in 0..40 {
            engine.open(false).expect("a leg");
        }
        assert_eq!(weights(&engine).0, [10; 4]);
        engine.stop();
    }

    #[test]
    fn a_leg_in_opus_counts_for_as_many_others_as_it_costs() {
        let engine = engine(2);
        let opus = load::weight(Some(coded::Codec::Opus));
        // Six of Opus arrive one after the other, and are in one codec only once they are answered.
        for _ in 0..6 {
            let leg = engine.open(false).expect("a leg").0;
            agree(&engine, leg, Some(coded::Codec::Opus));
        }
        assert_eq!(weights(&engine).0, [3 * opus; 2]);
        let telephones: Vec<LegId> = (0..4 * opus).map(|_| engine.open(false).expect("a leg").0).collect();
        assert_eq!(weights(&engine).0, [5 * opus; 2]);
        // All at once, on one thread by mischance: they go where there is room.
        let first = engine.lock().entries[&telephones[0]].thread;
        let crowd = telephones.iter().filter(|leg| engine.lock().entries[leg].thread == first).take(4);
        let crowd: Vec<LegId> = crowd.copied().collect();
        crowd.iter().for_each(|&leg| agree(&engine, leg, Some(coded::Codec::Opus)));
        let (counted, real) = weights(&engine);
        assert_eq!(counted, real);
        assert!(counted[0].abs_diff(counted[1]) <= opus, "{counted:?}");
        engine.stop();
    }

    #[test]
    fn who_talks_with_each_other_is_moved_as_one_and_the_lighter_to_the_heavier() {
        let engine = engine(2);
        let [one, other] = [(); 2].map(|()| engine.open(false).expect("a leg").0);
        let thread = |leg: LegId| engine.lock().entries[&leg].thread;
        assert_ne!(thread(one), thread(other));
        agree(&engine, other, Some(coded::Codec::Opus));
        let (before, there) = (thread(one), thread(other));
        assert_ne!(before, there);
        engine.submit(vec![Command { leg: one, action: Action::Join { with: other } }]);
        assert_eq!((thread(one), thread(other)), (there, there));
        engine.stop();
    }
}
