//! What a partner says, laid anew into slots of 20 ms: where it has to be encoded, or its packets are
//! longer than the far end takes.

use crate::clock::samples_at;
use crate::g711::Codec as Law;
use crate::outgoing::MAX_PAYLOAD;
use crate::playout::Playout;
use crate::rtp::FRAME;
use crate::voice::level;

/// Below this level, in dBFS, nobody misses a little.
const QUIET: f32 = -45.0;

pub struct Regrouping {
    playout: Playout,
    newest: Option<u32>,
    heard_ns: i64,
}

impl Default for Regrouping {
    fn default() -> Self {
        Self { playout: Playout::default(), newest: None, heard_ns: i64::MIN / 2 }
    }
}

impl Regrouping {
    pub fn put(&mut self, timestamp: u32, law: Law, payload: &[u8], due_ns: i64, now_ns: i64) {
        let mut space = [0; MAX_PAYLOAD];
        let Some(samples) = space.get_mut(..payload.len()) else { return };
        samples.iter_mut().zip(payload).for_each(|(to, &word)| *to = law.decode(word));
        let in_order = self.newest.is_none_or(|newest| timestamp.wrapping_sub(newest) as i32 > 0);
        if in_order {
            self.newest = Some(timestamp);
        }
        self.heard_ns = now_ns;
        self.playout.put(timestamp, samples_at(due_ns), in_order, level(samples) < QUIET, samples);
    }

    /// A join began or ended: timestamps to come say nothing about those before.
    pub fn restart(&mut self) {
        self.playout.restart();
        (self.newest, self.heard_ns) = (None, i64::MIN / 2);
    }

    /// Fill the slot due at `due_ns`; false when there has been nothing for `gap_ns`.
    pub fn fill(&mut self, law: Law, due_ns: i64, gap_ns: i64, frame: &mut [u8; FRAME]) -> bool {
        if due_ns - self.heard_ns > gap_ns {
            return false;
        }
        let mut samples = [0; FRAME];
        self.playout.take(samples_at(due_ns), &mut samples);
        *frame = samples.map(|sample| law.encode(sample));
        true
    }
}
