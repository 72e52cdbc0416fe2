//! A queue of things to play, taken apart into frames of 20 ms that join without a seam.

#[cfg(test)]
mod laws;

use std::sync::Arc;

use crate::g711::Codec;
use crate::long_prompt::{LongPrompt, Reading};
use crate::prompt::Prompt;
use crate::rtp::FRAME;
use crate::telephone_event::{KeyFrame, KeySender, KeySet};

#[derive(Clone, Debug)]
pub enum Item {
    Prompt(Arc<Prompt>),
    Long(Arc<LongPrompt>),
    /// A tone that repeats until the playback is ended from outside.
    Endless(Arc<Prompt>),
    /// In samples.
    Silence(u64),
    Digits(String),
}

#[derive(Debug)]
pub struct Playback {
    pub token: u64,
    pub stop_keys: KeySet,
    items: Vec<Item>,
    /// Passes that remain, this one included; None repeats for ever.
    passes: Option<u32>,
    index: usize,
    /// Samples of the current item that have been played.
    offset: u64,
    /// What is played behind it, from the sample on at which it ends.
    next: Option<Box<Playback>>,
    keys: Option<KeySender>,
    reading: Option<Box<Reading>>,
    /// Samples played in all, and when the current pass began.
    played: u64,
    pass_began: u64,
}

/// What a playback has for one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The frame has been filled.
    Audio,
    /// It has been filled with silence from where a file had not been read in time; what was to be
    /// played there comes next.
    Late,
    Key {
        payload: [u8; 4],
        frame: u16,
    },
    /// Nothing is left; what has not been filled of the frame is untouched.
    Finished,
}

impl Playback {
    /// `loops` = 0 repeats until stopped.
    pub fn new(token: u64, items: Vec<Item>, loops: u32, stop_keys: KeySet) -> Self {
        Self {
            token,
            stop_keys,
            items,
            passes: (loops > 0).then_some(loops),
            index: 0,
            offset: 0,
            next: None,
            keys: None,
            reading: None,
            played: 0,
            pass_began: 0,
        }
    }

    pub fn played_ms(&self) -> u64 {
        self.played / 8
    }

    /// Play `next` behind this and whatever else waits.
    pub fn queue(&mut self, next: Playback) {
        match &mut self.next {
            Some(waiting) => waiting.queue(next),
            None => self.next = Some(Box::new(next)),
        }
    }

    pub fn take_next(&mut self) -> Option<Playback> {
        self.next.take().map(|next| *next)
    }

    /// Fill a frame, the end of the last one with silence.
    pub fn fill(&mut self, codec: Codec, frame: &mut [u8; FRAME]) -> Slot {
        let mut filled = 0;
        match self.fill_from(codec, frame, &mut filled) {
            Slot::Finished if filled > 0 => {
                frame[filled..].fill(codec.silence());
                Slot::Audio
            }
            slot => slot,
        }
    }

    /// Fill a frame from what is `filled` already; finished where nothing is left for the rest of it.
    pub fn fill_from(&mut self, codec: Codec, frame: &mut [u8; FRAME], filled: &mut usize) -> Slot {
        while *filled < FRAME {
            let Some(item) = self.items.get(self.index) else {
                if self.next_pass() {
                    continue;
                }
                return Slot::Finished;
            };
            let room = &mut frame[*filled..];
            let took = match item {
                Item::Prompt(prompt) => copy(prompt.words(codec), self.offset, room),
                Item::Long(prompt) => {
                    let reading = self.reading.get_or_insert_with(|| Box::new(Reading::new(codec)));
                    match reading.copy(prompt, self.offset, codec, room) {
                        Some(took) => took,
                        None => {
                            room.fill(codec.silence());
                            return Slot::Late;
                        }
                    }
                }
                Item::Endless(prompt) => copy_around(prompt.words(codec), self.offset, room),
                Item::Silence(samples) => {
                    let took = room.len().min((samples - self.offset) as usize);
                    room[..took].fill(codec.silence());
                    took
                }
                // Keys are sent in whole slots: what is begun is filled up first.
                Item::Digits(_) if *filled > 0 => {
                    room.fill(codec.silence());
                    return Slot::Audio;
                }
                Item::Digits(keys) => match self.keys.get_or_insert_with(|| KeySender::new(keys)).frame() {
                    KeyFrame::Event { payload, frame } => {
                        self.played += FRAME as u64;
                        return Slot::Key { payload, frame };
                    }
                    KeyFrame::Silence => {
                        room.fill(codec.silence());
                        FRAME
                    }
                    KeyFrame::Done => 0,
                },
            };
            *filled += took;
            self.offset += took as u64;
            self.played += took as u64;
            if self.item_is_over(took) {
                self.index += 1;
                self.offset = 0;
                (self.keys, self.reading) = (None, None);
            }
        }
        Slot::Audio
    }

