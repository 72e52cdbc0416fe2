use super::*;
use crate::chance::Chance;
use crate::rtp::{HEADER, write_header};

const SUITES: [Suite; 4] = [Suite::AesCm80, Suite::AesCm32, Suite::Gcm128, Suite::Gcm256];

fn master(suite: Suite, first: u8) -> Master {
    let bytes: Vec<u8> =
        (0..(suite.key_length() + suite.salt_length()) as u8).map(|n| n.wrapping_mul(7) ^ first).collect();
    Master::new(suite, &bytes).expect("the suite's length")
}

fn packet(sequence: u16, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut head = [0; HEADER];
    write_header(&mut head, false, 0, sequence, 160, ssrc);
    [&head[..], payload].concat()
}

fn report(ssrc: u32) -> Vec<u8> {
    let mut bytes = vec![0x80, 201, 0, 1];
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend([0x81, 202, 0, 2, 1, 2, 3, 4, 1, 2, 3, 0]);
    bytes
}

#[test]
fn what_one_end_seals_the_other_opens() {
    for suite in SUITES {
        let (mut out, mut heard) = (Outgoing::new(&master(suite, 1)), Incoming::new(&master(suite, 1)));
        for sequence in [65_534, 65_535, 0, 1] {
            let plain = packet(sequence, 7, &[9; 160]);
            let mut sealed = out.rtp(&plain).expect("a fresh index").to_vec();
            assert_eq!(sealed.len(), plain.len() + suite.rtp_tag());
            assert_ne!(sealed[HEADER..HEADER + 160], plain[HEADER..]);
            assert_eq!(heard.rtp(&mut sealed), Ok(plain.len()));
            assert_eq!(sealed[..plain.len()], plain);
        }
        let plain = report(7);
        let mut sealed = out.rtcp(&plain).expect("is RTCP").to_vec();
        assert_eq!(sealed.len(), plain.len() + 4 + suite.rtcp_tag());
        assert_eq!(heard.rtcp(&mut sealed), Ok(plain.len()));
        assert_eq!(sealed[..plain.len()], plain);
    }
}

#[test]
fn the_same_index_is_neither_sent_nor_accepted_twice() {
    for suite in SUITES {
        let (mut out, mut heard) = (Outgoing::new(&master(suite, 1)), Incoming::new(&master(suite, 1)));
        let sealed = out.rtp(&packet(5, 7, &[1; 20])).expect("a fresh index").to_vec();
        assert!(out.rtp(&packet(5, 7, &[2; 20])).is_none());
        assert!(heard.rtp(&mut sealed.clone()).is_ok());
        assert_eq!(heard.rtp(&mut sealed.clone()), Err(Rejected::Replayed));
        let told = out.rtcp(&report(7)).expect("is RTCP").to_vec();
        assert!(heard.rtcp(&mut told.clone()).is_ok());
        assert_eq!(heard.rtcp(&mut told.clone()), Err(Rejected::Replayed));
    }
}

#[test]
fn any_changed_bit_is_noticed_and_changes_nothing() {
    for suite in SUITES {
        let (mut out, mut heard) = (Outgoing::new(&master(suite, 1)), Incoming::new(&master(suite, 1)));
        let sealed = out.rtp(&packet(5, 7, &[1; 20])).expect("a fresh index").to_vec();
        let told = out.rtcp(&report(7)).expect("is RTCP").to_vec();
        for at in 1..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 0x10;
            assert_eq!(heard.rtp(&mut forged), Err(Rejected::BadTag), "{suite:?} {at}");
        }
        for at in 4..told.len() {
            let mut forged = told.clone();
            forged[at] ^= 0x10;
            assert_eq!(heard.rtcp(&mut forged), Err(Rejected::BadTag), "{suite:?} {at}");
        }
        assert!(heard.streams_known() == (0, 0), "strangers leave no trace");
        assert!(heard.rtp(&mut sealed.clone()).is_ok() && heard.rtcp(&mut told.clone()).is_ok());
    }
}

fn keys(send: u8, receive: u8) -> Keys {
    Keys { send: master(Suite::AesCm80, send), receive: master(Suite::AesCm80, receive) }
}

