//! A thread carries out its orders in turn, and brings each leg's past to an end before its path changes.

use std::sync::mpsc::{Receiver, Sender, TryRecvError};

use crate::clock::now_ns;
use crate::command::Command;
use crate::event::LegId;
use crate::leg::{Around, Leg};
use crate::room::Room;
use crate::roster::{SLOT, SLOTS};
use crate::shard::{Shard, presence};

/// Legs on their way to another thread, with the rooms that go with them.
pub struct Moving {
    legs: Vec<Leg>,
    rooms: Vec<Room>,
}

/// `given_ns` is when, by the wall clock.
pub enum Order {
    Adopt(Box<Leg>),
    /// Hand legs over to another thread.
    Give {
        legs: Vec<LegId>,
        to: Sender<Moving>,
        given_ns: i64,
    },
    /// Wait for legs that another thread hands over, before any further order.
    Take(Receiver<Moving>),
    Batch {
        commands: Vec<Command>,
        given_ns: i64,
    },
    Stop,
}

impl Order {
    /// The legs for which something else holds once it is carried out.
    pub fn legs(&self) -> Vec<LegId> {
        match self {
            Self::Give { legs, .. } => legs.clone(),
            Self::Batch { commands, .. } => parted(commands),
            Self::Adopt(_) | Self::Take(_) | Self::Stop => vec![],
        }
    }
}

/// The legs of which commands part what was heard before from what is heard after.
fn parted(commands: &[Command]) -> Vec<LegId> {
    let parting = commands.iter().filter(|command| command.action.parts_what_is_heard());
    parting.flat_map(|command| std::iter::once(command.leg).chain(command.companions())).collect()
}

impl Shard {
    /// Carry out what has come.
    pub(super) fn orders(&mut self) {
        self.inbox.open();
        while let Some(order) = self.inbox.pop() {
            match order {
                Order::Adopt(leg) => self.adopt(*leg),
                Order::Give { legs, to, given_ns } => {
                    // Gone: the taker stopped, and everything with it.
                    let _ = to.send(self.give(&legs, given_ns));
                }
                Order::Take(from) => match from.try_recv() {
                    Ok(moving) => self.take(moving),
                    Err(TryRecvError::Empty) => return self.wait_for(Order::Take(from)),
                    // The giver stopped, and its legs with it.
                    Err(TryRecvError::Disconnected) => {}
                },
                Order::Batch { commands, given_ns } => {
                    self.settle(parted(&commands), given_ns);
                    let now = now_ns();
                    commands.into_iter().for_each(|command| self.carry_out(command, now));
                }
                Order::Stop => self.stop(),
            }
        }
    }

    /// Carry out what has come while something was read.
    pub(super) fn attend(&mut self) {
        if self.inbox.has_news() {
            self.orders();
        }
    }

    fn wait_for(&mut self, order: Order) {
        self.inbox.wait_for(order);
        let held: Vec<LegId> = self.inbox.held().collect();
        self.partners(&held).into_iter().for_each(|partner| self.inbox.hold(partner));
    }

    /// Who is joined to legs.
    fn partners(&self, legs: &[LegId]) -> Vec<LegId> {
        legs.iter().filter_map(|&id| self.legs.get(id)?.partner()).collect()
    }

    /// Hear what came for legs, and for whom they are joined to, before orders were given: on the paths that
    /// they are on.  What came after is left for the paths that they will be on.
    fn settle(&mut self, mut legs: Vec<LegId>, given_ns: i64) {
        legs.extend(self.partners(&legs));
        legs.sort_unstable();
        legs.dedup();
        let now = now_ns();
        for id in legs {
            if self.legs.get(id).is_some_and(Leg::is_heard) {
                while self.hear(id, now, Some(given_ns)) {}
            }
            if self.legs.get(id).is_some_and(Leg::has_put_back) {
                // It may be relayed from now on, and nobody else knows of what waits.
                self.relays.name(id);
            }
            self.settle_lines(id, given_ns);
        }
    }

    pub(super) fn adopt(&mut self, mut leg: Leg) {
        let emptiest = self.legs.emptiest();
        let next = now_ns() / SLOT + 1;
        let wait = (emptiest as i64 - next).rem_euclid(SLOTS as i64);
        leg.phase = emptiest;
        leg.due_ns = (next + wait) * SLOT;
        self.insert(leg);
    }

    /// Legs for another thread.  A room goes with them when all its members do; else those who go
    /// leave it.
    fn give(&mut self, ids: &[LegId], given_ns: i64) -> Moving {
        self.settle(ids.to_vec(), given_ns);
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
}
