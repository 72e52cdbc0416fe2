//! What a leg sends in each of its slots: keys, a playback, what its partner says, silence.

use std::net::SocketAddr;

use crate::clock::{MILLISECOND, samples_at};
use crate::coded::{self, MAX_CODED};
use crate::counters::Counters;
use crate::event::{EventSender, PlayEnd, Told};
use crate::g711::Codec;
use crate::leg::{Around, Hold, Kind, Leg, Path, Remote, Sending, TICK};
use crate::playback::{Playback, Slot};
use crate::ports::PortPair;
use crate::room::Turn;
use crate::rtp::{FRAME, HEADER, Packet};
use crate::srtp::Protection;
use crate::telephone_event::{KeyFrame, KeySender, Passed, PassedKey, rescaled};
use crate::tone;

/// A packet sent later than this after its time is a late one.
const LATE: i64 = 5 * MILLISECOND;
/// Sending that is further behind than this gives up what it missed.
const GIVE_UP: i64 = 200 * MILLISECOND;
/// Samples in packets of 20, 10 and 5 ms.
const PACKETS: [usize; 3] = [FRAME, FRAME / 2, SHORTEST];
const SHORTEST: usize = FRAME / 4;

/// What is sent in a slot.
pub(super) enum Sound<'a> {
    /// What is in the outgoing frame.
    Frame,
    /// At the rate of the leg's edge, above 8 kHz.
    Wide(&'a [i16]),
    /// Encoded for several legs.
    Coded(&'a [u8]),
}

impl Remote {
    /// Samples, and octets, in the packets of our own slots.  Those of Opus cannot be cut.
    fn packet(&self) -> usize {
        match self.coded {
            Some(coded::Codec::Opus) => usize::MAX,
            _ => PACKETS.into_iter().find(|packet| *packet <= self.longest).unwrap_or(SHORTEST),
        }
    }

    /// A packet of G.711 or G.722 is longer than the far end takes.
    fn is_too_long(&self, packet: &Packet<'_>) -> bool {
        self.coded != Some(coded::Codec::Opus) && packet.payload.len() > self.longest
    }
}

impl Leg {
    /// Let the leg hear something else, or silence, than its relay or room.
    pub fn hold(&mut self, playback: Option<Playback>, now_ns: i64, events: &EventSender) {
        self.resume(PlayEnd::Replaced, now_ns, events);
        self.hold = Some(Box::new(Hold { playback }));
        self.begin_silence();
    }

    /// Back to the relay or room.
    pub fn resume(&mut self, reason: PlayEnd, now_ns: i64, events: &EventSender) {
        let Some(hold) = self.hold.take() else { return };
        self.out.release();
        if let Some(playback) = hold.playback {
            let (token, played_ms) = (playback.token, playback.played_ms());
            events.send(self.id, now_ns, Told::PlayEnded { token, reason, key: None, played_ms });
        }
    }

    /// Nothing is relayed to this leg for now: its own slots begin at once.
    pub fn begin_silence(&mut self) {
        if let Path::Relay { sent_ns, .. } = &mut self.path {
            *sent_ns = i64::MIN / 2;
        }
        self.out.release();
    }

    pub fn send_keys(&mut self, token: u64, keys: &str, now_ns: i64, events: &EventSender) {
        if let Some(before) = self.sending.replace(Sending { token, keys: KeySender::new(keys) }) {
            events.send(self.id, now_ns, Told::DigitsSent { token: before.token });
        }
    }

    /// Send what is due and look after everything that goes by the clock.
    pub fn tick(&mut self, now_ns: i64, around: &mut Around<'_>) {
        // What the thread slept through is made up for; but whoever slept as well, on this machine
        // or in this thread, is about to say what it owes.
        let is_behind = now_ns - self.due_ns >= TICK;
        if now_ns - self.due_ns > GIVE_UP {
            let missed = (now_ns - self.due_ns) / TICK;
            self.due_ns += missed * TICK;
            // The far end is to take the gap for silence and not for loss.
            self.out.mark();
            if self.remote.as_ref().is_some_and(|remote| remote.may_send) {
                self.counters.skipped_sends += missed as u64;
            }
        }
        while self.due_ns <= now_ns {
            let due_ns = self.due_ns;
            self.due_ns += TICK;
            self.slot(due_ns, now_ns, is_behind, around);
        }
        let events = around.events;
        self.tend_browser(now_ns, events);
        if let Some(press) = self.keys.poll(now_ns) {
            self.pressed(press, false, now_ns, events);
        }
        self.hear_nothing(now_ns, events);
        self.watch(now_ns, events);
        self.report(now_ns, false);
    }

    fn slot(&mut self, due_ns: i64, now_ns: i64, is_behind: bool, around: &mut Around<'_>) {
        let Some(remote) = &self.remote else { return };
        let (codec, events) = (remote.codec, around.events);
        self.tune(around.rooms);
        self.hear_coded(due_ns, now_ns, events);
        self.hear_silence(due_ns, now_ns, events);
        self.speak(due_ns, now_ns, around);
        if let Some(sending) = &mut self.sending {
            match sending.keys.frame() {
                KeyFrame::Event { payload, frame } => return self.send_event(due_ns, now_ns, payload, frame),
                KeyFrame::Silence => {
                    self.out.frame().fill(codec.silence());
                    return self.send_audio(due_ns, now_ns);
                }
                KeyFrame::Done => {
                    let token = sending.token;
                    self.sending = None;
                    events.send(self.id, now_ns, Told::DigitsSent { token });
                }
            }
        }
        if self.rests(due_ns) {
            return;
        }
        if self.relays_regrouped(codec, due_ns) {
            return self.send_audio(due_ns, now_ns);
        }
        match &mut self.path {
            Path::Relay { sent_ns, .. } if due_ns - *sent_ns < self.out.relay_gap_ns => {}
            Path::Relay { .. } if is_behind && self.hold.is_none() => {}
            Path::Relay { .. } | Path::Silence => self.rest(codec, due_ns, now_ns, around),
            Path::Feed(feed) => {
                let (id, token) = (self.id, feed.token);
                feed.fill(codec, self.out.frame(), |mark| {
                    events.send(id, now_ns, Told::MarkReached { token, mark, cleared: false });
                });
                self.send_audio(due_ns, now_ns);
            }
            Path::Play(_) => self.play_on(codec, due_ns, now_ns, events),
        }
    }

    /// Say to the room what the far end says.
    fn speak(&mut self, due_ns: i64, now_ns: i64, around: &mut Around<'_>) {
        let Some(seat) = &mut self.seat else { return };
        let Some(room) = around.rooms.get_mut(seat.room) else { return };
        let (from, is_held) = (samples_at(due_ns), self.hold.is_some());
        let mut turn = Turn { leg: self.id, seat, phase: self.phase, from, is_held };
        room.speak(&mut turn, now_ns, around.events);
    }

    /// What a leg sends that nothing is played to: the hold's audio, the room's, silence.
    fn rest(&mut self, codec: Codec, due_ns: i64, now_ns: i64, around: &mut Around<'_>) {
        if let Some(hold) = &mut self.hold {
            match hold.playback.as_mut().map(|playback| playback.fill(codec, self.out.frame())) {
                Some(Slot::Audio) => return self.send_audio(due_ns, now_ns),
                Some(Slot::Late) => return self.send_late(due_ns, now_ns),
                Some(Slot::Key { payload, frame }) => {
                    return self.send_event(due_ns, now_ns, payload, frame);
                }
                Some(Slot::Finished) => {
                    let over = hold.playback.take();
                    self.tell_finished(over, now_ns, around.events);
                }
                None => {}
            }
        } else if self.hear_room(due_ns, now_ns, around) {
            return;
        }
        self.fill_silence(codec);
        self.send_audio(due_ns, now_ns);
    }

    /// Send 20 ms at the rate of the leg's edge, which is above 8 kHz.
    pub(super) fn send_wide(&mut self, wide: &[i16], due_ns: i64, now_ns: i64) {
        if self.sent.is_some()
            && let Some(frame) = self.edge.as_mut().and_then(|edge| edge.narrowed(wide))
        {
            self.out.frame().copy_from_slice(&frame);
        }
        self.send_frame(Sound::Wide(wide), due_ns, now_ns);
    }

    pub(super) fn send_audio(&mut self, due_ns: i64, now_ns: i64) {
        self.send_frame(Sound::Frame, due_ns, now_ns);
    }

    pub(super) fn send_late(&mut self, due_ns: i64, now_ns: i64) {
        self.counters.late_prompts += 1;
        self.send_audio(due_ns, now_ns);
    }

    pub(super) fn send_frame(&mut self, sound: Sound<'_>, due_ns: i64, now_ns: i64) {
        let Some(remote) = &self.remote else { return };
        let timestamp = self.out.begin_frame(due_ns);
        let Some(target) = remote.source.target().filter(|_| remote.may_send) else { return };
        if let Some(timeline) = &mut self.sent {
            timeline.write(timestamp, samples_at(due_ns), remote.codec, self.out.frame());
        }
        let (number, length) = (remote.payload_type, remote.packet());
        let mut space = [0; MAX_CODED];
        let mut payload = match &mut self.edge {
            None if length >= FRAME => {
                let bytes = self.out.audio_packet(number, timestamp);
                transmit(&self.ports, target, bytes, &mut self.protection, &mut self.counters);
                return self.count_late(due_ns, now_ns);
            }
            None => {
                space[..FRAME].copy_from_slice(self.out.frame());
                &space[..FRAME]
            }
            Some(edge) => {
                self.counters.encoded += u64::from(!matches!(sound, Sound::Coded(_)));
                match sound {
                    Sound::Coded(packet) => packet,
                    Sound::Wide(samples) => edge.encode_samples(samples, &mut space),
                    Sound::Frame => edge.encode(self.out.frame(), &mut space),
                }
            }
        };
        let mut timestamp = timestamp;
        loop {
            let (piece, rest) = payload.split_at(length.min(payload.len()));
            let bytes = self.out.coded_packet(number, timestamp, piece);
            transmit(&self.ports, target, bytes, &mut self.protection, &mut self.counters);
            if rest.is_empty() {
                break;
            }
            (payload, timestamp) = (rest, timestamp.wrapping_add(length as u32));
        }
        self.count_late(due_ns, now_ns);
    }

    pub(super) fn send_event(&mut self, due_ns: i64, now_ns: i64, payload: [u8; 4], frame: u16) {
        let timestamp = self.out.begin_frame(due_ns);
        if frame == 0 {
            self.key_timestamp = timestamp;
        }
        let Some(remote) = &self.remote else { return };
        let Some(event_type) = remote.event_type else {
            // A far end that did not agree on events hears the key instead.
            tone::key(payload[0], frame, self.out.frame(), remote.codec);
            return self.send_audio(due_ns, now_ns);
        };
        if let Some(target) = remote.source.target().filter(|_| remote.may_send) {
            let payload = rescaled(&payload, 1, remote.event_scale).unwrap_or(payload);
            let bytes = self.out.event_packet(event_type, self.key_timestamp, frame == 0, payload);
            transmit(&self.ports, target, bytes, &mut self.protection, &mut self.counters);
            self.count_late(due_ns, now_ns);
        }
    }

    fn count_late(&mut self, due_ns: i64, now_ns: i64) {
        if now_ns - due_ns > LATE {
            self.counters.late_sends += 1;
        }
    }

    /// Pass on a packet that the partner heard.  True: unread, in a codec that both speak.
    pub fn relay(&mut self, packet: &Packet<'_>, kind: Kind, now_ns: i64) -> bool {
        match kind {
            Kind::Noise => {
                self.relay_noise(packet, now_ns);
                return false;
            }
            Kind::Audio(_) | Kind::Coded(_) => self.end_background(),
            Kind::Event { .. } => {}
        }
        self.pass_on(packet, kind, now_ns)
    }

    pub(super) fn pass_on(&mut self, packet: &Packet<'_>, kind: Kind, now_ns: i64) -> bool {
        if let Kind::Event { scale, coded } = kind
            && !self.relays_unread(coded)
        {
            self.pass_key(packet, scale, now_ns);
            return false;
        }
        let (Some(remote), Path::Relay { sent_ns, .. }, None, None) =
            (&self.remote, &mut self.path, &self.sending, &self.hold)
        else {
            return false;
        };
        let is_coded = matches!(kind, Kind::Coded(_));
        let (payload_type, recode) = match (kind, remote.coded, remote.event_type) {
            // What this leg hears is recorded: it has to be read.
            (Kind::Coded(theirs), Some(ours), _)
                if theirs == ours && self.sent.is_none() && !remote.is_too_long(packet) =>
            {
                (remote.payload_type, None)
            }
            (Kind::Audio(law), Some(_), _) => {
                if let Some(edge) = &mut self.edge {
                    edge.relayed.put(packet.timestamp, law, packet.payload, self.due_ns, now_ns);
                    self.counters.relayed += 1;
                }
                return false;
            }
            (Kind::Audio(law), None, _) if self.regrouping.is_some() || remote.is_too_long(packet) => {
                let regrouping = self.regrouping.get_or_insert_default();
                regrouping.put(packet.timestamp, law, packet.payload, self.due_ns, now_ns);
                self.counters.relayed += 1;
                return false;
            }
            (Kind::Audio(codec), None, _) if codec == remote.codec => (remote.payload_type, None),
            (Kind::Audio(codec), None, _) => (remote.payload_type, Some(codec.to_other())),
            (Kind::Event { .. }, _, Some(event_type)) => (event_type, None),
            (Kind::Coded(_) | Kind::Event { .. } | Kind::Noise, ..) => return false,
        };
        let Some(target) = remote.source.target().filter(|_| remote.may_send) else { return false };
        let mut event = [0; 4];
        let mut packet = *packet;
        if let Kind::Event { scale, .. } = kind
            && scale != remote.event_scale
        {
            event = rescaled(packet.payload, scale, remote.event_scale).unwrap_or(event);
            packet.payload = &event;
        }
        let Some((timestamp, bytes)) = self.out.relay(&packet, payload_type, recode, now_ns) else {
            return is_coded;
        };
        *sent_ns = now_ns;
        if let (Some(timeline), Kind::Audio(_)) = (&mut self.sent, kind) {
            timeline.write(timestamp, samples_at(now_ns), remote.codec, &bytes[HEADER..]);
        }
        transmit(&self.ports, target, bytes, &mut self.protection, &mut self.counters);
        self.counters.relayed += 1;
        is_coded
    }

    /// Whether audio of the partner goes out under its own numbers, and keys among it.
    fn relays_unread(&self, partner: Option<coded::Codec>) -> bool {
        let ours = self.remote.as_ref().and_then(|remote| remote.coded);
        ours == partner && (ours.is_none() || self.sent.is_none())
    }

    /// Pass on a key beside audio that goes out in slots of ours.
    fn pass_key(&mut self, packet: &Packet<'_>, scale: u16, now_ns: i64) {
        let (Some(remote), Path::Relay { sent_ns, .. }, None, None) =
            (&self.remote, &mut self.path, &self.sending, &self.hold)
        else {
            return;
        };
        let target = remote.source.target().filter(|_| remote.may_send);
        let (Some(event_type), Some(target)) = (remote.event_type, target) else { return };
        let (heard, scales) = ((packet.timestamp, packet.payload), (scale, remote.event_scale));
        let out = &mut self.out;
        let passed = PassedKey::next(&mut self.passed_key, heard, scales, || out.begin_key(now_ns));
        let Some(Passed { timestamp, payload, is_first }) = passed else { return };
        *sent_ns = now_ns;
        let bytes = self.out.event_packet(event_type, timestamp, is_first, payload);
        transmit(&self.ports, target, bytes, &mut self.protection, &mut self.counters);
        self.counters.relayed += 1;
    }
}

pub(super) fn transmit(
    ports: &PortPair,
    target: SocketAddr,
    bytes: &[u8],
    protection: &mut Option<Box<Protection>>,
    counters: &mut Counters,
) {
    let payload = bytes.len() - HEADER;
    let bytes = match protection {
        None => Some(bytes),
        Some(protection) => protection.out.rtp(bytes),
    };
    match bytes.map(|bytes| ports.send(bytes, target)) {
        Some(Ok(_)) => {
            counters.packets_out += 1;
            counters.octets_out += payload as u64;
        }
        Some(Err(_)) | None => counters.send_errors += 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    use crate::event::{LegId, events};
    use crate::leg::stand;
    use crate::rooms::Rooms;

    /// A leg that relays and was last given something to relay at time 0, and its far end.
    fn relay() -> (Leg, UdpSocket) {
        let (mut leg, far_end) = stand::leg(None);
        leg.path = Path::Relay { partner: LegId(2), sent_ns: 0 };
        leg.due_ns = TICK;
        (leg, far_end)
    }

    /// How many packets the far end got from a tick at `ms`.
    fn tick(leg: &mut Leg, far_end: &UdpSocket, ms: i64) -> usize {
        let (sender, _) = events().expect("an eventfd");
        let rooms = &mut Rooms::default();
        leg.tick(ms * MILLISECOND, &mut Around { events: &sender, rooms });
        std::iter::from_fn(|| far_end.recv(&mut [0; 400]).ok()).count()
    }

    #[test]
    fn a_partner_that_pauses_is_made_up_for_in_time() {
        let (mut leg, far_end) = relay();
        let sent: Vec<usize> = (1..=8).map(|n| tick(&mut leg, &far_end, n * 20)).collect();
        assert_eq!(sent, [0, 0, 1, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn after_a_stall_of_ours_the_partner_has_a_tick_to_say_what_it_owes() {
        for stall in [150, 390] {
            let (mut leg, far_end) = relay();
            assert_eq!(tick(&mut leg, &far_end, stall), 0, "{stall} ms");
            leg.path = Path::Relay { partner: LegId(2), sent_ns: stall * MILLISECOND };
            assert_eq!(tick(&mut leg, &far_end, stall + 20), 0);
            leg.path = Path::Relay { partner: LegId(2), sent_ns: 0 };
            assert_eq!(tick(&mut leg, &far_end, stall + 40), 1, "it owes nothing");
        }
    }

    #[test]
    fn on_hold_there_is_no_partner_to_wait_for() {
        let (mut leg, far_end) = relay();
        let (sender, _) = events().expect("an eventfd");
        leg.hold(None, 0, &sender);
        assert_eq!(tick(&mut leg, &far_end, 150), 7);
    }
}
