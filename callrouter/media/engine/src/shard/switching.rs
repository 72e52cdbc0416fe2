//! Threads served by hand: what is said to a leg before a command is heard by the one rule, what is
//! said after it by the other, whenever the thread comes to either.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use super::*;
use crate::clock::{samples_at, wall_ns};
use crate::command::{Action, Command, Entrance, Negotiated};
use crate::event::{EventReceiver, events};
use crate::leg::stand;
use crate::playback::Item;
use crate::rtp::{FRAME, HEADER, write_header};
use crate::seat::{Part, RoomId};

struct Stand {
    shard: Shard,
    orders: Sender<Order>,
    _told: EventReceiver,
}

impl Stand {
    fn new() -> Self {
        let (orders, inbox) = channel();
        let (sender, told) = events().expect("an eventfd");
        let (writer, _) = Writer::start(sender.clone()).expect("a thread");
        let shard = Shard::new(inbox, sender, writer, Arc::new(Totals::default())).expect("a shard");
        Self { shard, orders, _told: told }
    }

    fn telephone(&mut self, id: u64) -> Telephone {
        let (leg, socket) = stand::numbered(LegId(id), None);
        let to = leg.rtp().local_addr().expect("is bound");
        socket.connect(to).expect("loopback");
        self.shard.adopt(leg);
        Telephone { socket, id: LegId(id), sequence: 0 }
    }

    fn order(&self, order: Order) {
        self.orders.send(order).expect("the shard is there");
    }

    fn command(&self, commands: Vec<Command>) {
        self.order(Order::Batch { commands, given_ns: wall_ns() });
    }

    /// Read what there is, with no look at the orders before.
    fn read(&mut self) {
        self.shard.relay();
        (0..SLOTS as i64).for_each(|slot| self.shard.serve(slot));
    }

    fn serve(&mut self) {
        self.shard.orders();
        self.read();
    }
}

struct Telephone {
    socket: UdpSocket,
    id: LegId,
    sequence: u16,
}

impl Telephone {
    fn say(&mut self, word: u8) {
        let mut packet = [word; HEADER + FRAME];
        if let Some(header) = packet.first_chunk_mut() {
            let timestamp = samples_at(now_ns()) as u32;
            write_header(header, false, 0, self.sequence, timestamp, self.id.0 as u32);
        }
        self.sequence += 1;
        self.socket.send(&packet).expect("loopback takes it");
    }

    /// The words that came, but silence.
    fn heard(&self) -> Vec<u8> {
        let mut buffer = [0; 400];
        let words = std::iter::from_fn(|| self.socket.recv(&mut buffer).ok().map(|_| buffer[HEADER]));
        words.filter(|&word| word != 0xFF).collect()
    }

    fn join(&self, with: &Self) -> Command {
        self.command(Action::Join { with: with.id })
    }

    fn command(&self, action: Action) -> Command {
        Command { leg: self.id, action }
    }
}

#[test]
fn a_leg_is_not_read_while_its_partner_is_on_its_way() {
    let (mut here, mut there) = (Stand::new(), Stand::new());
    let (mut a, mut b, mut other) = (there.telephone(1), here.telephone(2), here.telephone(3));
    a.say(1);
    b.say(2);
    let (to, handed) = channel();
    there.order(Order::Give { legs: vec![a.id], to, given_ns: wall_ns() });
    here.order(Order::Take(handed));
    here.command(vec![a.join(&b)]);
    a.say(3);
    b.say(4);
    other.say(5);
    here.serve();
    here.serve();
    assert_eq!(here.shard.legs.get(other.id).map(|leg| leg.counters.packets_in), Some(1));
    assert_eq!(here.shard.legs.get(b.id).map(|leg| leg.counters.packets_in), Some(0));
    b.say(6);
    there.serve();
    a.say(7);
    here.serve();
    here.serve();
    assert_eq!((a.heard(), b.heard()), (vec![4, 6], vec![3, 7]));
}

#[test]
fn whoever_a_leg_parts_from_waits_as_well() {
    let (mut here, mut there) = (Stand::new(), Stand::new());
    let (mut a, mut b, mut c) = (here.telephone(1), here.telephone(2), there.telephone(3));
    here.command(vec![a.join(&b)]);
    here.serve();
    let (to, handed) = channel();
    b.say(1);
    there.order(Order::Give { legs: vec![c.id], to, given_ns: wall_ns() });
    here.order(Order::Take(handed));
    here.command(vec![a.join(&c)]);
    b.say(2);
    here.serve();
    assert!(a.heard().is_empty());
    there.serve();
    c.say(3);
    here.serve();
    here.serve();
    a.say(4);
    here.serve();
    assert_eq!((a.heard(), b.heard(), c.heard()), (vec![1, 3], vec![], vec![4]));
}

#[test]
fn a_command_given_while_a_slot_is_served_holds_for_what_is_said_after_it() {
    let mut stand = Stand::new();
    let (mut a, mut b, mut c) = (stand.telephone(1), stand.telephone(2), stand.telephone(3));
    stand.command(vec![a.join(&b)]);
    a.say(1);
    stand.read();
    stand.read();
    a.say(2);
    b.say(3);
    stand.command(vec![a.join(&c)]);
    a.say(4);
    b.say(5);
    c.say(6);
    stand.command(vec![b.join(&a)]);
    a.say(7);
    b.say(8);
    c.say(9);
    (0..4).for_each(|_| stand.read());
    assert_eq!((a.heard(), b.heard(), c.heard()), (vec![3, 6, 8], vec![1, 2, 7], vec![4]));
}

#[test]
fn however_two_legs_part_nothing_is_lost_before_it_and_nothing_passes_after() {
    let entrance = || Entrance {
        room: RoomId(1),
        part: Part { muted: false, gain: 1.0, coaching: None },
        scale: None,
        enter_sound: None,
        leave_sound: None,
    };
    let play = || Action::Play {
        token: 1,
        items: vec![Item::Silence(80_000)],
        loops: 1,
        stop_keys: crate::telephone_event::KeySet::default(),
        follows: false,
    };
    let here = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    let held = || Action::SetRemote(Negotiated { may_receive: false, ..stand::agreed(here) });
    let ways: [&dyn Fn() -> Action; 7] = [
        &|| Action::Part,
        &play,
        &|| Action::OpenFeed { token: 1, to_room: false },
        &|| Action::EnterRoom(entrance()),
        &|| Action::Hold { token: 1, items: vec![], loops: 1 },
        &held,
        &|| Action::Close,
    ];
    for (number, way) in ways.iter().enumerate() {
        let mut stand = Stand::new();
        let (mut a, mut b) = (stand.telephone(1), stand.telephone(2));
        stand.command(vec![a.join(&b)]);
        stand.serve();
        a.say(1);
        b.say(2);
        stand.command(vec![a.command(way())]);
        a.say(3);
        (0..4).for_each(|_| stand.serve());
        assert_eq!((a.heard(), b.heard()), (vec![2], vec![1]), "way {number}");
    }
}
