//! What a thread's legs are recorded and tapped from: the timelines, kept for as long as somebody
//! reads them.

use crate::event::{LegId, Told};
use crate::leg::Leg;
use crate::recording::{Recording, RecordingPlan, Side, Track};
use crate::shard::Shard;
use crate::tap::Tap;
use crate::timeline::Timeline;

impl Shard {
    pub(super) fn start_recording(&mut self, id: LegId, plan: RecordingPlan, now: i64) {
        if !self.legs.contains(id) {
            return;
        }
        for track in plan.channels.iter().flatten() {
            if let Some(timeline) = self.timeline(*track) {
                timeline.get_or_insert_default();
            }
        }
        let sink = self.writer.open(plan.id, id, plan.token, plan.path.clone(), plan.channels.len() as u16);
        if let Some(leg) = self.legs.get_mut(id) {
            leg.has_recorded = true;
            leg.recordings.push(Recording::start(plan, sink, now));
            leg.attune();
        }
    }

    /// Do something to one recording of a leg.
    pub(super) fn with_recording(&mut self, id: LegId, token: u64, act: impl Fn(&mut Recording)) {
        if let Some(leg) = self.legs.get_mut(id) {
            leg.recordings.iter_mut().filter(|recording| recording.token == token).for_each(act);
        }
    }

    pub(super) fn record(&mut self, id: LegId, now: i64) {
        let Some(leg) = self.legs.get_mut(id) else { return };
        let mut recordings = std::mem::take(&mut leg.recordings);
        let mut over = vec![];
        recordings.retain_mut(|recording| {
            let ended = recording.advance(now, &self.writer, |track, from, mix| self.mix(track, from, mix));
            if ended {
                over.extend(recording.tracks());
            }
            !ended
        });
        if let Some(leg) = self.legs.get_mut(id) {
            leg.recordings = recordings;
            if !over.is_empty() {
                leg.attune();
                self.drop_timelines(&over);
            }
        }
    }

    fn mix(&self, track: Track, from: i64, mix: &mut [i32]) {
        let Some(leg) = self.legs.get(track.leg) else { return };
        let timeline = match track.side {
            Side::Received => leg.received.as_ref(),
            Side::Sent => leg.sent.as_ref(),
            Side::Room => {
                if let Some(room) = leg.seat.as_ref().and_then(|seat| self.rooms.get(seat.room)) {
                    room.mix_into(from, mix);
                }
                return;
            }
        };
        if let Some(timeline) = timeline {
            timeline.mix_into(from, mix);
        }
    }

    pub(super) fn start_tap(&mut self, id: LegId, tap: Tap) {
        for track in tap_tracks(id, &tap) {
            if let Some(timeline) = self.timeline(track) {
                timeline.get_or_insert_default();
            }
        }
        if let Some(leg) = self.legs.get_mut(id) {
            leg.taps.push(tap);
        }
    }

    pub(super) fn stop_tap(&mut self, id: LegId, token: u64, now: i64) {
        let Some(leg) = self.legs.get_mut(id) else { return };
        let Some(at) = leg.taps.iter().position(|tap| tap.token() == token) else { return };
        let mut tap = leg.taps.swap_remove(at);
        tap.finish(now, leg.heard(&self.rooms));
        self.events.send(id, now, Told::TapEnded { tap: tap.shared() });
        self.drop_timelines(&tap_tracks(id, &tap));
    }

    fn timeline(&mut self, track: Track) -> Option<&mut Option<Timeline>> {
        let leg = self.legs.get_mut(track.leg)?;
        match track.side {
            Side::Received => Some(&mut leg.received),
            Side::Sent => Some(&mut leg.sent),
            Side::Room => None,
        }
    }

    /// Free the timelines that nobody reads any more.
    fn drop_timelines(&mut self, tracks: &[Track]) {
        let wanted: Vec<Track> = self.legs.all().flat_map(wanted).collect();
        for track in tracks.iter().filter(|track| !wanted.contains(track)) {
            if let Some(timeline) = self.timeline(*track) {
                *timeline = None;
            }
        }
    }
}

fn wanted(leg: &Leg) -> impl Iterator<Item = Track> {
    let taps = leg.taps.iter().flat_map(|tap| tap_tracks(leg.id, tap));
    leg.recordings.iter().flat_map(Recording::tracks).chain(taps)
}

fn tap_tracks(leg: LegId, tap: &Tap) -> Vec<Track> {
    let sides = tap.sides();
    let track = |wanted: bool, side| wanted.then_some(Track { leg, side });
    [track(sides.received, Side::Received), track(sides.sent, Side::Sent)].into_iter().flatten().collect()
}
