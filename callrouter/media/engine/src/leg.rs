//! One leg: its sockets, the stream it sends, what it makes of what it receives.

mod browser;
mod doubt;
mod edge;
mod hearing;
#[cfg(test)]
mod hostile;
mod listening;
#[cfg(test)]
mod packets;
mod playing;
#[cfg(test)]
mod queue;
mod reporting;
mod resting;
mod speaking;
#[cfg(test)]
pub mod stand;
mod widening;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use crate::clock::{MILLISECOND, SECOND};
use crate::coded::{self, Edge};
use crate::command::Negotiated;
use crate::counters::Counters;
use crate::dtls::Worker;
use crate::ear::{Ear, KeyWish};
use crate::event::{EventSender, LegId, PlayEnd, RecordingEnd, Told};
use crate::feed::Feed;
use crate::g711::Codec;
use crate::outgoing::Outgoing;
use crate::playback::Playback;
use crate::ports::PortPair;
use crate::reception::Reception;
use crate::recording::Recording;
use crate::regrouping::Regrouping;
use crate::reports::Reports;
use crate::rooms::Rooms;
use crate::rtp::FRAME;
use crate::seat::Seat;
use crate::source::Source;
use crate::srtp::{Keys, Protection};
use crate::tap::{Heard, Tap};
use crate::telephone_event::{KeyReceiver, KeySender, PassedKey};
use crate::timeline::Timeline;
use crate::unread::Line;

use browser::Browser;
use doubt::Kept;
pub use hearing::{MAX_READ, Received};
use resting::{Background, FarSilence};

/// A leg sends a packet every so often.
pub const TICK: i64 = 20 * MILLISECOND;

/// Where the audio a leg sends comes from.
pub enum Path {
    /// Of its own it sends silence; in a room, what is said there; on hold, what is played then.
    Silence,
    Play(Playback),
    /// What the engine's user hands over.
    Feed(Feed),
    /// What the leg's partner hears, and when something of it was last sent.
    Relay {
        partner: LegId,
        sent_ns: i64,
    },
}

/// What signalling has agreed on.
pub struct Remote {
    source: Source,
    /// What everything behind the edge is in.
    codec: Codec,
    coded: Option<coded::Codec>,
    payload_type: u8,
    event_type: Option<u8>,
    own_type: Option<u8>,
    own_event_type: Option<u8>,
    event_scale: u16,
    /// By which both ends tell what silence sounds like.
    noise_type: Option<u8>,
    /// Samples of 8 kHz in the longest packet that the far end takes.
    longest: usize,
    pub may_send: bool,
    may_receive: bool,
    /// The call is not answered yet.
    is_early: bool,
    rtcp: Option<SocketAddr>,
}

/// What a leg hears instead of its relay or room.
pub struct Hold {
    pub playback: Option<Playback>,
}

/// What of the received sound is told, by wish.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes {
    pub voice: bool,
    pub keys: KeyWish,
}

/// Where a leg's slot takes place.
pub struct Around<'a> {
    pub events: &'a EventSender,
    pub rooms: &'a mut Rooms,
}

/// A key that went down: heard as a tone or told by packets and signalling.
#[derive(Clone, Copy, Debug)]
struct KeyHeard {
    key: char,
    as_tone: bool,
    at_ns: i64,
}

/// Keys being sent on top of the path.
struct Sending {
    token: u64,
    keys: KeySender,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Audio(Codec),
    /// Audio that is decoded in its leg's own slots.
    Coded(coded::Codec),
    /// With the ticks of its clock in a sample of 8 kHz, and what the audio beside it is in.
    Event {
        scale: u16,
        coded: Option<coded::Codec>,
    },
    /// What silence sounds like (RFC 3389).
    Noise,
}

