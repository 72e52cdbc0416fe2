//! A media thread: it wakes at every slot of the clock's grid, carries out orders, and serves the
//! legs whose 20 ms fall on that slot.
//!
//! The grid is the same for all threads, so a leg keeps its times when it moves.  A leg's socket
//! is read at its own slot, which saves a wake-up per packet; a relayed leg's whenever a slot
//! finds it readable, which keeps the delay of a relay below a slot.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};

use rustix::process::setpriority_process;
use rustix::thread::gettid;

use crate::clock::{SECOND, now_ns, sleep_until};
use crate::command::{Action, Command};
use crate::counters::{Counters, Totals};
use crate::event::{Event, EventSender, LegId, PlayEnd, RecordingEnd, Told};
use crate::leg::{Leg, MAX_READ, Path};
use crate::playback::Playback;
use crate::recording::{Recording, RecordingPlan, Track};
use crate::relays::Relays;
use crate::roster::{Roster, SLOT, SLOTS};
use crate::telephone_event::Press;
use crate::writer::Writer;

/// The longest datagram that can be RTP to us.
const MTU: usize = 2048;
/// Scheduling priority of a media thread: a packet late by a few milliseconds is heard.
const NICE: i32 = -10;
/// How often the running sums are brought up to date.
const PUBLISH: i64 = SECOND / 2;

pub enum Order {
    Adopt(Box<Leg>),
    /// Hand legs over to another thread.
    Give {
        legs: Vec<LegId>,
        to: Sender<Vec<Leg>>,
    },
    /// Wait for legs that another thread hands over, before any further order.
    Take(Receiver<Vec<Leg>>),
    Batch(Vec<Command>),
    Stop,
}

