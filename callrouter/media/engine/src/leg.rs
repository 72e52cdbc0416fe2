//! One leg: its sockets, the stream it sends, what it makes of what it receives.

mod hearing;
mod speaking;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use crate::clock::{MILLISECOND, SECOND};
use crate::command::Negotiated;
use crate::counters::Counters;
use crate::event::{EventSender, LegId, PlayEnd, RecordingEnd, Told};
use crate::g711::Codec;
use crate::outgoing::Outgoing;
use crate::playback::Playback;
use crate::ports::PortPair;
use crate::quality::{self, CONCEALED, Measured};
use crate::reception::Reception;
use crate::recording::Recording;
use crate::reports::Reports;
use crate::rtp::FRAME;
use crate::source::Source;
use crate::telephone_event::{KeyReceiver, KeySender};
use crate::timeline::Timeline;

pub use hearing::MAX_READ;

/// A leg sends a packet every so often.
pub const TICK: i64 = 20 * MILLISECOND;

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
    heard_codec: Option<Codec>,
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
            heard_codec: None,
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

    pub fn rtcp(&self) -> &UdpSocket {
        &self.ports.rtcp
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

    fn report(&mut self, now_ns: i64, leaving: bool) {
        if !leaving && !self.reports.is_due(now_ns) {
            return;
        }
        self.measure();
        let Some(remote) = &self.remote else { return };
        let (source, host) = (&remote.source, remote.rtcp);
        let Some(target) = source.target() else { return };
        let next_port = target.port().checked_add(1).map(|port| SocketAddr::new(target.ip(), port));
        let latched = source.latched().and(next_port);
        let Some(to) = latched.or(host).or(next_port) else { return };
        let timestamp = self.out.timestamp_at(now_ns);
        let sent = (self.out.packets, self.out.octets);
        let bytes = self.reports.compose(self.out.ssrc, timestamp, sent, self.reception.report(), leaving);
        // A report that cannot be sent is as good as one that is lost.
        self.counters.reports_out += u64::from(self.ports.rtcp.send_to(&bytes, to).is_ok());
        self.reports.schedule(now_ns);
    }

    /// Read the far end's reports.  They say when they were sent: whoever calls has to do so soon
    /// after they came, or the round trip is not true.
    pub fn hear_reports(&mut self) {
        let (source, ssrc) = (self.remote.as_ref().map(|remote| &remote.source), self.out.ssrc);
        let is_peer = |from| source.is_some_and(|source| source.is_peer_host(from));
        self.reports.receive(&self.ports.rtcp, ssrc, is_peer, &mut self.counters);
    }

    /// Bring the figures that are not counted one by one up to date.
    fn measure(&mut self) {
        let counters = &mut self.counters;
        counters.lost = self.reception.lost();
        counters.gaps = self.reception.gaps;
        counters.wraps = self.reception.wraps;
        counters.jitter_us = u64::from(self.reception.jitter()) * 125;
        counters.jitter_max_us = u64::from(self.reception.jitter_max) * 125;
        let heard = Measured {
            received: counters.packets_in,
            lost: counters.lost,
            gaps: counters.gaps,
            jitter_us: counters.jitter_us,
            round_trip_us: counters.round_trip_us,
        };
        let rating = quality::rate(&heard, CONCEALED);
        (counters.r_factor_x100, counters.mos_x100) = (rating.r_factor, rating.mos);
        if !self.reports.has_been_told {
            return;
        }
        let lost = counters.reported_lost.min(counters.packets_out);
        let told = Measured {
            received: counters.packets_out - lost,
            lost,
            gaps: lost,
            jitter_us: counters.reported_jitter_us,
            round_trip_us: counters.round_trip_us,
        };
        let rating = quality::rate(&told, CONCEALED);
        (counters.reported_r_factor_x100, counters.reported_mos_x100) = (rating.r_factor, rating.mos);
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
        self.hear_reports();
        self.report(now_ns, true);
    }
}

const _: () = assert!(FRAME as i64 * SECOND / 8000 == TICK);
