//! A far end that does everything it should not: other payload types at every packet, nothing in
//! them, leaps and new sources in mid-talk, late, twice, and all at once.

use std::net::UdpSocket;

use crate::chance::Chance;
use crate::coded;
use crate::event::{EventReceiver, EventSender, events};
use crate::inbox::Limit;
use crate::leg::stand::{self, AUDIO, KEYS};
use crate::leg::{Around, Leg, TICK, Wishes};
use crate::rooms::Rooms;
use crate::rtp::{HEADER, Packet, write_header};
use crate::timeline::Timeline;

struct Stand {
    leg: Leg,
    far_end: UdpSocket,
    /// What it sends, of its codec.
    audio: u8,
    sender: EventSender,
    _receiver: EventReceiver,
    rooms: Rooms,
    ticks: i64,
    sent: u64,
}

impl Stand {
    fn new(coded: Option<coded::Codec>) -> Self {
        let (mut leg, far_end) = stand::leg(coded);
        leg.wish(Wishes { voice: true, ..Wishes::default() });
        leg.received = Some(Timeline::default());
        let (sender, receiver) = events().expect("an eventfd");
        let audio = if coded.is_some() { AUDIO } else { 0 };
        let rooms = Rooms::default();
        Self { leg, far_end, audio, sender, _receiver: receiver, rooms, ticks: 0, sent: 0 }
    }

    fn say(&mut self, kind: u8, ssrc: u32, sequence: u16, timestamp: u32, payload: &[u8]) {
        let mut packet = vec![0; HEADER + payload.len()];
        if let Some(header) = packet.first_chunk_mut() {
            write_header(header, false, kind, sequence, timestamp, ssrc);
        }
        packet[HEADER..].copy_from_slice(payload);
        let to = self.leg.rtp().local_addr().expect("is bound");
        self.sent += u64::from(self.far_end.send_to(&packet, to).is_ok());
    }

    /// 20 ms: the numbers of what the far end got.
    fn tick(&mut self) -> Vec<u16> {
        let now = self.ticks * TICK;
        self.ticks += 1;
        self.leg.listen(&mut [0; 2048], now, &self.sender, &mut Limit::Before(i64::MAX));
        self.leg.tick(now, &mut Around { events: &self.sender, rooms: &mut self.rooms });
        let mut buffer = [0; 2048];
        let got = std::iter::from_fn(|| {
            let length = self.far_end.recv(&mut buffer).ok()?;
            Packet::parse(&buffer[..length]).map(|packet| packet.sequence)
        });
        got.collect()
    }

    /// Datagrams that the books know of.
    fn accounted(&self) -> u64 {
        let counters = &self.leg.counters;
        counters.packets_in + counters.duplicates + counters.wrong_type + counters.garbage
    }
}

fn attack(coded: Option<coded::Codec>, seed: u64) {
    let mut chance = Chance::new(seed);
    let mut stand = Stand::new(coded);
    let (mut ssrc, mut sequence, mut timestamp) = (1u32, chance.next() as u16, chance.next() as u32);
    let mut heard: Option<u16> = None;
    for _ in 0..2000 {
        for _ in 0..chance.next() % 4 {
            match chance.next() % 50 {
                0 => ssrc = chance.next() as u32,
                1 => sequence = chance.next() as u16,
                2 => timestamp = chance.next() as u32,
                3 => sequence = sequence.wrapping_sub(5),
                4 => (sequence, timestamp) = (u16::MAX - 3, u32::MAX - 400),
                _ => {}
            }
            let kind = [stand.audio, 0, 8, 13, KEYS, stand.audio, 77][chance.next() as usize % 7];
            let length = [0, 1, 4, 20, 80, 160, 160, 240, 1200][chance.next() as usize % 9];
            let payload: Vec<u8> = (0..length).map(|_| chance.next() as u8).collect();
            stand.say(kind, ssrc, sequence, timestamp, &payload);
            sequence = sequence.wrapping_add(1);
            timestamp = timestamp.wrapping_add(160);
        }
        for number in stand.tick() {
            assert!(heard.is_none_or(|before| number == before.wrapping_add(1)), "{coded:?}, seed {seed}");
            heard = Some(number);
        }
    }
    while stand.accounted() < stand.sent && stand.ticks < 2100 {
        stand.tick();
    }
    stand.leg.end_doubt();
    assert_eq!(stand.accounted(), stand.sent, "{coded:?}, seed {seed}: {:?}", stand.leg.counters);
    let ticks = stand.ticks as u64;
    assert_eq!(stand.leg.counters.packets_out, ticks, "{coded:?}, seed {seed}: one in every 20 ms");
    // Whoever behaves from then on is heard.
    let before = stand.leg.counters.packets_in;
    for n in 0..100u16 {
        stand.say(stand.audio, 99, n, u32::from(n) * 160, &[0x90; 160]);
        stand.tick();
    }
    stand.tick();
    assert_eq!(stand.leg.counters.packets_in - before, 100, "{coded:?}, seed {seed}");
}

#[test]
fn no_far_end_stops_or_tears_what_a_leg_sends_and_every_packet_is_accounted_for() {
    for seed in 1..=6 {
        attack(None, seed * 101);
        attack(Some(coded::Codec::G722), seed * 103);
        attack(Some(coded::Codec::Opus), seed * 107);
    }
}
