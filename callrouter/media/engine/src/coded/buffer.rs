//! Packets put in order and handed out steadily: as few of them waiting as the network's jitter
//! lets there be.
//!
//! A packet that comes after its turn makes the buffer deeper, for it shows that deeper is needed;
//! half of the depth that was not needed for three seconds is given up.  What has piled up when a
//! stream begins anew is not played: all that follows would be as late.

use std::collections::VecDeque;

/// Packets that wait before a stream begins, and the most that may.
const FIRST: usize = 2;
const DEEPEST: usize = 15;
/// More than these when a stream begins have piled up somewhere.
const MOST_AT_ONCE: usize = 5;
/// Turns over which depth that is not needed is looked for.
const WATCHED: u32 = 150;
/// Empty turns in a row after which a stream has stopped, and begins anew.
const STOPPED: u32 = 10;
const LARGEST: usize = 1500;

#[derive(Debug)]
pub struct Buffer {
    /// By distance from `next`.
    waiting: VecDeque<Option<Vec<u8>>>,
    next: Option<u16>,
    depth: usize,
    is_running: bool,
    empty: u32,
    least: usize,
    turns: u32,
    /// Packets that came after their turn.
    pub too_late: u64,
    /// When nothing waits any more, nothing is missed.
    rests: bool,
}

impl Default for Buffer {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            next: None,
            depth: FIRST,
            is_running: false,
            empty: 0,
            least: usize::MAX,
            turns: 0,
            too_late: 0,
            rests: false,
        }
    }
}

/// What a turn has.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    Packet(Vec<u8>),
    /// Never came; the one behind it may carry something of it.
    Lost {
        behind: Option<Vec<u8>>,
    },
    /// Nothing yet, and nothing behind it.
    Nothing,
    /// The stream has not begun, or has stopped.
    Idle,
}

impl Buffer {
    /// The stream stops for a while after what has come.
    pub fn will_rest(&mut self) {
        self.rests = true;
    }

    /// The stream has not begun, or has stopped.
    pub fn is_idle(&self) -> bool {
        !self.is_running && self.waiting.len() < self.depth
    }

    pub fn put(&mut self, sequence: u16, payload: &[u8]) {
        if payload.len() > LARGEST {
            return;
        }
        self.rests = false;
        let next = *self.next.get_or_insert(sequence);
        let ahead = sequence.wrapping_sub(next) as i16;
        if ahead < -4 * DEEPEST as i16 {
            self.too_late += 1;
            return;
        }
        if ahead < 0 {
            if self.is_running {
                self.too_late += 1;
                self.depth = (self.depth + 1).min(DEEPEST);
                return;
            }
            // Before the first turn there is time to put things in order.
            if usize::from(ahead.unsigned_abs()) > DEEPEST {
                return;
            }
            for _ in ahead..0 {
                self.waiting.push_front(None);
            }
            self.next = Some(sequence);
            self.set(0, payload);
            return;
        }
        let ahead = ahead as usize;
        if ahead > 4 * DEEPEST {
            // A leap: what waits belongs to another time.
            self.waiting.clear();
            self.next = Some(sequence);
            self.is_running = false;
            self.set(0, payload);
            return;
        }
        self.set(ahead, payload);
    }

    fn set(&mut self, at: usize, payload: &[u8]) {
        while self.waiting.len() <= at {
            self.waiting.push_back(None);
        }
        self.waiting[at].get_or_insert_with(|| payload.to_vec());
    }

    fn filled(&self) -> usize {
        self.waiting.len()
    }

    pub fn turn(&mut self) -> Turn {
        if !self.is_running {
            if self.filled() < self.depth {
                return Turn::Idle;
            }
            self.drop_oldest(self.filled().saturating_sub(self.depth.max(MOST_AT_ONCE)));
            self.is_running = true;
            (self.empty, self.least, self.turns) = (0, usize::MAX, 0);
        }
        self.settle();
        match self.waiting.pop_front() {
            None => {
                self.empty += 1;
                if self.rests || self.empty >= STOPPED {
                    self.is_running = false;
                    self.next = None;
                    return Turn::Idle;
                }
                // The turn is not given up: what is only late is heard late, and the buffer is
                // deeper for it.
                Turn::Nothing
            }
            Some(packet) => {
                self.empty = 0;
                self.next = self.next.map(|next| next.wrapping_add(1));
                match packet {
                    Some(packet) => Turn::Packet(packet),
                    None => Turn::Lost { behind: self.waiting.front().cloned().flatten() },
                }
            }
        }
    }

    /// Give up depth that has not been needed.
    fn settle(&mut self) {
        self.least = self.least.min(self.filled());
        self.turns += 1;
        if self.turns < WATCHED {
            return;
        }
        let spare = self.least.saturating_sub(FIRST).div_ceil(2);
        self.drop_oldest(spare);
        self.depth = self.depth.saturating_sub(spare).max(FIRST);
        (self.least, self.turns) = (usize::MAX, 0);
    }

