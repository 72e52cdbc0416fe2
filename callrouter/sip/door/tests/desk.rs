//! What becomes of each datagram, in virtual time.

mod messages;

use std::collections::HashSet;
use std::net::SocketAddr;

use messages::{invite, peer, request};
use sip_door::desk::{Answer, Arrival, Counts, Desk, Wishes};
use sip_door::keyed::Key;

/// The value of a header of an answer.
fn value<'a>(answer: &'a [u8], name: &str) -> &'a str {
    let text = std::str::from_utf8(answer).expect("text");
    let start = text.find(&format!("\r\n{name}: ")).expect(name) + name.len() + 4;
    let length = text[start..].find("\r\n").expect("a line");
    &text[start..start + length]
}

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;
const TO: &str = "<sip:bob@192.0.2.2>";

struct Door {
    key: Key,
    desk: Desk,
    now: u64,
    source: SocketAddr,
}

fn door() -> Door {
    with(Wishes::default())
}

fn with(wishes: Wishes) -> Door {
    let key = Key::default();
    Door { desk: Desk::new(key.clone(), wishes), key, now: SECOND, source: peer() }
}

impl Door {
    fn send(&mut self, octets: &[u8]) -> Option<Vec<u8>> {
        self.answer(octets).map(|answer| answer.octets)
    }

    fn answer(&mut self, octets: &[u8]) -> Option<Answer> {
        self.desk.receive(Arrival { octets, source: self.source, listener: 0 }, self.now)
    }

    /// A request of the dialog with this tag of ours.
    fn request_of(&self, tag: &str, method: &str, branch: &str) -> Vec<u8> {
        request(method, "x", branch, &format!("{TO};tag={}", self.key.sign(tag)))
    }

    /// An answer to a request of ours with this branch.
    fn answer_to(&self, branch: &str) -> Vec<u8> {
        let branch = self.key.sign(branch);
        format!("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.2:5060;branch={branch};rport=5060\r\n\r\n")
            .into_bytes()
    }

    /// Calls until one is turned away; how many were let in.
    fn fill(&mut self, name: &str) -> usize {
        (0..).find(|number| self.send(&invite(&format!("{name}{number}"))).is_some()).expect("a refusal")
    }

    fn take(&mut self, new_calls: usize) -> Vec<Vec<u8>> {
        self.desk.take(new_calls).into_iter().map(|datagram| datagram.octets).collect()
    }
}

#[test]
fn a_stall_of_half_a_second_turns_nobody_away() {
    let mut door = door();
    for number in 0..250 {
        assert_eq!(door.send(&invite(&number.to_string())), None);
        door.now += 2 * MS;
    }
    assert_eq!(door.take(1000).len(), 250);
}

#[test]
fn calls_for_which_there_is_no_room_are_told_to_come_back_each_at_another_time() {
    let mut door = door();
    door.fill("a");
    let waits: HashSet<String> = (0..500)
        .map(|number| {
            value(&door.send(&invite(&format!("b{number}"))).expect("a 503"), "Retry-After").to_owned()
        })
        .collect();
    assert!(waits.iter().all(|wait| (10..=30).contains(&wait.parse::<u32>().expect("seconds"))));
    assert!(waits.len() > 20);
    assert_eq!(door.desk.counts().turned_away, 501);
}

#[test]
fn when_calls_have_waited_all_the_time_fewer_may_wait() {
    let mut door = door();
    let at_first = door.fill("a");
    door.now += SECOND;
    door.take(at_first - 10);
    let standing = 10 + door.fill("b");
    assert!(standing < at_first / 4, "{standing} of {at_first}");
    door.take(standing);
    assert_eq!(door.fill("c"), at_first, "once nobody waits, it is over");
}

#[test]
fn what_belongs_to_calls_is_taken_first_and_always_let_in() {
    let mut door = door();
    door.fill("a");
    let bye = door.request_of("ours", "BYE", "bye");
    let reinvite = door.request_of("ours", "INVITE", "re");
    let response = door.answer_to("z9hG4bKours");
    for octets in [&bye, &reinvite, &response] {
        assert_eq!(door.send(octets), None);
    }
    assert_eq!(door.take(0), [bye, reinvite, response]);
    assert_eq!(door.desk.counts().dropped, 0);
}

