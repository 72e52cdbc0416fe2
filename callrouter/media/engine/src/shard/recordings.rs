//! What a thread's legs are recorded and tapped from: the timelines, kept for as long as somebody
//! reads them.

use crate::event::{LegId, Told};
use crate::recording::{Recording, RecordingPlan, Side, Track};
use crate::shard::Shard;
use crate::tap::Tap;
use crate::timeline::Timeline;

impl Shard {
    pub(super) fn start_recording(&mut self, id: LegId, plan: RecordingPlan, now: i64) {
        if !self.legs.contains(id) {
            return;
        }
        self.keep_timelines(plan.channels.iter().flatten().copied());
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
                self.drop_timelines(over);
            }
        }
    }

    fn mix(&self, track: Track, from: i64, mix: &mut [i32]) {
        if let Some(leg) = self.legs.get(track.leg) {
            leg.heard(&self.rooms).mix_into(track.side, from, mix);
        }
    }

    pub(super) fn start_tap(&mut self, id: LegId, tap: Tap) {
        self.keep_timelines(tap_tracks(id, &tap));
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
        self.drop_timelines(tap_tracks(id, &tap));
    }

    fn timeline(&mut self, track: Track) -> Option<&mut Option<Timeline>> {
        let leg = self.legs.get_mut(track.leg)?;
        match track.side {
            Side::Received => Some(&mut leg.received),
            Side::Sent => Some(&mut leg.sent),
            Side::Room => None,
        }
    }

    /// Somebody more reads the timelines of `tracks`.
    fn keep_timelines(&mut self, tracks: impl IntoIterator<Item = Track>) {
        for track in tracks {
            if let Some(timeline) = self.timeline(track) {
                timeline.get_or_insert_default().readers += 1;
            }
        }
    }

    /// Somebody who read the timelines of `tracks` does no longer: free those that nobody reads.
    fn drop_timelines(&mut self, tracks: impl IntoIterator<Item = Track>) {
        for track in tracks {
            if let Some(kept) = self.timeline(track)
                && let Some(timeline) = kept
            {
                timeline.readers = timeline.readers.saturating_sub(1);
                if timeline.readers == 0 {
                    *kept = None;
                }
            }
        }
    }
}

fn tap_tracks(leg: LegId, tap: &Tap) -> impl Iterator<Item = Track> + use<> {
    tap.sides().iter().map(move |&side| Track { leg, side })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    use crate::counters::Totals;
    use crate::event::{RecordingEnd, events};
    use crate::leg::Leg;
    use crate::leg::Policy;
    use crate::ports::PortPair;
    use crate::tap::Taps;
    use crate::telephone_event::KeySet;
    use crate::writer::Writer;

    /// A thread's legs 1 and 2, served by nobody.
    fn shard() -> Shard {
        let (_, inbox) = channel();
        let (sender, _) = events().expect("an eventfd");
        let (writer, _) = Writer::start(sender.clone()).expect("a thread");
        let mut shard = Shard::new(inbox, sender, writer, Arc::new(Totals::default())).expect("a shard");
        let policy = Arc::new(Policy { rtp_timeout_ns: 1, report_interval_ns: 1, handshakes: None });
        for id in [1, 2] {
            shard.adopt(Leg::new(LegId(id), PortPair::free(), policy.clone(), [0; 12]));
        }
        shard
    }

    fn record(shard: &mut Shard, token: u64, tracks: &[(u64, Side)]) {
        let channels = tracks.iter().map(|&(leg, side)| vec![Track { leg: LegId(leg), side }]).collect();
        let path: PathBuf = std::env::temp_dir().join(format!("callrouter-{}-{token}", std::process::id()));
        let plan = RecordingPlan {
            id: token,
            token,
            path,
            channels,
            max_ms: 0,
            max_size: 0,
            silence_ms: 0,
            stop_keys: KeySet::default(),
            trim: false,
        };
        shard.start_recording(LegId(1), plan, 0);
    }

    fn end(shard: &mut Shard, token: u64) {
        shard.with_recording(LegId(1), token, |one| one.end(RecordingEnd::Stopped, None, 0));
        shard.record(LegId(1), 0);
    }

    /// Which timelines there are: received and sent of leg 1, received of leg 2.
    fn kept(shard: &Shard) -> [bool; 3] {
        let [one, two] = [1, 2].map(|id| shard.legs.get(LegId(id)).expect("the leg"));
        [one.received.is_some(), one.sent.is_some(), two.received.is_some()]
    }

    #[test]
    fn timelines_are_kept_while_anybody_reads_them_and_no_longer() {
        let mut shard = shard();
        let taps = Taps::default();
        record(&mut shard, 1, &[(1, Side::Received), (2, Side::Received)]);
        record(&mut shard, 2, &[(1, Side::Received), (1, Side::Received), (9, Side::Sent)]);
        shard.start_tap(LegId(1), taps.open(LegId(1), 3, &[Side::Received, Side::Sent]));
        assert_eq!(kept(&shard), [true, true, true]);
        end(&mut shard, 1);
        assert_eq!(kept(&shard), [true, true, false]);
        shard.stop_tap(LegId(1), 3, 0);
        assert_eq!(kept(&shard), [true, false, false]);
        end(&mut shard, 2);
        assert_eq!(kept(&shard), [false; 3]);
        record(&mut shard, 4, &[(1, Side::Sent)]);
        assert_eq!(kept(&shard), [false, true, false]);
    }

    #[test]
    fn a_recording_outlives_a_leg_that_it_reads() {
        let mut shard = shard();
        record(&mut shard, 1, &[(1, Side::Received), (2, Side::Received)]);
        shard.close(LegId(2), 0);
        end(&mut shard, 1);
        assert!(shard.legs.get(LegId(1)).is_some_and(|leg| leg.received.is_none()));
    }
}
