//! The books of a stream under loss, reordering, wraps and new sources: nothing is counted twice,
//! and nothing is lost that came.

use super::*;
use crate::chance::Chance;

#[test]
fn loss_is_exact_across_wraps_whatever_comes_late_or_twice() {
    for seed in 1..=40 {
        let mut chance = Chance::new(seed * 13);
        let mut reception = Reception::default();
        let first = chance.next() as u16;
        let mut arrivals: Vec<(i64, u32)> = vec![];
        let mut lost = 0;
        for n in 0..150_000u32 {
            // The first and the last come: loss is what is missing between them.
            if n > 20 && n < 149_980 && chance.next() % 20 == 0 {
                lost += 1;
                continue;
            }
            let late = if n > 20 && n < 149_900 { (chance.next() % 4) as i64 } else { 0 };
            for _ in 0..1 + u32::from(chance.next() % 30 == 0) {
                arrivals.push((i64::from(n) + late, n));
            }
        }
        arrivals.sort_unstable();
        let mut counts = [0u64; 6];
        for (at, n) in &arrivals {
            let timestamp = n.wrapping_mul(160).wrapping_sub(90_000);
            let verdict = reception.packet(1, first.wrapping_add(*n as u16), timestamp, at * 160);
            counts[verdict as usize] += 1;
        }
        let accepted = counts[Arrival::Fresh as usize] + counts[Arrival::Late as usize] + 1;
        assert_eq!(counts[Arrival::NewStream as usize], 1, "seed {seed}");
        assert_eq!(counts[Arrival::Doubtful as usize], 0, "seed {seed}");
        assert_eq!(accepted, 150_000 - lost, "seed {seed}: each that came, once");
        assert_eq!(reception.lost(), lost, "seed {seed}");
        assert_eq!(reception.wraps, u64::from((u32::from(first) + 149_999) >> 16), "seed {seed}");
        // At most 60 ms late, in samples; a smoothed mean is below.
        assert!(reception.jitter_max <= 480, "seed {seed}: {}", reception.jitter_max);
    }
}

/// Judge a packet as a leg does: what is in doubt is kept, and judged again once it is believed.
fn judge(
    reception: &mut Reception,
    kept: &mut Vec<(u32, u16, i64)>,
    ssrc: u32,
    sequence: u16,
    at: i64,
) -> u64 {
    let mut packet = |ssrc, sequence, at: i64| reception.packet(ssrc, sequence, at as u32 * 160, at * 160);
    match packet(ssrc, sequence, at) {
        Arrival::Doubtful => {
            *kept = vec![(ssrc, sequence, at)];
            0
        }
        Arrival::Duplicate => 0,
        Arrival::Fresh | Arrival::Late | Arrival::NewStream => 1,
        Arrival::Confirming => {
            kept.push((ssrc, sequence, at));
            let verdicts: Vec<Arrival> =
                kept.drain(..).map(|(ssrc, sequence, at)| packet(ssrc, sequence, at)).collect();
            assert_eq!(verdicts, [Arrival::NewStream, Arrival::Fresh]);
            2
        }
    }
}

#[test]
fn a_source_that_changes_in_mid_talk_costs_nothing() {
    for seed in 1..=40 {
        let mut chance = Chance::new(seed * 17);
        let (mut reception, mut kept) = (Reception::default(), vec![]);
        let (mut changes, mut accepted, mut sent) = (0, 0u64, 0u64);
        let (mut ssrc, mut sequence) = (1u32, chance.next() as u16);
        for at in 0..20_010i64 {
            if at % 50 == 49 {
                ssrc = ssrc.wrapping_add(1 + chance.next() as u32 % 9);
                sequence = chance.next() as u16;
                changes += 1;
            }
            sent += 1;
            accepted += judge(&mut reception, &mut kept, ssrc, sequence, at);
            sequence = sequence.wrapping_add(1);
        }
        assert_eq!(reception.streams, 1 + changes, "seed {seed}");
        assert_eq!(accepted, sent, "seed {seed}");
        assert_eq!((reception.lost(), reception.jitter_max), (0, 0), "seed {seed}");
    }
}

#[test]
fn of_ten_thousand_packets_that_are_unlike_the_stream_and_each_other_none_is_believed() {
    for seed in 1..=5 {
        let mut chance = Chance::new(seed * 19);
        let (mut reception, mut kept) = (Reception::default(), vec![]);
        let mut believed = 0;
        for at in 0..10_000i64 {
            if at % 10 == 0 {
                assert_eq!(judge(&mut reception, &mut kept, 1, (at / 10) as u16, at / 10), 1);
            }
            let (ssrc, sequence) = (chance.next() as u32 | 2, chance.next() as u16);
            believed += judge(&mut reception, &mut kept, ssrc, sequence, at);
        }
        assert_eq!((believed, reception.streams), (0, 1), "seed {seed}");
    }
}

#[test]
fn two_sources_at_once_do_not_take_turns_at_every_packet() {
    let mut reception = Reception::default();
    let mut fresh = 0;
    for n in 0..1000u16 {
        for ssrc in [1, 2] {
            let verdict = reception.packet(ssrc, n, u32::from(n) * 160, i64::from(n) * 160);
            fresh += usize::from(verdict == Arrival::Fresh);
        }
    }
    assert_eq!(reception.streams, 1, "the one that was there first");
    assert_eq!(fresh, 999);
}
