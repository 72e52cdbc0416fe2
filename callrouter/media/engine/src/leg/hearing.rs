//! What a leg makes of the datagrams that come: whose they are, audio, keys, silence.

use std::net::SocketAddr;

use crate::clock::{MILLISECOND, samples_at};
use crate::event::{EventSender, PlayEnd, RecordingEnd, Told};
use crate::g711::Codec;
use crate::leg::{Kind, Leg, Path, Remote};
use crate::reception::Arrival;
use crate::rtp::{Packet, is_stun};
use crate::source::Verdict;
use crate::telephone_event::Press;
use crate::voice::is_silence;

/// Datagrams read from one leg at a time: a flood on one port delays the others by no more.
pub const MAX_READ: usize = 64;
/// A far end is regular when it sent exactly one packet in each of so many ticks; it is still read
/// until nothing is left every few ticks.
const REGULAR: u8 = 8;
const EXHAUST_EVERY: u8 = 4;

/// Numbers that RFC 3551 gives the two laws of G.711.
const MULAW_TYPE: u8 = 0;
const ALAW_TYPE: u8 = 8;

impl Remote {
    /// What packets of a payload type are.  A far end that was offered both laws may change from
    /// one to the other at any time (RFC 3264 §5.1), and many do although they were not.
    fn kind_of(&self, payload_type: u8) -> Option<Kind> {
        if payload_type == self.payload_type {
            return Some(Kind::Audio(self.codec));
        }
        match payload_type {
            number if Some(number) == self.event_type => Some(Kind::Event),
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
    pub fn listen(&mut self, buffer: &mut [u8], now_ns: i64, events: &EventSender) {
        self.ticks = self.ticks.wrapping_add(1);
        let trusts = self.regular_ticks >= REGULAR && self.received.is_none();
        if trusts && self.ticks % EXHAUST_EVERY != 0 {
            self.receive(buffer, now_ns, events);
            return;
        }
        let mut read = 0;
        while read < MAX_READ && self.receive(buffer, now_ns, events).is_some() {
            read += 1;
        }
        self.regular_ticks = if read == 1 { self.regular_ticks.saturating_add(1) } else { 0 };
    }

    /// Take the next datagram; None when there is none.  `Some(None)` was not for us.
    pub fn receive<'b>(
        &mut self,
        buffer: &'b mut [u8],
        now_ns: i64,
        events: &EventSender,
    ) -> Option<Option<(Packet<'b>, Kind)>> {
        let (length, from) = self.ports.receive(buffer)?;
        let Some(length) = self.open(&mut buffer[..length], from) else { return Some(None) };
        Some(self.accept(&buffer[..length], from, now_ns, events))
    }

    /// Check and decrypt a datagram of a protected leg; its length after that, None: not for us.
    /// Nothing is learned from one whose tag is wrong, not even where it came from.
    fn open(&mut self, datagram: &mut [u8], from: SocketAddr) -> Option<usize> {
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
    ) -> Option<(Packet<'b>, Kind)> {
        let Some(packet) = Packet::parse(datagram) else {
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
            return None;
        }
        self.sequence(&packet, now_ns, events)?;
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
            Kind::Event => self.hear_key(&packet, now_ns, events),
            Kind::Audio(codec) => {
                self.counters.switches += u64::from(self.heard_codec.is_some_and(|before| before != codec));
                self.heard_codec = Some(codec);
                self.hear(&packet, codec, now_ns);
            }
        }
        Some((packet, kind))
    }

    fn sequence(&mut self, packet: &Packet<'_>, now_ns: i64, events: &EventSender) -> Option<()> {
        match self.reception.packet(packet.ssrc, packet.sequence, packet.timestamp, samples_at(now_ns)) {
            Arrival::Fresh => {}
            Arrival::Late => self.counters.late += 1,
            Arrival::NewStream => {
                self.counters.new_streams = self.reception.streams;
                if let Some(press) = self.keys.restart() {
                    self.pressed(press, now_ns, events);
                }
                if let Some(timeline) = &mut self.received {
                    timeline.restart();
                }
            }
            Arrival::Duplicate | Arrival::Doubtful => {
                self.counters.duplicates += 1;
                return None;
            }
        }
        Some(())
    }

    fn hear(&mut self, packet: &Packet<'_>, codec: Codec, now_ns: i64) {
        if let Some(timeline) = &mut self.received {
            timeline.write(packet.timestamp, samples_at(now_ns), codec, packet.payload);
        }
        if !self.recordings.is_empty() {
            let table = codec.table();
            let silent = is_silence(packet.payload.iter().map(|&word| table[usize::from(word)]));
            for recording in &mut self.recordings {
                recording.hear(packet.payload.len(), silent, now_ns);
            }
        }
    }

    fn hear_key(&mut self, packet: &Packet<'_>, now_ns: i64, events: &EventSender) {
        let heard = self.keys.receive(packet.timestamp, packet.payload, now_ns);
        if let Some(press) = heard.ended {
            self.pressed(press, now_ns, events);
        }
        if let Some(key) = heard.began {
            self.key_down(key, now_ns, events);
        }
    }

    /// What ends with a key ends when it goes down, not when it is let go.
    fn key_down(&mut self, key: char, now_ns: i64, events: &EventSender) {
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
    pub fn pressed(&mut self, press: Press, now_ns: i64, events: &EventSender) {
        self.counters.digits += 1;
        self.key_down(press.key, now_ns, events);
        let told = Told::DigitReceived { key: press.key, duration_ms: press.duration_ms };
        events.send(self.id, now_ns, told);
    }

    /// Tell once when nothing has been heard for too long.
    pub(super) fn watch(&mut self, now_ns: i64, events: &EventSender) {
        let silent_ns = now_ns - self.heard_ns;
        let expects = self.remote.as_ref().is_some_and(|remote| remote.may_receive);
        if expects && !self.is_lost && silent_ns >= self.policy.rtp_timeout_ns {
            self.is_lost = true;
            events.send(self.id, now_ns, Told::AudioLost { silent_ms: (silent_ns / MILLISECOND) as u64 });
        }
    }
}
