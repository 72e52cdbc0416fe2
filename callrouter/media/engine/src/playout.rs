//! What a member of a room says, put in order and made steady: as little delay as the network's
//! jitter lets it have.
//!
//! Positions are samples on a ruler that somebody takes 20 ms of every 20 ms.  A packet that comes
//! too late for its place moves the stream back, so that the next one as late is in time; delay
//! that was not needed for three seconds is given up at the next silence.  Something is made up in
//! place of what did not come.

use crate::concealment::{Concealment, NOTHING};

const SIZE: usize = 4096;
/// Room for jitter that a stream begins with: half a packet.
const FIRST: i64 = 80;
/// A packet may lie this far ahead of what is taken; one further on begins anew.
const FURTHEST: i64 = SIZE as i64 - 1200;
/// Packets over which unneeded delay is looked for, and how much of it is left.
const WATCHED: u32 = 150;
const SPARE: i64 = 40;

#[derive(Debug)]
pub struct Playout {
    samples: Box<[i16; SIZE]>,
    /// One past the newest sample.
    end: i64,
    /// Where an RTP timestamp lies on the ruler.
    anchor: Option<(u32, i64)>,
    /// The least time that packets came before they were needed, and of how many packets.
    least: i64,
    watched: u32,
    /// One past the newest sample that was taken.
    taken: i64,
    concealment: Concealment,
}

impl Default for Playout {
    fn default() -> Self {
        Self {
            samples: Box::new([NOTHING; SIZE]),
            end: i64::MIN / 2,
            anchor: None,
            least: i64::MAX,
            watched: 0,
            taken: i64::MIN,
            concealment: Concealment::default(),
        }
    }
}

impl Playout {
    /// A new stream: its timestamps say nothing about the old one's.
    pub fn restart(&mut self) {
        self.anchor = None;
        // Nor does its voice: it may be somebody else's.
        self.concealment = Concealment::default();
    }

    /// Put in the samples with an RTP `timestamp`.  `head` is the next position to be taken;
    /// `in_order` says that no newer packet came before; `quiet`, that nobody would miss a little.
    pub fn put(&mut self, timestamp: u32, head: i64, in_order: bool, quiet: bool, samples: &[i16]) {
        if samples.len() > SIZE / 4 {
            return;
        }
        let Some(at) = self.place(timestamp, head, in_order, quiet) else { return };
        let fresh = at + samples.len() as i64;
        for index in self.end.max(fresh - SIZE as i64)..at {
            self.samples[slot(index)] = NOTHING;
        }
        for (index, &sample) in (at..).zip(samples) {
            self.samples[slot(index)] = sample.max(NOTHING + 1);
        }
        self.end = self.end.max(fresh);
    }

    fn place(&mut self, timestamp: u32, head: i64, in_order: bool, quiet: bool) -> Option<i64> {
        let Some((anchor, place)) = self.anchor else {
            return Some(self.lay(timestamp, head + FIRST));
        };
        let at = place + i64::from(timestamp.wrapping_sub(anchor) as i32);
        let ahead = at - head;
        if !in_order {
            return (0..FURTHEST).contains(&ahead).then_some(at);
        }
        if !(0..FURTHEST).contains(&ahead) {
            return Some(self.lay(timestamp, head));
        }
        self.least = self.least.min(ahead);
        self.watched += 1;
        if self.watched < WATCHED || !quiet {
            self.anchor = Some((timestamp, at));
            return Some(at);
        }
        let at = at - (self.least - SPARE).max(0);
        Some(self.lay(timestamp, at))
    }

    fn lay(&mut self, timestamp: u32, at: i64) -> i64 {
        self.anchor = Some((timestamp, at));
        (self.least, self.watched) = (i64::MAX, 0);
        // What was laid further on would be heard twice.
        self.end = self.end.min(at);
        at
    }

    /// Take the samples from `from` on.  What did not come is made up of those taken just before.
    pub fn take(&mut self, from: i64, out: &mut [i16]) {
        if from != self.taken {
            self.concealment = Concealment::default();
        }
        self.taken = from + out.len() as i64;
        self.read(from, out);
        self.concealment.fill(out);
    }

    /// What came, and `NOTHING`.
    fn read(&self, from: i64, out: &mut [i16]) {
        for (index, sample) in (from..).zip(out) {
            let is_there = index < self.end && index >= self.end - SIZE as i64;
            *sample = if is_there { self.samples[slot(index)] } else { NOTHING };
        }
    }
}

fn slot(index: i64) -> usize {
    index.rem_euclid(SIZE as i64) as usize
}

/// The 20 ms that came for `head`, silence where nothing did.
#[cfg(test)]
fn came(playout: &Playout, head: i64) -> [i16; 160] {
    let mut out = [0; 160];
    playout.read(head, &mut out);
    out.map(|sample| if sample == NOTHING { 0 } else { sample })
}

