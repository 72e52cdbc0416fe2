//! One leg: its sockets, the stream it sends, what it makes of what it receives.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use crate::clock::{MILLISECOND, SECOND, samples_at};
use crate::command::Negotiated;
use crate::counters::Counters;
use crate::event::{EventSender, LegId, PlayEnd, RecordingEnd, Told};
use crate::g711::Codec;
use crate::outgoing::Outgoing;
use crate::playback::{Playback, Slot};
use crate::ports::PortPair;
use crate::reception::{Arrival, Reception};
use crate::recording::Recording;
use crate::reports::Reports;
use crate::rtp::{FRAME, HEADER, Packet};
use crate::source::{Source, Verdict};
use crate::telephone_event::{KeyFrame, KeyReceiver, KeySender, Press};
use crate::timeline::Timeline;
use crate::voice::is_silence;

/// A leg sends a packet every so often.
pub const TICK: i64 = 20 * MILLISECOND;
/// A packet sent later than this after its time is a late one.
const LATE: i64 = 5 * MILLISECOND;
/// Sending that is further behind than this gives up what it missed.
const GIVE_UP: i64 = 200 * MILLISECOND;
/// A relayed far end that has been silent for so long is made up for with silence.
const RELAY_GAP: i64 = 60 * MILLISECOND;

/// Where the audio a leg sends comes from.
pub enum Path {
    Silence,
    Play(Playback),
    /// What the leg's partner hears, and when something of it was last sent.
    Relay {
        partner: LegId,
        sent_ns: i64,
    },
}

/// What signalling has agreed on.
pub struct Remote {
    source: Source,
    codec: Codec,
    payload_type: u8,
    event_type: Option<u8>,
    pub may_send: bool,
    may_receive: bool,
    rtcp: Option<SocketAddr>,
}

/// Keys being sent on top of the path.
struct Sending {
    token: u64,
    keys: KeySender,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Audio(Codec),
    Event,
}

/// Datagrams read from one leg at a time: a flood on one port delays the others by no more.
pub const MAX_READ: usize = 64;
/// A far end is regular when it sent exactly one packet in each of so many ticks; it is still read
/// until nothing is left every few ticks.
const REGULAR: u8 = 8;
const EXHAUST_EVERY: u8 = 4;

/// Which limits and names all legs of an engine share.
#[derive(Debug)]
pub struct Policy {
    pub rtp_timeout_ns: i64,
    pub report_interval_ns: i64,
}

pub struct Leg {
    pub id: LegId,
    /// Which of the slots of 20 ms is the leg's.
    pub phase: usize,
    /// When the next packet is due.
    pub due_ns: i64,
    pub path: Path,
    pub recordings: Vec<Recording>,
    pub counters: Counters,
    /// A recording's end may still be told by the writer: so must be what comes after.
    pub has_recorded: bool,
    pub remote: Option<Remote>,
    ports: PortPair,
    policy: Arc<Policy>,
    out: Outgoing,
    key_timestamp: u32,
    sending: Option<Sending>,
    reception: Reception,
    keys: KeyReceiver,
    reports: Reports,
    heard_ns: i64,
    has_heard: bool,
    is_lost: bool,
    regular_ticks: u8,
    ticks: u8,
    pub received: Option<Timeline>,
    pub sent: Option<Timeline>,
}

impl Leg {
    /// `random` seeds SSRC, sequence and timestamp.
    pub fn new(id: LegId, ports: PortPair, policy: Arc<Policy>, random: [u8; 12]) -> Self {
        let word =
            |at: usize| u32::from_ne_bytes([random[at], random[at + 1], random[at + 2], random[at + 3]]);
        Self {
            id,
            phase: 0,
            due_ns: 0,
            path: Path::Silence,
            recordings: vec![],
            counters: Counters::default(),
            has_recorded: false,
            remote: None,
            ports,
            policy,
            out: Outgoing::new(word(0), word(4) as u16, word(8)),
            key_timestamp: 0,
            sending: None,
            reception: Reception::default(),
            keys: KeyReceiver::default(),
            reports: Reports::new(word(0)),
            heard_ns: 0,
            has_heard: false,
            is_lost: false,
            regular_ticks: 0,
            ticks: 0,
            received: None,
            sent: None,
        }
    }

    pub fn rtp(&self) -> &UdpSocket {
        &self.ports.rtp
    }

    pub fn set_remote(&mut self, agreed: &Negotiated, now_ns: i64) {
        let source = match self.remote.take() {
            Some(mut before) => {
                if before.source.signal(agreed.remote) {
                    self.ports.widen();
                }
                if !before.may_receive && agreed.may_receive {
                    self.heard_ns = now_ns;
                }
                before.source
            }
            None => {
                self.heard_ns = now_ns;
                self.reports.begin(now_ns, self.policy.report_interval_ns);
                Source::new(agreed.remote)
            }
        };
        self.out.mark();
        self.is_lost = false;
        self.remote = Some(Remote {
            source,
            codec: agreed.codec,
            payload_type: agreed.payload_type,
            event_type: agreed.event_type,
            may_send: agreed.may_send,
            may_receive: agreed.may_receive,
            rtcp: agreed.remote_rtcp,
        });
    }

