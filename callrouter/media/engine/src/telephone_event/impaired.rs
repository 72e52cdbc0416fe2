//! Thousands of keys over a network that loses, delays, reorders and doubles packets, in virtual
//! time: sender, packets, order and receiver are the ones a leg uses.

use super::{KeyFrame, KeyReceiver, KeySender, Press};
use crate::chance::Chance;
use crate::clock::{MILLISECOND, samples_at};
use crate::outgoing::Outgoing;
use crate::reception::{Arrival, Reception};
use crate::rtp::Packet;

const TICK: i64 = 20 * MILLISECOND;
const KEYS: &[u8] = b"0123456789*#ABCD";

struct Network {
    /// Share of packets lost and doubled, in thousandths.
    lost: u64,
    doubled: u64,
    /// The most a packet is late.
    late_ms: u64,
}

/// What is pressed, with keys that repeat: those are the ones that could be taken for one.
fn pressed(count: usize, chance: &mut Chance) -> String {
    let mut key = '1';
    (0..count)
        .map(|_| {
            if chance.next() % 3 != 0 {
                key = char::from(KEYS[chance.next() as usize % KEYS.len()]);
            }
            key
        })
        .collect()
}

/// Packets by the time they arrive.
fn sent(keys: &str, network: &Network, chance: &mut Chance) -> Vec<(i64, Vec<u8>)> {
    let (mut sender, mut out) = (KeySender::new(keys), Outgoing::new(1, 65_000, u32::MAX - 9_000));
    let (mut arriving, mut key_timestamp, mut now) = (vec![], 0, 0);
    loop {
        let timestamp = out.begin_frame(now);
        let bytes = match sender.frame() {
            KeyFrame::Done => break,
            KeyFrame::Silence => out.audio_packet(0, timestamp).to_vec(),
            KeyFrame::Event { payload, frame } => {
                if frame == 0 {
                    key_timestamp = timestamp;
                }
                out.event_packet(101, key_timestamp, frame == 0, payload).to_vec()
            }
        };
        let copies = 1 + u64::from(chance.next() % 1000 < network.doubled);
        for _ in 0..copies {
            let late = (chance.next() % (network.late_ms + 1)) as i64 * MILLISECOND;
            if chance.next() % 1000 >= network.lost {
                arriving.push((now + late, bytes.clone()));
            }
        }
        now += TICK;
    }
    arriving.sort_by_key(|(at, _)| *at);
    arriving
}

/// The keys that are told.
fn heard(arriving: Vec<(i64, Vec<u8>)>) -> String {
    let (mut reception, mut receiver) = (Reception::default(), KeyReceiver::default());
    let (mut told, mut now) = (String::new(), 0);
    let mut tell = |press: Option<Press>| told.extend(press.map(|press| press.key));
    for (at, bytes) in arriving {
        while now + TICK <= at {
            now += TICK;
            tell(receiver.poll(now));
        }
        let packet = Packet::parse(&bytes).expect("we send RTP");
        let arrival = reception.packet(packet.ssrc, packet.sequence, packet.timestamp, samples_at(at));
        if packet.payload_type == 101 && !matches!(arrival, Arrival::Duplicate | Arrival::Doubtful) {
            tell(receiver.receive(packet.timestamp, packet.payload, 1, at).ended);
        }
    }
    tell(receiver.poll(i64::MAX));
    told
}

/// How many of `count` keys were told, none of them twice, none in another's place.
fn right(count: usize, seed: u64, network: &Network) -> usize {
    let mut chance = Chance::new(seed);
    let keys = pressed(count, &mut chance);
    let told = heard(sent(&keys, network, &mut chance));
    let mut expected = keys.chars();
    assert!(told.chars().all(|key| expected.any(|sent| sent == key)), "told is part of what was pressed");
    told.len()
}

#[test]
fn at_one_percent_loss_every_key_is_told_once() {
    let network = Network { lost: 10, doubled: 10, late_ms: 60 };
    assert_eq!(right(20_000, 5, &network), 20_000);
}

#[test]
fn at_five_percent_loss_hardly_a_key_is_missed_and_none_is_told_twice() {
    let network = Network { lost: 50, doubled: 50, late_ms: 90 };
    let told = right(20_000, 6, &network);
    assert!(told >= 19_980, "{told} of 20000");
}

#[test]
fn at_a_third_lost_none_is_told_twice() {
    let told = right(20_000, 7, &Network { lost: 333, doubled: 100, late_ms: 90 });
    assert!(told >= 19_900, "{told} of 20000");
}
