//! What a leg plays, and what is queued behind it.

use crate::event::{EventSender, PlayEnd, Told};
use crate::g711::Codec;
use crate::leg::{Leg, Path};
use crate::playback::{Playback, Slot};

impl Leg {
    /// Play something: in place of what the leg sends, or behind what is played now.
    pub fn play(&mut self, playback: Playback, follows: bool, now_ns: i64, events: &EventSender) {
        if let Path::Play(before) = &mut self.path
            && follows
        {
            return before.queue(playback);
        }
        self.end_play(PlayEnd::Replaced, None, now_ns, events);
        self.path = Path::Play(playback);
    }

    /// End a playback or a feed, if there is one, and all that is queued behind it, and say why.
    pub fn end_play(&mut self, reason: PlayEnd, key: Option<char>, now_ns: i64, events: &EventSender) {
        let (token, played_ms) = match &mut self.path {
            Path::Play(playback) => (playback.token, playback.played_ms()),
            Path::Feed(feed) => {
                events.send_cleared(self.id, now_ns, feed.token, feed.clear());
                (feed.token, feed.played_ms())
            }
            Path::Silence | Path::Relay { .. } => return,
        };
        let path = std::mem::replace(&mut self.path, Path::Silence);
        events.send(self.id, now_ns, Told::PlayEnded { token, reason, key, played_ms });
        let Path::Play(mut playback) = path else { return };
        while let Some(next) = playback.take_next() {
            let told = Told::PlayEnded { token: next.token, reason, key, played_ms: 0 };
            events.send(self.id, now_ns, told);
            playback = next;
        }
    }

    /// What is played, and from the sample on at which it ends what is queued behind it.
    pub(super) fn play_on(&mut self, codec: Codec, due_ns: i64, now_ns: i64, events: &EventSender) {
        let mut filled = 0;
        while let Path::Play(playback) = &mut self.path {
            match playback.fill_from(codec, self.out.frame(), &mut filled) {
                Slot::Audio => return self.send_audio(due_ns, now_ns),
                Slot::Late => return self.send_late(due_ns, now_ns),
                Slot::Key { payload, frame } => return self.send_event(due_ns, now_ns, payload, frame),
                Slot::Finished => {}
            }
            if let Some(next) = playback.take_next() {
                let over = std::mem::replace(playback, next);
                self.tell_finished(Some(over), now_ns, events);
            } else if filled > 0 {
                break;
            } else {
                self.end_play(PlayEnd::Finished, None, now_ns, events);
            }
        }
        self.out.frame()[filled..].fill(codec.silence());
        self.send_audio(due_ns, now_ns);
    }

    pub(super) fn tell_finished(&self, playback: Option<Playback>, now_ns: i64, events: &EventSender) {
        if let Some(playback) = playback {
            let (token, played_ms) = (playback.token, playback.played_ms());
            let told = Told::PlayEnded { token, reason: PlayEnd::Finished, key: None, played_ms };
            events.send(self.id, now_ns, told);
        }
    }
}
