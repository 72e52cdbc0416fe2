//! Two sessions with each other, in memory.

use super::*;
use crate::chance::Chance;
use sha2::{Digest, Sha256};

pub const ONE: (&[u8], &[u8]) =
    (include_bytes!("../../tests/data/one.certificate.der"), include_bytes!("../../tests/data/one.key.der"));
pub const TWO: (&[u8], &[u8]) =
    (include_bytes!("../../tests/data/two.certificate.der"), include_bytes!("../../tests/data/two.key.der"));

pub fn identity((certificate, key): (&[u8], &[u8])) -> Identity {
    Identity::new(certificate.to_vec(), key.to_vec()).expect("a certificate with its key")
}

pub fn session(own: (&[u8], &[u8]), expected: &[u8], is_client: bool, now: Instant) -> Session {
    let fingerprint = Fingerprint::new("sha-256", &Sha256::digest(expected)).expect("is one");
    Session::new(&identity(own), &Terms { fingerprint, is_client }, now)
}

/// What a session says to end the connection.
pub fn farewell(session: &mut Session) -> Vec<Vec<u8>> {
    session.dtls.close().expect("it is through with the handshake");
    session.step(&[], Instant::now()).packets
}

/// Pass packets to and fro until both are silent; what each has made of it.
fn converse(client: &mut Session, server: &mut Session, now: Instant) -> [Progress; 2] {
    let mut sums = [Progress::default(), Progress::default()];
    let mut waiting = vec![];
    for _ in 0..10 {
        for (end, sum) in [&mut *client, &mut *server].into_iter().zip(&mut sums) {
            let progress = end.step(&std::mem::take(&mut waiting), now);
            waiting = progress.packets;
            sum.keys = sum.keys.take().or(progress.keys);
            sum.failure = sum.failure.or(progress.failure);
        }
    }
    sums
}

/// A client that can do DTLS 1.3 as well, as browsers now are, offers both and gets ours.
#[test]
fn a_client_of_the_next_version_falls_back() {
    let now = Instant::now();
    let mut server = session(TWO, ONE.0, false, now);
    let mut client = session(ONE, TWO.0, true, now);
    let next = identity(ONE);
    client.dtls = Dtls::new_auto(next.config, next.certificate, now);
    client.dtls.set_active(true);
    let [of_client, of_server] = converse(&mut client, &mut server, now);
    assert_eq!((of_client.failure, of_server.failure), (None, None));
    let (client, server) = (of_client.keys.expect("has keys"), of_server.keys.expect("has keys"));
    assert!(client.send == server.receive && client.receive == server.send);
}

#[test]
fn both_ends_get_the_keys_that_the_other_has() {
    let now = Instant::now();
    let mut client = session(ONE, TWO.0, true, now);
    let mut server = session(TWO, ONE.0, false, now);
    let [of_client, of_server] = converse(&mut client, &mut server, now);
    assert_eq!((of_client.failure, of_server.failure), (None, None));
    let (client, server) = (of_client.keys.expect("has keys"), of_server.keys.expect("has keys"));
    assert!(client.send == server.receive && client.receive == server.send);
    assert!(client.send != client.receive);
}

#[test]
fn another_certificate_than_was_signalled_gives_no_keys() {
    let now = Instant::now();
    for is_client in [true, false] {
        let mut ours = session(ONE, ONE.0, is_client, now);
        let mut theirs = session(TWO, ONE.0, !is_client, now);
        let (us, them) = if is_client {
            let [us, them] = converse(&mut ours, &mut theirs, now);
            (us, them)
        } else {
            let [them, us] = converse(&mut theirs, &mut ours, now);
            (us, them)
        };
        assert_eq!((us.failure, us.keys), (Some(Failure::WrongCertificate), None));
        assert_eq!(them.keys, None, "is told nothing more");
    }
}

#[test]
fn garbage_and_lost_packets_are_got_over() {
    let mut now = Instant::now();
    let mut client = session(ONE, TWO.0, true, now);
    let mut server = session(TWO, ONE.0, false, now);
    let lost = client.step(&[], now);
    assert!(!lost.packets.is_empty() && lost.wake.is_some_and(|wake| wake > now));
    let noise = [vec![22; 3], vec![22; 200], vec![63; 40], vec![]];
    assert_eq!(server.step(&noise, now).failure, None);
    now += Duration::from_secs(1);
    let [of_client, of_server] = converse(&mut client, &mut server, now);
    assert!(of_client.keys.is_some() && of_server.keys.is_some());
}

#[test]
fn a_far_end_that_never_answers_is_given_up() {
    let mut now = Instant::now();
    let mut client = session(ONE, TWO.0, true, now);
    let mut packets = 0;
    for _ in 0..400 {
        let progress = client.step(&[], now);
        packets += progress.packets.len();
        if progress.failure.is_some() {
            assert_eq!(progress.failure, Some(Failure::Unanswered));
            assert!((4..=10).contains(&packets), "{packets} packets");
            return;
        }
        now += Duration::from_millis(100);
    }
    panic!("it still tries");
}

#[test]
fn a_key_that_is_none_is_refused() {
    assert!(Identity::new(ONE.0.to_vec(), vec![1, 2, 3]).is_none());
}

/// `cargo test --release cost_of_a_handshake -- --ignored --nocapture`
#[test]
#[ignore = "measures"]
fn cost_of_a_handshake() {
    let (one, two) = (identity(ONE), identity(TWO));
    let terms = |is_client: bool, other: &[u8]| {
        let fingerprint = Fingerprint::new("sha-256", &Sha256::digest(other)).expect("is one");
        Terms { fingerprint, is_client }
    };
    for is_client in [true, false] {
        let (mut begin, mut steps) = (Duration::ZERO, Duration::ZERO);
        let rounds = 50;
        for _ in 0..rounds {
            let now = Instant::now();
            let mut us = Session::new(&one, &terms(is_client, TWO.0), now);
            begin += now.elapsed();
            let mut them = Session::new(&two, &terms(!is_client, ONE.0), now);
            let mut waiting = vec![];
            for turn in 0..12 {
                let is_ours = (turn % 2 == 0) == is_client;
                let begun = Instant::now();
                waiting = if is_ours { &mut us } else { &mut them }.step(&waiting, now).packets;
                if is_ours {
                    steps += begun.elapsed();
                }
            }
        }
        let part = if is_client { "client" } else { "server" };
        println!("{part}: {:?} to begin, {:?} to go on with, each", begin / rounds, steps / rounds);
    }
}

/// Flights that were changed on the way, as somebody between the two can: whatever they are, the
/// session says so and goes no further, or gets over it; keys are never other than the other's.
#[test]
fn forged_flights_are_refused_or_got_over() {
    let mut chance = Chance::new(7);
    let now = Instant::now();
    for round in 0..60 {
        let mut client = session(ONE, TWO.0, true, now);
        let mut server = session(TWO, ONE.0, false, now);
        let (mut waiting, mut keys) = (vec![], [None, None]);
        for turn in 0..8 {
            let end = if turn % 2 == 0 { &mut client } else { &mut server };
            let progress = end.step(&waiting, now);
            if progress.keys.is_some() {
                keys[turn % 2] = progress.keys;
            }
            waiting = progress.packets;
            if turn == round % 4
                && let Some(packet) = waiting.first_mut()
            {
                let at = chance.next() as usize % packet.len();
                packet[at] ^= 1 << (chance.next() % 8);
            }
        }
        if let [Some(client), Some(server)] = keys {
            assert!(client.send == server.receive && client.receive == server.send);
        }
    }
}