pub struct Shard {
    inbox: Receiver<Order>,
    waiting: VecDeque<Order>,
    legs: Roster,
    buffer: Box<[u8; MTU]>,
    relays: Relays,
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
            buffer: Box::new([0; MTU]),
            relays: Relays::new()?,
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
        let mut slot = now_ns() / SLOT;
        while !self.is_stopping {
            if self.legs.is_empty() {
                self.idle();
                slot = slot.max(now_ns() / SLOT);
            }
            self.orders();
            self.relay();
            self.hear_reports();
            self.serve(slot);
            self.publish(slot * SLOT);
            // A thread that was kept from running visits each leg once: what the leg then owes
            // is the leg's business.
            slot = (slot + 1).max(now_ns() / SLOT - SLOTS as i64 + 1);
            sleep_until(slot * SLOT);
        }
    }

    fn publish(&mut self, now: i64) {
        if now - self.published_ns < PUBLISH && !self.legs.is_empty() {
            return;
        }
        self.published_ns = now;
        let mut sums = self.counted.clone();
        self.legs.all().for_each(|leg| sums.add(&leg.counters));
        self.totals.publish(&sums, self.legs.len());
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
                    let given = legs.into_iter().filter_map(|id| self.remove(id)).collect();
                    // Gone: the taker stopped, and everything with it.
                    let _ = to.send(given);
                }
                Order::Take(from) => match from.try_recv() {
                    Ok(legs) => legs.into_iter().for_each(|leg| self.take(leg)),
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

    /// A leg from another thread; what fell due on the way is sent now.
    fn take(&mut self, mut leg: Leg) {
        leg.tick(now_ns(), &self.events);
        self.insert(leg);
    }

    fn insert(&mut self, leg: Leg) {
        if matches!(leg.path, Path::Relay { .. }) {
            self.relays.watch(leg.rtp(), leg.id);
        }
        self.reports.watch(leg.rtcp(), leg.id);
        self.legs.insert(leg);
    }

    fn remove(&mut self, id: LegId) -> Option<Leg> {
        let leg = self.legs.remove(id)?;
        if matches!(leg.path, Path::Relay { .. }) {
            self.relays.forget(leg.rtp());
        }
        self.reports.forget(leg.rtcp());
        Some(leg)
    }

    // ---------------------------------------------------------------------------------- serving

    fn serve(&mut self, slot: i64) {
        let phase = slot.rem_euclid(SLOTS as i64) as usize;
        let mut position = 0;
        while let Some(leg) = self.legs.at(phase, position) {
            let now = now_ns();
            // A relayed leg has been read when it had something to read.
            if !matches!(leg.path, Path::Relay { .. }) {
                leg.listen(&mut *self.buffer, now, &self.events);
            }
            leg.tick(now, &self.events);
            if !leg.recordings.is_empty() {
                let id = leg.id;
                self.record(id, now);
            }
            position += 1;
        }
    }

    fn relay(&mut self) {
        let ready = self.relays.poll();
        for &id in &ready {
            self.read(id, now_ns());
        }
        self.relays.reuse(ready);
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

    /// Read a relayed leg and pass on what it says.
    fn read(&mut self, id: LegId, now: i64) {
        for _ in 0..MAX_READ {
            let Some(leg) = self.legs.get_mut(id) else { return };
            let Some(received) = leg.receive(&mut *self.buffer, now, &self.events) else { return };
            let (Some((packet, kind)), Path::Relay { partner, .. }) = (received, &leg.path) else { continue };
            let partner = *partner;
            if let Some(other) = self.legs.get_mut(partner) {
                other.relay(&packet, kind, now);
            }
        }
    }

    fn record(&mut self, id: LegId, now: i64) {
        let Some(leg) = self.legs.get_mut(id) else { return };
        let mut recordings = std::mem::take(&mut leg.recordings);
        let mut over = vec![];
        recordings.retain_mut(|recording| {
            let ended = recording.advance(now, &self.writer, |track, from, mix| self.mix(track, from, mix));
            if ended {
                over.extend(recording.tracks());
            }
            !ended
        });
        if let Some(leg) = self.legs.get_mut(id) {
            leg.recordings = recordings;
        }
        if !over.is_empty() {
            self.drop_timelines(&over);
        }
    }

    fn mix(&self, track: Track, from: i64, mix: &mut [i32]) {
        let timeline = self
            .legs
            .get(track.leg)
            .and_then(|leg| if track.sent { leg.sent.as_ref() } else { leg.received.as_ref() });
        if let Some(timeline) = timeline {
            timeline.mix_into(from, mix);
        }
    }

    /// Free the timelines that no recording reads any more.
    fn drop_timelines(&mut self, tracks: &[Track]) {
        let wanted: Vec<Track> =
            self.legs.all().flat_map(|leg| leg.recordings.iter().flat_map(Recording::tracks)).collect();
        for track in tracks.iter().filter(|track| !wanted.contains(track)) {
            if let Some(leg) = self.legs.get_mut(track.leg) {
                let timeline = if track.sent { &mut leg.sent } else { &mut leg.received };
                *timeline = None;
            }
        }
    }

    // --------------------------------------------------------------------------------- commands

    fn carry_out(&mut self, command: Command, now: i64) {
        let id = command.leg;
        match command.action {
            Action::Join { with } => return self.join(id, with, now),
            Action::Part => return self.part(id),
            Action::Close => return self.close(id, now),
            Action::StartRecording(plan) => return self.start_recording(id, plan, now),
            Action::Play { .. } => self.part(id),
            _ => {}
        }
        let Some(leg) = self.legs.get_mut(id) else { return };
        match command.action {
            Action::SetRemote(agreed) => leg.set_remote(&agreed, now),
            Action::Play { token, items, loops, stop_keys } => {
                leg.end_play(PlayEnd::Replaced, None, now, &self.events);
                leg.path = Path::Play(Playback::new(token, items, loops, stop_keys));
            }
            Action::StopPlay => leg.end_play(PlayEnd::Stopped, None, now, &self.events),
            Action::StopRecording { token } => {
                for recording in leg.recordings.iter_mut().filter(|recording| recording.token == token) {
                    recording.end(RecordingEnd::Stopped, None, now);
                }
                self.record(id, now);
            }
            Action::SendDigits { token, keys } => leg.send_keys(token, &keys, now, &self.events),
            Action::FeedDigit { key, duration_ms } => {
                leg.pressed(Press { key, duration_ms }, now, &self.events);
            }
            Action::Join { .. } | Action::Part | Action::Close | Action::StartRecording(_) => {}
        }
    }

    fn join(&mut self, a: LegId, b: LegId, now: i64) {
        if a == b || !self.legs.contains(a) || !self.legs.contains(b) {
            return;
        }
        for (id, partner) in [(a, b), (b, a)] {
            self.part(id);
            if let Some(leg) = self.legs.get_mut(id) {
                leg.end_play(PlayEnd::Replaced, None, now, &self.events);
                // Nothing was relayed yet: silence goes on until something is.
                leg.path = Path::Relay { partner, sent_ns: i64::MIN / 2 };
                self.relays.watch(leg.rtp(), id);
            }
        }
    }

    fn part(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(id) else { return };
        let Path::Relay { partner, .. } = leg.path else { return };
        for end in [id, partner] {
            if let Some(leg) = self.legs.get_mut(end) {
                leg.path = Path::Silence;
                self.relays.forget(leg.rtp());
            }
        }
    }

    fn start_recording(&mut self, id: LegId, plan: RecordingPlan, now: i64) {
        if !self.legs.contains(id) {
            return;
        }
        for track in plan.channels.iter().flatten() {
            if let Some(leg) = self.legs.get_mut(track.leg) {
                let timeline = if track.sent { &mut leg.sent } else { &mut leg.received };
                timeline.get_or_insert_default();
            }
        }
        let sink = self.writer.open(plan.id, id, plan.token, plan.path.clone(), plan.channels.len() as u16);
        if let Some(leg) = self.legs.get_mut(id) {
            leg.has_recorded = true;
            leg.recordings.push(Recording::start(plan, sink, now));
        }
    }

    fn close(&mut self, id: LegId, now: i64) {
        self.read(id, now);
        self.part(id);
        let Some(leg) = self.legs.get_mut(id) else { return };
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
