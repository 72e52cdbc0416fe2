//! What is recorded of a stream that drifts, leaps or comes in pieces of any size.

use super::*;
use crate::chance::Chance;

const HOUR: i64 = 180_000;
const LOUD: u8 = 0x80;

/// What a recorder reads in an hour of packets `ppm` too slow, and how much of it is silence.
fn silence_in_an_hour(ppm: i64) -> i64 {
    let mut timeline = Timeline::default();
    let (mut silent, mut read) = (0, 0);
    for packet in 0..HOUR {
        let now = packet * 160 + packet * 160 * ppm / 1_000_000;
        timeline.write((packet * 160) as u32, now, Codec::Pcmu, &[LOUD; 160]);
        while read + 160 <= now - LAG {
            let mut mix = [0; 160];
            timeline.mix_into(read, &mut mix);
            silent += mix.iter().filter(|&&sample| sample == 0).count() as i64;
            read += 160;
        }
    }
    silent
}

#[test]
fn a_clock_that_is_off_by_200_ppm_costs_its_difference_in_an_hour() {
    assert_eq!(silence_in_an_hour(0), 0);
    let drifted = HOUR * 160 * 200 / 1_000_000;
    assert!(silence_in_an_hour(200) <= drifted + 160, "a slow one leaves gaps");
    assert_eq!(silence_in_an_hour(-200), 0, "a fast one is cut and leaves none");
}

#[test]
fn packets_of_any_size_and_order_lie_where_they_belong_across_the_wrap() {
    for seed in 1..=20 {
        let mut chance = Chance::new(seed * 77);
        let first = u32::MAX - 8000;
        let mut timeline = Timeline::default();
        let (mut at, mut waiting) = (0i64, vec![]);
        while at < 40_000 {
            let length = [80, 160, 160, 240][chance.next() as usize % 4];
            // Up to 20 ms late, which puts packets behind others.
            waiting.push((at + length + (chance.next() % 160) as i64, at, length));
            at += length;
        }
        waiting.sort_unstable();
        // The first may not be the one that is late: it says where all the others lie.
        let shift = waiting[0].0 - waiting[0].1;
        let mut read = shift;
        for (now, place, length) in waiting {
            let word = (place / 80 % 60) as u8 | 0x80;
            timeline.write(first.wrapping_add(place as u32), now, Codec::Pcmu, &vec![word; length as usize]);
            while read + 80 <= now - LAG {
                let mut mix = [0; 80];
                timeline.mix_into(read, &mut mix);
                let heard = mix.map(|sample| (i32::from(Codec::Pcmu.decode(0x80)) - sample).abs());
                assert!(mix.iter().all(|&sample| sample != 0), "seed {seed}: a hole at {read}");
                assert!(heard.windows(2).all(|pair| pair[0] == pair[1]), "seed {seed}: torn at {read}");
                read += 80;
            }
        }
        assert!(read > 30_000);
    }
}
