//! What is played behind something else: it joins that to the sample, and ends with it where it is ended.

use std::sync::Arc;

use crate::event::{EventReceiver, EventSender, PlayEnd, Told, events};
use crate::g711::Codec;
use crate::leg::stand;
use crate::leg::{Around, Leg, TICK};
use crate::playback::{Item, Playback};
use crate::prompt::Prompt;
use crate::rooms::Rooms;
use crate::rtp::{FRAME, Packet};
use crate::telephone_event::KeySet;

struct Stand {
    leg: Leg,
    far_end: std::net::UdpSocket,
    sender: EventSender,
    receiver: EventReceiver,
    rooms: Rooms,
    ticks: i64,
}

impl Stand {
    fn new() -> Self {
        let (leg, far_end) = stand::leg(None);
        let (sender, receiver) = events().expect("an eventfd");
        Self { leg, far_end, sender, receiver, rooms: Rooms::default(), ticks: 0 }
    }

    fn play(&mut self, token: u64, items: Vec<Item>, loops: u32, follows: bool) {
        let playback = Playback::new(token, items, loops, KeySet::of("5"));
        self.leg.play(playback, follows, self.ticks * TICK, &self.sender);
    }

    /// What the far end hears in so many ticks.
    fn hear(&mut self, ticks: usize) -> Vec<u8> {
        let mut heard = vec![];
        let mut buffer = [0; 400];
        for _ in 0..ticks {
            let now = self.ticks * TICK;
            self.ticks += 1;
            self.leg.tick(now, &mut Around { events: &self.sender, rooms: &mut self.rooms });
            while let Ok(length) = self.far_end.recv(&mut buffer) {
                let packet = Packet::parse(&buffer[..length]).expect("we send RTP");
                heard.extend_from_slice(packet.payload);
            }
        }
        heard
    }

    fn ends(&self) -> Vec<(u64, PlayEnd, u64)> {
        let ended = |told| match told {
            Told::PlayEnded { token, reason, played_ms, .. } => Some((token, reason, played_ms)),
            _ => None,
        };
        self.receiver.take().into_iter().filter_map(|event| ended(event.told)).collect()
    }
}

fn sound(level: i16, samples: usize) -> Item {
    Item::Prompt(Arc::new(Prompt::new(&vec![level; samples])))
}

fn words(level: i16, samples: usize) -> Vec<u8> {
    vec![Codec::Pcmu.encode(level); samples]
}

#[test]
fn what_follows_joins_to_the_sample_whatever_the_lengths() {
    for (first, pause, last) in [(1, 8000, 333), (160, 160, 160), (1234, 7, 2001), (320, 0, 1), (50, 60, 40)]
    {
        let mut stand = Stand::new();
        stand.play(1, vec![sound(1000, first)], 2, false);
        stand.play(2, vec![Item::Silence(pause as u64)], 1, true);
        stand.play(3, vec![sound(-2000, last)], 1, true);
        let mut expected = [words(1000, 2 * first), vec![0xFF; pause], words(-2000, last)].concat();
        let ticks = expected.len() / FRAME + 2;
        expected.resize(ticks * FRAME, 0xFF);
        assert_eq!(stand.hear(ticks), expected, "{first}, {pause} and {last}");
        let ms = |samples: usize| samples as u64 / 8;
        let ends = [(1, ms(2 * first)), (2, ms(pause)), (3, ms(last))];
        assert_eq!(stand.ends(), ends.map(|(token, played)| (token, PlayEnd::Finished, played)));
    }
}

#[test]
fn what_follows_nothing_is_heard_at_once() {
    let mut stand = Stand::new();
    stand.play(1, vec![sound(1000, 160)], 1, true);
    assert_eq!(stand.hear(1), words(1000, 160));
    stand.hear(3);
    stand.play(2, vec![sound(2000, 160)], 1, true);
    assert_eq!(stand.hear(1), words(2000, 160));
}

#[test]
fn whatever_ends_what_is_played_ends_what_follows_it() {
    type Act = fn(&mut Stand);
    let ends: [(PlayEnd, Act); 4] = [
        (PlayEnd::Stopped, |stand| stand.leg.end_play(PlayEnd::Stopped, None, 0, &stand.sender)),
        (PlayEnd::Closed, |stand| stand.leg.close(0, &stand.sender)),
        (PlayEnd::Digit, |stand| stand.leg.key_began('5', false, 0, &stand.sender)),
        (PlayEnd::Replaced, |stand| stand.play(9, vec![sound(5, 8000)], 1, false)),
    ];
    for (reason, act) in ends {
        let mut stand = Stand::new();
        stand.play(1, vec![sound(1000, 8000)], 1, false);
        stand.play(2, vec![sound(2000, 8000)], 1, true);
        stand.play(3, vec![sound(3000, 8000)], 1, true);
        stand.hear(2);
        act(&mut stand);
        assert_eq!(stand.ends(), [(1, reason, 40), (2, reason, 0), (3, reason, 0)]);
    }
}
