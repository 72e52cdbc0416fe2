//! Two channels through loss, jitter and pauses, in a time that is made up: what is in the file, to
//! the sample.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::*;
use crate::chance::Chance;
use crate::clock::MILLISECOND;
use crate::event::{EventReceiver, Told, events};
use crate::g711::Codec;
use crate::timeline::Timeline;

/// So many that the writer can be behind with all of them.
const PACKETS: i64 = 220;
/// Samples before the first packet comes.
const START: i64 = 8000;

/// What a channel says in its packet `n`.
fn word(channel: usize, n: i64) -> u8 {
    0x80 | (n * 7 % 100 + channel as i64 * 13) as u8
}

/// One side: its packets by arrival, in samples, and what there is to hear of it by sample.
fn side(channel: usize, chance: &mut Chance) -> (Vec<(i64, i64)>, Vec<i16>) {
    let (mut arrivals, mut audible) = (vec![], vec![0; (PACKETS * 160) as usize]);
    for n in 0..PACKETS {
        if n > 0 && chance.next() % 20 == 0 {
            continue;
        }
        // The first says where all of them lie; none comes more than 200 ms later than it did.
        let late = if n == 0 { 0 } else { (chance.next() % 1600) as i64 };
        arrivals.push((START + n * 160 + late, n));
        let sample = Codec::Pcmu.decode(word(channel, n));
        audible[(n * 160) as usize..((n + 1) * 160) as usize].fill(sample);
    }
    arrivals.sort_unstable();
    (arrivals, audible)
}

fn ns(sample: i64) -> i64 {
    sample * MILLISECOND / 8
}

/// A recording of two channels from `START` on, and who writes it.
struct Taken {
    recording: Recording,
    writer: Writer,
    receiver: EventReceiver,
    path: PathBuf,
}

impl Taken {
    fn begin(name: &str, channels: [Vec<Track>; 2], max_ms: u64) -> Self {
        let (sender, receiver) = events().expect("an eventfd");
        let (writer, _) = Writer::start(sender).expect("a thread");
        let path = std::env::temp_dir().join(format!("callrouter-exact-{}-{name}.wav", std::process::id()));
        let plan = RecordingPlan {
            id: 1,
            token: 1,
            path: path.clone(),
            channels: channels.into(),
            max_ms,
            max_size: 0,
            silence_ms: 0,
            stop_keys: KeySet::default(),
            trim: false,
        };
        let sink = writer.open(1, LegId(1), 1, path.clone(), 2);
        Self { recording: Recording::start(plan, sink, ns(START)), writer, receiver, path }
    }

    /// What is in the file, once it has ended for that reason.
    fn channels(&self, wanted: RecordingEnd) -> [Vec<i16>; 2] {
        assert!(matches!(self.ended(), Told::RecordingEnded { reason, .. } if reason == wanted));
        let bytes = std::fs::read(&self.path).expect("the file is there");
        std::fs::remove_file(&self.path).expect("it is ours");
        [0, 2].map(|at| {
            let frames = bytes[wav::HEADER..].chunks_exact(4);
            frames.map(|frame| i16::from_le_bytes([frame[at], frame[at + 1]])).collect()
        })
    }

    fn ended(&self) -> Told {
        let begun = Instant::now();
        loop {
            if let Some(event) = self.receiver.take().pop() {
                return event.told;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "the recording does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Record both sides from `START` on, with a pause from one sample to another; the channels of the
/// file and what there was to hear.
fn record(seed: u64, pause: (i64, i64), with_silence: bool) -> ([Vec<i16>; 2], [Vec<i16>; 2]) {
    let mut chance = Chance::new(seed);
    let [(one, left), (two, right)] = [side(0, &mut chance), side(1, &mut chance)];
    let track = |leg| Track { leg: LegId(leg), side: Side::Received };
    let name = format!("{seed}-{with_silence}");
    let mut taken = Taken::begin(&name, [vec![track(0)], vec![track(1)]], 0);
    let recording = &mut taken.recording;
    let mut timelines = [Timeline::default(), Timeline::default()];
    let mut arrivals = [one.into_iter().peekable(), two.into_iter().peekable()];
    let end = START + PACKETS * 160;
    // Slots do not fall on the packets, nor pauses on slots.
    for now in (START..end + LAG + 320).step_by(20) {
        for (channel, waiting) in arrivals.iter_mut().enumerate() {
            while let Some((_, n)) = waiting.next_if(|(at, _)| *at <= now) {
                let timestamp = (u32::MAX - 9000).wrapping_add((n * 160) as u32);
                timelines[channel].write(timestamp, now, Codec::Pcmu, &[word(channel, n); 160]);
            }
        }
        if now == START + pause.0 {
            recording.pause(with_silence, ns(now));
        }
        if now == START + pause.1 {
            recording.resume(ns(now));
        }
        if now == end + LAG {
            recording.end(RecordingEnd::Stopped, None, ns(end));
        }
        if now % 160 == 100 {
            recording.advance(ns(now), &taken.writer, |track, from, mix| {
                timelines[track.leg.0 as usize].mix_into(from, mix);
            });
        }
    }
    (taken.channels(RecordingEnd::Stopped), [left, right])
}

#[test]
fn channels_hold_what_came_and_silence_for_what_did_not_in_step_to_the_sample() {
    for seed in 1..=5 {
        let (recorded, said) = record(seed * 91, (-20, -20), false);
        assert_eq!(recorded, said, "seed {seed}");
    }
}

#[test]
fn a_pause_takes_out_what_was_said_in_it_and_nothing_else() {
    for seed in 1..=5 {
        let (from, until) = (10_020 + seed as i64 * 20, 23_340);
        let (kept, said) = record(seed * 17, (from, until), false);
        let (muted, _) = record(seed * 17, (from, until), true);
        let (from, until) = (from as usize, until as usize);
        for channel in 0..2 {
            let said = &said[channel];
            let cut = [&said[..from], &said[until..]].concat();
            assert!(kept[channel] == cut, "skipped, seed {seed}, channel {channel}");
            let quiet = [&said[..from], &vec![0; until - from][..], &said[until..]].concat();
            assert!(muted[channel] == quiet, "silenced, seed {seed}, channel {channel}");
        }
    }
}

#[test]
fn two_loud_ones_in_one_channel_are_turned_down_rather_than_clipped() {
    let track = |leg| Track { leg: LegId(leg), side: Side::Received };
    let mut taken = Taken::begin("loud", [vec![track(0), track(1)], vec![track(0)]], 1000);
    for now in (START..START + 8000 + LAG + 320).step_by(160) {
        taken.recording.advance(ns(now), &taken.writer, |_, _, mix| {
            mix.iter_mut().zip(0..).for_each(|(sum, n)| *sum += if n % 16 < 8 { 32_124 } else { -16_000 });
        });
    }
    let [both, one] = taken.channels(RecordingEnd::MaxLength);
    assert!(one.iter().all(|sample| [32_124, -16_000].contains(sample)), "one alone is what it is");
    let (high, low) = (both[4000..].iter().max(), both[4000..].iter().min());
    // Twice 16,000 below, by as much less as twice 32,124 above is over the ceiling.
    assert!(matches!((high, low), (Some(30_000..=31_500), Some(-16_000..=-15_000))), "{high:?} {low:?}");
}
