//! Bytes from strangers: whatever they are, they are read without reading beyond them.

use _engine::reception::Reception;
use _engine::telephone_event::KeyReceiver;
use _engine::{rtcp, rtp};

/// A small generator of its own (xorshift), so that a failure can be repeated.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.next() as usize % (most + 1);
        (0..length).map(|_| self.next() as u8).collect()
    }
}

#[test]
fn any_datagram_is_rtp_or_refused() {
    let mut chance = Chance(1);
    let mut accepted = 0;
    for _ in 0..300_000 {
        let mut bytes = chance.bytes(64);
        if let Some(first) = bytes.first_mut() {
            *first = 0x80 | (*first & 0x3F);
        }
        if let Some(packet) = rtp::Packet::parse(&bytes) {
            assert!(packet.payload.len() + rtp::HEADER <= bytes.len());
            accepted += 1;
        }
    }
    assert!(accepted > 1000, "the generator reaches the inside");
}

#[test]
fn any_datagram_is_rtcp_or_refused() {
    let mut chance = Chance(2);
    for _ in 0..300_000 {
        let mut bytes = chance.bytes(96);
        if let Some(head) = bytes.first_chunk_mut::<4>() {
            let words = head[3] % 24;
            *head = [0x80 | (head[0] & 0x1F), 200 + head[1] % 4, 0, words];
        }
        // Read or refused; the point is that it returns.
        let _ = rtcp::parse(&bytes, 7, 0);
    }
}

#[test]
fn any_sequence_of_packets_keeps_the_books_straight() {
    let mut chance = Chance(3);
    let mut reception = Reception::default();
    let mut taken = 0u64;
    for step in 0..300_000i64 {
        let jump = if chance.next() % 50 == 0 {
            chance.next() as u16
        } else {
            (step as u16).wrapping_add(chance.next() as u16 % 5)
        };
        let ssrc = u32::from(chance.next() % 200 == 0);
        reception.packet(ssrc, jump, chance.next() as u32, step * 160);
        taken += 1;
        if step % 1000 == 0 {
            reception.report();
        }
    }
    // What was lost can be no more than what was skipped over.
    assert!(reception.lost() < taken * 4000);
}

#[test]
fn any_event_payload_reports_each_press_at_most_once() {
    let mut chance = Chance(4);
    let mut receiver = KeyReceiver::default();
    let (mut pressed, mut packets) = (0u32, 0u32);
    for step in 0..200_000i64 {
        let payload = chance.bytes(8);
        let heard = receiver.receive(chance.next() as u32, &payload, 1, step * 20_000_000);
        pressed += u32::from(heard.ended.is_some());
        packets += 1;
        pressed += u32::from(receiver.poll(step * 20_000_000).is_some());
    }
    assert!(pressed <= packets);
}
