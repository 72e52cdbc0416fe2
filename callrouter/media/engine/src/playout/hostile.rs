//! Whatever a network or a clock does to a voice: it stays in order, and its delay within bounds.

use super::*;
use crate::chance::Chance;

const HOUR: i64 = 180_000;

/// A packet says `1 + n % 30_000` for its 160 samples.
fn word(n: i64) -> i16 {
    (n % 30_000) as i16 + 1
}

struct Run {
    /// Samples that were taken, silence left out, as packet and how often in a row.
    said: Vec<(i16, usize)>,
    /// The furthest that anything was laid ahead of what is taken.
    furthest: i64,
}

/// `arrivals`: when each packet comes, in samples, and which it is; timestamps go on from `first`.
fn run(first: u32, ticks: i64, quiet: impl Fn(i64) -> bool, mut arrivals: Vec<(i64, i64)>) -> Run {
    arrivals.sort_unstable();
    let mut arrivals = arrivals.into_iter().peekable();
    let mut playout = Playout::default();
    let mut run = Run { said: vec![], furthest: 0 };
    let mut newest = -1;
    for tick in 0..ticks {
        let head = tick * 160;
        while let Some((_, n)) = arrivals.next_if(|(at, _)| *at <= head) {
            let timestamp = first.wrapping_add((n * 160) as u32);
            playout.put(timestamp, head, n > newest, quiet(n), &[word(n); 160]);
            newest = newest.max(n);
            run.furthest = run.furthest.max(playout.end - head);
        }
        for sample in came(&playout, head).into_iter().filter(|&sample| sample != 0) {
            match run.said.last_mut() {
                Some((last, count)) if *last == sample => *count += 1,
                _ => run.said.push((sample, 1)),
            }
        }
    }
    run
}

impl Run {
    /// Packets of which anything was heard twice or before an older one.
    fn misplaced(&self) -> usize {
        let back = |pair: &&[(i16, usize)]| pair[1].0 < pair[0].0 && pair[0].0 - pair[1].0 < 20_000;
        self.said.windows(2).filter(back).count() + self.said.iter().filter(|(_, count)| *count > 160).count()
    }

    fn samples(&self) -> usize {
        self.said.iter().map(|(_, count)| count).sum()
    }
}

#[test]
fn jitter_loss_order_and_repetition_cost_no_more_than_they_took() {
    for seed in 1..=30 {
        let mut chance = Chance::new(seed * 104_729);
        let jitter = (chance.next() % 900) as i64 + 1;
        let loss = chance.next() % 30;
        let mut arrivals = vec![];
        let mut lost = 0;
        for n in 0..2000 {
            if chance.next() % 100 < loss {
                lost += 1;
                continue;
            }
            for _ in 0..1 + u32::from(chance.next() % 10 == 0) {
                arrivals.push((n * 160 + (chance.next() % jitter as u64) as i64, n));
            }
        }
        let run = run(chance.next() as u32, 2020, |_| false, arrivals);
        // A stream that is moved back repeats nothing, but may cut what was laid before.
        assert!(run.misplaced() <= 12, "seed {seed}: {} misplaced", run.misplaced());
        assert!(run.furthest <= SIZE as i64, "seed {seed}");
        let heard = run.samples() / 160;
        assert!(heard + lost + 80 >= 2000, "seed {seed}, jitter {jitter}: {heard} heard, {lost} lost");
    }
}

#[test]
fn a_clock_that_is_off_by_200_ppm_costs_its_difference_in_an_hour_and_no_more() {
    for (ppm, pauses) in [(-200, true), (200, true), (-200, false), (200, false)] {
        // In pauses nobody misses a little: a second of every ten.
        let quiet = |n: i64| pauses && n % 500 >= 450;
        let arrivals = (0..HOUR).map(|n| (n * 160 + n * 160 * ppm / 1_000_000, n)).collect();
        let run = run(u32::MAX - 80_000, HOUR + 80, quiet, arrivals);
        let drifted = HOUR * 160 * ppm.abs() / 1_000_000;
        assert_eq!(run.misplaced(), 0, "{ppm} ppm");
        let missing = HOUR * 160 - run.samples() as i64;
        assert!(missing <= drifted + 320, "{ppm} ppm, pauses {pauses}: {missing} samples not heard");
        let most = if pauses { 800 } else { FURTHEST + 160 };
        assert!(run.furthest <= most, "{ppm} ppm, pauses {pauses}: {} samples ahead", run.furthest);
    }
}

#[test]
fn timestamps_that_leap_stand_still_or_run_back_never_silence_a_voice_for_long() {
    for seed in 1..=20 {
        let mut chance = Chance::new(seed * 31);
        let mut playout = Playout::default();
        let mut timestamp = chance.next() as u32;
        let mut heard = 0;
        for tick in 0..3000i64 {
            timestamp = match chance.next() % 40 {
                0 => chance.next() as u32,
                1 => timestamp,
                2 => timestamp.wrapping_sub(1600),
                3 => timestamp.wrapping_add(4000),
                _ => timestamp.wrapping_add(160),
            };
            let length = [0, 1, 80, 160, 160, 160, 160, 240, 1024][chance.next() as usize % 9];
            playout.put(timestamp, tick * 160, true, chance.next() % 2 == 0, &[7; 1024][..length]);
            heard += came(&playout, tick * 160).iter().filter(|&&sample| sample == 7).count();
        }
        assert!(heard >= 3000 * 160 / 2, "seed {seed}: {heard}");
    }
}
