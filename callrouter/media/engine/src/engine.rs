//! The engine as its user sees it: legs, commands in atomic batches, one queue of events.

use std::collections::{HashMap, HashSet};
use std::io::Error;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::rand::{GetRandomFlags, getrandom};

use crate::command::{Action, Command};
use crate::counters::{Counters, Totals};
use crate::dtls::{Identity, Worker};
use crate::event::{Event, EventReceiver, EventSender, LegId, events};
use crate::leg::{Leg, Policy};
use crate::ports::{PortPair, Ports};
use crate::seat::RoomId;
use crate::shard::{Order, Shard};
use crate::tap::Taps;
use crate::unread::LineId;
use crate::writer::Writer;

#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses to bind, of either family at most one each.
    pub addresses: Vec<IpAddr>,
    pub ports: Range<u16>,
    pub threads: usize,
    pub quarantine_ns: i64,
    pub rtp_timeout_ns: i64,
    pub report_interval_ns: i64,
    /// What browsers are shown; None: no leg speaks to one.
    pub identity: Option<Identity>,
}

struct Thread {
    orders: Sender<Order>,
    totals: Arc<Totals>,
    handle: JoinHandle<()>,
    /// How many of the directory's entries name it.
    legs: usize,
}

pub struct Engine {
    receiver: EventReceiver,
    policy: Arc<Policy>,
    directory: Mutex<Directory>,
    totals: Vec<Arc<Totals>>,
    pub taps: Taps,
}

/// Which leg is where.  Only users of the engine come here; media threads never do.
struct Directory {
    threads: Vec<Thread>,
    writers: Vec<JoinHandle<()>>,
    pools: Vec<Ports>,
    entries: HashMap<LegId, Entry>,
    rooms: HashMap<RoomId, Vec<LegId>>,
    /// Slot numbers to be used again, with their next generation.
    vacant: Vec<(u32, u32)>,
    slots: u32,
    recordings: u64,
    lines: u64,
}

struct Entry {
    thread: usize,
    is_v6: bool,
    /// Legs that must be on the same thread: joined to this one, or recorded with it.
    tied: Vec<LegId>,
    /// The room it is in, with whose other members it must be.
    room: Option<RoomId>,
}

impl Engine {
    pub fn start(config: &Config) -> Result<Self, Error> {
        let (events, receiver) = events()?;
        let (writer, handle) = Writer::start(events.clone())?;
        let threads = (0..config.threads.max(1))
            .map(|number| start_thread(number, &events, &writer))
            .collect::<Result<Vec<_>, Error>>()?;
        let mut pools = vec![];
        for &address in &config.addresses {
            let start = u16::from_ne_bytes(random::<2>()?);
            pools.push(Ports::new(address, config.ports.clone(), config.quarantine_ns, usize::from(start)));
        }
        let handshakes = config.identity.clone().map(Worker::start).transpose()?;
        Ok(Self {
            receiver,
            policy: Arc::new(Policy {
                rtp_timeout_ns: config.rtp_timeout_ns,
                report_interval_ns: config.report_interval_ns,
                handshakes,
            }),
            taps: Taps::default(),
            totals: threads.iter().map(|thread| thread.totals.clone()).collect(),
            directory: Mutex::new(Directory {
                threads,
                writers: vec![handle],
                pools,
                entries: HashMap::new(),
                rooms: HashMap::new(),
                vacant: vec![],
                slots: 0,
                recordings: 0,
                lines: 0,
            }),
        })
    }

    pub fn events(&self) -> &EventReceiver {
        &self.receiver
    }

    /// Bind the next pair of ports; the leg and its RTP port.
    pub fn open(&self, is_v6: bool) -> Result<(LegId, u16), Error> {
        let random = random()?;
        let mut directory = self.lock();
        let ports = directory.ports(is_v6)?;
        let port = ports.port;
        let Some(thread) = directory.emptiest() else {
            return Err(Error::other("the engine has been stopped"));
        };
        let id = directory.name();
        directory.threads[thread].legs += 1;
        directory.entries.insert(id, Entry { thread, is_v6, tied: vec![], room: None });
        let leg = Box::new(Leg::new(id, ports, self.policy.clone(), random));
        directory.order(thread, Order::Adopt(leg));
        Ok((id, port))
    }

    /// Bind another pair of ports for a leg, for media that is passed on unread; the line and its
    /// first port.
    pub fn open_line(&self, leg: LegId) -> Result<(LineId, u16), Error> {
        let mut directory = self.lock();
        let Some(is_v6) = directory.entries.get(&leg).map(|entry| entry.is_v6) else {
            return Err(Error::other("the leg has been closed"));
        };
        let ports = directory.ports(is_v6)?;
        let port = ports.port;
        directory.lines += 1;
        let line = LineId(directory.lines);
        directory.submit(vec![Command { leg, action: Action::OpenLine { line, ports } }]);
        Ok((line, port))
    }

    /// Carry out `commands` in one step on one thread; those of closed legs are dropped.
    pub fn submit(&self, commands: Vec<Command>) {
        self.lock().submit(commands);
    }

    /// A number for a recording, unique over the engine's life.
    pub fn recording_id(&self) -> u64 {
        let mut directory = self.lock();
        directory.recordings += 1;
        directory.recordings
    }

