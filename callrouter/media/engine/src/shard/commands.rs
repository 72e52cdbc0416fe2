//! A thread carries out what it is told to do with its legs.

use crate::command::{Action, Command};
use crate::event::{LegId, PlayEnd, RecordingEnd};
use crate::feed::Feed;
use crate::leg::{Path, Wishes};
use crate::playback::Playback;
use crate::shard::{Shard, lines};
use crate::telephone_event::{KeySet, Press};
use crate::unread::Line;

impl Shard {
    pub(super) fn carry_out(&mut self, command: Command, now: i64) {
        let id = command.leg;
        match command.action {
            Action::Join { with } => self.join(id, with, now),
            Action::Part => self.part(id),
            Action::Close => self.close(id, now),
            Action::OpenLine { line, ports } => self.open_line(id, Line::new(line, ports)),
            Action::JoinLines { line, with, other } => self.join_lines((id, line), (with, other)),
            Action::CloseLine { line } => self.close_line(id, line),
            Action::EnterRoom(entrance) => self.enter_room(id, entrance, now),
            Action::LeaveRoom => self.leave_room(id, now),
            Action::SetPart(part) => self.set_part(id, part),
            Action::Announce { token, items, loops } => {
                self.announce(id, Playback::new(token, items, loops, KeySet::default()), now);
            }
            Action::StopAnnouncement { token } => self.stop_announcement(id, token, now),
            Action::Hold { token, items, loops } => {
                let plays = !items.is_empty();
                let playback = plays.then(|| Playback::new(token, items, loops, KeySet::default()));
                self.hold(id, playback, now);
            }
            action => self.carry_out_alone(id, action, now),
        }
    }

    /// What concerns no other leg.
    fn carry_out_alone(&mut self, id: LegId, action: Action, now: i64) {
        match action {
            Action::StartRecording(plan) => self.start_recording(id, plan, now),
            Action::StopRecording { token } => {
                self.with_recording(id, token, |recording| recording.end(RecordingEnd::Stopped, None, now));
                self.record(id, now);
            }
            Action::PauseRecording { token, with_silence } => {
                self.with_recording(id, token, |recording| recording.pause(with_silence, now));
            }
            Action::ResumeRecording { token } => {
                self.with_recording(id, token, |recording| recording.resume(now));
            }
            Action::StartTap(tap) => self.start_tap(id, tap),
            Action::StopTap { token } => self.stop_tap(id, token, now),
            Action::OpenFeed { token, to_room: true } => self.feed_room(id, Feed::new(token), now),
            Action::FeedAudio { token, words } => {
                let takes = self.with_feed(id, token, |feed| feed.add(words)) == Some(true);
                if let Some(leg) = self.legs.get_mut(id).filter(|_| !takes) {
                    leg.counters.feed_dropped += 1;
                }
            }
            Action::FeedMark { token, mark } => {
                if self.with_feed(id, token, |feed| feed.mark(mark)) != Some(true) {
                    self.events.send_cleared(id, now, token, vec![mark]);
                }
            }
            Action::ClearFeed { token } => {
                let marks = self.with_feed(id, token, Feed::clear).unwrap_or_default();
                self.events.send_cleared(id, now, token, marks);
            }
            Action::Play { .. } | Action::OpenFeed { .. } => {
                self.part(id);
                self.tell_leg(id, action, now);
            }
            action => self.tell_leg(id, action, now),
        }
    }

    fn tell_leg(&mut self, id: LegId, action: Action, now: i64) {
        let Some(leg) = self.legs.get_mut(id) else { return };
        let events = &self.events;
        match action {
            Action::SetRemote(agreed) => leg.set_remote(&agreed, now),
            Action::Play { token, items, loops, stop_keys, follows } => {
                leg.play(Playback::new(token, items, loops, stop_keys), follows, now, events);
            }
            Action::StopPlay => leg.end_play(PlayEnd::Stopped, None, now, events),
            Action::Resume => leg.resume(PlayEnd::Stopped, now, events),
            Action::SendDigits { token, keys } => leg.send_keys(token, &keys, now, events),
            Action::FeedDigit { key, duration_ms } => {
                leg.pressed(Press { key, duration_ms }, false, now, events);
            }
            Action::SetLine { line, place } => lines::set_place(leg, line, place, now),
            Action::Listen { voice, keys } => leg.wish(Wishes { voice, keys }),
            Action::DetectAnswer(plan) => leg.detect_answer(plan, now, events),
            Action::StopDetecting => leg.stop_detecting(now, events),
            Action::OpenFeed { token, .. } => {
                leg.end_play(PlayEnd::Replaced, None, now, events);
                leg.path = Path::Feed(Feed::new(token));
            }
            // Carried out before a single leg is looked at.
            _ => {}
        }
    }

    /// Do something with what a leg hands over, to its far end or to its room.
    fn with_feed<T>(&mut self, id: LegId, token: u64, act: impl FnOnce(&mut Feed) -> T) -> Option<T> {
        let leg = self.legs.get_mut(id)?;
        match &mut leg.path {
            Path::Feed(feed) if feed.token == token => Some(act(feed)),
            _ => {
                let room = leg.seat.as_ref()?.room;
                self.rooms.get_mut(room)?.feed_mut(id, token).map(act)
            }
        }
    }
}
