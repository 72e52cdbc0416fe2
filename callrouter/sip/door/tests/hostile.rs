//! Datagrams broken at random: nothing falls over, and what is answered repeats only what was asked.

mod messages;

use messages::{invite, peer, request};
use sip_door::desk::{Arrival, Desk, Wishes};
use sip_door::keyed::Key;
use sip_door::scan::{Kind, scan};

const ODD: &[u8] = b"\r\n\t \0;:,<>\"\\=[]@/tagTAG\x7f\xff0z";

/// xorshift: the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

fn broken(mut octets: Vec<u8>, chance: &mut Chance) -> Vec<u8> {
    for _ in 0..=chance.below(3) {
        let at = chance.below(octets.len());
        match chance.below(4) {
            0 => octets[at] = ODD[chance.below(ODD.len())],
            1 => octets.insert(at, ODD[chance.below(ODD.len())]),
            2 => octets.truncate(at + 1),
            _ => {
                let piece = octets[at..(at + 1 + chance.below(40)).min(octets.len())].to_vec();
                let to = chance.below(octets.len());
                octets.splice(to..to, piece);
            }
        }
    }
    octets
}

#[test]
fn broken_datagrams_harm_nobody() {
    let mut desk = Desk::new(Key::default(), Wishes::default());
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    for number in 0.. {
        let octets = invite(&number.to_string());
        if desk.receive(Arrival { octets: &octets, source: peer(), listener: 0 }, 1).is_some() {
            break;
        }
    }
    let mut answered = 0;
    for round in 0..200_000 {
        let method = ["INVITE", "BYE", "ACK", "CANCEL", "OPTIONS"][round % 5];
        let whole = request(method, &round.to_string(), "b", "\"Bob\" <sip:bob@192.0.2.2>");
        let octets = broken(whole, &mut chance);
        if let Some(answer) = desk.receive(Arrival { octets: &octets, source: peer(), listener: 0 }, 1) {
            answered += 1;
            let answer = answer.octets;
            assert!(matches!(scan(&octets), Kind::NewCall(_)));
            assert!(answer.starts_with(b"SIP/2.0 503 ") && answer.ends_with(b"\r\n\r\n"));
            assert!(answer.len() < octets.len() + 128);
            assert_eq!(answer.windows(4).filter(|end| *end == b"\r\n\r\n").count(), 1);
        }
        if round % 64 == 0 {
            desk.take(0);
        }
    }
    assert!(answered > 1000, "{answered}");
}