    /// Sums over all threads, the number of legs, and of those that decode or encode.
    pub fn totals(&self) -> ([u64; Counters::NAMES.len()], u64, u64) {
        let mut sums = [0; Counters::NAMES.len()];
        for totals in &self.totals {
            sums.iter_mut().zip(totals.read()).for_each(|(sum, value)| *sum += value);
        }
        let legs = self.totals.iter().map(|totals| totals.legs()).sum();
        (sums, legs, self.totals.iter().map(|totals| totals.transcoding()).sum())
    }

    /// Close every leg, finish every recording, end the threads; the events that are left.
    pub fn stop(&self) -> Vec<Event> {
        let (threads, writers) = {
            let mut directory = self.lock();
            directory.entries.clear();
            (std::mem::take(&mut directory.threads), std::mem::take(&mut directory.writers))
        };
        let mut handles = vec![];
        for thread in threads {
            // A thread that is gone needs no telling.
            let _ = thread.orders.send(Order::Stop);
            handles.push(thread.handle);
        }
        // The writers end when the media threads, their only users, have.
        for handle in handles.into_iter().chain(writers) {
            // A thread that panicked has said so on standard error.
            let _ = handle.join();
        }
        self.receiver.take()
    }

    fn lock(&self) -> MutexGuard<'_, Directory> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start_thread(number: usize, events: &EventSender, writer: &Writer) -> Result<Thread, Error> {
    let (orders, inbox) = channel();
    let totals = Arc::new(Totals::default());
    let shard = Shard::new(inbox, events.clone(), writer.clone(), totals.clone())?;
    let handle = std::thread::Builder::new().name(format!("media-{number}")).spawn(move || shard.run())?;
    Ok(Thread { orders, totals, handle, legs: 0 })
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(bytes)
}

impl Directory {
    fn emptiest(&self) -> Option<usize> {
        (0..self.threads.len()).min_by_key(|&thread| self.threads[thread].legs)
    }

    fn ports(&mut self, is_v6: bool) -> Result<PortPair, Error> {
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

    fn order(&self, thread: usize, order: Order) {
        // A thread ends only with the engine.
        let _ = self.threads[thread].orders.send(order);
    }

    fn submit(&mut self, mut commands: Vec<Command>) {
        if self.threads.is_empty() {
            return;
        }
        commands.retain(|command| self.is_live(command));
        let mut involved: Vec<LegId> = vec![];
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
                _ => {}
            }
            involved.push(command.leg);
            involved.extend(companions);
        }
        let Some(thread) = self.gather(involved) else { return };
        let closed: Vec<LegId> =
            commands.iter().filter(|c| matches!(c.action, Action::Close)).map(|c| c.leg).collect();
        self.order(thread, Order::Batch(commands));
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

    /// Bring legs, and all that have to be with them, to the thread where most of them are.
    fn gather(&mut self, legs: Vec<LegId>) -> Option<usize> {
        let first = legs.iter().find_map(|leg| self.entries.get(leg))?.thread;
        let component = self.component(legs);
        let mut counts = vec![0; self.threads.len()];
        for entry in component.iter().filter_map(|leg| self.entries.get(leg)) {
            counts[entry.thread] += 1;
        }
        let most = counts.iter().copied().max()?;
        let fullest = counts.iter().position(|&count| count == most)?;
        let thread = if counts[first] == most { first } else { fullest };
        let mut moving: HashMap<usize, Vec<LegId>> = HashMap::new();
        for leg in component {
            if let Some(entry) = self.entries.get_mut(&leg).filter(|entry| entry.thread != thread) {
                moving.entry(entry.thread).or_default().push(leg);
                self.threads[entry.thread].legs -= 1;
                self.threads[thread].legs += 1;
                entry.thread = thread;
            }
        }
        for (from, legs) in moving {
            let (to, handed) = channel();
            self.order(from, Order::Give { legs, to });
            self.order(thread, Order::Take(handed));
        }
        Some(thread)
    }

    fn forget(&mut self, leg: LegId) {
        self.enter(leg, None);
        let Some(entry) = self.entries.remove(&leg) else { return };
        self.threads[entry.thread].legs -= 1;
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
    use super::*;
    use crate::chance::Chance;

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

    /// How many legs each thread has, as it is counted and as it is.
    fn counts(engine: &Engine) -> (Vec<usize>, Vec<usize>) {
        let directory = engine.lock();
        let mut real = vec![0; directory.threads.len()];
        directory.entries.values().for_each(|entry| real[entry.thread] += 1);
        (directory.threads.iter().map(|thread| thread.legs).collect(), real)
    }

    #[test]
    fn the_legs_of_each_thread_are_counted_whatever_happens_to_them() {
        let engine = engine(3);
        let mut chance = Chance::new(11);
        let mut legs: Vec<LegId> = vec![];
        for _ in 0..600 {
            let pick = |chance: &mut Chance, legs: &[LegId]| legs[chance.next() as usize % legs.len()];
            match chance.next() % 6 {
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
                _ => {}
            }
            let (counted, real) = counts(&engine);
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
        assert_eq!(counts(&engine).0, [10; 4]);
        engine.stop();
    }
}
