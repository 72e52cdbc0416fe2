//! Orders on their way to a media thread.
//!
//! A command holds for what arrives after it was given and for nothing before, however late its
//! thread carries it out: what the system has taken for a leg in the meantime is heard by the one
//! rule or by the other, and never lost between them.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::mpsc::Receiver;

use crate::event::LegId;
use crate::ports::PortPair;
use crate::shard::Order;

pub struct Inbox {
    receiver: Receiver<Order>,
    waiting: VecDeque<Order>,
    /// Orders have come since they were last carried out.
    has_news: bool,
    /// Legs that waiting orders are about.
    held: HashSet<LegId>,
}

impl Inbox {
    pub fn new(receiver: Receiver<Order>) -> Self {
        Self { receiver, waiting: VecDeque::new(), has_news: false, held: HashSet::new() }
    }

    /// Wait for an order where none waits; false: none will come.
    pub fn wait(&mut self) -> bool {
        if self.waiting.is_empty() {
            match self.receiver.recv() {
                Ok(order) => self.waiting.push_back(order),
                Err(_) => return false,
            }
        }
        true
    }

    /// Whether orders have come that nobody has looked at.
    pub fn has_come(&mut self) -> bool {
        let before = self.waiting.len();
        self.waiting.extend(self.receiver.try_iter());
        self.has_news |= self.waiting.len() > before;
        self.has_news
    }

    /// Whether `has_come` has found orders that nobody has looked at.
    pub fn has_news(&self) -> bool {
        self.has_news
    }

    /// Orders are about to be carried out.
    pub fn open(&mut self) {
        self.waiting.extend(self.receiver.try_iter());
        self.has_news = false;
        self.held.clear();
    }

    pub fn pop(&mut self) -> Option<Order> {
        self.waiting.pop_front()
    }

    /// An order cannot be carried out yet, and none behind it: what the legs they are about hear is for
    /// the path that they will be on.
    pub fn wait_for(&mut self, order: Order) {
        self.waiting.push_front(order);
        self.held.extend(self.waiting.iter().flat_map(Order::legs));
    }

    /// Legs that are not to be read, for what waiting orders are about must not be heard before.
    pub fn held(&self) -> impl Iterator<Item = LegId> {
        self.held.iter().copied()
    }

    pub fn hold(&mut self, leg: LegId) {
        self.held.insert(leg);
    }

    pub fn holds(&self, leg: LegId) -> bool {
        !self.held.is_empty() && self.held.contains(&leg)
    }
}

/// How far a port may be read.
pub enum Limit<'a> {
    /// Until orders come: they were given before what is read after them was sent.
    Orders(&'a mut Inbox),
    /// What came before orders were given, by the wall clock.
    Before(i64),
}

impl Limit<'_> {
    /// Take a datagram off a port; None where there is none, or none that may be taken yet.
    pub fn receive(&mut self, ports: &mut PortPair, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        let (length, from) = ports.receive(buffer)?;
        let may_be_heard = match self {
            Self::Orders(inbox) => !inbox.has_come(),
            // Where the system does not say, what is newest is what is waited for.
            Self::Before(given_ns) => ports.arrived_ns().is_some_and(|at| at < *given_ns),
        };
        if !may_be_heard {
            ports.put_back(&buffer[..length], from);
            return None;
        }
        Some((length, from))
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::sync::mpsc::channel;

    use super::*;
    use crate::clock::wall_ns;

    fn say(ports: &PortPair, from: &UdpSocket, word: &[u8]) {
        from.send_to(word, ports.rtp.local_addr().expect("is bound")).expect("loopback takes it");
    }

    fn hears(ports: &mut PortPair, limit: &mut Limit<'_>) -> Option<Vec<u8>> {
        let mut buffer = [0; 9];
        limit.receive(ports, &mut buffer).map(|(length, _)| buffer[..length].to_vec())
    }

    #[test]
    fn what_came_before_is_told_from_what_came_after_to_the_packet() {
        let (mut ports, peer) = (PortPair::free(), UdpSocket::bind("127.0.0.1:0").expect("a socket"));
        for turn in 0..200 {
            say(&ports, &peer, b"before");
            let given = wall_ns();
            say(&ports, &peer, b"after");
            assert_eq!(
                hears(&mut ports, &mut Limit::Before(given)).as_deref(),
                Some(&b"before"[..]),
                "{turn}"
            );
            for _ in 0..2 {
                assert_eq!(hears(&mut ports, &mut Limit::Before(given)), None, "{turn}");
            }
            let later = &mut Limit::Before(wall_ns());
            assert_eq!(hears(&mut ports, later).as_deref(), Some(&b"after"[..]), "{turn}");
            assert_eq!(hears(&mut ports, later), None);
        }
    }

    #[test]
    fn what_was_read_while_an_order_came_is_left_for_after_it() {
        let (orders, receiver) = channel();
        let mut inbox = Inbox::new(receiver);
        let (mut ports, peer) = (PortPair::free(), UdpSocket::bind("127.0.0.1:0").expect("a socket"));
        say(&ports, &peer, b"one");
        assert_eq!(hears(&mut ports, &mut Limit::Orders(&mut inbox)).as_deref(), Some(&b"one"[..]));
        orders.send(Order::Stop).expect("the inbox is there");
        say(&ports, &peer, b"two");
        say(&ports, &peer, b"three");
        assert!(!inbox.has_news());
        for _ in 0..2 {
            assert_eq!(hears(&mut ports, &mut Limit::Orders(&mut inbox)), None);
            assert!(inbox.has_news());
        }
        inbox.open();
        assert!(matches!(inbox.pop(), Some(Order::Stop)));
        for word in [&b"two"[..], b"three"] {
            assert_eq!(hears(&mut ports, &mut Limit::Orders(&mut inbox)).as_deref(), Some(word));
        }
    }
}
