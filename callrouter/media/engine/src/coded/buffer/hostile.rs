//! Whatever a network does to a stream: what is heard is in order, each packet once, and not late
//! without end.

use super::*;
use crate::chance::Chance;

/// Milliseconds.
const TICK: f64 = 20.0;
const HOUR: u32 = 180_000;

struct Run {
    /// Numbers of the packets that were heard, with the turns they were heard in.
    heard: Vec<(u32, u32)>,
    lost: usize,
    longest: usize,
}

/// `arrivals`: when each packet comes, in milliseconds, and which it is; numbers go on from
/// `first`.  A turn every 20 ms.
fn run(first: u16, turns: u32, mut arrivals: Vec<(f64, u32)>) -> Run {
    arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut arrivals = arrivals.into_iter().peekable();
    let mut buffer = Buffer::default();
    let mut run = Run { heard: vec![], lost: 0, longest: 0 };
    for turn in 0..turns {
        while let Some((_, n)) = arrivals.next_if(|(at, _)| *at <= f64::from(turn) * TICK) {
            buffer.put(first.wrapping_add(n as u16), &n.to_be_bytes());
        }
        run.longest = run.longest.max(buffer.waiting.len());
        match buffer.turn() {
            Turn::Packet(bytes) => {
                let number = bytes.try_into().map(u32::from_be_bytes).expect("as it was put");
                run.heard.push((number, turn));
            }
            Turn::Lost { .. } => run.lost += 1,
            Turn::Nothing | Turn::Idle => {}
        }
    }
    run
}

impl Run {
    fn is_in_order(&self) -> bool {
        self.heard.windows(2).all(|pair| pair[0].0 < pair[1].0)
    }

    /// The longest time from when a packet was sent, one every `step` milliseconds, to its turn.
    fn latest(&self, step: f64) -> f64 {
        let delay = |&(n, turn): &(u32, u32)| f64::from(turn) * TICK - f64::from(n) * step;
        self.heard.iter().map(delay).fold(0.0, f64::max)
    }
}

#[test]
fn jitter_loss_order_and_repetition_never_put_a_packet_out_of_place() {
    for seed in 1..=40 {
        let mut chance = Chance::new(seed * 7919);
        let share = |chance: &mut Chance| (chance.next() % 1000) as f64 / 1000.0;
        let (jitter, loss) = (share(&mut chance) * 120.0, share(&mut chance) * 0.3);
        let mut arrivals = vec![];
        let mut lost = 0;
        for n in 0..2000u32 {
            if share(&mut chance) < loss {
                lost += 1;
                continue;
            }
            for _ in 0..1 + u32::from(share(&mut chance) < 0.1) {
                arrivals.push((f64::from(n) * TICK + share(&mut chance) * jitter, n));
            }
        }
        let run = run(chance.next() as u16, 2040, arrivals);
        assert!(run.is_in_order(), "seed {seed}");
        assert!(run.longest <= 6 * DEEPEST, "seed {seed}: {}", run.longest);
        assert!(run.latest(TICK) <= (DEEPEST + 8) as f64 * TICK, "seed {seed}: {} ms", run.latest(TICK));
        // What came is heard but for what it costs to learn how deep to be.
        assert!(run.heard.len() + lost + 40 >= 2000, "seed {seed}: {} heard, {lost} lost", run.heard.len());
    }
}

#[test]
fn a_clock_that_is_off_by_200_ppm_costs_its_difference_in_an_hour_and_no_more() {
    for (ppm, seed) in [(-200.0, 3), (200.0, 4), (-50.0, 5), (50.0, 6)] {
        let mut chance = Chance::new(seed);
        let step = TICK * (1.0 + ppm / 1e6);
        let arrivals = (0..HOUR).map(|n| (f64::from(n) * step + (chance.next() % 15) as f64, n)).collect();
        let run = run(65_000, HOUR + 80, arrivals);
        let drifted = f64::from(HOUR) * f64::abs(ppm) / 1e6;
        assert!(run.is_in_order());
        let missing = HOUR as usize - run.heard.len();
        assert!(missing as f64 <= drifted + 10.0, "{ppm} ppm: {missing} not heard");
        assert!(run.longest <= 6, "{ppm} ppm: {} waiting", run.longest);
        assert!(run.latest(step) <= 8.0 * TICK, "{ppm} ppm: {} ms", run.latest(step));
    }
}

#[test]
fn a_stall_of_the_network_is_caught_up_with() {
    for stall in [100, 400, 900, 3000] {
        let held = |n: u32| (200..200 + stall / 20).contains(&n);
        let arrive = |n: u32| if held(n) { f64::from(200 + stall / 20) } else { f64::from(n) } * TICK;
        let run = run(1, 1600, (0..1500).map(|n| (arrive(n), n)).collect());
        assert!(run.is_in_order());
        let after: Vec<_> = run.heard.iter().filter(|(n, _)| *n >= 200 + stall / 20 + 60).collect();
        // The delay that is not needed any more is given up, packet by packet.
        let rest = (1500 - 200 - stall / 20 - 60) as usize;
        assert!(after.len() + DEEPEST >= rest, "{stall} ms: {} of {rest}", after.len());
        let &&(n, turn) = after.last().expect("is heard");
        assert!(turn - n <= DEEPEST as u32 + 6, "{stall} ms: {} turns late at the end", turn - n);
    }
}

#[test]
fn any_leap_of_the_numbers_is_followed_within_a_few_packets() {
    let mut chance = Chance::new(17);
    for _ in 0..200 {
        let mut buffer = Buffer::default();
        let (before, after) = (chance.next() as u16, chance.next() as u16);
        for n in 0..50u16 {
            buffer.put(before.wrapping_add(n), &[1]);
            buffer.turn();
        }
        // Whoever reads the numbers begins anew, or so far behind that it has to be seen here.
        let mut turns = vec![];
        for n in 0..100u16 {
            buffer.put(after.wrapping_add(n), &[2]);
            turns.push(buffer.turn());
        }
        let heard = turns.iter().filter(|turn| **turn == Turn::Packet(vec![2])).count();
        assert!(heard >= 20, "from {before} to {after}: {heard}");
    }
}
