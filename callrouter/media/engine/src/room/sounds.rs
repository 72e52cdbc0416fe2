//! What everybody in a room hears beside the voices: announcements, beeps, audio that is handed over.

use crate::event::{EventSender, LegId, PlayEnd, Told};
use crate::feed::Feed;
use crate::g711::Codec;
use crate::playback::{Playback, Slot};
use crate::rates::Raising;
use crate::room::Room;
use crate::rtp::FRAME;
use crate::tone;

/// Something played to everybody, told to the leg that asked for it.
pub struct Sound {
    source: Source,
    owner: Option<LegId>,
    raising: Option<Raising>,
}

enum Source {
    Playback(Playback),
    Feed(Feed),
}

/// What a sound has for 20 ms.
enum Piece {
    Audio,
    /// Nothing now, but perhaps later.
    Silence,
    Over,
}

impl Room {
    /// Play to everybody, beside the voices.
    pub fn play(&mut self, playback: Playback, owner: Option<LegId>) {
        self.sounds.push(Sound { source: Source::Playback(playback), owner, raising: None });
    }

    /// Play what a leg hands over to everybody, the leg included.
    pub fn open_feed(&mut self, feed: Feed, owner: LegId) {
        self.sounds.push(Sound { source: Source::Feed(feed), owner: Some(owner), raising: None });
    }

    /// What a leg hands over by that token.
    pub fn feed_mut(&mut self, owner: LegId, token: u64) -> Option<&mut Feed> {
        self.sounds.iter_mut().filter(|sound| sound.is_of(owner, token)).find_map(|sound| {
            match &mut sound.source {
                Source::Feed(feed) => Some(feed),
                Source::Playback(_) => None,
            }
        })
    }

    /// End a sound of a leg.
    pub fn stop(&mut self, owner: LegId, token: u64, at_ns: i64, events: &EventSender) {
        self.sounds.retain_mut(|sound| {
            let goes = sound.is_of(owner, token);
            if goes {
                sound.end(PlayEnd::Stopped, at_ns, events);
            }
            !goes
        });
    }

    /// A leg is gone: what it had played goes on, and nobody is told of it; what it handed over is over.
    pub(super) fn leave_sounds(&mut self, leg: LegId, at_ns: i64, events: &EventSender) {
        self.sounds.retain_mut(|sound| {
            if sound.owner != Some(leg) {
                return true;
            }
            sound.end(PlayEnd::Closed, at_ns, events);
            sound.owner = None;
            matches!(sound.source, Source::Playback(_))
        });
    }

    /// Mix in what is played to everybody, up to the end of the frame at `from`.
    pub(super) fn sound(&mut self, from: i64, at_ns: i64, events: &EventSender) {
        if self.sounds.is_empty() {
            return;
        }
        if self.sounded < from - FRAME as i64 {
            self.sounded = from;
        }
        while self.sounded < from + FRAME as i64 {
            let (sum, sounded, scale) = (&mut self.sum, self.sounded, self.scale);
            self.sounds.retain_mut(|sound| {
                let mut frame = [0; FRAME];
                match sound.fill(&mut frame, at_ns, events) {
                    Piece::Audio if scale == 1 => sum.add(sounded, &frame),
                    Piece::Audio => {
                        let wide = Raising::of(&mut sound.raising, scale).raise(&frame);
                        sum.add(sounded * scale as i64, &wide);
                    }
                    Piece::Silence => sound.raising = None,
                    Piece::Over => {
                        sound.end(PlayEnd::Finished, at_ns, events);
                        return false;
                    }
                }
                true
            });
            self.sounded += FRAME as i64;
        }
    }
}

impl Sound {
    fn is_of(&self, owner: LegId, token: u64) -> bool {
        let own = match &self.source {
            Source::Playback(playback) => playback.token,
            Source::Feed(feed) => feed.token,
        };
        self.owner == Some(owner) && own == token
    }

    fn fill(&mut self, frame: &mut [i16; FRAME], at_ns: i64, events: &EventSender) -> Piece {
        let mut words = [0; FRAME];
        match &mut self.source {
            Source::Playback(playback) => match playback.fill(Codec::Pcmu, &mut words) {
                Slot::Audio | Slot::Late => {}
                Slot::Key { payload, frame } => tone::key(payload[0], frame, &mut words, Codec::Pcmu),
                Slot::Finished => return Piece::Over,
            },
            Source::Feed(feed) if feed.is_empty() => return Piece::Silence,
            Source::Feed(feed) => {
                let (owner, token) = (self.owner, feed.token);
                feed.fill(Codec::Pcmu, &mut words, |mark| {
                    if let Some(owner) = owner {
                        events.send(owner, at_ns, Told::MarkReached { token, mark, cleared: false });
                    }
                });
            }
        }
        *frame = words.map(|word| Codec::Pcmu.decode(word));
        Piece::Audio
    }

    /// Tell its owner how it ended.
    fn end(&mut self, reason: PlayEnd, at_ns: i64, events: &EventSender) {
        let Some(owner) = self.owner else { return };
        let (token, played_ms) = match &mut self.source {
            Source::Playback(playback) => (playback.token, playback.played_ms()),
            Source::Feed(feed) => {
                events.send_cleared(owner, at_ns, feed.token, feed.clear());
                (feed.token, feed.played_ms())
            }
        };
        events.send(owner, at_ns, Told::PlayEnded { token, reason, key: None, played_ms });
    }
}
