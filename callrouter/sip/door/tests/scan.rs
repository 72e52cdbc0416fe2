//! What the scanner is sure of, and what it leaves to the core.

mod messages;

use messages::{invite, peer, request};
use sip_door::refusal;
use sip_door::scan::{Kind, scan};

fn changed(from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(invite("c")).expect("text");
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1).into_bytes()
}

fn answer(octets: &[u8], source: &str) -> String {
    let Kind::NewCall(request) = scan(octets) else { panic!("no new call") };
    let written = refusal::write(&request, source.parse().expect("an address"), b"t", 0);
    String::from_utf8(written).expect("text")
}

#[test]
fn the_answer_has_all_that_it_copies_in_its_order() {
    let octets = b"INVITE sip:a@192.0.2.2 SIP/2.0\r\nv: SIP/2.0/UDP 10.0.0.1:5061;rport;branch=z9hG4bK7\r\n\
        VIA : SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK8\r\nf: <sip:b@c>;tag=1\r\nTo:<sip:a@192.0.2.2>\r\n\
        i: seven\r\nCSEQ: 4 INVITE\r\nContent-Length: 4\r\n\r\nbody";
    assert_eq!(
        answer(octets, "198.51.100.7:1024"),
        "SIP/2.0 503 Service Unavailable\r\n\
         Via: SIP/2.0/UDP 10.0.0.1:5061;branch=z9hG4bK7;received=198.51.100.7;rport=1024\r\n\
         Via: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK8\r\nFrom: <sip:b@c>;tag=1\r\n\
         To: <sip:a@192.0.2.2>;tag=t\r\nCall-ID: seven\r\nCSeq: 4 INVITE\r\nRetry-After: 10\r\n\
         Content-Length: 0\r\n\r\n"
    );
}

#[test]
fn the_via_says_where_the_request_came_from() {
    let via = |parameters: &str, source: &str| {
        let octets = changed("z9hG4bKc", &format!("z9hG4bKc{parameters}"));
        let answer = answer(&octets, source);
        answer.lines().nth(1).expect("a Via").split(";branch=").nth(1).expect("a branch").to_owned()
    };
    assert_eq!(via("", "192.0.2.9:5060"), "z9hG4bKc");
    assert_eq!(via("", "192.0.2.7:5060"), "z9hG4bKc;received=192.0.2.7");
    assert_eq!(via(";rport", "192.0.2.9:7"), "z9hG4bKc;rport=7;received=192.0.2.9");
    assert_eq!(via(";received=1.1.1.1;rport=1;x", "192.0.2.9:7"), "z9hG4bKc;x;received=192.0.2.9;rport=7");
}

#[test]
fn kinds_are_told_apart_by_their_to_tag_and_method() {
    let tagged = "<sip:bob@192.0.2.2> ; TAG =ours;x=y";
    let bye = request("BYE", "c", "b", "<sip:bob@192.0.2.2>;tag=ours;x=y");
    let Kind::InDialog(bye) = scan(&bye) else { panic!("no BYE") };
    assert_eq!((bye.method, bye.call_id), (b"BYE".as_slice(), b"c".as_slice()));
    assert_eq!(bye.to_tag, b"ours");
    assert!(matches!(scan(&request("BYE", "c", "b", tagged)), Kind::InDialog(_)));
    assert!(matches!(scan(&request("CANCEL", "c", "b", "<sip:bob@192.0.2.2>")), Kind::Cancel(_)));
    assert_eq!(scan(&request("OPTIONS", "c", "b", "<sip:stage@192.0.2.2>")), Kind::Request);
    assert_eq!(scan(b"SIP/2.0 200 OK\r\n"), Kind::Response(b""));
    for (via, branch) in [
        ("Via: SIP/2.0/UDP a;branch=z9;rport=1", "z9"),
        ("v : SIP/2.0/UDP a;rport;branch=z9, SIP/2.0/UDP b;branch=z8", "z9"),
        ("X: y\r\nVIA:SIP/2.0/TCP a;branch=\r\nVia: SIP/2.0/UDP b;branch=z8", ""),
        ("To: a\r\n\r\nVia: SIP/2.0/UDP a;branch=z9", ""),
    ] {
        let octets = format!("SIP/2.0 200 OK\r\n{via}");
        assert_eq!(scan(octets.as_bytes()), Kind::Response(branch.as_bytes()), "{via}");
    }
    assert_eq!(scan(b""), Kind::Unclear);
    assert_eq!(scan(b"\r\n\r\n"), Kind::Unclear);
    let kept_open = [b"\r\n".as_slice(), &invite("c")].concat();
    assert!(matches!(scan(&kept_open), Kind::NewCall(_)));
}

