//! Datagrams of many sources, of which each has its turn: who sends much waits for itself.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use crate::source::source_of;
use crate::waiting::Waiter;

/// What waits of one source.
#[derive(Default)]
struct Line {
    waiters: VecDeque<Waiter>,
    octets: usize,
}

#[derive(Default)]
pub struct Turns {
    lines: HashMap<IpAddr, Line>,
    /// Each source that has a line, once: whose turn it is first.
    order: VecDeque<IpAddr>,
    waiting: usize,
}

impl Turns {
    pub fn len(&self) -> usize {
        self.waiting
    }

    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// How many datagrams of a source wait, and how many octets they have.
    pub fn share_of(&self, host: IpAddr) -> (usize, usize) {
        self.lines.get(&source_of(host)).map_or((0, 0), |line| (line.waiters.len(), line.octets))
    }

    pub fn push(&mut self, waiter: Waiter) {
        let source = source_of(waiter.datagram.source.ip());
        let line = self.lines.entry(source).or_default();
        if line.waiters.is_empty() {
            self.order.push_back(source);
        }
        line.octets += waiter.datagram.octets.len();
        line.waiters.push_back(waiter);
        self.waiting += 1;
    }

    /// The oldest of the source whose turn it is.
    pub fn pop(&mut self) -> Option<Waiter> {
        let source = self.order.pop_front()?;
        let line = self.lines.get_mut(&source)?;
        let waiter = line.waiters.pop_front()?;
        line.octets -= waiter.datagram.octets.len();
        if line.waiters.is_empty() {
            self.lines.remove(&source);
        } else {
            self.order.push_back(source);
        }
        self.waiting -= 1;
        Some(waiter)
    }
}
