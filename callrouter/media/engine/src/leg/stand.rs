//! A leg and its far end for tests, whose time is what they say it is.

use std::net::UdpSocket;
use std::sync::Arc;

use crate::coded;
use crate::command::Negotiated;
use crate::event::LegId;
use crate::g711::Codec;
use crate::leg::{Leg, Policy};
use crate::ports::Ports;

pub const AUDIO: u8 = 96;
pub const KEYS: u8 = 101;

/// Where ports are looked for, from another one on in each process that runs tests.
const PORTS: std::ops::Range<u16> = 46_620..47_000;

/// The leg number 1, in PCMU (0) or another codec (`AUDIO`), with keys.
pub fn leg(coded: Option<coded::Codec>) -> (Leg, UdpSocket) {
    let far_end = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    far_end.set_nonblocking(true).expect("nonblocking");
    let mut ports = Ports::new([127, 0, 0, 1].into(), PORTS, 0, std::process::id() as usize * 7);
    let policy = Policy { rtp_timeout_ns: i64::MAX, report_interval_ns: 3_600_000_000_000, handshakes: None };
    let mut leg = Leg::new(LegId(1), ports.take().expect("a pair"), Arc::new(policy), [0; 12]);
    let agreed = Negotiated {
        remote: far_end.local_addr().expect("is bound"),
        remote_rtcp: None,
        codec: Codec::Pcmu,
        coded,
        payload_type: if coded.is_some() { AUDIO } else { 0 },
        event_type: Some(KEYS),
        event_scale: 1,
        own_type: None,
        own_event_type: None,
        noise_type: None,
        may_send: true,
        may_receive: true,
        keys: None,
        browser: None,
    };
    leg.set_remote(&agreed, 0);
    (leg, far_end)
}
