//! Lines of media that is passed on unread, from one leg to another.

use crate::clock::now_ns;
use crate::event::LegId;
use crate::inbox::Limit;
use crate::leg::Leg;
use crate::relays::Relays;
use crate::shard::Shard;
use crate::unread::{Line, LineId, MAX_READ, Place, Port};

impl Shard {
    pub(super) fn open_line(&mut self, id: LegId, line: Line) {
        let Some(leg) = self.legs.get_mut(id) else { return };
        line.sockets().into_iter().for_each(|socket| {
            self.lines.watch(socket, id);
        });
        leg.lines.push(line);
    }

    pub(super) fn join_lines(&mut self, a: (LegId, LineId), b: (LegId, LineId)) {
        for ((id, line), partner) in [(a, b), (b, a)] {
            if let Some(line) = self.legs.get_mut(id).and_then(|leg| line_of(leg, line)) {
                line.partner = Some(partner);
            }
        }
    }

    pub(super) fn close_line(&mut self, id: LegId, line: LineId) {
        let Some(leg) = self.legs.get_mut(id) else { return };
        let Some(at) = leg.lines.iter().position(|one| one.id == line) else { return };
        let closed = leg.lines.swap_remove(at);
        closed.sockets().into_iter().for_each(|socket| self.lines.forget(socket));
        leg.has_lived(closed.heard_ns());
    }

    /// Read every line that has something, and pass it on.
    pub(super) fn pass_lines(&mut self) {
        let ready = self.lines.poll();
        for &id in &ready {
            if self.inbox.holds(id) {
                self.lines.name(id);
                continue;
            }
            let count = self.legs.get(id).map_or(0, |leg| leg.lines.len());
            for at in 0..count {
                self.pass_line(id, at, Port::Media, None);
                self.pass_line(id, at, Port::Control, None);
            }
            self.attend();
        }
        self.lines.reuse(ready);
    }

    /// Hear what came before orders were given as it was agreed until then.
    pub(super) fn settle_lines(&mut self, id: LegId, given_ns: i64) {
        for at in 0..self.legs.get(id).map_or(0, |leg| leg.lines.len()) {
            self.pass_line(id, at, Port::Media, Some(given_ns));
        }
    }

    fn pass_line(&mut self, id: LegId, at: usize, port: Port, before: Option<i64>) {
        let now = now_ns();
        for _ in 0..MAX_READ {
            let Some(leg) = self.legs.get_mut(id) else { return };
            let Some(line) = leg.lines.get_mut(at) else { return };
            let mut limit = before.map_or(Limit::Orders(&mut self.inbox), Limit::Before);
            let received = line.receive(port, &mut *self.long_buffer, now, &mut leg.counters, &mut limit);
            if line.has_put_back() {
                self.lines.name(id);
            }
            let Some(length) = received else { return };
            let (Some(length), Some((partner, other))) = (length, line.partner) else { continue };
            let Some(leg) = self.legs.get_mut(partner) else { continue };
            if let Some(line) = leg.lines.iter_mut().find(|one| one.id == other) {
                line.pass(port, &self.long_buffer[..length], now, &mut leg.counters);
            }
        }
    }
}

pub(super) fn set_place(leg: &mut Leg, line: LineId, place: Place, now_ns: i64) {
    if let Some(line) = line_of(leg, line) {
        line.set_place(place, now_ns);
    }
}

fn line_of(leg: &mut Leg, line: LineId) -> Option<&mut Line> {
    leg.lines.iter_mut().find(|one| one.id == line)
}

pub(super) fn watch(watched: &mut Relays, leg: &Leg) {
    for socket in leg.lines.iter().flat_map(Line::sockets) {
        watched.watch(socket, leg.id);
    }
}

pub(super) fn forget(watched: &mut Relays, leg: &Leg) {
    leg.lines.iter().flat_map(Line::sockets).for_each(|socket| watched.forget(socket));
}