/// Which limits and names all legs of an engine share.
pub struct Policy {
    pub rtp_timeout_ns: i64,
    pub report_interval_ns: i64,
    /// Who shakes hands with browsers; None: they are not spoken to.
    pub handshakes: Option<Worker>,
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
    pub seat: Option<Box<Seat>>,
    pub hold: Option<Box<Hold>>,
    pub taps: Vec<Tap>,
    /// Media other than audio, passed on unread.
    pub lines: Vec<Line>,
    ear: Option<Box<Ear>>,
    wishes: Wishes,
    last_key: Option<KeyHeard>,
    ports: PortPair,
    policy: Arc<Policy>,
    out: Outgoing,
    key_timestamp: u32,
    /// The partner's key that is being passed on under numbers of our own.
    passed_key: Option<PassedKey>,
    sending: Option<Sending>,
    reception: Reception,
    /// What may be the beginning of another stream.
    kept: Option<Box<Kept>>,
    keys: KeyReceiver,
    reports: Reports,
    protection: Option<Box<Protection>>,
    browser: Option<Box<Browser>>,
    edge: Option<Box<Edge>>,
    /// What is relayed to the leg in longer packets than its far end takes.
    regrouping: Option<Box<Regrouping>>,
    heard_ns: i64,
    has_heard: bool,
    heard_codec: Option<Codec>,
    far_silence: Option<Box<FarSilence>>,
    background: Option<Box<Background>>,
    is_lost: bool,
    /// When it was last found readable.
    read_ns: i64,
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
            seat: None,
            hold: None,
            taps: vec![],
            lines: vec![],
            ear: None,
            wishes: Wishes::default(),
            last_key: None,
            ports,
            policy,
            out: Outgoing::new(word(0), word(4) as u16, word(8)),
            key_timestamp: 0,
            passed_key: None,
            sending: None,
            reception: Reception::default(),
            kept: None,
            keys: KeyReceiver::default(),
            reports: Reports::new(word(0)),
            protection: None,
            browser: None,
            edge: None,
            regrouping: None,
            heard_ns: 0,
            has_heard: false,
            heard_codec: None,
            far_silence: None,
            background: None,
            is_lost: false,
            read_ns: i64::MIN / 2,
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
        let mut moved = false;
        let source = match self.remote.take() {
            Some(mut before) => {
                moved = before.source.signal(agreed.remote);
                if moved {
                    self.ports.widen();
                }
                if !before.is_conversing() && agreed.may_send && agreed.may_receive && !agreed.is_early {
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
        if agreed.browser.is_none() {
            self.protect(agreed.keys.as_deref(), moved);
        }
        self.set_edge(agreed.coded);
        self.regrouping = None;
        self.out.mark();
        self.is_lost = false;
        self.remote = Some(Remote {
            source,
            codec: agreed.codec,
            coded: agreed.coded,
            payload_type: agreed.payload_type,
            event_type: agreed.event_type,
            own_type: agreed.own_type,
            own_event_type: agreed.own_event_type,
            event_scale: agreed.event_scale.max(1),
            noise_type: agreed.noise_type,
            longest: agreed.longest,
            may_send: agreed.may_send,
            may_receive: agreed.may_receive,
            is_early: agreed.is_early,
            rtcp: agreed.remote_rtcp,
        });
        self.set_browser(agreed.browser.as_ref(), now_ns);
        self.attune();
    }

    /// Seal what is sent and open what is heard with the keys that hold now; None: nothing is.
    fn protect(&mut self, keys: Option<&Keys>, moved: bool) {
        self.protection = match (self.protection.take(), keys) {
            (Some(protection), Some(keys)) => Some(Box::new(protection.renewed(keys, moved))),
            (None, Some(keys)) => Some(Box::new(Protection::new(keys))),
            (_, None) => None,
        };
    }

    /// Hand the frames that are due to those who tap the leg; whether there were any.
    pub fn advance_taps(&mut self, now_ns: i64, rooms: &Rooms) -> bool {
        let mut taps = std::mem::take(&mut self.taps);
        let (heard, mut any) = (self.heard(rooms), false);
        for tap in &mut taps {
            any |= tap.advance(now_ns, heard);
        }
        self.taps = taps;
        any
    }

    /// What there is to be tapped and recorded.
    pub fn heard<'a>(&'a self, rooms: &'a Rooms) -> Heard<'a> {
        let room = self.seat.as_ref().and_then(|seat| rooms.get(seat.room));
        Heard { received: self.received.as_ref(), sent: self.sent.as_ref(), room }
    }

    /// Hand over what is left to all who tap the leg.
    pub fn end_taps(&mut self, now_ns: i64, rooms: &Rooms, events: &EventSender) {
        for mut tap in std::mem::take(&mut self.taps) {
            tap.finish(now_ns, self.heard(rooms));
            events.send(self.id, now_ns, Told::TapEnded { tap: tap.shared() });
        }
    }

    /// The end: tell what was under way and say goodbye.
    pub fn close(&mut self, now_ns: i64, events: &EventSender) {
        if let Some(press) = self.keys.finish() {
            self.pressed(press, false, now_ns, events);
        }
        self.end_doubt();
        self.stop_listening(now_ns, events);
        self.end_play(PlayEnd::Closed, None, now_ns, events);
        self.resume(PlayEnd::Closed, now_ns, events);
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
