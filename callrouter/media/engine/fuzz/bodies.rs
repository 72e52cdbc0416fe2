//! What is done with a fuzzer's bytes, and what must hold whatever they are.  The targets of
//! `make fuzz-media` and the test `tests/corpus.rs` are made of these.

#[path = "browser.rs"]
pub mod browser;

use std::net::SocketAddr;

use _engine::coded::{Codec, Edge};
use _engine::g711;
use _engine::ice::{Credentials, Lite, MAX_ANSWER};
use _engine::outgoing::{MAX_PAYLOAD, Outgoing};
use _engine::playout::Playout;
use _engine::reception::{Arrival, Reception};
use _engine::rtp::{FRAME, HEADER, Packet, header_length, is_stun, write_header};
use _engine::source::{Source, Verdict};
use _engine::srtp::{Keys, Master, Protection, Suite};
use _engine::telephone_event::{KeyReceiver, rescaled};
use _engine::timeline::Timeline;
use _engine::{rtcp as reports, rtp as packets};

const TICK: i64 = 20_000_000;

/// Datagrams, each behind two octets of its length and one that says when and whence it comes.
pub fn datagrams(mut data: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (&[high, low, how], rest) = data.split_first_chunk::<3>()?;
        let length = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
        let (datagram, later) = rest.split_at(length);
        data = later;
        Some((how, datagram))
    })
}

/// What a leg does with each datagram, without sockets: judged, counted, laid out, passed on.
pub fn rtp(data: &[u8]) {
    let addresses = [5000u16, 5002].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let mut source = Source::new(addresses[0]);
    let mut reception = Reception::default();
    let (mut timeline, mut playout) = (Timeline::default(), Playout::default());
    let mut out = Outgoing::new(1, 65_530, u32::MAX - 800);
    let (mut now, mut accepted) = (0i64, 0u64);
    for (how, datagram) in datagrams(data) {
        now += i64::from(how >> 1) * TICK / 4;
        let Some(packet) = Packet::parse(datagram) else { continue };
        let head = header_length(datagram).expect("a packet has a header");
        assert!(head + packet.payload.len() <= datagram.len() && packet.payload_type < 128);
        if source.judge(addresses[usize::from(how & 1)], packet.ssrc, packet.sequence) == Verdict::Stranger {
            continue;
        }
        let samples = now * 8 / 1_000_000;
        let arrival = reception.packet(packet.ssrc, packet.sequence, packet.timestamp, samples);
        if matches!(arrival, Arrival::Duplicate | Arrival::Doubtful) {
            continue;
        }
        accepted += 1;
        timeline.write(packet.timestamp, samples, g711::Codec::Pcmu, packet.payload);
        let said: Vec<i16> = packet.payload.iter().map(|&word| g711::Codec::Pcmu.decode(word)).collect();
        playout.put(packet.timestamp, samples, arrival != Arrival::Late, how & 2 != 0, &said);
        relayed(&mut out, &packet, now);
    }
    assert!(reception.lost() <= (accepted + 1) * 65_536);
    let mut mix = [0; FRAME];
    timeline.mix_into(now * 8 / 1_000_000 - 640, &mut mix);
    playout.take(now * 8 / 1_000_000, &mut [0; FRAME]);
    if let Some(block) = reception.report() {
        assert!(block.lost.unsigned_abs() < 1 << 24);
    }
}

fn relayed(out: &mut Outgoing, packet: &Packet<'_>, now: i64) {
    let length = packet.payload.len();
    if let Some((_, bytes)) = out.relay(packet, 8, None, now) {
        let sent = Packet::parse(bytes).expect("we send RTP");
        assert_eq!((sent.payload, sent.ssrc, sent.payload_type), (packet.payload, 1, 8));
        assert!((1..=MAX_PAYLOAD).contains(&length));
    }
    let mut header = [0; HEADER];
    write_header(
        &mut header,
        packet.marker,
        packet.payload_type,
        packet.sequence,
        packet.timestamp,
        packet.ssrc,
    );
    // A marker with types from 64 on is read as RTCP (RFC 5761 §4): nobody can send those.
    let again = Packet::parse(&header).expect("what was read can be written");
    assert_eq!(
        (again.sequence, again.timestamp, again.ssrc),
        (packet.sequence, packet.timestamp, packet.ssrc)
    );
}

pub fn rtcp(data: &[u8]) {
    let ours = data.get(4..).and_then(|rest| rest.first_chunk()).map_or(7, |word| u32::from_be_bytes(*word));
    for ssrc in [7, ours] {
        let Some(heard) = reports::parse(data, ssrc, 1 << 40) else { continue };
        assert!(data.len() % 4 == 0 && Packet::parse(data).is_none(), "either RTCP or RTP");
        if let Some(about_us) = heard.about_us {
            assert!(about_us.lost < 1 << 23);
            assert!(about_us.round_trip_us.is_none_or(|trip| trip < 60_000_000));
        }
        let sender = reports::SenderInfo { ssrc, ntp: 1 << 40, timestamp: 1, packets: 1, octets: 160 };
        let answer = reports::compose(&sender, None, heard.sender, "fuzz@callrouter", true);
        assert!(reports::parse(&answer, ssrc, 1 << 40).is_some());
    }
}