    fn item_is_over(&self, took: usize) -> bool {
        match &self.items[self.index] {
            Item::Prompt(prompt) => self.offset >= prompt.samples() as u64,
            Item::Long(prompt) => self.offset >= prompt.samples(),
            Item::Endless(prompt) => prompt.samples() == 0,
            Item::Silence(samples) => self.offset >= *samples,
            Item::Digits(_) => took == 0,
        }
    }

    fn next_pass(&mut self) -> bool {
        // A pass that lasted no time would repeat for ever within one frame.
        if self.played == self.pass_began {
            return false;
        }
        if let Some(passes) = &mut self.passes {
            *passes -= 1;
            if *passes == 0 {
                // Stay at the end: a finished playback stays finished.
                *passes = 1;
                return false;
            }
        }
        self.index = 0;
        self.pass_began = self.played;
        true
    }
}

/// Copy as many words from `offset` on as there are and fit; how many.
pub fn copy(words: &[u8], offset: u64, room: &mut [u8]) -> usize {
    let rest = &words[(offset as usize).min(words.len())..];
    let took = rest.len().min(room.len());
    room[..took].copy_from_slice(&rest[..took]);
    took
}

fn copy_around(words: &[u8], offset: u64, room: &mut [u8]) -> usize {
    if words.is_empty() {
        return 0;
    }
    copy(words, offset % words.len() as u64, room)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(samples: usize) -> Item {
        Item::Prompt(Arc::new(Prompt::new(&vec![1000; samples])))
    }

    /// Play to the end; the words played and the number of frames.
    fn run(items: Vec<Item>, loops: u32) -> (Vec<u8>, usize) {
        let mut playback = Playback::new(1, items, loops, KeySet::default());
        let (mut words, mut frames) = (vec![], 0);
        let mut frame = [0; FRAME];
        while playback.fill(Codec::Pcmu, &mut frame) != Slot::Finished {
            words.extend(frame);
            frames += 1;
            assert!(frames < 10_000, "never ends");
        }
        assert_eq!(playback.fill(Codec::Pcmu, &mut frame), Slot::Finished, "stays finished");
        (words, frames)
    }

    #[test]
    fn items_join_without_a_seam_inside_a_frame() {
        let (words, frames) = run(vec![prompt(100), Item::Silence(50), prompt(20)], 1);
        let tone = Codec::Pcmu.encode(1000);
        let mut expected = vec![tone; 100];
        expected.extend([0xFF; 50]);
        expected.extend([tone; 20]);
        expected.resize(320, 0xFF);
        assert_eq!((words, frames), (expected, 2));
    }

    #[test]
    fn loops_repeat_the_whole_queue_without_a_seam() {
        let (words, frames) = run(vec![prompt(100)], 8);
        assert_eq!((words, frames), (vec![Codec::Pcmu.encode(1000); 800], 5));
    }

    #[test]
    fn nothing_to_play_is_finished_at_once_even_for_ever() {
        assert_eq!(run(vec![], 0).1, 0);
        assert_eq!(run(vec![prompt(0), Item::Silence(0), Item::Digits(String::new())], 0).1, 0);
        assert_eq!(run(vec![Item::Endless(Arc::new(Prompt::new(&[])))], 1).1, 0);
    }

    #[test]
    fn the_time_played_is_counted_to_the_sample() {
        let mut playback = Playback::new(1, vec![prompt(88)], 1, KeySet::default());
        let mut frame = [0; FRAME];
        assert_eq!(playback.fill(Codec::Pcma, &mut frame), Slot::Audio);
        assert_eq!(frame[87..90], [Codec::Pcma.encode(1000), 0xD5, 0xD5]);
        assert_eq!(playback.played_ms(), 11);
    }

    #[test]
    fn zero_loops_repeat_until_stopped_and_an_endless_tone_whatever_the_loops() {
        for (item, loops) in [(prompt(100), 0), (Item::Endless(Arc::new(Prompt::new(&[1000; 100]))), 1)] {
            let mut playback = Playback::new(1, vec![item], loops, KeySet::default());
            let mut frame = [0; FRAME];
            for _ in 0..1000 {
                assert_eq!(playback.fill(Codec::Pcmu, &mut frame), Slot::Audio);
                assert!(frame.iter().all(|&word| word == Codec::Pcmu.encode(1000)));
            }
        }
    }

    #[test]
    fn keys_start_on_a_slot_of_their_own_between_prompts() {
        let items = vec![prompt(100), Item::Digits("5".into()), prompt(160)];
        let mut playback = Playback::new(1, items, 1, KeySet::default());
        let mut frame = [0; FRAME];
        let mut slots = vec![];
        loop {
            match playback.fill(Codec::Pcmu, &mut frame) {
                Slot::Finished => break,
                slot => slots.push(slot),
            }
        }
        assert_eq!(slots[0], Slot::Audio);
        assert!(matches!(slots[1], Slot::Key { payload: [5, ..], frame: 0 }));
        assert_eq!(slots.iter().filter(|slot| matches!(slot, Slot::Key { .. })).count(), 7);
        assert_eq!(slots.len(), 1 + 10 + 1);
    }
}