#[cfg(test)]
mod hostile;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;

    /// Packets numbered by their samples, sent every 20 ms, each `late(n)` samples on its way; taken
    /// every 20 ms.  The samples taken, in order.
    fn run(packets: i64, quiet: bool, late: impl Fn(i64) -> i64) -> Vec<i16> {
        let mut playout = Playout::default();
        let mut waiting: Vec<(i64, i64)> = (0..packets).map(|n| (n * 160 + late(n), n)).collect();
        waiting.sort_unstable();
        let mut waiting = waiting.into_iter().peekable();
        let (mut taken, mut newest) = (vec![], -1);
        for tick in 0..packets + 10 {
            let head = tick * 160;
            while let Some((_, n)) = waiting.next_if(|(at, _)| *at <= head) {
                playout.put((n * 160) as u32, head, n > newest, quiet, &[(n % 30_000) as i16 + 1; 160]);
                newest = newest.max(n);
            }
            taken.extend(came(&playout, head));
        }
        taken
    }

    fn missing(taken: &[i16], packets: i64) -> usize {
        (1..=packets as i16).filter(|n| !taken.contains(n)).count()
    }

    #[test]
    fn a_steady_stream_is_whole_and_half_a_packet_late() {
        let taken = run(200, false, |_| 0);
        assert_eq!(taken.iter().position(|&sample| sample == 1), Some(80));
        let said: Vec<i16> = taken.into_iter().filter(|&sample| sample != 0).collect();
        assert!(said.chunks(160).zip(1..).all(|(packet, n)| packet == [n; 160]));
        assert_eq!(said.len(), 200 * 160);
    }

    #[test]
    fn jitter_costs_a_few_packets_at_first_and_none_later() {
        let mut chance = Chance::new(4);
        let lateness: Vec<i64> = (0..1000).map(|_| (chance.next() % 400) as i64).collect();
        let taken = run(1000, false, |n| lateness[n as usize]);
        let late_ones = taken[100 * 160..].iter().filter(|&&sample| sample != 0).count();
        assert!(late_ones >= 899 * 160, "{late_ones}");
        assert!(missing(&taken, 1000) <= 3);
    }

    #[test]
    fn delay_that_is_not_needed_any_more_is_given_up_in_silence() {
        let delay = |quiet: bool| {
            let taken = run(600, quiet, |n| if (5..11).contains(&n) { (11 - n) * 160 } else { 0 });
            taken.iter().position(|&sample| sample == 590).expect("is heard") as i64 - 589 * 160
        };
        assert!(delay(false) > 700);
        assert!(delay(true) < 100, "{}", delay(true));
    }

    #[test]
    fn reordered_packets_are_put_in_order() {
        let taken = run(100, false, |n| if n > 10 && n % 5 == 0 { 330 } else { 300 * i64::from(n == 3) });
        let after: Vec<i16> = taken[30 * 160..].iter().copied().filter(|&sample| sample > 0).collect();
        assert!(after.windows(2).all(|pair| pair[1] >= pair[0]));
    }

    #[test]
    fn a_clock_that_is_fast_or_slow_never_breaks_it() {
        for drift in [-1, 1] {
            let taken = run(3000, true, |n| drift * n * 160 / 1000 + 3000 * 160 / 1000);
            assert!(missing(&taken, 3000) < 20, "{}", missing(&taken, 3000));
        }
    }

    #[test]
    fn a_jump_in_the_timestamps_begins_anew_and_an_absurd_packet_is_not_taken() {
        let mut playout = Playout::default();
        playout.put(0, 0, true, false, &[1; 160]);
        playout.put(4_000_000, 160, true, false, &[2; 160]);
        assert_eq!(came(&playout, 160), [2; 160]);
        playout.put(4_000_160, 320, true, false, &[3; 2000]);
        assert_eq!(came(&playout, 320), [0; 160]);
    }

    #[test]
    fn in_place_of_a_lost_packet_something_is_heard_but_not_of_long_ago() {
        let mut playout = Playout::default();
        let mut out = [0; 160];
        for n in (0..10).filter(|&n| n != 8) {
            playout.put(n * 160, i64::from(n) * 160, true, false, &[500; 160]);
        }
        for n in 0..9 {
            playout.take(n * 160, &mut out);
        }
        assert_eq!(out, [500; 160]);
        playout.take(20 * 160, &mut out);
        assert_eq!(out, [0; 160]);
        playout.take(10 * 160, &mut out);
        assert_eq!(out, [500; 160]);
        playout.restart();
        playout.take(11 * 160, &mut out);
        assert_eq!(out, [0; 160], "nor of another stream");
    }
}