/// Event packets: a pause, a timestamp, a length, a payload.
pub fn telephone_event(data: &[u8]) {
    let mut receiver = KeyReceiver::default();
    let (mut rest, mut now) = (data, 0i64);
    let (mut told, mut packets) = (0usize, 0usize);
    while let Some((&[pause, high, low, length], later)) = rest.split_first_chunk::<4>() {
        let payload = &later[..usize::from(length % 9).min(later.len())];
        rest = &later[payload.len()..];
        now += i64::from(pause) * 1_000_000;
        packets += 1;
        told += usize::from(receiver.poll(now).is_some());
        let timestamp = u32::from(u16::from_be_bytes([high, low])) << 8;
        let scale = [1, 2, 6][timestamp as usize % 3];
        let heard = receiver.receive(timestamp, payload, scale, now);
        told += usize::from(heard.ended.is_some());
        // The same packet again is the same key; where two ended with one packet, the second is told now.
        let again = receiver.receive(timestamp, payload, scale, now);
        assert!(
            again.began.is_none() && (again.ended.is_none() || heard.ended.is_some()),
            "copies are no keys"
        );
        told += usize::from(again.ended.is_some());
        for (from, to) in [(1, 6), (6, 1), (0, 1)] {
            assert_eq!(rescaled(payload, from, to).is_some(), payload.len() >= 4);
        }
    }
    told += usize::from(receiver.finish().is_some());
    assert!(told <= packets, "a packet tells one key at most");
}

/// Telling STUN, RTP and RTCP apart on one port (RFC 7983).
pub fn stun(data: &[u8]) {
    if is_stun(data) {
        assert!(data.len() >= 20 && packets::header_length(data).is_none());
        assert!(reports::parse(data, 7, 0).is_none());
    }
    check(data);
}

/// Nobody without the password moves a browser's audio, or is answered.
fn check(data: &[u8]) {
    let credentials = Credentials {
        local_ufrag: "ours".into(),
        local_password: "a-password-that-no-corpus-knows".into(),
        remote_ufrag: "theirs".into(),
    };
    let (mut lite, mut answer) = (Lite::new(credentials), [0; MAX_ANSWER]);
    let from = SocketAddr::from(([127, 0, 0, 1], 5000));
    assert!(lite.check(data, from, 0, &mut answer).is_none() && lite.nominated().is_none());
}

const SUITES: [(&str, usize); 4] = [
    ("AES_CM_128_HMAC_SHA1_80", 30),
    ("AES_CM_128_HMAC_SHA1_32", 30),
    ("AEAD_AES_128_GCM", 28),
    ("AEAD_AES_256_GCM", 44),
];

/// Whatever a stranger sends is refused, and takes nothing from the true far end.
pub fn srtp(data: &[u8]) {
    let Some((&first, data)) = data.split_first() else { return };
    let (name, length) = SUITES[usize::from(first % 4)];
    let suite = Suite::named(name).expect("the suite has this name");
    let key = |byte: u8| Master::new(suite, &vec![byte; length]).expect("the key has its length");
    let mut ours = Protection::new(&Keys { send: key(1), receive: key(2) });
    let mut theirs = Protection::new(&Keys { send: key(2), receive: key(1) });
    let mut sequence = 65_533u16;
    for (how, datagram) in datagrams(data) {
        let (mut one, mut other) = (datagram.to_vec(), datagram.to_vec());
        assert!(ours.heard.rtp(&mut one).is_err(), "forged");
        assert!(ours.heard.rtcp(&mut other).is_err(), "forged");
        let mut packet = [0; HEADER + 20];
        packet[HEADER..].fill(how);
        let (header, _) = packet.split_first_chunk_mut().expect("the packet is longer than its header");
        write_header(header, false, 0, sequence, 5, 77);
        sequence = sequence.wrapping_add(1);
        let mut sealed = theirs.out.rtp(&packet).expect("each number is used once").to_vec();
        let open = ours.heard.rtp(&mut sealed).expect("the far end is heard whatever strangers do");
        assert_eq!(sealed[..open], packet);
    }
}

/// Coded audio: the buffer of packets, and the decoders behind it.
pub fn coded(data: &[u8]) {
    let Some((&first, data)) = data.split_first() else { return };
    let mut edge = Edge::new(if first & 1 == 0 { Codec::G722 } else { Codec::Opus });
    let (mut sequence, mut now) = (65_500u16, 0);
    for (how, payload) in datagrams(data).take(64) {
        sequence = sequence.wrapping_add(u16::from(how >> 4)).wrapping_sub(4);
        edge.samples_of(u32::from(sequence) * 960);
        edge.hear(sequence, how & 8 != 0, payload);
        for _ in 0..how & 3 {
            now += TICK;
            edge.decode(true, now);
        }
    }
}
