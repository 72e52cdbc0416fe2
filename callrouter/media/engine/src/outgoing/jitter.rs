//! A relay of a network that delays each packet by chance: all of it is passed on, in its place.

use super::*;
use crate::chance::Chance;

const TICK: i64 = 20 * MILLISECOND;

/// What was passed on: its number, its timestamp, and which packet it is.
type Passed = (u16, u32, u16);

/// Relay packets by when they come, and make up for them as a leg does.
fn over(arrivals: &[(i64, u16)]) -> Vec<Passed> {
    let mut out = Outgoing::new(1, 0, 0);
    let (mut sent_ns, mut due, mut passed) = (i64::MIN / 2, TICK / 2, vec![]);
    for &(at, n) in arrivals {
        while due <= at {
            if due - sent_ns >= out.relay_gap_ns {
                let timestamp = out.begin_frame(due);
                out.audio_packet(0, timestamp);
            }
            due += TICK;
        }
        let timestamp = u32::from(n) * FRAME as u32;
        let payload = n.to_be_bytes();
        let packet =
            Packet { marker: false, payload_type: 0, sequence: n, timestamp, ssrc: 77, payload: &payload };
        let (timestamp, bytes) = out.relay(&packet, 0, None, at).expect("is passed on");
        passed.push((Packet::parse(bytes).expect("we send RTP").sequence, timestamp, n));
        sent_ns = at;
    }
    passed
}

fn distinct(numbers: impl Iterator<Item = u16>) -> usize {
    let mut numbers: Vec<u16> = numbers.collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.len()
}

/// The most by which timestamps were moved against each other, in samples.
fn moved(passed: &[Passed]) -> u32 {
    let places = passed.iter().map(|&(_, at, n)| at.wrapping_sub(u32::from(n) * FRAME as u32) as i32);
    let range = places.clone().max().zip(places.min());
    range.map_or(0, |(most, least)| most.abs_diff(least))
}

#[test]
fn whatever_the_jitter_all_of_it_is_passed_on_where_it_belongs() {
    for jitter_ms in [20, 60, 100, 150, 220] {
        for seed in 1..=10 {
            let mut chance = Chance::new(seed * 31);
            let late = |n: u16, ms: u64| i64::from(n) * TICK + ms as i64 * MILLISECOND;
            let mut arrivals: Vec<(i64, u16)> =
                (0..3000).map(|n| (late(n, chance.next() % jitter_ms), n)).collect();
            arrivals.sort_unstable();
            let passed = over(&arrivals);
            let name = format!("{jitter_ms} ms, seed {seed}");
            assert_eq!(distinct(passed.iter().map(|one| one.2)), 3000, "{name}");
            assert_eq!(distinct(passed.iter().map(|one| one.0)), 3000, "{name}: a number each");
            assert!(moved(&passed) <= jitter_ms as u32 * 8 + 320, "{name}: {} samples", moved(&passed));
            // Once the relay knows the network, nothing of its own comes between.
            let between = passed[1000..].iter().map(|&(number, _, n)| number.wrapping_sub(n));
            assert_eq!(between.clone().max(), between.min(), "{name}");
        }
    }
}

#[test]
fn what_comes_after_silence_was_sent_for_it_is_passed_on_and_delay_does_not_pile_up() {
    for pause in [4, 5, 8] {
        // Five packets in time, a pause, then what had been held back at once.
        let round = 10 + pause;
        let comes = |n: i64| if n % round < 5 { n } else { n - n % round + round };
        let arrivals: Vec<(i64, u16)> = (0..100 * round).map(|n| (comes(n) * TICK, n as u16)).collect();
        let passed = over(&arrivals);
        assert_eq!(distinct(passed.iter().map(|one| one.0)), arrivals.len());
        assert!(moved(&passed) <= 320, "{pause} frames of pause: {} samples", moved(&passed));
    }
}

#[test]
fn one_that_pauses_and_does_not_count_on_is_soon_in_time_again() {
    for pause in [15, 20, 200] {
        // In each round thirty packets, whose numbers and timestamps go on after the pause.
        let comes = |n: i64| (n + n / 30 * pause) * TICK;
        let arrivals: Vec<(i64, u16)> = (0..600).map(|n| (comes(n), n as u16)).collect();
        let passed = over(&arrivals);
        assert_eq!(distinct(passed.iter().map(|one| one.0)), 600);
        let late = arrivals.iter().zip(&passed).filter(|((_, n), _)| n % 30 > 12);
        let late = late.map(|((at, _), passed)| samples_at(*at) as i32 - passed.1 as i32);
        assert!(late.clone().all(|late| late <= 320), "{pause} frames: {:?}", late.max());
    }
}
