//! Answers that leave together arrive one by one.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use sip_door::answers::Answers;
use sip_door::batch::Batch;
use sip_door::desk::Answer;
use sip_door::socket::Socket;

fn peer(host: &str) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((host, 0)).expect("a port");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
    let address = socket.local_addr().expect("an address");
    (socket, address)
}

fn heard(peer: &UdpSocket, count: usize) -> Vec<Vec<u8>> {
    let mut buffer = vec![0; 65_536];
    let one = |_| {
        let length = peer.recv(&mut buffer).expect("a datagram");
        buffer[..length].to_vec()
    };
    (0..count).map(one).collect()
}

#[test]
fn each_arrives_by_itself_where_it_has_to_go_and_in_its_order() {
    for host in ["127.0.0.1", "::1"] {
        let socket = Socket::bind(0, host, 0, "").expect("a socket");
        let (first, second) = (peer(host), peer(host));
        let (mut answers, mut sent) = (Answers::default(), [vec![], vec![]]);
        for number in 0..100 {
            // More of one length and to one address than the kernel cuts at once, and some of another.
            let to = usize::from(number >= 80 && number % 5 != 0);
            let length = if number == 75 { 41 } else { 40 };
            let octets = format!("{number:0length$}").into_bytes();
            answers.push(&Answer { octets: octets.clone(), to: [first.1, second.1][to] });
            sent[to].push(octets);
        }
        answers.send(&socket);
        assert!(answers.is_empty());
        for (peer, sent) in [first.0, second.0].iter().zip(sent) {
            assert_eq!(heard(peer, sent.len()), sent);
        }
    }
}

#[test]
fn answers_that_together_are_no_datagram_leave_in_several() {
    let socket = Socket::bind(0, "127.0.0.1", 0, "").expect("a socket");
    let (peer, to) = peer("127.0.0.1");
    let (mut answers, sent) = (Answers::default(), vec![vec![b'x'; 30_000]; 3]);
    sent.iter().for_each(|octets| answers.push(&Answer { octets: octets.clone(), to }));
    answers.send(&socket);
    assert_eq!(heard(&peer, 3), sent);
}

#[test]
fn who_is_not_reached_keeps_nobody_else_from_an_answer() {
    let socket = Socket::bind(0, "127.0.0.1", 0, "").expect("a socket");
    let (peer, to) = peer("127.0.0.1");
    let unreachable = "[::1]:5060".parse().expect("an address");
    let mut answers = Answers::default();
    for to in [unreachable, unreachable, to, to] {
        answers.push(&Answer { octets: b"503".to_vec(), to });
    }
    answers.send(&socket);
    assert_eq!(heard(&peer, 2), [b"503", b"503"]);
}

#[test]
fn what_waits_is_read_some_at_once_however_long_it_is() {
    let socket = Socket::bind(0, "127.0.0.1", 0, "").expect("a socket");
    let (peer, address) = peer("127.0.0.1");
    let to = ("127.0.0.1", socket.port().expect("a port"));
    let lengths = [0, 1, 60_000, 60_000, 60_000].into_iter().chain(2..100);
    let sent: Vec<Vec<u8>> = lengths.map(|length| vec![length as u8; length]).collect();
    for octets in &sent {
        peer.send_to(octets, to).expect("sent");
    }
    let (mut batch, mut read) = (Batch::default(), vec![]);
    loop {
        let is_more_there = batch.fill(&socket);
        for (octets, source) in batch.datagrams() {
            assert_eq!(source, address);
            read.push(octets.to_vec());
        }
        if !is_more_there {
            break;
        }
    }
    assert_eq!(read, sent);
}

#[test]
fn what_is_sent_comes_from_the_address_that_others_are_told_if_it_is_one_of_ours() {
    for (host, advertised, far, seen) in [
        ("0.0.0.0", "127.0.0.7", "127.0.0.1", "127.0.0.7"),
        ("::", "127.0.0.7", "127.0.0.1", "127.0.0.7"),
        ("::", "::1", "::1", "::1"),
        ("::", "::1", "127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "192.0.2.7", "127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "phones.example.com", "127.0.0.1", "127.0.0.1"),
        ("127.0.0.2", "127.0.0.7", "127.0.0.1", "127.0.0.2"),
    ] {
        let socket = Socket::bind(0, host, 0, advertised).expect("a socket");
        let far = UdpSocket::bind((far, 0)).expect("a port");
        let to = far.local_addr().expect("an address");
        let mut room = [0; 64];
        socket.send(b"one", to).expect("sent");
        let (length, from) = far.recv_from(&mut room).expect("received");
        assert_eq!((&room[..length], from.ip().to_string().as_str()), (&b"one"[..], seen));
        if socket.send_cut(b"abcd", 2, to).is_ok() {
            let (length, from) = far.recv_from(&mut room).expect("received");
            assert_eq!((&room[..length], from.ip().to_string().as_str()), (&b"ab"[..], seen));
        }
    }
}
