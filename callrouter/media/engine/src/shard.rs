//! A media thread: it wakes at every slot of the clock's grid, carries out orders, and serves the
//! legs whose 20 ms fall on that slot.
//!
//! The grid is the same for all threads, so a leg keeps its times when it moves.  A leg's socket
//! is read at its own slot, which saves a wake-up per packet; a relayed leg's whenever a slot
//! finds it readable, which keeps the delay of a relay below a slot.

mod commands;
mod lines;
mod presence;
mod recordings;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};

use rustix::process::setpriority_process;
use rustix::thread::gettid;

use crate::clock::{SECOND, now_ns, sleep_until};
use crate::command::Command;
use crate::counters::{Counters, Totals};
use crate::event::{Event, EventSender, LegId, Told};
use crate::leg::{Around, Leg, MAX_READ, Path, Received};
use crate::load::Meter;
use crate::relays::Relays;
use crate::room::Room;
use crate::rooms::Rooms;
use crate::roster::{Roster, SLOT, SLOTS};
use crate::unread;
use crate::writer::Writer;

/// The longest datagram that can be RTP to us.
const MTU: usize = 2048;
/// Relayed packets that are read before they are passed on.
const GROUP: usize = 32;
/// Scheduling priority of a media thread: a packet late by a few milliseconds is heard.
const NICE: i32 = -10;
/// How often the running sums are brought up to date.
const PUBLISH: i64 = SECOND / 2;

/// Legs on their way to another thread, with the rooms that go with them.
pub struct Moving {
    legs: Vec<Leg>,
    rooms: Vec<Room>,
}

pub enum Order {
    Adopt(Box<Leg>),
    /// Hand legs over to another thread.
    Give {
        legs: Vec<LegId>,
        to: Sender<Moving>,
    },
    /// Wait for legs that another thread hands over, before any further order.
    Take(Receiver<Moving>),
    Batch(Vec<Command>),
    Stop,
}

pub struct Shard {
    inbox: Receiver<Order>,
    waiting: VecDeque<Order>,
    legs: Roster,
    rooms: Rooms,
    /// A tap has frames that nobody has been woken for.
    has_tapped: bool,
    /// For the packets of a group; the first is anybody's.
    buffers: Vec<[u8; MTU]>,
    relays: Relays,
    /// The ports of media that is passed on unread.
    lines: Relays,
    long_buffer: Box<[u8; unread::LONGEST]>,
    /// The RTCP sockets of all legs: a report is read when it comes.
    reports: Relays,
    events: EventSender,
    writer: Writer,
    /// Sums over the legs that are gone.
    counted: Counters,
    totals: Arc<Totals>,
    published_ns: i64,
    is_stopping: bool,
}

impl Shard {
    pub fn new(
        inbox: Receiver<Order>,
        events: EventSender,
        writer: Writer,
        totals: Arc<Totals>,
    ) -> std::io::Result<Self> {
        Ok(Self {
            inbox,
            waiting: VecDeque::new(),
            legs: Roster::default(),
            rooms: Rooms::default(),
            has_tapped: false,
            buffers: vec![[0; MTU]; GROUP],
            relays: Relays::new()?,
            lines: Relays::new()?,
            long_buffer: Box::new([0; unread::LONGEST]),
            reports: Relays::new()?,
            events,
            writer,
            counted: Counters::default(),
            totals,
            published_ns: 0,
            is_stopping: false,
        })
    }

    /// Serve until told to stop.
    pub fn run(mut self) {
        // Ahead of whatever else the machine does, where the system permits it.
        let _ = setpriority_process(Some(gettid()), NICE);
        let mut meter = Meter::default();
        let mut slot = now_ns() / SLOT;
        while !self.is_stopping {
            if self.legs.is_empty() {
                self.idle();
                slot = slot.max(now_ns() / SLOT);
            }
            self.orders();
            self.relay();
            self.pass_lines();
            self.hear_reports();
            self.serve(slot);
            self.publish(slot * SLOT, &mut meter);
            // A thread that was kept from running visits each leg once: what the leg then owes
            // is the leg's business.
            slot = (slot + 1).max(now_ns() / SLOT - SLOTS as i64 + 1);
            sleep_until(slot * SLOT);
        }
    }

