//! Checks as a full agent sends them, and as nobody should.

use super::*;
use is::stun::TransId;

const PASSWORD: &str = "a-password-of-ours-0123456789";

fn lite() -> Lite {
    Lite::new(Credentials {
        local_ufrag: "ours".into(),
        local_password: PASSWORD.into(),
        remote_ufrag: "theirs".into(),
    })
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn request(username: &str, password: &str, nominates: bool) -> Vec<u8> {
    let request = StunMessage::binding_request(username, TransId::new(), true, 7, 100, nominates);
    let mut bytes = [0; MAX_ANSWER];
    let length = request.to_bytes(Some(password.as_bytes()), &mut bytes, hmac).expect("fits");
    bytes[..length].to_vec()
}

fn ask(lite: &mut Lite, datagram: &[u8], from: SocketAddr, now_ns: i64) -> Option<(Answer, Vec<u8>)> {
    let mut bytes = [0; MAX_ANSWER];
    let answer = lite.check(datagram, from, now_ns, &mut bytes)?;
    Some((answer, bytes[..answer.length].to_vec()))
}

#[test]
fn a_check_is_answered_with_the_address_it_came_from() {
    let mut lite = lite();
    let (answer, bytes) =
        ask(&mut lite, &request("ours:theirs", PASSWORD, false), at(4000), 1).expect("is owed");
    let reply = StunMessage::parse(&bytes).expect("is STUN");
    assert!(reply.is_successful_binding_response() && reply.verify(PASSWORD.as_bytes(), hmac));
    assert!(has_fingerprint(&bytes));
    assert_eq!((reply.mapped_address(), answer.nominates), (Some(at(4000)), false));
    assert_eq!(lite.nominated(), None, "a check alone chooses nothing");
}

#[test]
fn the_far_end_chooses_and_may_choose_again() {
    let mut lite = lite();
    let chooses = request("ours:theirs", PASSWORD, true);
    assert!(ask(&mut lite, &chooses, at(4000), 1).is_some_and(|(answer, _)| answer.nominates));
    assert!(ask(&mut lite, &chooses, at(4000), 2).is_some_and(|(answer, _)| !answer.nominates));
    assert_eq!(lite.target(3), Some(at(4000)));
    assert!(ask(&mut lite, &chooses, at(5000), 3).is_some_and(|(answer, _)| answer.nominates));
    assert_eq!(lite.target(4), Some(at(5000)));
}

#[test]
fn strangers_are_owed_nothing_and_change_nothing() {
    let mut lite = lite();
    let good = request("ours:theirs", PASSWORD, true);
    let mut unprinted = good.clone();
    if let Some(last) = unprinted.last_mut() {
        *last ^= 1;
    }
    let mut altered = good.clone();
    altered[30] ^= 1;
    let strange = [
        request("ours:theirs", "another password altogether", true),
        request("ours:another", PASSWORD, true),
        request("another:theirs", PASSWORD, true),
        unprinted,
        altered,
        good[..good.len() - 1].to_vec(),
        good[..20].to_vec(),
        vec![],
    ];
    for datagram in &strange {
        assert_eq!(ask(&mut lite, datagram, at(4000), 1), None);
    }
    assert_eq!(lite.nominated(), None);
    assert!(ask(&mut lite, &good, at(4000), 1).is_some());
}

#[test]
fn an_answer_is_not_answered() {
    let mut lite = lite();
    let (_, bytes) = ask(&mut lite, &request("ours:theirs", PASSWORD, true), at(4000), 1).expect("is owed");
    assert_eq!(ask(&mut lite, &bytes, at(4000), 2), None);
}

#[test]
fn who_wants_us_to_choose_is_told_to_do_so_itself() {
    let mut lite = lite();
    let request = StunMessage::binding_request("ours:theirs", TransId::new(), false, 7, 100, false);
    let mut bytes = [0; MAX_ANSWER];
    let length = request.to_bytes(Some(PASSWORD.as_bytes()), &mut bytes, hmac).expect("fits");
    let (answer, reply) = ask(&mut lite, &bytes[..length], at(4000), 1).expect("is owed");
    let reply = StunMessage::parse(&reply).expect("is STUN");
    assert_eq!((reply.error_code().map(|(code, _)| code), answer.nominates), (Some(487), false));
}

#[test]
fn consent_runs_out_unless_the_chosen_path_is_checked_again() {
    let mut lite = lite();
    let chooses = request("ours:theirs", PASSWORD, true);
    let checks = request("ours:theirs", PASSWORD, false);
    ask(&mut lite, &chooses, at(4000), 0);
    assert_eq!(lite.target(CONSENT - 1), Some(at(4000)));
    ask(&mut lite, &checks, at(5000), CONSENT - 1);
    assert_eq!(lite.target(CONSENT), None, "another path's check is no consent to this one");
    ask(&mut lite, &checks, at(4000), CONSENT);
    assert_eq!(lite.target(CONSENT), Some(at(4000)));
}

#[test]
fn after_a_restart_the_old_credentials_are_a_strangers() {
    let mut lite = lite();
    let chooses = request("ours:theirs", PASSWORD, true);
    ask(&mut lite, &chooses, at(4000), 0);
    let again = Credentials {
        local_ufrag: "ours2".into(),
        local_password: "another-password-of-ours-0123".into(),
        remote_ufrag: "theirs2".into(),
    };
    lite.renew(&again);
    assert_eq!(ask(&mut lite, &chooses, at(5000), 1), None);
    assert_eq!(lite.target(2), Some(at(4000)), "the path stays until another is chosen");
    let chooses = request("ours2:theirs2", &again.local_password, true);
    assert!(ask(&mut lite, &chooses, at(5000), 3).is_some());
    assert_eq!(lite.target(4), Some(at(5000)));
}
