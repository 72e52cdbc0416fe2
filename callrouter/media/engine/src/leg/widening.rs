//! A leg in a room of more than 8 kHz.

use crate::clock::samples_at;
use crate::coded::WIDEST;
use crate::leg::{Around, Leg};
use crate::room::Turn;
use crate::rooms::Rooms;
use crate::rtp::FRAME;

impl Leg {
    /// Decode and encode at the rate of the leg's room, which is told what the leg could have.
    pub(super) fn tune(&mut self, rooms: &mut Rooms) {
        let mut scale = 1;
        if let Some(seat) = &mut self.seat
            && let Some(room) = rooms.get_mut(seat.room)
        {
            let width = self.edge.as_ref().map_or(1, |edge| edge.codec.width());
            if seat.width != width {
                seat.width = width;
                room.set_width(self.id, width);
            }
            scale = room.scale();
            seat.rescale(scale);
        }
        if let Some(edge) = &mut self.edge {
            edge.tune(scale);
        }
    }

    /// Send what the room says; false in one of 8 kHz.
    pub(super) fn hear_room_wide(&mut self, due_ns: i64, now_ns: i64, around: &mut Around<'_>) -> bool {
        let (Some(seat), Some(remote)) = (&mut self.seat, &self.remote) else { return false };
        let Some(room) = around.rooms.get_mut(seat.room).filter(|room| room.scale() > 1) else {
            return false;
        };
        let mut space = [0; WIDEST];
        let own = self.edge.as_ref().map_or(1, |edge| edge.scale());
        let wide = &mut space[..FRAME * own];
        let mut turn =
            Turn { leg: self.id, seat, phase: self.phase, from: samples_at(due_ns), is_held: false };
        room.hear_wide(&mut turn, wide);
        if own > 1 {
            self.send_wide(wide, due_ns, now_ns);
        } else {
            let codec = remote.codec;
            self.out.frame().iter_mut().zip(wide).for_each(|(word, sample)| *word = codec.encode(*sample));
            self.send_audio(due_ns, now_ns);
        }
        true
    }
}
