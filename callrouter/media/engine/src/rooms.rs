//! The rooms of a thread.

use crate::event::{EventSender, LegId};
use crate::room::Room;
use crate::seat::RoomId;

/// By their names.
#[derive(Default)]
pub struct Rooms {
    rooms: std::collections::HashMap<u64, Room>,
}

impl Rooms {
    pub fn get(&self, id: RoomId) -> Option<&Room> {
        self.rooms.get(&id.0)
    }

    pub fn get_mut(&mut self, id: RoomId) -> Option<&mut Room> {
        self.rooms.get_mut(&id.0)
    }

    /// The room, made when its first member enters.
    pub fn enter(&mut self, id: RoomId, leg: LegId) -> &mut Room {
        let room = self.rooms.entry(id.0).or_insert_with(|| Room::new(id));
        room.members.push(leg);
        room
    }

    /// A member is gone; so is the room, with its last.
    pub fn leave(&mut self, id: RoomId, leg: LegId, at_ns: i64, events: &EventSender) {
        if let Some(room) = self.rooms.get_mut(&id.0) {
            room.leave(leg, at_ns, events);
            if room.members.is_empty() {
                self.rooms.remove(&id.0);
            }
        }
    }

    /// The room, if it moves to another thread: all its members are among `legs`.
    pub fn take(&mut self, id: RoomId, legs: &[LegId]) -> Option<Room> {
        let room = self.rooms.get(&id.0)?;
        if !room.members.iter().all(|member| legs.contains(member)) {
            return None;
        }
        self.rooms.remove(&id.0)
    }

    pub fn put(&mut self, room: Room) {
        self.rooms.insert(room.id.0, room);
    }
}
