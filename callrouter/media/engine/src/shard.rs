//! A media thread: it wakes at every slot of the clock's grid, carries out orders, and serves the
//! legs whose 20 ms fall on that slot.
//!
//! The grid is the same for all threads, so a leg keeps its times when it moves.  A leg's socket
//! is read at its own slot, which saves a wake-up per packet; a relayed leg's whenever a slot
//! finds it readable, which keeps the delay of a relay below a slot.

mod commands;
mod lines;
mod orders;
mod presence;
mod recordings;
#[cfg(test)]
mod switching;

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use rustix::process::setpriority_process;
use rustix::thread::gettid;

use crate::clock::{SECOND, now_ns, sleep_until};
use crate::counters::{Counters, Totals};
use crate::event::{Event, EventSender, LegId, Told};
use crate::inbox::{Inbox, Limit};
use crate::leg::{Around, Leg, MAX_READ, Path, Received};
use crate::load::Meter;
use crate::relays::Relays;
use crate::rooms::Rooms;
use crate::roster::{Roster, SLOT, SLOTS};
use crate::unread;
use crate::writer::Writer;

pub use orders::Order;

/// The longest datagram that can be RTP to us.
const MTU: usize = 2048;
/// Relayed packets that are read before they are passed on.
const GROUP: usize = 32;
/// Scheduling priority of a media thread: a packet late by a few milliseconds is heard.
const NICE: i32 = -10;
/// How often the running sums are brought up to date.
const PUBLISH: i64 = SECOND / 2;

pub struct Shard {
    inbox: Inbox,
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
            inbox: Inbox::new(inbox),
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
        self.is_stopping |= !self.inbox.wait();
    }

    fn insert(&mut self, leg: Leg) {
        if matches!(leg.path, Path::Relay { .. }) {
            self.relays.watch(leg.rtp(), leg.id);
        }
        if leg.has_put_back() {
            self.relays.name(leg.id);
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
        // From the last on: an order that takes a leg away puts the last in its place.
        let mut position = self.legs.count(phase);
        while let Some(next) = position.checked_sub(1) {
            // A relayed leg has been read when it had something to read.
            if let Some(leg) = self.legs.at(phase, next)
                && !matches!(leg.path, Path::Relay { .. })
                && !self.inbox.holds(leg.id)
            {
                let limit = &mut Limit::Orders(&mut self.inbox);
                leg.listen(&mut self.buffers[0], now_ns(), &self.events, limit);
            }
            if self.inbox.has_news() {
                // What was read before them is still to be heard.
                self.orders();
            } else {
                position = next;
            }
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
        let mut rest = &ready[..];
        while !rest.is_empty() {
            let read = self.relay_group(&rest[..rest.len().min(GROUP)]);
            rest = &rest[read..];
            self.attend();
        }
        self.relays.reuse(ready);
    }

    /// Read a packet of each leg, then pass all of them on: the system does either faster when it
    /// does the same many times over.  How many legs were read: not all where orders come.
    fn relay_group(&mut self, group: &[LegId]) -> usize {
        let now = now_ns();
        let mut buffers = std::mem::take(&mut self.buffers);
        let mut heard = Vec::with_capacity(GROUP);
        let mut pressed = Vec::new();
        let mut read = 0;
        for (&id, buffer) in group.iter().zip(&mut buffers) {
            let Some(leg) = self.legs.get_mut(id) else {
                read += 1;
                continue;
            };
            if self.inbox.holds(id) {
                self.relays.name(id);
                read += 1;
                continue;
            }
            let limit = &mut Limit::Orders(&mut self.inbox);
            let received = leg.receive(&mut buffer[..], now, &self.events, limit).flatten();
            if self.inbox.has_news() {
                break;
            }
            read += 1;
            if leg.is_pressed(now) || leg.has_believed() {
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
        read
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

    /// Read all of a leg and pass on what it says, until orders come.
    fn read(&mut self, id: LegId, now: i64) {
        for _ in 0..MAX_READ {
            if !self.hear(id, now, None) {
                break;
            }
        }
    }

    /// Read a datagram of a leg, where there is one that came before the wall clock's `before` or, where
    /// that is not given, before any further order; pass on what it says.
    fn hear(&mut self, id: LegId, now: i64, before: Option<i64>) -> bool {
        let mut buffers = std::mem::take(&mut self.buffers);
        let mut limit = before.map_or(Limit::Orders(&mut self.inbox), Limit::Before);
        let received = match (self.legs.get_mut(id), buffers.first_mut()) {
            (Some(leg), Some(buffer)) => {
                let received = leg.receive(&mut buffer[..], now, &self.events, &mut limit);
                if leg.has_put_back() {
                    self.relays.name(id);
                }
                received.map(|received| received.zip(leg.speaks_to()))
            }
            _ => None,
        };
        let has_read = received.is_some();
        if let Some((received, partner)) = received.flatten() {
            self.pass(id, partner, &received);
        }
        self.buffers = buffers;
        has_read
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
        all.iter().for_each(|&id| self.read(id, now));
        all.into_iter().for_each(|id| self.close(id, now));
        self.is_stopping = true;
    }
}
