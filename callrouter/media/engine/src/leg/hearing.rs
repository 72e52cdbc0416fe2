//! What a leg makes of the datagrams that come: whose they are, audio, keys, silence.

use std::net::SocketAddr;

use crate::clock::{MILLISECOND, samples_at};
use crate::event::{EventSender, LegId, PlayEnd, RecordingEnd, Told};
use crate::g711::Codec;
use crate::inbox::Limit;
use crate::leg::{KeyHeard, Kind, Leg, Path, Remote};
use crate::reception::Arrival;
use crate::roster::SLOT;
use crate::rtp::{Packet, is_stun};
use crate::source::Verdict;
use crate::telephone_event::Press;
use crate::unread::Line;

/// A key heard as a tone and told by a packet within this time is one.
const SAME_KEY: i64 = 500 * MILLISECOND;
/// Datagrams read from one leg at a time: a flood on one port delays the others by no more.
pub const MAX_READ: usize = 64;
/// A far end is regular when it sent exactly one packet in each of so many ticks; it is still read
/// until nothing is left every few ticks.
const REGULAR: u8 = 8;
const EXHAUST_EVERY: u8 = 4;

/// What a leg heard, and when.
pub struct Received<'b> {
    pub packet: Packet<'b>,
    pub kind: Kind,
    pub at_ns: i64,
}

/// Where in its stream a packet belongs.
enum Placed {
    Newest,
    Late,
    /// It begins a stream, perhaps.
    Kept,
    Useless,
}

/// Numbers that RFC 3551 gives the two laws of G.711.
const MULAW_TYPE: u8 = 0;
const ALAW_TYPE: u8 = 8;
/// And comfort noise (RFC 3389), which far ends send without asking.
const NOISE_TYPE: u8 = 13;

impl Remote {
    /// The call is answered, and neither end holds the other.  Who holds may be silent for as long as it
    /// likes, and so may who waits for an answer.
    pub fn is_conversing(&self) -> bool {
        self.may_send && self.may_receive && !self.is_early
    }

    /// What packets of a payload type are.  A far end that was offered both laws may change from
    /// one to the other at any time (RFC 3264 §5.1), and many do although they were not.
    fn kind_of(&self, payload_type: u8) -> Option<Kind> {
        let is = |number: Option<u8>| number == Some(payload_type);
        if payload_type == self.payload_type || is(self.own_type) {
            return Some(self.coded.map_or(Kind::Audio(self.codec), Kind::Coded));
        }
        match payload_type {
            _ if is(self.event_type) || is(self.own_event_type) => {
                Some(Kind::Event { scale: self.event_scale, coded: self.coded })
            }
            NOISE_TYPE => Some(Kind::Noise),
            number if Some(number) == self.noise_type => Some(Kind::Noise),
            _ if self.coded.is_some() => None,
            MULAW_TYPE => Some(Kind::Audio(Codec::Pcmu)),
            ALAW_TYPE => Some(Kind::Audio(Codec::Pcma)),
            _ => None,
        }
    }
}

impl Leg {
    /// Read what has come since the last tick.  A far end that sends one packet a tick is not
    /// asked for a second each time, which saves a third of the calls into the system; a burst
    /// then waits a little.  A recording would notice, so it does not have to.
    pub fn listen(&mut self, buffer: &mut [u8], now_ns: i64, events: &EventSender, limit: &mut Limit<'_>) {
        self.ticks = self.ticks.wrapping_add(1);
        let trusts = self.regular_ticks >= REGULAR
            && self.received.is_none()
            && self.seat.is_none()
            && self.kept.is_none();
        if trusts && self.ticks % EXHAUST_EVERY != 0 {
            self.receive(buffer, now_ns, events, limit);
            return;
        }
        let mut read = 0;
        while read < MAX_READ && self.receive(buffer, now_ns, events, limit).is_some() {
            read += 1;
        }
        self.regular_ticks = if read == 1 { self.regular_ticks.saturating_add(1) } else { 0 };
    }

    /// Whether a leg that has something to read had so in the slot before: more waits than the
    /// one packet that a slot brings, which is not asked for otherwise.
    pub fn is_pressed(&mut self, now_ns: i64) -> bool {
        now_ns - std::mem::replace(&mut self.read_ns, now_ns) < 2 * SLOT
    }

    /// Whom the leg is joined to, on hold or not.
    pub fn partner(&self) -> Option<LegId> {
        match self.path {
            Path::Relay { partner, .. } => Some(partner),
            _ => None,
        }
    }

    /// Who hears what the leg hears.
    pub fn speaks_to(&self) -> Option<LegId> {
        self.partner().filter(|_| self.hold.is_none())
    }

    /// Whether anything is made of what comes.
    pub fn is_heard(&self) -> bool {
        self.remote.as_ref().is_some_and(|remote| remote.may_receive)
    }