    fn drop_oldest(&mut self, count: usize) {
        self.waiting.drain(..count);
        self.next = self.next.map(|next| next.wrapping_add(count as u16));
    }

    /// A turn in which nobody wants what is there.
    pub fn skip(&mut self) {
        self.waiting.clear();
        self.next = None;
        self.is_running = false;
    }
}

#[cfg(test)]
mod hostile;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;

    /// Packet `n` carries its number and comes `late(n)` ms after it was sent; None never comes.
    /// The turns, one every 20 ms.
    fn run(packets: u16, late: impl Fn(u16) -> Option<u32>) -> Vec<Turn> {
        let mut buffer = Buffer::default();
        let mut waiting: Vec<(u32, u16)> =
            (0..packets).filter_map(|n| late(n).map(|ms| (u32::from(n) * 20 + ms, n))).collect();
        waiting.sort_unstable();
        let mut waiting = waiting.into_iter().peekable();
        let mut turns = vec![];
        for tick in 0..u32::from(packets) + 20 {
            while let Some((_, n)) = waiting.next_if(|(at, _)| *at <= tick * 20) {
                buffer.put(n.wrapping_add(65_500), &n.to_be_bytes());
            }
            turns.push(buffer.turn());
        }
        turns
    }

    fn heard(turns: &[Turn]) -> Vec<u16> {
        turns
            .iter()
            .filter_map(|turn| match turn {
                Turn::Packet(bytes) => Some(u16::from_be_bytes([bytes[0], bytes[1]])),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_steady_stream_is_whole_and_one_packet_late() {
        let turns = run(300, |_| Some(0));
        assert_eq!(turns[0], Turn::Idle);
        assert_eq!(heard(&turns), (0..300).collect::<Vec<_>>(), "across the wrap");
        assert!(matches!(turns[1], Turn::Packet(_)));
    }

    #[test]
    fn a_lost_packet_has_its_turn_and_the_one_behind_it_is_at_hand() {
        let turns = run(50, |n| (n != 20).then_some(0));
        let lost: Vec<_> = turns.iter().filter(|turn| matches!(turn, Turn::Lost { .. })).collect();
        assert_eq!(lost, [&Turn::Lost { behind: Some(vec![0, 21]) }]);
        assert_eq!(heard(&turns).len(), 49);
    }

    #[test]
    fn reordered_and_doubled_packets_are_put_in_order() {
        let mut buffer = Buffer::default();
        for n in [1u16, 0, 0, 3, 2, 2, 4] {
            buffer.put(n, &n.to_be_bytes());
        }
        let turns: Vec<Turn> = (0..5).map(|_| buffer.turn()).collect();
        assert_eq!(heard(&turns), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn jitter_costs_a_few_packets_at_first_and_none_later() {
        let mut chance = Chance::new(3);
        let late: Vec<u32> = (0..1000).map(|_| (chance.next() % 90) as u32).collect();
        let turns = run(1000, |n| Some(late[usize::from(n)]));
        let all = heard(&turns);
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "in order");
        assert!(all.len() >= 985, "{}", all.len());
        assert!(all.iter().filter(|&&n| n >= 200).count() >= 797, "settled");
    }

    #[test]
    fn delay_that_is_not_needed_any_more_is_given_up() {
        let turns = run(2000, |n| Some(if n < 20 { u32::from(n % 5) * 40 } else { 0 }));
        let last = turns.iter().rposition(|turn| matches!(turn, Turn::Packet(_))).expect("is heard");
        assert!(last <= 2003, "{last}");
    }

    #[test]
    fn a_stream_that_stops_and_a_leap_in_its_numbers_begin_anew() {
        let mut buffer = Buffer::default();
        (0..5u16).for_each(|n| buffer.put(n, &[1]));
        let turns: Vec<Turn> = (0..30).map(|_| buffer.turn()).collect();
        assert_eq!(turns.last(), Some(&Turn::Idle));
        buffer.put(30_000, &[2]);
        buffer.put(30_001, &[2]);
        assert_eq!(buffer.turn(), Turn::Packet(vec![2]));
        buffer.put(10_000, &[3]);
        buffer.put(60_000, &[3]);
        buffer.put(60_001, &[3]);
        let turns: Vec<Turn> = (0..4).map(|_| buffer.turn()).collect();
        assert!(turns.contains(&Turn::Packet(vec![3])), "{turns:?}");
    }

    #[test]
    fn no_order_of_packets_makes_it_grow_without_bound() {
        let mut chance = Chance::new(9);
        let mut buffer = Buffer::default();
        for _ in 0..100_000 {
            buffer.put(chance.next() as u16, &[0; 20]);
            if chance.next() % 3 == 0 {
                buffer.turn();
            }
            assert!(buffer.waiting.len() <= 6 * DEEPEST);
        }
    }
}
