//! A leg in a room, whatever the rates of both.

use crate::clock::samples_at;
use crate::coded::{MAX_CODED, WIDEST};
use crate::leg::speaking::Sound;
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

    /// Send what the room says; false without one.
    pub(super) fn hear_room(&mut self, due_ns: i64, now_ns: i64, around: &mut Around<'_>) -> bool {
        let (Some(seat), Some(remote)) = (&mut self.seat, &self.remote) else { return false };
        let Some(room) = around.rooms.get_mut(seat.room) else { return false };
        let mut turn =
            Turn { leg: self.id, seat, phase: self.phase, from: samples_at(due_ns), is_held: false };
        let Some(edge) = &mut self.edge else {
            room.hear(&mut turn, remote.codec, self.out.frame());
            self.send_audio(due_ns, now_ns);
            return true;
        };
        let (scale, mut space) = (edge.scale(), [0; MAX_CODED]);
        if let Some((packet, is_fresh)) = room.hear_coded(&mut turn, edge.codec, scale) {
            let length = packet.len();
            space[..length].copy_from_slice(packet);
            edge.was_shared();
            self.counters.encoded += u64::from(is_fresh);
            if self.sent.is_some() {
                room.hear(&mut turn, remote.codec, self.out.frame());
            }
            self.send_frame(Sound::Coded(&space[..length]), due_ns, now_ns);
        } else if scale > 1 {
            let mut wide = [0; WIDEST];
            let wide = &mut wide[..FRAME * scale];
            room.hear_apart(&mut turn, wide);
            self.send_wide(wide, due_ns, now_ns);
        } else {
            room.hear(&mut turn, remote.codec, self.out.frame());
            self.send_audio(due_ns, now_ns);
        }
        true
    }
}
