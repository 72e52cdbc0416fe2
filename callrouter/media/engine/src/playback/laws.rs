//! What a queue plays, held against the plainest way to say it: everything put end to end.

use super::*;
use crate::chance::Chance;
use crate::long_prompt::{BLOCK, Filing, Reader};

/// What a slot is to be: a frame, or a key's packet.
#[derive(Debug, PartialEq)]
enum Expected {
    Frame(Vec<u8>),
    Key([u8; 4], u16),
}

/// One pass or several, and the milliseconds played.
fn expected(items: &[Item], loops: u32, codec: Codec) -> (Vec<Expected>, u64) {
    let (mut slots, mut line, mut played) = (vec![], vec![], 0);
    for _ in 0..loops {
        for item in items {
            match item {
                Item::Prompt(prompt) => line.extend_from_slice(prompt.words(codec)),
                Item::Long(prompt) => line.extend(long_words(prompt, codec)),
                Item::Silence(samples) => line.resize(line.len() + *samples as usize, codec.silence()),
                Item::Digits(keys) => {
                    played += cut(&mut line, &mut slots, codec) + press(keys, &mut slots, codec)
                }
                Item::Endless(_) => unreachable!("has no end to be compared with"),
            }
        }
    }
    played += cut(&mut line, &mut slots, codec);
    (slots, played / 8)
}

/// The sound so far as frames, the last filled up; its samples.
fn cut(line: &mut Vec<u8>, slots: &mut Vec<Expected>, codec: Codec) -> u64 {
    let length = line.len() as u64;
    line.resize(line.len().div_ceil(FRAME) * FRAME, codec.silence());
    slots.extend(line.chunks(FRAME).map(|frame| Expected::Frame(frame.to_vec())));
    line.clear();
    length
}

fn press(keys: &str, slots: &mut Vec<Expected>, codec: Codec) -> u64 {
    let (mut sender, mut frames) = (KeySender::new(keys), 0);
    loop {
        match sender.frame() {
            KeyFrame::Event { payload, frame } => slots.push(Expected::Key(payload, frame)),
            KeyFrame::Silence => slots.push(Expected::Frame(vec![codec.silence(); FRAME])),
            KeyFrame::Done => return frames * FRAME as u64,
        }
        frames += 1;
    }
}

fn long_words(prompt: &Arc<LongPrompt>, codec: Codec) -> Vec<u8> {
    let (mut reading, mut words) = (Reading::new(codec), vec![]);
    while (words.len() as u64) < prompt.samples() {
        let mut room = [0; FRAME];
        match reading.copy(prompt, words.len() as u64, codec, &mut room) {
            Some(took) => words.extend_from_slice(&room[..took]),
            None => std::thread::yield_now(),
        }
    }
    words
}

/// Everything a playback does until it is finished, or for so many slots.
fn played(playback: &mut Playback, codec: Codec, most: usize) -> Vec<Expected> {
    let mut slots = vec![];
    while slots.len() < most {
        while playback.reading.as_ref().is_some_and(|reading| !reading.is_ahead()) {
            std::thread::yield_now();
        }
        let mut frame = [7; FRAME];
        match playback.fill(codec, &mut frame) {
            Slot::Audio => slots.push(Expected::Frame(frame.to_vec())),
            Slot::Key { payload, frame } => slots.push(Expected::Key(payload, frame)),
            Slot::Late => unreachable!("it has been read ahead"),
            Slot::Finished => break,
        }
    }
    slots
}

fn item(chance: &mut Chance, long: &[Arc<LongPrompt>]) -> Item {
    let length = [0, 1, 159, 160, 161, 320, 1 + chance.next() % 700][chance.next() as usize % 7];
    match chance.next() % 6 {
        0 | 1 => {
            let samples: Vec<i16> = (0..length).map(|_| chance.next() as i16).collect();
            Item::Prompt(Arc::new(Prompt::new(&samples)))
        }
        2 | 3 => Item::Silence(length),
        4 => Item::Digits(["", "5", "w", "1w2", "W#"][chance.next() as usize % 5].into()),
        _ => Item::Long(long[chance.next() as usize % long.len()].clone()),
    }
}

/// Just longer and much longer than a block, and a whole number of them.
fn long_prompts() -> Vec<Arc<LongPrompt>> {
    let reader = Reader::start().expect("a thread");
    let folder = std::env::temp_dir().join(format!("callrouter-laws-{}", std::process::id()));
    let mut chance = Chance::new(77);
    let long = [BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 333].map(|length| {
        let samples: Vec<i16> = (0..length).map(|_| chance.next() as i16).collect();
        let filing = Filing::begin(&folder, &samples, &reader).expect("a file");
        let prompt = filing.prompt();
        filing.finish().expect("is written");
        prompt
    });
    long.into()
}

#[test]
fn a_queue_is_its_items_end_to_end_as_often_as_it_is_to_be() {
    let long = long_prompts();
    let mut chance = Chance::new(2024);
    for round in 0..300 {
        let items: Vec<Item> = (0..chance.next() % 6).map(|_| item(&mut chance, &long)).collect();
        let loops = 1 + (chance.next() % 3) as u32;
        let codec = if round % 2 == 0 { Codec::Pcmu } else { Codec::Pcma };
        let (slots, ms) = expected(&items, loops, codec);
        let mut playback = Playback::new(1, items.clone(), loops, KeySet::default());
        assert!(played(&mut playback, codec, usize::MAX) == slots, "round {round}");
        assert_eq!(playback.played_ms(), ms, "round {round}");
        assert_eq!(playback.fill(codec, &mut [0; FRAME]), Slot::Finished, "stays finished");
    }
}

#[test]
fn without_a_number_of_loops_it_is_the_beginning_of_any_number() {
    let long = long_prompts();
    let mut chance = Chance::new(4711);
    for round in 0..60 {
        let items: Vec<Item> = (0..=chance.next() % 4).map(|_| item(&mut chance, &long)).collect();
        let (one, _) = expected(&items, 1, Codec::Pcmu);
        let loops = 600 / one.len().max(1) as u32 + 2;
        let (slots, _) = expected(&items, if one.is_empty() { 1 } else { loops }, Codec::Pcmu);
        let most = slots.len().min(600);
        let mut playback = Playback::new(1, items, 0, KeySet::default());
        let got = played(&mut playback, Codec::Pcmu, most);
        // The last frame of a finite number is filled up, where the endless one goes on.
        let same = most.saturating_sub(usize::from(most == slots.len()));
        assert!(got[..same.min(got.len())] == slots[..same], "round {round}");
    }
}

#[test]
fn wherever_it_is_stopped_it_says_how_much_was_played() {
    let mut chance = Chance::new(99);
    for _ in 0..200 {
        let items: Vec<Item> = (0..5)
            .map(|_| Item::Silence(1 + chance.next() % 999))
            .chain([Item::Endless(Arc::new(Prompt::new(&[1; 333])))])
            .collect();
        let mut playback = Playback::new(1, items, 1, KeySet::default());
        let slots = chance.next() % 100;
        let mut frame = [0; FRAME];
        (0..slots).for_each(|_| assert_eq!(playback.fill(Codec::Pcmu, &mut frame), Slot::Audio));
        assert_eq!(playback.played_ms(), slots * 20, "each slot is full, for nothing aligns");
    }
}
