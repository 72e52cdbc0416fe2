//! Audio that the engine's user hands over bit by bit: played in order, with marks that are told
//! when everything before them has been played.

use std::collections::VecDeque;

use crate::g711::Codec;
use crate::rtp::FRAME;

/// Words that may wait: five minutes.
pub const MOST: usize = 5 * 60 * 8000;
/// Pieces and marks that may: each costs memory of its own, however short it is.
const MOST_PIECES: usize = 20_000;

#[derive(Debug)]
enum Piece {
    /// µ-law words.
    Audio(Vec<u8>),
    Mark(u64),
}

#[derive(Debug)]
pub struct Feed {
    pub token: u64,
    pieces: VecDeque<Piece>,
    /// Words of the first piece that have been played.
    offset: usize,
    waiting: usize,
    played: u64,
}

impl Feed {
    pub fn new(token: u64) -> Self {
        Self { token, pieces: VecDeque::new(), offset: 0, waiting: 0, played: 0 }
    }

    pub fn played_ms(&self) -> u64 {
        self.played / 8
    }

    /// Nothing waits, not even a mark.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Add audio to the end; false when too much waits already, and it is not taken.
    pub fn add(&mut self, words: Vec<u8>) -> bool {
        let takes = self.waiting + words.len() <= MOST && self.pieces.len() < MOST_PIECES;
        if takes && !words.is_empty() {
            self.waiting += words.len();
            self.pieces.push_back(Piece::Audio(words));
        }
        takes
    }

    /// Mark the end of what waits; false when too much does.
    pub fn mark(&mut self, mark: u64) -> bool {
        let takes = self.pieces.len() < MOST_PIECES;
        if takes {
            self.pieces.push_back(Piece::Mark(mark));
        }
        takes
    }

    /// Throw away what waits; the marks in it.
    pub fn clear(&mut self) -> Vec<u64> {
        (self.offset, self.waiting) = (0, 0);
        let mark = |piece: Piece| match piece {
            Piece::Mark(mark) => Some(mark),
            Piece::Audio(_) => None,
        };
        std::mem::take(&mut self.pieces).into_iter().filter_map(mark).collect()
    }

    /// Fill a frame, with silence where nothing waits; `reached` is called for each mark that has
    /// nothing before it any more.
    pub fn fill(&mut self, codec: Codec, frame: &mut [u8; FRAME], mut reached: impl FnMut(u64)) {
        let mut filled = 0;
        while let Some(piece) = self.pieces.front() {
            match piece {
                Piece::Mark(mark) => reached(*mark),
                Piece::Audio(_) if filled == FRAME => break,
                Piece::Audio(words) => {
                    let rest = &words[self.offset..];
                    let took = rest.len().min(FRAME - filled);
                    frame[filled..filled + took].copy_from_slice(&rest[..took]);
                    filled += took;
                    self.waiting -= took;
                    self.offset += took;
                    if self.offset < words.len() {
                        break;
                    }
                    self.offset = 0;
                }
            }
            self.pieces.pop_front();
        }
        if codec == Codec::Pcma {
            let table = Codec::Pcmu.to_other();
            frame[..filled].iter_mut().for_each(|word| *word = table[usize::from(*word)]);
        }
        frame[filled..].fill(codec.silence());
        self.played += filled as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(feed: &mut Feed, frames: usize) -> (Vec<u8>, Vec<(usize, u64)>) {
        let (mut words, mut marks) = (vec![], vec![]);
        for number in 0..frames {
            let mut frame = [0; FRAME];
            feed.fill(Codec::Pcmu, &mut frame, |mark| marks.push((number, mark)));
            words.extend(frame);
        }
        (words, marks)
    }

    #[test]
    fn pieces_of_any_size_join_without_a_seam_and_marks_come_when_their_time_has() {
        let mut feed = Feed::new(1);
        feed.mark(1);
        for (mark, length) in [(2, 100), (3, 60), (4, 400), (5, 1)] {
            assert!(feed.add(vec![mark as u8; length]));
            feed.mark(mark);
        }
        let (words, marks) = play(&mut feed, 5);
        let expected = [vec![2; 100], vec![3; 60], vec![4; 400], vec![5; 1], vec![0xFF; 239]].concat();
        assert_eq!(words, expected);
        assert_eq!(marks, [(0, 1), (0, 2), (0, 3), (3, 4), (3, 5)]);
        assert_eq!(feed.played_ms(), 561 / 8);
    }

    #[test]
    fn clearing_throws_away_what_waits_and_names_its_marks() {
        let mut feed = Feed::new(1);
        feed.add(vec![1; 1000]);
        feed.mark(7);
        feed.add(vec![1; 1000]);
        feed.mark(8);
        play(&mut feed, 2);
        assert_eq!(feed.clear(), [7, 8]);
        feed.add(vec![9; 160]);
        assert_eq!(play(&mut feed, 1), (vec![9; 160], vec![]));
    }

    #[test]
    fn what_waits_has_a_limit() {
        let mut feed = Feed::new(1);
        assert!(feed.add(vec![1; MOST]));
        assert!(!feed.add(vec![1]));
        play(&mut feed, 1);
        assert!(feed.add(vec![1; FRAME]));
        feed.clear();
        assert!((0..MOST_PIECES as u64).all(|mark| feed.mark(mark)));
        assert!(!feed.mark(0) && !feed.add(vec![1]));
    }

    #[test]
    fn the_a_law_is_fed_from_the_mu_law() {
        let mut feed = Feed::new(1);
        feed.add(vec![Codec::Pcmu.encode(5000); 100]);
        let mut frame = [0; FRAME];
        feed.fill(Codec::Pcma, &mut frame, |_| {});
        assert!((i32::from(Codec::Pcma.decode(frame[0])) - 5000).abs() < 200);
        assert_eq!(frame[100], Codec::Pcma.silence());
    }
}
