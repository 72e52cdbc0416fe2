//! A leg and its far end for tests, whose time is what they say it is.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use crate::coded;
use crate::command::Negotiated;
use crate::event::LegId;
use crate::g711::Codec;
use crate::leg::{Leg, Policy};
use crate::ports::PortPair;

pub const AUDIO: u8 = 96;
pub const KEYS: u8 = 101;

/// The leg number 1, in PCMU (0) or another codec (`AUDIO`), with keys.
pub fn leg(coded: Option<coded::Codec>) -> (Leg, UdpSocket) {
    numbered(LegId(1), coded)
}

/// Any leg.
pub fn numbered(id: LegId, coded: Option<coded::Codec>) -> (Leg, UdpSocket) {
    let far_end = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    far_end.set_nonblocking(true).expect("nonblocking");
    let policy = Policy { rtp_timeout_ns: i64::MAX, report_interval_ns: 3_600_000_000_000, handshakes: None };
    let mut leg = Leg::new(id, PortPair::free(), Arc::new(policy), [0; 12]);
    let payload_type = if coded.is_some() { AUDIO } else { 0 };
    let agreed = Negotiated { coded, payload_type, ..agreed(far_end.local_addr().expect("is bound")) };
    leg.set_remote(&agreed, 0);
    (leg, far_end)
}

/// PCMU both ways, with keys.
pub fn agreed(remote: SocketAddr) -> Negotiated {
    Negotiated {
        remote,
        remote_rtcp: None,
        codec: Codec::Pcmu,
        coded: None,
        payload_type: 0,
        event_type: Some(KEYS),
        event_scale: 1,
        own_type: None,
        own_event_type: None,
        noise_type: None,
        longest: usize::MAX,
        may_send: true,
        may_receive: true,
        is_early: false,
        keys: None,
        browser: None,
    }
}