    // ------------------------------------------------------------------------------- receiving

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
        Some(self.accept(&buffer[..length], from, now_ns, events))
    }

    fn accept<'b>(
        &mut self,
        datagram: &'b [u8],
        from: SocketAddr,
        now_ns: i64,
        events: &EventSender,
    ) -> Option<(Packet<'b>, Kind)> {
        let Some(packet) = Packet::parse(datagram) else {
            self.counters.garbage += 1;
            return None;
        };
        let Some(remote) = &mut self.remote else {
            self.counters.unexpected += 1;
            return None;
        };
        let kind = if Some(packet.payload_type) == remote.event_type {
            Kind::Event
        } else if packet.payload_type == remote.payload_type && !packet.payload.is_empty() {
            Kind::Audio(remote.codec)
        } else {
            self.counters.garbage += 1;
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
        self.counters.octets_in += packet.payload.len() as u64;
        match kind {
            Kind::Event => self.hear_key(&packet, now_ns, events),
            Kind::Audio(codec) => self.hear(&packet, codec, now_ns),
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

    // --------------------------------------------------------------------------------- sending

    /// End a playback, if there is one, and say why.
    pub fn end_play(&mut self, reason: PlayEnd, key: Option<char>, now_ns: i64, events: &EventSender) {
        if !matches!(self.path, Path::Play(_)) {
            return;
        }
        if let Path::Play(playback) = std::mem::replace(&mut self.path, Path::Silence) {
            let told =
                Told::PlayEnded { token: playback.token, reason, key, played_ms: playback.played_ms() };
            events.send(self.id, now_ns, told);
        }
    }

    pub fn send_keys(&mut self, token: u64, keys: &str, now_ns: i64, events: &EventSender) {
        if let Some(before) = self.sending.replace(Sending { token, keys: KeySender::new(keys) }) {
            events.send(self.id, now_ns, Told::DigitsSent { token: before.token });
        }
    }

    /// Send what is due and look after everything that goes by the clock.
    pub fn tick(&mut self, now_ns: i64, events: &EventSender) {
        if now_ns - self.due_ns > GIVE_UP {
            let missed = (now_ns - self.due_ns) / TICK;
            self.due_ns += missed * TICK;
            if self.remote.as_ref().is_some_and(|remote| remote.may_send) {
                self.counters.skipped_sends += missed as u64;
            }
        }
        while self.due_ns <= now_ns {
            let due_ns = self.due_ns;
            self.due_ns += TICK;
            self.slot(due_ns, now_ns, events);
        }
        if let Some(press) = self.keys.poll(now_ns) {
            self.pressed(press, now_ns, events);
        }
        self.watch(now_ns, events);
        self.report(now_ns, false);
    }

    fn watch(&mut self, now_ns: i64, events: &EventSender) {
        let silent_ns = now_ns - self.heard_ns;
        let expects = self.remote.as_ref().is_some_and(|remote| remote.may_receive);
        if expects && !self.is_lost && silent_ns >= self.policy.rtp_timeout_ns {
            self.is_lost = true;
            events.send(self.id, now_ns, Told::AudioLost { silent_ms: (silent_ns / MILLISECOND) as u64 });
        }
    }

    fn slot(&mut self, due_ns: i64, now_ns: i64, events: &EventSender) {
        let Some(remote) = &self.remote else { return };
        let codec = remote.codec;
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
        match &mut self.path {
            Path::Relay { sent_ns, .. } if due_ns - *sent_ns < RELAY_GAP => {}
            Path::Relay { .. } | Path::Silence => {
                self.out.frame().fill(codec.silence());
                self.send_audio(due_ns, now_ns);
            }
            Path::Play(playback) => match playback.fill(codec, self.out.frame()) {
                Slot::Audio => self.send_audio(due_ns, now_ns),
                Slot::Key { payload, frame } => self.send_event(due_ns, now_ns, payload, frame),
                Slot::Finished => {
                    self.end_play(PlayEnd::Finished, None, now_ns, events);
                    self.out.frame().fill(codec.silence());
                    self.send_audio(due_ns, now_ns);
                }
            },
        }
    }

    fn send_audio(&mut self, due_ns: i64, now_ns: i64) {
        let Some(remote) = &self.remote else { return };
        let timestamp = self.out.begin_frame(due_ns);
        let Some(target) = remote.source.target().filter(|_| remote.may_send) else { return };
        if let Some(timeline) = &mut self.sent {
            timeline.write(timestamp, samples_at(due_ns), remote.codec, self.out.frame());
        }
        let bytes = self.out.audio_packet(remote.payload_type, timestamp);
        transmit(&self.ports, target, bytes, &mut self.counters);
        self.count_late(due_ns, now_ns);
    }

    fn send_event(&mut self, due_ns: i64, now_ns: i64, payload: [u8; 4], frame: u16) {
        let timestamp = self.out.begin_frame(due_ns);
        if frame == 0 {
            self.key_timestamp = timestamp;
        }
        let Some(remote) = &self.remote else { return };
        let Some(event_type) = remote.event_type else {
            self.out.frame().fill(remote.codec.silence());
            return self.send_audio(due_ns, now_ns);
        };
        if let Some(target) = remote.source.target().filter(|_| remote.may_send) {
            let bytes = self.out.event_packet(event_type, self.key_timestamp, frame == 0, payload);
            transmit(&self.ports, target, bytes, &mut self.counters);
            self.count_late(due_ns, now_ns);
        }
    }

    fn count_late(&mut self, due_ns: i64, now_ns: i64) {
        if now_ns - due_ns > LATE {
            self.counters.late_sends += 1;
        }
    }

    /// Pass on what the partner heard.
    pub fn relay(&mut self, packet: &Packet<'_>, kind: Kind, now_ns: i64) {
        let (Some(remote), Path::Relay { sent_ns, .. }, None) = (&self.remote, &mut self.path, &self.sending)
        else {
            return;
        };
        let (payload_type, recode) = match (kind, remote.event_type) {
            (Kind::Audio(codec), _) if codec == remote.codec => (remote.payload_type, None),
            (Kind::Audio(codec), _) => (remote.payload_type, Some(codec.to_other())),
            (Kind::Event, Some(event_type)) => (event_type, None),
            (Kind::Event, None) => return,
        };
        let Some(target) = remote.source.target().filter(|_| remote.may_send) else { return };
        let Some((timestamp, bytes)) = self.out.relay(packet, payload_type, recode, now_ns) else { return };
        *sent_ns = now_ns;
        if let (Some(timeline), Kind::Audio(_)) = (&mut self.sent, kind) {
            timeline.write(timestamp, samples_at(now_ns), remote.codec, &bytes[HEADER..]);
        }
        transmit(&self.ports, target, bytes, &mut self.counters);
        self.counters.relayed += 1;
    }

    // -------------------------------------------------------------------------------- reporting

    fn report(&mut self, now_ns: i64, leaving: bool) {
        if !leaving && !self.reports.is_due(now_ns) {
            return;
        }
        let Some(remote) = &self.remote else { return };
        let (source, host) = (&remote.source, remote.rtcp);
        self.reports.receive(
            &self.ports.rtcp,
            self.out.ssrc,
            |from| source.is_peer_host(from),
            &mut self.counters,
        );
        self.counters.lost = self.reception.lost();
        self.counters.jitter_us = u64::from(self.reception.jitter()) * 125;
        let Some(target) = source.target() else { return };
        let next_port = target.port().checked_add(1).map(|port| SocketAddr::new(target.ip(), port));
        let latched = source.latched().and(next_port);
        let Some(to) = latched.or(host).or(next_port) else { return };
        let timestamp = self.out.timestamp_at(now_ns);
        let sent = (self.out.packets, self.out.octets);
        let bytes = self.reports.compose(self.out.ssrc, timestamp, sent, self.reception.report(), leaving);
        // A report that cannot be sent is as good as one that is lost.
        let _ = self.ports.rtcp.send_to(&bytes, to);
        self.reports.schedule(now_ns);
    }

    /// The end: tell what was under way and say goodbye.
    pub fn close(&mut self, now_ns: i64, events: &EventSender) {
        if let Some(press) = self.keys.finish() {
            self.pressed(press, now_ns, events);
        }
        self.end_play(PlayEnd::Closed, None, now_ns, events);
        if let Some(sending) = self.sending.take() {
            events.send(self.id, now_ns, Told::DigitsSent { token: sending.token });
        }
        for recording in &mut self.recordings {
            recording.end(RecordingEnd::Closed, None, now_ns);
        }
        self.report(now_ns, true);
        self.counters.lost = self.reception.lost();
        self.counters.jitter_us = u64::from(self.reception.jitter()) * 125;
    }
}

fn transmit(ports: &PortPair, target: SocketAddr, bytes: &[u8], counters: &mut Counters) {
    match ports.send(bytes, target) {
        Ok(_) => {
            counters.packets_out += 1;
            counters.octets_out += (bytes.len() - HEADER) as u64;
        }
        Err(_) => counters.send_errors += 1,
    }
}

const _: () = assert!(FRAME as i64 * SECOND / 8000 == TICK);
