//! Who is with whom: relays, rooms, holds.

use crate::command::Entrance;
use crate::event::{EventSender, LegId, PlayEnd, Told};
use crate::feed::Feed;
use crate::leg::{Leg, Path};
use crate::playback::{Item, Playback};
use crate::room::Room;
use crate::rooms::Rooms;
use crate::seat::{Part, Seat};
use crate::shard::Shard;
use crate::telephone_event::KeySet;

impl Shard {
    pub(super) fn join(&mut self, a: LegId, b: LegId, now: i64) {
        if a == b || !self.legs.contains(a) || !self.legs.contains(b) {
            return;
        }
        for (id, partner) in [(a, b), (b, a)] {
            self.part(id);
            if let Some(leg) = self.legs.get_mut(id) {
                leave(&mut self.rooms, leg, now, &self.events);
                leg.end_play(PlayEnd::Replaced, None, now, &self.events);
                leg.resume(PlayEnd::Replaced, now, &self.events);
                // Nothing was relayed yet: silence goes on until something is.
                leg.path = Path::Relay { partner, sent_ns: i64::MIN / 2 };
                leg.restart_relay();
                self.relays.watch(leg.rtp(), id);
            }
        }
    }

    pub(super) fn part(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(id) else { return };
        let Path::Relay { partner, .. } = leg.path else { return };
        for end in [id, partner] {
            if let Some(leg) = self.legs.get_mut(end) {
                leg.path = Path::Silence;
                self.relays.forget(leg.rtp());
            }
        }
    }

    /// Let a leg hear something else than whom it is with, who hear nothing of it.
    pub(super) fn hold(&mut self, id: LegId, playback: Option<Playback>, now: i64) {
        let Some(leg) = self.legs.get_mut(id) else { return };
        leg.hold(playback, now, &self.events);
        if let Path::Relay { partner, .. } = leg.path
            && let Some(other) = self.legs.get_mut(partner)
        {
            other.begin_silence();
            other.end_background();
        }
    }

    pub(super) fn enter_room(&mut self, id: LegId, entrance: Entrance, now: i64) {
        self.part(id);
        let Some(leg) = self.legs.get_mut(id) else { return };
        leg.end_play(PlayEnd::Replaced, None, now, &self.events);
        leg.resume(PlayEnd::Replaced, now, &self.events);
        leave(&mut self.rooms, leg, now, &self.events);
        let mut seat = Seat::new(entrance.room, entrance.part);
        seat.leave_sound = entrance.leave_sound;
        leg.seat = Some(Box::new(seat));
        leg.attune();
        let room = self.rooms.enter(entrance.room, id);
        if let Some(scale) = entrance.scale {
            room.fix(scale);
        }
        if let Some(sound) = entrance.enter_sound {
            room.play(once(sound), None);
        }
    }

    pub(super) fn leave_room(&mut self, id: LegId, now: i64) {
        if let Some(leg) = self.legs.get_mut(id) {
            leave(&mut self.rooms, leg, now, &self.events);
            leg.attune();
        }
    }

    pub(super) fn set_part(&mut self, id: LegId, part: Part) {
        if let Some(seat) = self.legs.get_mut(id).and_then(|leg| leg.seat.as_mut()) {
            seat.part = part;
        }
    }

    /// Play to everybody in a leg's room.  Alone, there is nobody to play to.
    pub(super) fn announce(&mut self, id: LegId, playback: Playback, now: i64) {
        let token = playback.token;
        match self.room_of(id) {
            Some(room) => room.play(playback, Some(id)),
            None => self.tell_unheard(id, token, now),
        }
    }

    /// Play to everybody in a leg's room what will be handed over.
    pub(super) fn feed_room(&mut self, id: LegId, feed: Feed, now: i64) {
        let token = feed.token;
        match self.room_of(id) {
            Some(room) => room.open_feed(feed, id),
            None => self.tell_unheard(id, token, now),
        }
    }

    fn room_of(&mut self, id: LegId) -> Option<&mut Room> {
        let room = self.legs.get(id)?.seat.as_ref()?.room;
        self.rooms.get_mut(room)
    }

    fn tell_unheard(&self, id: LegId, token: u64, now: i64) {
        let told = Told::PlayEnded { token, reason: PlayEnd::Stopped, key: None, played_ms: 0 };
        self.events.send(id, now, told);
    }

    pub(super) fn stop_announcement(&mut self, id: LegId, token: u64, now: i64) {
        let room = self.legs.get(id).and_then(|leg| leg.seat.as_ref()).map(|seat| seat.room);
        if let Some(room) = room.and_then(|room| self.rooms.get_mut(room)) {
            room.stop(id, token, now, &self.events);
        }
    }
}

/// Take a leg out of its room, if it is in one.
pub(super) fn leave(rooms: &mut Rooms, leg: &mut Leg, now: i64, events: &EventSender) {
    let Some(seat) = leg.seat.take() else { return };
    if let (Some(room), Some(sound)) = (rooms.get_mut(seat.room), seat.leave_sound) {
        room.play(once(sound), None);
    }
    rooms.leave(seat.room, leg.id, now, events);
}

fn once(sound: Item) -> Playback {
    Playback::new(0, vec![sound], 1, KeySet::default())
}
