//! A leg and a page that calls it: real sockets and a real handshake, and time as the tests want it.

use super::*;
use crate::clock::MILLISECOND;
use crate::command::Negotiated;
use crate::dtls::tests::{ONE, TWO, farewell, identity, session};
use crate::dtls::{Failure, Fingerprint, Worker};
use crate::event::{EventReceiver, LegId, events};
use crate::ice::{CONSENT, Credentials};
use crate::inbox::Limit;
use crate::leg::{Policy, TICK, stand};
use crate::ports::PortPair;
use is::stun::{StunMessage, TransId};
use is::{DefaultSha1HmacProvider, Sha1HmacProvider};
use sha2::{Digest, Sha256};
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

const PASSWORD: &str = "a-password-of-ours-0123456789";

struct Call {
    leg: Leg,
    events: (EventSender, EventReceiver),
    page: UdpSocket,
    handshake: Session,
    now_ns: i64,
}

fn check(password: &str) -> Vec<u8> {
    let request = StunMessage::binding_request("ours:theirs", TransId::new(), true, 7, 100, true);
    let mut bytes = [0; MAX_ANSWER];
    let hmac = |key: &[u8], parts: &[&[u8]]| DefaultSha1HmacProvider.sha1_hmac(key, parts);
    let length = request.to_bytes(Some(password.as_bytes()), &mut bytes, hmac).expect("fits");
    bytes[..length].to_vec()
}

impl Call {
    /// `page` begins the handshake, or has us do so.
    fn new(is_client: bool) -> Self {
        let policy = Policy {
            rtp_timeout_ns: 600 * SECOND,
            report_interval_ns: 600 * SECOND,
            handshakes: Some(Worker::start(identity(ONE)).expect("a thread")),
        };
        let leg = Leg::new(LegId(1), PortPair::free(), Arc::new(policy), [7; 12]);
        let page = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        page.set_nonblocking(true).expect("is a socket");
        let handshake = session(TWO, ONE.0, !is_client, Instant::now());
        let mut call =
            Self { leg, events: events().expect("an eventfd"), page, handshake, now_ns: 1000 * SECOND };
        call.agree(TWO.0, is_client);
        call
    }

    fn agree(&mut self, certificate: &[u8], is_client: bool) {
        let fingerprint = Fingerprint::new("sha-256", &Sha256::digest(certificate)).expect("is one");
        let credentials = Credentials {
            local_ufrag: "ours".into(),
            local_password: PASSWORD.into(),
            remote_ufrag: "theirs".into(),
        };
        let browser = Some(command::Browser { credentials, terms: Terms { fingerprint, is_client } });
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 9));
        let agreed = Negotiated { browser, event_type: None, ..stand::agreed(nowhere) };
        self.leg.set_remote(&agreed, self.now_ns);
    }

    fn at(&self) -> SocketAddr {
        self.leg.rtp().local_addr().expect("is bound")
    }

    fn say(&self, socket: &UdpSocket, datagram: &[u8]) {
        socket.send_to(datagram, self.at()).expect("loopback takes it");
    }

    /// Let a tick go by.
    fn tick(&mut self) {
        self.now_ns += TICK;
        self.leg.listen(&mut [0; 2048], self.now_ns, &self.events.0, &mut Limit::Before(i64::MAX));
        self.leg.tend_browser(self.now_ns, &self.events.0);
    }

    fn told(&self) -> Vec<Told> {
        self.events.1.take().into_iter().map(|event| event.told).collect()
    }

    fn target(&self) -> Option<SocketAddr> {
        self.leg.browser.as_ref().and_then(|browser| browser.target(self.now_ns))
    }

    /// Check, shake hands, and hear how that ended.
    fn connect(&mut self) -> Told {
        self.say(&self.page, &check(PASSWORD));
        let mut heard = vec![];
        for _ in 0..500 {
            self.tick();
            let mut buffer = [0; 2048];
            while let Ok(length) = self.page.recv(&mut buffer) {
                if content_of(&buffer[..length]) == Content::Handshake {
                    heard.push(buffer[..length].to_vec());
                }
            }
            for packet in self.handshake.step(&std::mem::take(&mut heard), Instant::now()).packets {
                self.say(&self.page, &packet);
            }
            if let Some(told) = self.told().pop() {
                return told;
            }
            // The arithmetic is done elsewhere.
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("nothing came of it");
    }
}

fn secured() -> Call {
    let mut call = Call::new(false);
    assert!(matches!(call.connect(), Told::Secured { .. }));
    assert_eq!(call.target(), call.page.local_addr().ok());
    call
}

#[test]
fn either_end_may_begin_and_only_the_announced_certificate_will_do() {
    for is_client in [true, false] {
        let mut call = Call::new(is_client);
        assert!(matches!(call.connect(), Told::Secured { .. }));
        let mut call = Call::new(is_client);
        call.agree(ONE.0, is_client);
        let why = Unsecured::ByHandshake(Failure::WrongCertificate);
        assert_eq!(call.connect(), Told::NotSecured { why });
        assert_eq!(call.target(), None);
    }
}

