//! Datagrams on their way to the core: three queues, taken from in turns.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::turns::Turns;

/// Calls that may wait: as many as half a second brings on a busy day, so that the core may be held
/// up for so long and nobody is turned away for it.
const BURST: usize = 256;
/// The same once calls have been waiting all the time: this is no stall, the core is asked for more
/// than it can do, and a long queue helps nobody.
const STANDING: usize = 32;
const PATIENCE_NS: u64 = 500_000_000;
/// Messages of calls that are up, and everything else: about what the buffer of a socket would hold.
const MOST_OF_CALLS: usize = 8192;
const MOST_OTHERS: usize = 2048;
/// What one source may have of the others' room: so much of what is left beside it.
const SHARE: usize = 4;
const MOST_OCTETS: usize = 8 << 20;
/// Taken at once, so that the core sees to its timers and connections in between.  What belongs to
/// calls is mostly what ends them, and waited for: left waiting, it comes again.
const OF_CALLS_AT_ONCE: usize = 1024;
const OTHERS_AT_ONCE: usize = 16;
/// Messages of calls that pile up between two looks of a core that is late: then it takes one new call,
/// not more.
const BEHIND: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    pub octets: Vec<u8>,
    pub source: SocketAddr,
    /// Which of our addresses it came to.
    pub listener: u32,
}

pub struct Waiter {
    arrival: u64,
    /// The call that it would begin or end, where that is known.
    call: Option<u64>,
    pub datagram: Datagram,
}

#[derive(Default)]
pub struct Waiting {
    arrivals: u64,
    octets: usize,
    of_calls: VecDeque<Waiter>,
    others: Turns,
    new_calls: VecDeque<Waiter>,
    /// When there was last nobody among `new_calls`.
    emptied_ns: u64,
}

impl Waiting {
    /// A message that has shown to be of a call; false where there is no room.
    pub fn push_of_call(&mut self, datagram: Datagram) -> bool {
        let has_room = self.of_calls.len() < MOST_OF_CALLS && self.octets < 2 * MOST_OCTETS;
        if has_room {
            let waiter = self.waiter(None, datagram);
            self.of_calls.push_back(waiter);
        }
        has_room
    }

    /// The same for what neither belongs to a call nor would begin one.  A source may have no more waiting
    /// than a fourth of the room that is left, so that there is always some for who comes next.
    pub fn push_other(&mut self, datagram: Datagram) -> bool {
        let (waiting, octets) = self.others.share_of(datagram.source.ip());
        let has_room =
            self.others.len() + SHARE * waiting < MOST_OTHERS && self.octets + SHARE * octets < MOST_OCTETS;
        if has_room {
            let waiter = self.waiter(None, datagram);
            self.others.push(waiter);
        }
        has_room
    }

    /// One more call may wait.
    pub fn has_room(&mut self, now_ns: u64) -> bool {
        if self.new_calls.is_empty() {
            self.emptied_ns = now_ns;
        }
        let is_burst = now_ns.saturating_sub(self.emptied_ns) < PATIENCE_NS;
        self.new_calls.len() < if is_burst { BURST } else { STANDING } && self.octets < MOST_OCTETS
    }

    /// A call that `has_room` was asked for.
    pub fn push_new_call(&mut self, call: Option<u64>, datagram: Datagram) -> bool {
        let waiter = self.waiter(call, datagram);
        self.new_calls.push_back(waiter);
        true
    }

    /// More of a call that was let in, in its turn; false where even for that there is no room.
    pub fn push_behind(&mut self, call: u64, datagram: Datagram) -> bool {
        self.new_calls.len() < 2 * BURST && self.push_new_call(Some(call), datagram)
    }

    fn waiter(&mut self, call: Option<u64>, datagram: Datagram) -> Waiter {
        self.arrivals += 1;
        self.octets += datagram.octets.len();
        Waiter { arrival: self.arrivals, call, datagram }
    }

    pub fn is_waiting(&self, call: u64) -> bool {
        self.new_calls.iter().any(|waiter| waiter.call == Some(call))
    }

    pub fn has_others(&self) -> bool {
        !self.others.is_empty()
    }

    /// Nothing is there to be taken, where `new_calls` are wanted or not.
    pub fn is_empty(&self, new_calls: bool) -> bool {
        self.of_calls.is_empty() && self.others.is_empty() && (!new_calls || self.new_calls.is_empty())
    }

    /// What is next, with up to `new_calls` of these, in the order of arrival.
    pub fn take(&mut self, new_calls: usize) -> Vec<Datagram> {
        let new_calls = if self.of_calls.len() > BEHIND { new_calls.min(1) } else { new_calls };
        let mut taken = vec![];
        for (queue, most) in [(&mut self.of_calls, OF_CALLS_AT_ONCE), (&mut self.new_calls, new_calls)] {
            taken.extend(queue.drain(..most.min(queue.len())));
        }
        taken.extend(std::iter::from_fn(|| self.others.pop()).take(OTHERS_AT_ONCE));
        taken.sort_unstable_by_key(|waiter| waiter.arrival);
        self.octets -= taken.iter().map(|waiter| waiter.datagram.octets.len()).sum::<usize>();
        taken.into_iter().map(|waiter| waiter.datagram).collect()
    }
}