#[test]
fn what_is_odd_is_left_to_the_core() {
    let odd = [
        ("To: ", "To:\r\n "),
        ("To: ", "To: a\rb "),
        ("To: ", "To: a\nb "),
        ("To: ", "To: a\0b "),
        ("To: ", "To: <sip:a@b>\r\nt: "),
        ("To: ", "T o: "),
        ("<sip:bob@192.0.2.2>\r\n", "<sip:bob@192.0.2.2;tag=x>\r\n"),
        ("<sip:bob@192.0.2.2>\r\n", "\"x;tag=y\" <sip:bob@192.0.2.2>\r\n"),
        ("<sip:bob@192.0.2.2>\r\n", "<sip:bob@192.0.2.2>;\u{a0}tag=x\r\n"),
        ("<sip:bob@192.0.2.2>\r\n", "\r\n"),
        ("<sip:bob@192.0.2.2>\r\n", "<sip:bob@192.0.2.2>\"\r\n"),
        ("<sip:bob@192.0.2.2>\r\n", "\"x\\\"\" <sip:bob@192.0.2.2>\r\n"),
        ("From: ", "X: "),
        ("Via: SIP/2.0/UDP", "Via: SIP/2.0/TCP"),
        ("Via: SIP/2.0/UDP", "Via: SIP / 2.0 / UDP"),
        ("z9hG4bK", "1"),
        ("z9hG4bKc", "z9hG4bKc, SIP/2.0/UDP 192.0.2.8"),
        ("z9hG4bKc", "z9hG4bKc;x=\"y\""),
        ("z9hG4bKc", "z9hG4bKc;branch=z9hG4bKd"),
        ("192.0.2.9:5060", "192.0.2.9:0"),
        ("192.0.2.9:5060", "[192.0.2.9]"),
        ("CSeq: 1 INVITE", "CSeq: 1 BYE"),
        ("CSeq: 1 INVITE", "CSeq: 4294967296 INVITE"),
        ("Call-ID: c", "Call-ID: c d"),
        ("Content-Length: 0", "Content-Length: 1"),
        ("Content-Length: 0", "Content-Length: 0\r\nl: 0"),
        ("SIP/2.0\r\nVia", "SIP/3.0\r\nVia"),
        ("sip:bob@192.0.2.2 SIP", "sip:bob@192.0.2.2  SIP"),
        ("\r\n\r\n", "\r\n"),
    ];
    for (from, to) in odd {
        assert_eq!(scan(&changed(from, to)), Kind::UnclearInvite, "{from:?} {to:?}");
    }
    let many = "X: y\r\n".repeat(200);
    assert_eq!(scan(&changed("Max-Forwards", &format!("{many}Max-Forwards"))), Kind::UnclearInvite);
    let long = "y".repeat(9000);
    assert_eq!(scan(&changed("Max-Forwards", &format!("X: {long}\r\nMax-Forwards"))), Kind::UnclearInvite);
}

#[test]
fn cut_anywhere_it_is_no_new_call() {
    let octets = invite("c");
    for cut in 0..octets.len() {
        assert!(!matches!(scan(&octets[..cut]), Kind::NewCall(_)), "{cut}");
    }
}

#[test]
fn an_answer_is_hardly_longer_than_its_question() {
    let octets = changed("z9hG4bKc", "z9hG4bKc;rport");
    assert!(answer(&octets, &peer().to_string()).len() < octets.len() + 64);
}
