//! A leg whose far end speaks another codec than G.711: what is decoded in its slots, and what is
//! encoded for it.

use crate::clock::samples_at;
use crate::coded::{Decoded, Edge};
use crate::event::{EventSender, LegId};
use crate::g711::Codec;
use crate::leg::{Kind, Leg, Path};
use crate::outgoing::RELAY_GAP;
use crate::rtp::{FRAME, Packet};

impl Leg {
    /// Have an edge for the codec that was agreed on, and go on with the one there is.
    pub(super) fn set_edge(&mut self, coded: Option<crate::coded::Codec>) {
        if self.edge.as_ref().map(|edge| edge.codec) != coded {
            self.edge = coded.map(|codec| Box::new(Edge::new(codec)));
            self.out.set_scale(coded.map_or(1, |codec| codec.scale()));
        }
    }

    /// The leg was joined: what is relayed now is another stream than before, whatever its numbers.
    pub fn restart_relay(&mut self) {
        self.out.release();
        self.passed_key = None;
        self.end_background();
        if let Some(edge) = &mut self.edge {
            edge.relayed.restart();
        }
        self.regrouping = None;
    }

    /// Decode what is due, and hear it.
    pub(super) fn hear_coded(&mut self, due_ns: i64, now_ns: i64, events: &EventSender) {
        let Some(edge) = &mut self.edge else { return };
        let listens = self.received.is_some() || self.ear.is_some() || self.seat.is_some();
        let frame = edge.decode(listens, now_ns);
        let counts = edge.counts;
        let counters = &mut self.counters;
        (counters.concealed, counters.recovered) = (counts.concealed, counts.recovered);
        counters.too_late = counts.too_late;
        if let Some(seat) = &mut self.seat {
            seat.hear_wide(edge.take_wide());
        }
        let Some(frame) = frame else { return };
        counters.decoded += 1;
        let timestamp = samples_at(due_ns) as u32;
        let packet =
            Packet { marker: false, payload_type: 0, sequence: 0, timestamp, ssrc: 0, payload: &frame };
        self.hear(&packet, Codec::Pcmu, true, now_ns, events);
        if matches!(self.path, Path::Relay { .. })
            && self.hold.is_none()
            && let Some(edge) = &mut self.edge
        {
            edge.decoded.push((timestamp, frame));
        }
    }

    /// Whether something was decoded that the partner has to be given.
    pub fn has_decoded(&self) -> bool {
        self.edge.as_ref().is_some_and(|edge| !edge.decoded.is_empty())
    }

    /// The partner, and what was decoded for it, by timestamp.
    pub fn take_decoded(&mut self) -> Option<(LegId, Vec<Decoded>)> {
        let decoded = self.edge.as_mut().map(|edge| std::mem::take(&mut edge.decoded))?;
        match self.path {
            Path::Relay { partner, .. } => Some((partner, decoded)),
            _ => None,
        }
    }

    /// Pass on a frame that the partner's edge has decoded.
    pub fn relay_decoded(&mut self, timestamp: u32, frame: &[u8; FRAME], now_ns: i64) {
        // One a slot: its place says its number as well.
        let sequence = (timestamp / FRAME as u32) as u16;
        let packet = Packet { marker: false, payload_type: 0, sequence, timestamp, ssrc: 0, payload: frame };
        self.pass_on(&packet, Kind::Audio(Codec::Pcmu), now_ns);
    }

    /// What was passed on to the partner unread.
    pub fn was_unread(&mut self, now_ns: i64) {
        if let Some(edge) = &mut self.edge {
            edge.was_unread(now_ns);
        }
    }

    /// Whether the slot is filled with what is relayed to this leg in another codec, or in longer packets
    /// than its far end takes.
    pub(super) fn relays_regrouped(&mut self, codec: Codec, due_ns: i64) -> bool {
        let is_free = matches!(self.path, Path::Relay { sent_ns, .. } if due_ns - sent_ns >= RELAY_GAP);
        let edge = self.edge.as_mut().map(|edge| &mut edge.relayed);
        match edge.or(self.regrouping.as_deref_mut()) {
            Some(relayed) if is_free && self.hold.is_none() => {
                relayed.fill(codec, due_ns, RELAY_GAP, self.out.frame())
            }
            _ => false,
        }
    }

    /// Whether the leg has decoded or encoded since the last look.
    pub fn was_transcoded(&mut self) -> bool {
        self.edge.as_mut().is_some_and(|edge| std::mem::take(&mut edge.is_busy))
    }
}
