//! Fifty packets a second on every leg: no drift, none missing, whichever thread serves it.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use _engine::command::{Action, Command, Negotiated};
use _engine::engine::{Config, Engine};
use _engine::g711::Codec;
use _engine::rtp::Packet;

const LEGS: usize = 30;
const RUN: Duration = Duration::from_secs(2);

fn engine() -> Engine {
    let config = Config {
        addresses: vec![[127, 0, 0, 1].into()],
        ports: 47000..47400,
        threads: 2,
        quarantine_ns: 0,
        rtp_timeout_ns: i64::MAX,
        identity: None,
        report_interval_ns: 5_000_000_000,
    };
    Engine::start(&config).expect("an engine")
}

fn to(remote: SocketAddr) -> Action {
    Action::SetRemote(Negotiated {
        remote,
        remote_rtcp: None,
        codec: Codec::Pcmu,
        payload_type: 0,
        event_type: None,
        own_type: None,
        own_event_type: None,
        may_send: true,
        may_receive: true,
        is_early: false,
        keys: None,
        browser: None,
        coded: None,
        event_scale: 1,
        noise_type: None,
        longest: usize::MAX,
    })
}

/// Everything that is in the socket: sequence number and timestamp.
fn drain(socket: &UdpSocket) -> Vec<(u16, u32)> {
    let mut heard = vec![];
    let mut buffer = [0; 2048];
    while let Ok(length) = socket.recv(&mut buffer) {
        let packet = Packet::parse(&buffer[..length]).expect("RTP");
        heard.push((packet.sequence, packet.timestamp));
    }
    heard
}

#[test]
fn every_leg_sends_on_an_absolute_schedule_even_while_it_changes_threads() {
    let engine = engine();
    let ends: Vec<_> = (0..LEGS)
        .map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            socket.set_nonblocking(true).expect("nonblocking");
            let (leg, _) = engine.open(false).expect("a leg");
            (leg, socket)
        })
        .collect();
    let begin = Instant::now();
    for (leg, socket) in &ends {
        let action = to(socket.local_addr().expect("is bound"));
        engine.submit(vec![Command { leg: *leg, action }]);
    }
    let mut turn = 0;
    while begin.elapsed() < RUN {
        // Neighbours are on different threads: each batch makes one of them move.
        let (a, b) = (ends[turn % LEGS].0, ends[(turn * 7 + 1) % LEGS].0);
        let part = |leg| Command { leg, action: Action::Part };
        engine.submit(vec![part(a), part(b)]);
        turn += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    // The sums are brought up to date twice a second; a leg on its way is on neither thread.
    std::thread::sleep(Duration::from_millis(600));
    let elapsed = begin.elapsed().as_millis() as i64;
    let sums = engine.totals();
    assert_eq!(sums.legs, LEGS as u64, "{sums:?}");
    for (_, socket) in &ends {
        let heard = drain(socket);
        let expected = elapsed / 20;
        assert!((heard.len() as i64 - expected).abs() <= 3, "{} packets, {expected} due", heard.len());
        for pair in heard.windows(2) {
            assert_eq!(pair[1].0, pair[0].0.wrapping_add(1));
            assert_eq!(pair[1].1.wrapping_sub(pair[0].1), 160);
        }
    }
    assert_eq!(engine.stop().len(), LEGS, "each leg tells that it is closed");
}