#[test]
fn a_key_that_is_kept_goes_on_and_so_does_the_count_under_another() {
    let mut protection = Protection::new(&keys(1, 2));
    for sequence in [65_535, 0, 5] {
        assert!(protection.out.rtp(&packet(sequence, 7, &[1; 20])).is_some());
    }
    let mut protection = protection.renewed(&keys(1, 3), false);
    assert!(protection.out.rtp(&packet(5, 7, &[1; 20])).is_none(), "the key is the same");
    let mut protection = protection.renewed(&keys(4, 3), false);
    assert!(protection.out.rtp(&packet(5, 7, &[1; 20])).is_none(), "and so is the stream");
    let sealed = protection.out.rtp(&packet(6, 7, &[1; 20])).expect("a fresh index").to_vec();
    let mut heard = Incoming::new(&master(Suite::AesCm80, 4));
    heard.has_heard(7, 1 << 16 | 5);
    assert_eq!(heard.rtp(&mut sealed.clone()), Ok(32), "in its second cycle");
    let mut protection = protection.renewed(&keys(8, 3), true);
    let sealed = protection.out.rtp(&packet(7, 7, &[1; 20])).expect("a fresh index").to_vec();
    let mut heard = Incoming::new(&master(Suite::AesCm80, 8));
    heard.has_heard(7, 6);
    assert_eq!(heard.rtp(&mut sealed.clone()), Ok(32), "to somebody new, in its first");
}

/// Far ends differ in what a new key does to the count of cycles.
#[test]
fn under_a_new_key_a_stream_may_begin_again_or_go_on() {
    for suite in SUITES {
        for goes_on in [true, false] {
            let mut theirs = Outgoing::new(&master(suite, 1));
            let mut heard = Incoming::new(&master(suite, 1));
            for sequence in [65_535, 0, 1] {
                let mut sealed = theirs.rtp(&packet(sequence, 7, &[9; 20])).expect("is fresh").to_vec();
                assert!(heard.rtp(&mut sealed).is_ok());
            }
            let mut late = theirs.rtp(&packet(2, 7, &[9; 20])).expect("is fresh").to_vec();
            let repeated = theirs.rtp(&packet(3, 7, &[9; 20])).expect("is fresh").to_vec();
            let mut theirs = theirs.renewed(&master(suite, 2), !goes_on);
            let mut heard = heard.renewed(&master(suite, 2));
            assert_eq!(heard.rtp(&mut late), Ok(32), "on its way when the key was changed");
            assert!(heard.rtp(&mut late).is_err(), "once");
            for sequence in [4, 5, 70] {
                let mut sealed = theirs.rtp(&packet(sequence, 7, &[9; 20])).expect("is fresh").to_vec();
                assert_eq!(heard.rtp(&mut sealed), Ok(32), "{suite:?} {goes_on} {sequence}");
            }
            assert!(heard.rtp(&mut repeated.clone()).is_err(), "the key before is of no more use");
        }
    }
}

#[test]
fn a_stream_is_heard_although_all_ahead_of_its_first_wrap_was_lost() {
    let (mut out, mut heard) =
        (Outgoing::new(&master(Suite::Gcm128, 1)), Incoming::new(&master(Suite::Gcm128, 1)));
    for sequence in [65_530, 65_535, 0, 1] {
        let mut sealed = out.rtp(&packet(sequence, 7, &[1; 20])).expect("is fresh").to_vec();
        assert!(sequence > 1 || heard.rtp(&mut sealed).is_ok(), "{sequence}");
    }
}

/// Three wraps, a twentieth lost, and up to sixty packets out of order, forgeries among them.
#[test]
fn the_count_of_cycles_is_kept_whatever_the_network_does() {
    let mut chance = Chance::new(5);
    let (mut out, mut heard) =
        (Outgoing::new(&master(Suite::AesCm32, 1)), Incoming::new(&master(Suite::AesCm32, 1)));
    let mut held: Vec<Vec<u8>> = vec![];
    for number in 0..200_000u32 {
        held.push(out.rtp(&packet((number + 64_000) as u16, 7, &[1; 20])).expect("is fresh").to_vec());
        if held.len() < 60 {
            continue;
        }
        let mut sealed = held.swap_remove(chance.next() as usize % 60);
        let forged = &mut sealed.clone();
        forged[2] ^= 0x80;
        assert!(heard.rtp(forged).is_err());
        if chance.next() % 20 > 0 {
            match heard.rtp(&mut sealed) {
                Ok(length) => assert_eq!(length, 32),
                Err(rejected) => assert_eq!(rejected, Rejected::Replayed, "older than the window"),
            }
        }
    }
}

