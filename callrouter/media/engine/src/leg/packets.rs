//! Packets no longer than the far end takes, whatever they are cut from.

use std::net::UdpSocket;

use crate::coded;
use crate::event::{EventReceiver, EventSender, LegId, events};
use crate::g711::Codec;
use crate::leg::stand::{self, AUDIO};
use crate::leg::{Around, Kind, Leg, Path, TICK};
use crate::rooms::Rooms;
use crate::rtp::{FRAME, Packet};

struct Stand {
    leg: Leg,
    far_end: UdpSocket,
    sender: EventSender,
    _receiver: EventReceiver,
    rooms: Rooms,
    ticks: i64,
}

/// What the far end got: its payload type, number, timestamp, and what it says.
type Heard = (u8, u16, u32, Vec<u8>);

impl Stand {
    fn new(coded: Option<coded::Codec>, longest: usize) -> Self {
        let (mut leg, far_end) = stand::leg(coded);
        leg.remote.as_mut().expect("is known").longest = longest;
        let (sender, receiver) = events().expect("an eventfd");
        Self { leg, far_end, sender, _receiver: receiver, rooms: Rooms::default(), ticks: 0 }
    }

    fn joined(coded: Option<coded::Codec>, longest: usize) -> Self {
        let mut stand = Self::new(coded, longest);
        stand.leg.path = Path::Relay { partner: LegId(2), sent_ns: i64::MIN / 2 };
        stand.leg.restart_relay();
        stand
    }

    /// The partner has heard samples of a ramp from `from` on.
    fn relay(&mut self, kind: Kind, sequence: u16, from: usize, length: usize) {
        let payload = ramp(from, length);
        let timestamp = from as u32;
        let packet =
            Packet { marker: false, payload_type: 0, sequence, timestamp, ssrc: 7, payload: &payload };
        self.leg.relay(&packet, kind, self.ticks * TICK);
    }

    fn tick(&mut self) -> Vec<Heard> {
        let now = self.ticks * TICK;
        self.ticks += 1;
        self.leg.tick(now, &mut Around { events: &self.sender, rooms: &mut self.rooms });
        let mut buffer = [0; 2048];
        let got = std::iter::from_fn(|| {
            let length = self.far_end.recv(&mut buffer).ok()?;
            Packet::parse(&buffer[..length]).map(|packet| {
                (packet.payload_type, packet.sequence, packet.timestamp, packet.payload.to_vec())
            })
        });
        got.collect()
    }
}

/// Words of either law that come back as they are: all but the second zero.
fn ramp(from: usize, length: usize) -> Vec<u8> {
    (from..from + length).map(|at| (at % 120) as u8).collect()
}

/// One after the other without a gap, none longer than `longest`.
fn assert_whole(heard: &[Heard], longest: usize) {
    for pair in heard.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        assert_eq!(after.1, before.1.wrapping_add(1));
        assert_eq!(after.2, before.2.wrapping_add(before.3.len() as u32));
    }
    assert!(heard.iter().all(|packet| packet.3.len() <= longest));
}

#[test]
fn what_a_leg_says_of_its_own_is_cut_to_what_the_far_end_takes() {
    for (longest, length) in
        [(usize::MAX, 160), (200, 160), (160, 160), (159, 80), (80, 80), (40, 40), (1, 40)]
    {
        for coded in [None, Some(coded::Codec::G722)] {
            let mut stand = Stand::new(coded, longest);
            let heard: Vec<Heard> = (0..10).flat_map(|_| stand.tick()).collect();
            assert_eq!(heard.len(), 10 * FRAME / length, "{longest} samples, {coded:?}");
            assert_whole(&heard, length);
        }
    }
}

#[test]
fn packets_of_opus_stay_whole() {
    let mut stand = Stand::new(Some(coded::Codec::Opus), 80);
    let heard: Vec<Heard> = (0..10).flat_map(|_| stand.tick()).collect();
    assert_eq!(heard.len(), 10);
    assert!(heard.windows(2).all(|pair| pair[1].2.wrapping_sub(pair[0].2) == 960));
}

#[test]
fn what_a_partner_says_in_longer_packets_is_regrouped_and_all_of_it_heard() {
    for (said, longest, length) in
        [(480, 80, 80), (240, 80, 80), (160, 80, 80), (320, 160, 160), (160, 40, 40)]
    {
        let mut stand = Stand::joined(None, longest);
        let (mut heard, mut from, mut sequence) = (vec![], 0, 0);
        for _ in 0..100 {
            while from <= stand.ticks as usize * FRAME {
                stand.relay(Kind::Audio(Codec::Pcmu), sequence, from, said);
                (from, sequence) = (from + said, sequence + 1);
            }
            heard.extend(stand.tick());
        }
        assert_whole(&heard, length);
        let whole: Vec<u8> = heard.into_iter().flat_map(|packet| packet.3).collect();
        let first = whole.windows(200).position(|window| window == ramp(0, 200)).expect("the beginning");
        let rest = &whole[first..];
        assert!(rest.len() > 90 * FRAME, "{} samples of {said} cut to {longest}", rest.len());
        assert_eq!(rest, ramp(0, rest.len()), "{said} cut to {longest}");
    }
}

#[test]
fn packets_that_the_far_end_takes_are_passed_on_at_once_as_they_are() {
    for (said, longest) in [(80, 80), (480, usize::MAX), (480, 480), (160, 160)] {
        let mut stand = Stand::joined(None, longest);
        stand.tick();
        stand.relay(Kind::Audio(Codec::Pcmu), 1, 0, said);
        let heard = stand.tick();
        assert_eq!(heard.iter().map(|packet| &packet.3).collect::<Vec<_>>(), [&ramp(0, said)]);
    }
}

#[test]
fn g722_in_longer_packets_is_not_passed_on_unread() {
    for (longest, is_unread) in [(80, false), (160, true)] {
        let mut stand = Stand::joined(Some(coded::Codec::G722), longest);
        stand.tick();
        let payload = [3; FRAME];
        let packet = Packet {
            marker: false,
            payload_type: AUDIO,
            sequence: 1,
            timestamp: 0,
            ssrc: 7,
            payload: &payload,
        };
        assert_eq!(stand.leg.relay(&packet, Kind::Coded(coded::Codec::G722), 0), is_unread);
    }
}