    fn publish(&mut self, now: i64, meter: &mut Meter) {
        if now - self.published_ns < PUBLISH && !self.legs.is_empty() {
            return;
        }
        self.published_ns = now;
        let mut sums = self.counted.clone();
        let mut transcoding = 0;
        self.legs.all_mut().for_each(|leg| {
            sums.add(&leg.counters);
            transcoding += usize::from(leg.was_transcoded());
        });
        // Without legs it is about to wait for as long as there are none.
        let load = if self.legs.is_empty() { 0 } else { meter.read(now_ns()) };
        self.totals.publish(&sums, self.legs.len(), transcoding, load);
    }

    /// With no leg to serve there is nothing to wake for but orders.
    fn idle(&mut self) {
        if self.waiting.is_empty() {
            match self.inbox.recv() {
                Ok(order) => self.waiting.push_back(order),
                Err(_) => self.is_stopping = true,
            }
        }
    }

    fn orders(&mut self) {
        self.waiting.extend(self.inbox.try_iter());
        while let Some(order) = self.waiting.pop_front() {
            match order {
                Order::Adopt(leg) => self.adopt(*leg),
                Order::Give { legs, to } => {
                    // Gone: the taker stopped, and everything with it.
                    let _ = to.send(self.give(&legs));
                }
                Order::Take(from) => match from.try_recv() {
                    Ok(moving) => self.take(moving),
                    Err(TryRecvError::Empty) => return self.waiting.push_front(Order::Take(from)),
                    // The giver stopped, and its legs with it.
                    Err(TryRecvError::Disconnected) => {}
                },
                Order::Batch(commands) => {
                    let now = now_ns();
                    commands.into_iter().for_each(|command| self.carry_out(command, now));
                }
                Order::Stop => self.stop(),
            }
        }
    }

    fn adopt(&mut self, mut leg: Leg) {
        let emptiest = self.legs.emptiest();
        let next = now_ns() / SLOT + 1;
        let wait = (emptiest as i64 - next).rem_euclid(SLOTS as i64);
        leg.phase = emptiest;
        leg.due_ns = (next + wait) * SLOT;
        self.insert(leg);
    }

    /// Legs for another thread.  A room goes with them when all its members do; else those who go
    /// leave it.
    fn give(&mut self, ids: &[LegId]) -> Moving {
        let mut legs: Vec<Leg> = ids.iter().filter_map(|&id| self.remove(id)).collect();
        let mut rooms: Vec<Room> = vec![];
        for leg in &mut legs {
            let Some(id) = leg.seat.as_ref().map(|seat| seat.room) else { continue };
            if rooms.iter().any(|room| room.id == id) {
                continue;
            }
            match self.rooms.take(id, ids) {
                Some(room) => rooms.push(room),
                None => presence::leave(&mut self.rooms, leg, now_ns(), &self.events),
            }
        }
        Moving { legs, rooms }
    }

    /// Legs from another thread; what fell due on the way is sent now.
    fn take(&mut self, moving: Moving) {
        moving.rooms.into_iter().for_each(|room| self.rooms.put(room));
        for mut leg in moving.legs {
            leg.tick(now_ns(), &mut Around { events: &self.events, rooms: &mut self.rooms });
            self.insert(leg);
        }
    }

    fn insert(&mut self, leg: Leg) {
        if matches!(leg.path, Path::Relay { .. }) {
            self.relays.watch(leg.rtp(), leg.id);
        }
        self.reports.watch(leg.rtcp(), leg.id);
        lines::watch(&mut self.lines, &leg);
        self.legs.insert(leg);
    }

    fn remove(&mut self, id: LegId) -> Option<Leg> {
        let leg = self.legs.remove(id)?;
        if matches!(leg.path, Path::Relay { .. }) {
            self.relays.forget(leg.rtp());
        }
        self.reports.forget(leg.rtcp());
        lines::forget(&mut self.lines, &leg);
        Some(leg)
    }

    // ---------------------------------------------------------------------------------- serving

    fn serve(&mut self, slot: i64) {
        let phase = slot.rem_euclid(SLOTS as i64) as usize;
        let mut position = 0;
        while let Some(leg) = self.legs.at(phase, position) {
            // A relayed leg has been read when it had something to read.
            if !matches!(leg.path, Path::Relay { .. }) {
                leg.listen(&mut self.buffers[0], now_ns(), &self.events);
            }
            position += 1;
        }
        let mut position = 0;
        while let Some(leg) = self.legs.at(phase, position) {
            let now = now_ns();
            leg.tick(now, &mut Around { events: &self.events, rooms: &mut self.rooms });
            self.has_tapped |= !leg.taps.is_empty() && leg.advance_taps(now, &self.rooms);
            let (id, has_decoded, records) = (leg.id, leg.has_decoded(), !leg.recordings.is_empty());
            if has_decoded {
                self.pass_on(id, now);
            }
            if records {
                self.record(id, now);
            }
            position += 1;
        }
        // Once in 20 ms, however many taps there are.
        if phase == 0 && std::mem::take(&mut self.has_tapped) {
            self.events.raise();
        }
    }

