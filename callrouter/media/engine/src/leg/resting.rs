//! Silence that a far end does not send, but describes (RFC 3389): who listens to it hears noise, and
//! who is joined to it is told the same, or hears noise.

use crate::clock::samples_at;
use crate::comfort_noise::ComfortNoise;
use crate::event::EventSender;
use crate::g711::Codec;
use crate::leg::speaking::transmit;
use crate::leg::{Leg, Path};
use crate::rtp::{FRAME, Packet};

/// The far end is silent and has said how that sounds.
pub struct FarSilence {
    noise: ComfortNoise,
    /// Of the next frame of it, in the far end's time.
    timestamp: u32,
}

/// The partner's far end is.
pub struct Background {
    noise: ComfortNoise,
    /// Our far end has been told so, and needs no packets.
    is_told: bool,
}

impl Leg {
    /// The far end said what its silence sounds like.
    pub(super) fn hear_noise(&mut self, timestamp: u32, payload: &[u8]) {
        let seed = self.out.ssrc;
        let silence = self
            .far_silence
            .get_or_insert_with(|| Box::new(FarSilence { noise: ComfortNoise::new(seed), timestamp }));
        silence.noise.update(payload);
        silence.timestamp = timestamp;
        if let Some(edge) = &mut self.edge {
            edge.will_rest();
        }
    }

    /// A slot in which the far end is silent and has said so: whoever records it or is in a room with it
    /// hears noise, and nobody takes that for a voice.
    pub(super) fn hear_silence(&mut self, due_ns: i64, now_ns: i64, events: &EventSender) {
        let Some(silence) = &mut self.far_silence else { return };
        if self.edge.as_ref().is_some_and(|edge| !edge.is_resting()) {
            // What came before is still being decoded.
            return;
        }
        let timestamp = silence.timestamp;
        silence.timestamp = timestamp.wrapping_add(FRAME as u32);
        if self.received.is_none() && self.ear.is_none() {
            return;
        }
        let mut samples = [0; FRAME];
        silence.noise.fill(&mut samples);
        if let Some(timeline) = &mut self.received {
            let words = samples.map(|sample| Codec::Pcmu.encode(sample));
            timeline.write(timestamp, samples_at(due_ns), Codec::Pcmu, &words);
        }
        self.listen_to_silence(&samples, now_ns, events);
        if let Some(seat) = &mut self.seat {
            seat.hear(timestamp, true, None, &samples);
        }
    }

    /// What the partner heard is passed on, or nothing is any more: there is no silence to be made.
    pub fn end_background(&mut self) {
        self.background = None;
    }

    /// The partner's far end says what its silence sounds like.
    pub(super) fn relay_noise(&mut self, packet: &Packet<'_>, now_ns: i64) {
        let (Some(remote), Path::Relay { sent_ns, .. }, None, None) =
            (&self.remote, &mut self.path, &self.sending, &self.hold)
        else {
            return;
        };
        let seed = self.key_timestamp ^ self.out.ssrc;
        let background = self
            .background
            .get_or_insert_with(|| Box::new(Background { noise: ComfortNoise::new(seed), is_told: false }));
        background.noise.update(packet.payload);
        let target = remote.source.target().filter(|_| remote.may_send);
        let (Some(noise_type), Some(target)) = (remote.noise_type, target) else {
            // Its own slots begin at once.
            *sent_ns = i64::MIN / 2;
            return;
        };
        background.is_told = true;
        if let Some((_, bytes)) = self.out.relay(packet, noise_type, None, now_ns) {
            *sent_ns = now_ns;
            transmit(&self.ports, target, bytes, &mut self.protection, &mut self.counters);
            self.counters.relayed += 1;
        }
    }

    /// A slot in which our far end makes the partner's silence itself: nothing is sent, but what it hears
    /// is recorded.  False where it has to be sent something.
    pub(super) fn rests(&mut self, due_ns: i64) -> bool {
        if self.hold.is_some() || !matches!(self.path, Path::Relay { .. }) {
            return false;
        }
        let Some(background) = self.background.as_mut().filter(|background| background.is_told) else {
            return false;
        };
        if let (Some(timeline), Some(remote)) = (&mut self.sent, &self.remote) {
            let mut samples = [0; FRAME];
            background.noise.fill(&mut samples);
            let words = samples.map(|sample| remote.codec.encode(sample));
            timeline.write(self.out.timestamp_at(due_ns), samples_at(due_ns), remote.codec, &words);
        }
        true
    }

    /// What is sent where there is nothing to send: silence as the partner's far end has it.
    pub(super) fn fill_silence(&mut self, codec: Codec) {
        let background = self.background.as_mut().filter(|_| self.hold.is_none());
        match background.filter(|_| matches!(self.path, Path::Relay { .. })) {
            Some(background) => {
                let mut samples = [0; FRAME];
                background.noise.fill(&mut samples);
                *self.out.frame() = samples.map(|sample| codec.encode(sample));
            }
            None => self.out.frame().fill(codec.silence()),
        }
    }
}
