use super::*;
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

#[test]
fn a_renewed_key_starts_over_and_a_kept_one_goes_on() {
    let keys = |send: u8, receive: u8| Keys {
        send: master(Suite::AesCm80, send),
        receive: master(Suite::AesCm80, receive),
    };
    let mut protection = Protection::new(&keys(1, 2));
    assert!(protection.out.rtp(&packet(5, 7, &[1; 20])).is_some());
    protection.renew(&keys(1, 3));
    assert!(protection.out.rtp(&packet(5, 7, &[1; 20])).is_none(), "the key is the same");
    protection.renew(&keys(4, 3));
    assert!(protection.out.rtp(&packet(5, 7, &[1; 20])).is_some());
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