    fn relay(&mut self) {
        let ready = self.relays.poll();
        ready.chunks(GROUP).for_each(|group| self.relay_group(group));
        self.relays.reuse(ready);
    }

    /// Read a packet of each leg, then pass all of them on: the system does either faster when it
    /// does the same many times over.
    fn relay_group(&mut self, group: &[LegId]) {
        let now = now_ns();
        let mut buffers = std::mem::take(&mut self.buffers);
        let mut heard = Vec::with_capacity(GROUP);
        let mut pressed = Vec::new();
        for (&id, buffer) in group.iter().zip(&mut buffers) {
            let Some(leg) = self.legs.get_mut(id) else { continue };
            let is_pressed = leg.is_pressed(now);
            let received = leg.receive(&mut buffer[..], now, &self.events).flatten();
            if is_pressed || leg.has_believed() {
                pressed.push(id);
            }
            if let (Some(received), Some(partner)) = (received, leg.speaks_to()) {
                heard.push((id, partner, received));
            }
        }
        for (id, partner, received) in heard {
            self.pass(id, partner, &received);
        }
        self.buffers = buffers;
        pressed.into_iter().for_each(|id| self.read(id, now));
    }

    fn hear_reports(&mut self) {
        let ready = self.reports.poll();
        for &id in &ready {
            if let Some(leg) = self.legs.get_mut(id) {
                leg.hear_reports();
            }
        }
        self.reports.reuse(ready);
    }

    /// Read all of a relayed leg and pass on what it says.
    fn read(&mut self, id: LegId, now: i64) {
        let mut buffers = std::mem::take(&mut self.buffers);
        for _ in 0..MAX_READ {
            let (Some(leg), Some(buffer)) = (self.legs.get_mut(id), buffers.first_mut()) else { break };
            let Some(received) = leg.receive(&mut buffer[..], now, &self.events) else { break };
            if let (Some(received), Some(partner)) = (received, leg.speaks_to()) {
                self.pass(id, partner, &received);
            }
        }
        self.buffers = buffers;
    }

    fn pass(&mut self, id: LegId, partner: LegId, received: &Received<'_>) {
        if let Some(other) = self.legs.get_mut(partner)
            && other.relay(&received.packet, received.kind, received.at_ns)
            && let Some(leg) = self.legs.get_mut(id)
        {
            leg.was_unread(received.at_ns);
        }
    }

    /// Give a leg's partner what was decoded in the leg's slot.
    fn pass_on(&mut self, id: LegId, now: i64) {
        let Some((partner, frames)) = self.legs.get_mut(id).and_then(Leg::take_decoded) else { return };
        let Some(other) = self.legs.get_mut(partner) else { return };
        frames.iter().for_each(|(timestamp, frame)| other.relay_decoded(*timestamp, frame, now));
    }

    fn close(&mut self, id: LegId, now: i64) {
        self.read(id, now);
        self.part(id);
        let Some(leg) = self.legs.get_mut(id) else { return };
        leg.end_taps(now, &self.rooms, &self.events);
        presence::leave(&mut self.rooms, leg, now, &self.events);
        leg.close(now, &self.events);
        self.record(id, now);
        let Some(leg) = self.remove(id) else { return };
        let counters = Box::new(leg.counters.clone());
        let has_recorded = leg.has_recorded;
        self.counted.add(&counters);
        // Whoever hears that the leg is closed may count on its ports.
        drop(leg);
        let event = Event { leg: id, at_ns: now, told: Told::LegClosed { counters } };
        if has_recorded {
            self.writer.tell(event);
        } else {
            self.events.send(event.leg, event.at_ns, event.told);
        }
    }

    fn stop(&mut self) {
        let now = now_ns();
        let all: Vec<LegId> = self.legs.all().map(|leg| leg.id).collect();
        all.into_iter().for_each(|id| self.close(id, now));
        self.is_stopping = true;
    }
}