/// Whoever can write the browser's address into a datagram can write this.
#[test]
fn what_comes_in_the_browsers_name_later_does_not_end_its_audio() {
    let mut call = secured();
    let record = |kind: u8, epoch: u8, number: u8, body: &[u8]| {
        let mut bytes = vec![kind, 0xFE, 0xFD, 0, epoch, 0, 0, 0, 0, 1, number, 0, body.len() as u8];
        bytes.extend(body);
        bytes
    };
    let fragment = [&[11, 0, 0x40, 0, 0, 9, 0, 0x10, 0, 0, 0, 4][..], &[0xAA; 4]].concat();
    let hello = [&[1, 0, 0, 42, 0, 0, 0, 0, 0, 0, 0, 42, 0xFE, 0xFD][..], &[3; 40]].concat();
    for number in 0..80 {
        call.say(&call.page, &record(21, 0, number, &[2, 40]));
        call.say(&call.page, &record(21, 0, number, &[1, 0]));
        call.say(&call.page, &record(21, 1, number, &[7; 26]));
        call.say(&call.page, &record(20, 0, number, &[1]));
        call.say(&call.page, &record(22, 0, number, &fragment));
        call.say(&call.page, &record(22, 0, number, &hello));
        call.say(&call.page, &record(23, 0, number, &[5; 30]));
        call.say(&call.page, &record(22, 1, number, &[number; 40]));
        call.tick();
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(call.target(), call.page.local_addr().ok());
    assert_eq!(call.told(), []);
}

#[test]
fn a_browser_that_closes_is_told_of_at_once_and_sent_no_more() {
    let mut call = secured();
    for packet in farewell(&mut call.handshake) {
        call.say(&call.page, &packet);
    }
    let mut told = vec![];
    for _ in 0..500 {
        call.tick();
        told.extend(call.told());
        if !told.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(told, [Told::NotSecured { why: Unsecured::ByLeave }]);
    call.say(&call.page, &check(PASSWORD));
    call.tick();
    assert_eq!(call.target(), None, "whatever checks still come");
    call.now_ns += CONSENT;
    call.tick();
    assert_eq!(call.told(), [], "once");
}

#[test]
fn without_consent_nothing_is_sent_and_that_is_told_once() {
    let mut call = secured();
    call.say(&call.page, &check(PASSWORD));
    call.tick();
    call.now_ns += CONSENT - 5 * TICK;
    call.say(&call.page, &check("another password, which is no consent"));
    call.tick();
    assert!(call.target().is_some());
    call.now_ns += 5 * TICK;
    for _ in 0..3 {
        call.tick();
        assert_eq!(call.target(), None);
    }
    assert_eq!(call.told(), [Told::NotSecured { why: Unsecured::ByConsent }]);
    call.say(&call.page, &check(PASSWORD));
    call.tick();
    assert!(call.target().is_some(), "it may think better of it");
}

#[test]
fn in_a_flood_the_browser_alone_is_heard_for_a_while() {
    let mut call = secured();
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let checks = |call: &Call| call.leg.counters.checks;
    for round in 0..3 {
        for _ in 0..2 * FLOOD {
            call.say(&stranger, &check("guessed, and guessed again"));
        }
        call.tick();
        let (before, strange) = (checks(&call), call.leg.counters.stun);
        for _ in 0..500 {
            call.say(&stranger, &[22; 60]);
        }
        call.say(&call.page, &check(PASSWORD));
        call.tick();
        assert_eq!(call.leg.counters.stun, strange, "{round}: nobody else is read");
        assert_eq!(checks(&call), before + 1, "{round}: the browser is");
        call.now_ns += SECLUSION;
        call.tick();
        call.say(&stranger, &check("guessed"));
        call.tick();
        assert_eq!(call.leg.counters.stun, strange + 1, "{round}: everybody is heard again");
    }
    let other = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    call.say(&other, &check(PASSWORD));
    call.tick();
    assert_eq!(call.target(), other.local_addr().ok(), "and may be the browser elsewhere");
    assert_eq!(call.told(), []);
}

#[test]
fn a_leg_that_is_being_set_up_owes_strangers_nothing() {
    let mut call = Call::new(true);
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    stranger.set_nonblocking(true).expect("is a socket");
    for _ in 0..100 {
        call.say(&stranger, &check("guessed"));
        call.say(&stranger, &[22; 200]);
        call.say(&stranger, &[0x80; 172]);
        call.tick();
    }
    assert_eq!((call.target(), stranger.recv(&mut [0; 9]).is_err()), (None, true));
    assert!(call.leg.browser.as_ref().is_some_and(|browser| browser.waiting.is_empty()));
    assert!(matches!(call.connect(), Told::Secured { .. }));
    assert!(call.now_ns < 1000 * SECOND + 20 * SECOND + 300 * MILLISECOND);
    assert!(stranger.recv(&mut [0; 9]).is_err());
}

#[test]
fn the_first_octets_say_what_a_datagram_is() {
    assert_eq!(content_of(&[0, 1]), Content::Check);
    assert_eq!(content_of(&[22, 254]), Content::Handshake);
    assert_eq!(content_of(&[0x80, 200]), Content::Report);
    assert_eq!(content_of(&[0x80, 96]), Content::Audio);
    assert_eq!(content_of(&[0x80, 0x80 | 96]), Content::Audio);
    assert_eq!(content_of(&[]), Content::Unknown);
    assert_eq!(content_of(&[64, 0]), Content::Unknown);
    assert_eq!(content_of(&[200, 0]), Content::Unknown);
}