#[test]
fn a_flood_of_what_only_looks_like_a_call_neither_delays_nor_crowds_out_what_is_of_one() {
    let mut door = door();
    door.send(&invite("x"));
    assert_eq!(door.take(1), [invite("x")]);
    let theirs = format!("{TO};tag=0123456789abcdef");
    let mut forged = vec![b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK01\r\n\r\n".to_vec()];
    forged.extend(["BYE", "ACK", "INVITE"].map(|method| request(method, "x", "forged", &theirs)));
    forged.extend([request("CANCEL", "x", "forged", TO), request("CANCEL", "other", "other", TO)]);
    // Whoever has a call of his own may say as much of it, but not before all others.
    forged.push(door.request_of("his", "INFO", "own"));
    forged.push(request("INVITE", "x", "x", TO));
    let mut kept = vec![];
    for number in 0..100_000 {
        door.send(&forged[number % forged.len()]);
        if number % 1000 == 999 {
            let real = [
                door.request_of(&format!("ours{number}"), "BYE", "bye"),
                door.answer_to(&format!("z9hG4bKours{number}")),
            ];
            for octets in real {
                door.source = "198.51.100.7:5060".parse().expect("an address");
                assert_eq!(door.send(&octets), None);
                kept.push(octets);
            }
            door.source = peer();
        }
    }
    let taken = door.take(0);
    assert!(taken.len() < 400, "{} at once", taken.len());
    assert_eq!(taken.iter().filter(|octets| kept.contains(octets)).count(), kept.len());
    assert!(door.take(0).len() <= 16, "the others have their turn, a few at a time");
}

#[test]
fn whoever_has_been_quiet_may_speak_ahead_of_others_again() {
    let mut door = door();
    let info = door.request_of("ours", "INFO", "i");
    for _ in 0..1000 {
        door.send(&info);
    }
    let at_once = door.take(0).len();
    while !door.desk.is_idle() {
        door.take(0);
    }
    door.now += 10 * SECOND;
    for _ in 0..1000 {
        door.send(&info);
    }
    assert_eq!(door.take(0).len(), at_once);
    assert!((60..100).contains(&at_once), "{at_once}");
}

#[test]
fn the_ack_of_a_refusal_and_a_cancel_show_by_their_branch_that_they_are_of_a_call() {
    let mut door = door();
    door.send(&invite("a"));
    door.send(&invite("b"));
    assert_eq!(door.take(2).len(), 2);
    for number in 0..3000 {
        door.send(&request("OPTIONS", &number.to_string(), "o", TO));
    }
    let known = [request("ACK", "a", "a", &format!("{TO};tag=refused")), request("CANCEL", "b", "b", TO)];
    for octets in &known {
        door.send(octets);
    }
    assert_eq!(door.take(0)[16..], known);
}

#[test]
fn of_what_is_of_no_call_each_source_has_its_turn() {
    let mut door = door();
    for number in 0..3000 {
        door.send(&request("OPTIONS", &number.to_string(), "o", TO));
    }
    for (host, count) in [("198.51.100.1:5060", 3), ("198.51.100.2:7", 1)] {
        door.source = host.parse().expect("an address");
        for number in 0..count {
            door.send(&request("REGISTER", &format!("{host}-{number}"), "r", TO));
        }
    }
    let taken = door.take(0);
    assert_eq!(taken.len(), 16);
    let registers = taken.iter().filter(|octets| octets.starts_with(b"REGISTER")).count();
    assert_eq!(registers, 4, "those of the others, before most of what came first");
    assert_eq!(door.desk.counts().dropped, 3000 - 410);
}

#[test]
fn no_source_takes_the_room_of_others_by_numbers_or_by_size() {
    let mut door = door();
    let large = [request("OPTIONS", "large", "o", TO), vec![b'x'; 60_000]].concat();
    let mut sources =
        (1..).map(|n| format!("198.51.100.{n}:5060").parse::<SocketAddr>().expect("an address"));
    for octets in [request("OPTIONS", "small", "o", TO), large] {
        for source in sources.by_ref().take(8) {
            door.source = source;
            for _ in 0..3000 {
                door.send(&octets);
            }
        }
    }
    let dropped = door.desk.counts().dropped;
    door.source = sources.next().expect("one more");
    door.send(&request("REGISTER", "x", "r", TO));
    assert_eq!(door.desk.counts().dropped, dropped);
    let taken = door.take(0);
    assert_eq!(taken.len(), 16, "one of each source that waits, the latest at its turn");
    assert!(door.take(0).iter().any(|octets| octets.starts_with(b"REGISTER")));
}

#[test]
fn an_ipv6_network_is_one_source_however_many_addresses_it_has() {
    let mut door = door();
    for number in 0..3000 {
        door.source = format!("[2001:db8::{number:x}]:5060").parse().expect("an address");
        door.send(&request("OPTIONS", "x", "o", TO));
    }
    assert_eq!(door.desk.counts().dropped, 3000 - 410);
}

#[test]
fn what_is_taken_together_comes_in_the_order_of_its_arrival() {
    let mut door = door();
    let sent = [
        invite("a"),
        request("OPTIONS", "b", "b", TO),
        request("BYE", "c", "c", &format!("{TO};tag=ours")),
        b"no message".to_vec(),
        invite("d"),
    ];
    for octets in &sent {
        assert_eq!(door.send(octets), None);
    }
    assert_eq!(door.take(2), sent);
    assert!(door.desk.is_idle());
}

#[test]
fn the_ack_of_a_503_ends_here_and_no_other() {
    let mut door = door();
    door.fill("a");
    let answer = door.send(&invite("x")).expect("a 503");
    let to = value(&answer, "To");
    assert_eq!(door.send(&request("ACK", "x", "x", to)), None);
    assert!(door.take(0).is_empty());
    let strange = [
        request("ACK", "other", "x", to),
        request("ACK", "x", "x", &format!("{TO};tag=0123456789abcdef")),
        request("BYE", "x", "x", to),
    ];
    for octets in &strange {
        assert_eq!(door.send(octets), None);
    }
    assert_eq!(door.take(0), strange);
}

#[test]
fn the_ack_of_a_503_ends_here_although_its_invite_came_again_and_was_let_in() {
    let mut door = door();
    door.fill("a");
    let answer = door.send(&invite("x")).expect("a 503");
    door.take(usize::MAX);
    assert_eq!(door.send(&invite("x")), None);
    assert_eq!(door.take(1), [invite("x")]);
    assert_eq!(door.send(&request("ACK", "x", "x", value(&answer, "To"))), None);
    assert!(door.desk.is_idle());
}

#[test]
fn an_invite_that_was_let_in_may_come_again() {
    let mut door = door();
    let first = invite("x");
    door.send(&first);
    door.fill("a");
    assert_eq!(door.send(&first), None, "it waits once");
    assert_eq!(door.take(1), std::slice::from_ref(&first));
    assert_eq!(door.send(&first), None);
    assert_eq!(door.take(0), [first], "the core has it, and answers again");
}

#[test]
fn whoever_was_asked_for_a_password_may_bring_it_without_waiting_for_room() {
    let mut door = door();
    door.send(&invite("x"));
    assert_eq!(door.take(1).len(), 1);
    door.fill("a");
    let again = |branch: &str| request("INVITE", "x", branch, TO);
    assert_eq!(door.send(&again("second")), None);
    assert_eq!(door.send(&again("third")), None);
    assert!(door.send(&again("fourth")).is_some(), "but not for ever");
}

#[test]
fn a_cancel_is_not_taken_before_its_invite() {
    let mut door = door();
    door.fill("a");
    let (waiting, talking) = (request("CANCEL", "a0", "a0", TO), request("CANCEL", "y", "y", TO));
    assert_eq!((door.send(&waiting), door.send(&talking)), (None, None));
    assert_eq!(door.take(0), [talking]);
    let rest = door.take(1000);
    assert_eq!(rest.first(), Some(&invite("a0")));
    assert_eq!(rest.last(), Some(&waiting));
}

#[test]
fn an_invite_that_cannot_be_read_waits_as_any_other_and_is_never_answered_here() {
    let mut door = door();
    let folded = String::from_utf8(invite("x")).expect("text").replace("To: ", "To:\r\n ").into_bytes();
    assert_eq!(door.send(&folded), None);
    assert_eq!(door.take(1), std::slice::from_ref(&folded));
    door.fill("a");
    assert_eq!(door.send(&folded), None);
    assert_eq!(door.desk.counts().dropped, 1);
    assert!(!door.take(1000).contains(&folded));
}

#[test]
fn a_banned_source_is_not_answered_and_heard_only_in_its_calls_and_while_nobody_else_waits() {
    let mut door = door();
    door.fill("a");
    door.desk.ban(door.source.ip(), door.now + SECOND);
    let bye = door.request_of("ours", "BYE", "bye");
    let forged = request("BYE", "x", "forged", &format!("{TO};tag=theirs"));
    for octets in [&invite("x"), &invite("y"), &request("OPTIONS", "z", "z", TO), &bye, &forged] {
        assert_eq!(door.send(octets), None);
    }
    assert_eq!(door.take(0), [invite("x"), bye]);
    assert_eq!(door.desk.counts(), Counts { turned_away: 1, banned: 3, dropped: 0 });
    door.now += SECOND;
    assert!(door.send(&invite("later")).is_some());
}

#[test]
fn a_core_that_wants_no_new_calls_is_not_woken_for_them() {
    let mut door = door();
    door.send(&invite("a"));
    assert!(!door.desk.is_idle());
    assert!(door.take(0).is_empty());
    assert!(door.desk.is_idle());
    door.send(&request("BYE", "x", "bye", &format!("{TO};tag=ours")));
    assert!(!door.desk.is_idle());
    assert_eq!(door.take(2).len(), 2);
}

#[test]
fn a_core_that_is_late_for_its_calls_gets_one_new_one_at_a_time() {
    let mut door = door();
    for number in 0..100 {
        door.send(&door.request_of(&number.to_string(), "BYE", &number.to_string()));
        door.send(&invite(&number.to_string()));
    }
    assert_eq!(door.take(4).len(), 101);
    assert_eq!(door.take(4).len(), 4);
}

#[test]
fn an_ipv4_source_is_the_same_one_within_ipv6() {
    let mut door = door();
    door.desk.ban("192.0.2.9".parse().expect("an address"), 2 * SECOND);
    for (source, banned) in [("[::ffff:192.0.2.9]:5060", 1), ("[::ffff:192.0.2.8]:5060", 1)] {
        door.source = source.parse().expect("an address");
        door.send(&request("OPTIONS", source, "a", TO));
        door.send(&request("OPTIONS", source, "b", TO));
        assert_eq!(door.desk.counts().banned, banned);
    }
    door.desk.ban("::ffff:192.0.2.7".parse().expect("an address"), 2 * SECOND);
    door.source = "192.0.2.7:5060".parse().expect("an address");
    door.send(&request("OPTIONS", "c", "c", TO));
    assert_eq!(door.desk.counts().banned, 2);
}

#[test]
fn an_ipv6_source_is_banned_with_its_network() {
    let mut door = door();
    door.desk.ban("2001:db8::1".parse().expect("an address"), 2 * SECOND);
    door.source = "[2001:db8::2]:5060".parse().expect("an address");
    door.send(&request("OPTIONS", "a", "a", TO));
    door.send(&request("OPTIONS", "b", "b", TO));
    assert_eq!(door.desk.counts().banned, 1);
    door.source = "[2001:db8:0:1::2]:5060".parse().expect("an address");
    door.send(&request("OPTIONS", "c", "c", TO));
    assert_eq!(door.desk.counts().banned, 1);
}

#[test]
fn an_answer_goes_where_its_question_came_from_or_where_the_operator_wants() {
    for (answers_where_via_says, host, port) in
        [(false, "192.0.2.9", 7), (true, "192.0.2.9", 5060), (true, "192.0.2.8", 7)]
    {
        let mut door = with(Wishes { answers_where_via_says, ..Wishes::default() });
        door.source = format!("{host}:7").parse().expect("an address");
        door.fill("a");
        assert_eq!(door.answer(&invite("x")).expect("a 503").to.port(), port);
    }
}

#[test]
fn no_more_calls_are_let_in_than_the_operator_wants() {
    let mut door = with(Wishes { calls_per_second: 100.0, ..Wishes::default() });
    let mut let_in = 0;
    for number in 0..1000 {
        let_in += usize::from(door.send(&invite(&number.to_string())).is_none());
        door.take(10);
        door.now += MS;
    }
    assert!((95..=125).contains(&let_in), "{let_in}");
}

#[test]
fn whatever_comes_the_queues_are_bounded() {
    let mut door = door();
    let large = vec![b'x'; 60_000];
    for number in 0..10_000 {
        door.send(&large);
        door.send(&door.request_of(&number.to_string(), "INFO", "i"));
    }
    let mut taken = 0;
    while !door.desk.is_idle() {
        taken += door.take(1).iter().map(Vec::len).sum::<usize>();
    }
    assert!(taken < 20 << 20, "{taken} octets");
    assert!(door.desk.counts().dropped > 10_000);
}