    /// Something waits that the system does not know of.
    pub fn has_put_back(&self) -> bool {
        self.ports.has_put_back()
    }

    /// Take the next datagram; None when there is none.  `Some(None)` was not for us, or is kept.
    pub fn receive<'b>(
        &mut self,
        buffer: &'b mut [u8],
        now_ns: i64,
        events: &EventSender,
        limit: &mut Limit<'_>,
    ) -> Option<Option<Received<'b>>> {
        if let Some((length, from, at_ns)) = self.take_believed(buffer, now_ns) {
            return Some(self.accept(&buffer[..length], from, at_ns, events));
        }
        let (length, from) = limit.receive(&mut self.ports, buffer)?;
        let Some(length) = self.open(&mut buffer[..length], from, now_ns) else { return Some(None) };
        Some(self.accept(&buffer[..length], from, now_ns, events))
    }

    /// Check and decrypt a datagram of a protected leg; its length after that, None: not for us.
    /// Nothing is learned from one whose tag is wrong, not even where it came from.
    fn open(&mut self, datagram: &mut [u8], from: SocketAddr, now_ns: i64) -> Option<usize> {
        if self.browser.is_some() {
            return self.open_from_browser(datagram, from, now_ns);
        }
        let (Some(protection), Some(remote)) = (&mut self.protection, &self.remote) else {
            return Some(datagram.len());
        };
        let counter = if remote.source.is_settled_elsewhere(from) {
            &mut self.counters.strangers
        } else if is_stun(datagram) {
            &mut self.counters.stun
        } else {
            match protection.heard.rtp(datagram) {
                Ok(length) => return Some(length),
                Err(rejected) => rejected.counter(&mut self.counters),
            }
        };
        *counter += 1;
        None
    }

    fn accept<'b>(
        &mut self,
        datagram: &'b [u8],
        from: SocketAddr,
        now_ns: i64,
        events: &EventSender,
    ) -> Option<Received<'b>> {
        let Some(mut packet) = Packet::parse(datagram) else {
            let stun = is_stun(datagram);
            *(if stun { &mut self.counters.stun } else { &mut self.counters.garbage }) += 1;
            return None;
        };
        let Some(remote) = &mut self.remote else {
            self.counters.unexpected += 1;
            return None;
        };
        let Some(kind) = remote.kind_of(packet.payload_type) else {
            self.counters.wrong_type += 1;
            if remote.source.is_settled_on(from) {
                // Of no use, but not lost.
                self.reception.pass(packet.ssrc, packet.sequence);
            }
            return None;
        };
        match remote.source.judge(from, packet.ssrc, packet.sequence) {
            Verdict::Accepted => {}
            Verdict::Settled => self.ports.narrow(from),
            Verdict::Stranger => {
                self.counters.strangers += 1;
                return None;
            }
        }
        if !remote.may_receive {
            self.counters.unexpected += 1;
            // Not wanted now, but not lost when it is again.
            self.reception.pass(packet.ssrc, packet.sequence);
            return None;
        }
        let written_timestamp = packet.timestamp;
        if let Some(edge) = &mut self.edge {
            packet.timestamp = edge.samples_of(packet.timestamp);
        }
        let streams = self.reception.streams;
        let in_order = match self.sequence(&packet, kind, now_ns, events) {
            Placed::Newest => true,
            Placed::Late => false,
            Placed::Useless => return None,
            Placed::Kept => {
                self.keep(datagram, from, now_ns);
                return None;
            }
        };
        if !self.has_heard {
            self.has_heard = true;
            events.send(self.id, now_ns, Told::AudioStarted);
        }
        self.heard_ns = now_ns;
        self.is_lost = false;
        self.counters.packets_in += 1;
        if packet.payload.is_empty() {
            // It keeps the sequence and says that the far end lives, nothing else.
            self.counters.empty += 1;
            return None;
        }
        self.counters.octets_in += packet.payload.len() as u64;
        match kind {
            Kind::Event { scale, .. } => {
                self.hear_key(written_timestamp, packet.payload, scale, now_ns, events)
            }
            Kind::Noise => {
                self.counters.comfort_noise += 1;
                if in_order {
                    self.hear_noise(packet.timestamp, packet.payload);
                }
            }
            Kind::Coded(_) => {
                self.far_silence = None;
                if let Some(edge) = &mut self.edge {
                    edge.hear(packet.sequence, self.reception.streams != streams, packet.payload);
                }
            }
            Kind::Audio(codec) => {
                self.counters.switches += u64::from(self.heard_codec.is_some_and(|before| before != codec));
                self.heard_codec = Some(codec);
                self.far_silence = self.far_silence.take().filter(|_| !in_order);
                self.hear(&packet, codec, in_order, now_ns, events);
            }
        }
        Some(Received { packet, kind, at_ns: now_ns })
    }

    fn sequence(&mut self, packet: &Packet<'_>, kind: Kind, now_ns: i64, events: &EventSender) -> Placed {
        // All packets of a key say when it went down, not when they were sent (RFC 4733 §2.2.1).
        let timestamp = (!matches!(kind, Kind::Event { .. })).then_some(packet.timestamp);
        match self.reception.packet(packet.ssrc, packet.sequence, timestamp, samples_at(now_ns)) {
            Arrival::Fresh => self.end_doubt(),
            Arrival::Late => {
                self.counters.late += 1;
                return Placed::Late;
            }
            Arrival::NewStream => {
                self.counters.new_streams = self.reception.streams;
                self.far_silence = None;
                if let Some(press) = self.keys.restart() {
                    self.pressed(press, false, now_ns, events);
                }
                if let Some(seat) = &mut self.seat {
                    seat.restart();
                }
                if let Some(timeline) = &mut self.received {
                    timeline.restart();
                }
            }
            Arrival::Duplicate => {
                self.counters.duplicates += 1;
                return Placed::Useless;
            }
            Arrival::Doubtful => {
                self.end_doubt();
                return Placed::Kept;
            }
            Arrival::Confirming => {
                self.believe();
                return Placed::Kept;
            }
        }
        Placed::Newest
    }

    pub(super) fn hear(
        &mut self,
        packet: &Packet<'_>,
        codec: Codec,
        in_order: bool,
        now_ns: i64,
        events: &EventSender,
    ) {
        if let Some(timeline) = &mut self.received {
            timeline.write(packet.timestamp, samples_at(now_ns), codec, packet.payload);
        }
        self.listen_to(packet, codec, in_order, now_ns, events);
    }

    /// The timestamp, as it is written, is what tells one key from the next.
    fn hear_key(&mut self, timestamp: u32, payload: &[u8], scale: u16, now_ns: i64, events: &EventSender) {
        let heard = self.keys.receive(timestamp, payload, scale, now_ns);
        if let Some(press) = heard.ended {
            self.pressed(press, false, now_ns, events);
        }
        if let Some(key) = heard.began {
            self.key_began(key, false, now_ns, events);
        }
    }

    /// A key goes down, and is told again when it is let go.
    pub(super) fn key_began(&mut self, key: char, as_tone: bool, now_ns: i64, events: &EventSender) {
        if !self.is_echo(key, as_tone, now_ns) {
            events.send(self.id, now_ns, Told::DigitBegan { key });
            self.key_down(key, as_tone, now_ns, events);
        }
    }

    /// What ends with a key ends when it goes down, not when it is let go.
    fn key_down(&mut self, key: char, as_tone: bool, now_ns: i64, events: &EventSender) {
        self.last_key = Some(KeyHeard { key, as_tone, at_ns: now_ns });
        if matches!(&self.path, Path::Play(playback) if playback.stop_keys.contains(key)) {
            self.end_play(PlayEnd::Digit, Some(key), now_ns, events);
        }
        for recording in &mut self.recordings {
            if recording.stop_keys.contains(key) {
                recording.end(RecordingEnd::Digit, Some(key), now_ns);
            }
        }
    }

    /// A key was let go.  It may have gone down before what it is to end began.
    pub fn pressed(&mut self, press: Press, as_tone: bool, now_ns: i64, events: &EventSender) {
        if self.is_echo(press.key, as_tone, now_ns) {
            return;
        }
        self.counters.digits += 1;
        self.key_down(press.key, as_tone, now_ns, events);
        let told = Told::DigitReceived { key: press.key, duration_ms: press.duration_ms };
        events.send(self.id, now_ns, told);
    }

    /// Whether a key was told by the other way just now: a far end may send both.
    fn is_echo(&self, key: char, as_tone: bool, now_ns: i64) -> bool {
        self.last_key
            .is_some_and(|last| last.key == key && last.as_tone != as_tone && now_ns - last.at_ns < SAME_KEY)
    }

    /// The far end was there at `at_ns`, whatever is received from now on.
    pub fn has_lived(&mut self, at_ns: i64) {
        self.heard_ns = self.heard_ns.max(at_ns);
    }

    /// Tell once when nothing has been heard for too long.
    pub(super) fn watch(&mut self, now_ns: i64, events: &EventSender) {
        let heard_ns = self.lines.iter().map(Line::heard_ns).fold(self.heard_ns, i64::max);
        let silent_ns = now_ns - heard_ns;
        let expects = self.remote.as_ref().is_some_and(Remote::is_conversing)
            || self.lines.iter().any(Line::is_awaited);
        if expects && !self.is_lost && silent_ns >= self.policy.rtp_timeout_ns {
            self.is_lost = true;
            events.send(self.id, now_ns, Told::AudioLost { silent_ms: (silent_ns / MILLISECOND) as u64 });
        }
    }
}