#[test]
fn truncated_packets_are_refused_at_every_length() {
    for suite in SUITES {
        let (mut out, mut heard) = (Outgoing::new(&master(suite, 1)), Incoming::new(&master(suite, 1)));
        let sealed = out.rtp(&packet(5, 7, &[1; 20])).expect("a fresh index").to_vec();
        let told = out.rtcp(&report(7)).expect("is RTCP").to_vec();
        for length in 0..sealed.len() {
            assert!(heard.rtp(&mut sealed[..length].to_vec()).is_err());
        }
        for length in 0..told.len() {
            assert!(heard.rtcp(&mut told[..length].to_vec()).is_err());
        }
    }
}

#[test]
fn a_master_of_the_wrong_length_is_refused_and_never_shown() {
    assert!(Master::new(Suite::Gcm256, &[0; 30]).is_none());
    let shown = format!("{:?}", Keys { send: master(Suite::AesCm80, 1), receive: master(Suite::AesCm32, 2) });
    assert_eq!(shown, "Keys { send: Master(AesCm80), receive: Master(AesCm32) }");
}

#[test]
fn a_key_that_packets_name_is_named_where_each_suite_has_it() {
    for suite in SUITES {
        for mki in [&[7][..], &[0, 0, 0, 1], &[0xAB; 128]] {
            let named = || master(suite, 1).with_mki(mki);
            let (mut out, mut heard) = (Outgoing::new(&named()), Incoming::new(&named()));
            let mut bare = Outgoing::new(&master(suite, 1));
            let is_gcm = matches!(suite, Suite::Gcm128 | Suite::Gcm256);
            // RFC 3711 §3.1 and §3.4, RFC 7714 §8.2 and §9.2.
            let place = |bare: &[u8], tag: usize| {
                let at = if is_gcm { bare.len() } else { bare.len() - tag };
                [&bare[..at], mki, &bare[at..]].concat()
            };
            let plain = packet(9, 7, &[9; 160]);
            let mut sealed = out.rtp(&plain).expect("a fresh index").to_vec();
            assert_eq!(sealed, place(bare.rtp(&plain).expect("a fresh index"), suite.rtp_tag()));
            for at in 0..sealed.len() {
                let mut forged = sealed.clone();
                forged[at] ^= 1;
                assert!(heard.rtp(&mut forged).is_err(), "{suite:?}, octet {at}");
            }
            assert_eq!(heard.rtp(&mut sealed), Ok(plain.len()));
            assert_eq!(sealed[..plain.len()], plain);
            let plain = report(7);
            let mut sealed = out.rtcp(&plain).expect("is RTCP").to_vec();
            assert_eq!(sealed, place(bare.rtcp(&plain).expect("is RTCP"), suite.rtcp_tag()));
            assert_eq!(heard.rtcp(&mut sealed), Ok(plain.len()));
            assert_eq!(sealed[..plain.len()], plain);
            for length in 0..mki.len() + suite.rtcp_tag() + 4 {
                assert!(heard.rtp(&mut vec![0x80; length]).is_err());
                assert!(heard.rtcp(&mut vec![0x80; length]).is_err());
            }
        }
    }
}

#[test]
fn a_key_that_is_named_otherwise_stays_the_key_and_none_of_its_indices_comes_again() {
    let keys = |mki: &[u8]| Keys {
        send: master(Suite::AesCm80, 1).with_mki(mki),
        receive: master(Suite::AesCm80, 2).with_mki(mki),
    };
    let mut protection = Protection::new(&keys(b""));
    assert!(protection.out.rtp(&packet(9, 7, &[1; 20])).is_some());
    let mut protection = protection.renewed(&keys(b"new"), true);
    assert!(protection.out.rtp(&packet(9, 7, &[2; 20])).is_none(), "used");
    let sealed = protection.out.rtp(&packet(10, 7, &[2; 20])).expect("is fresh").to_vec();
    assert_eq!(sealed[HEADER + 20..][..3], *b"new");
}
