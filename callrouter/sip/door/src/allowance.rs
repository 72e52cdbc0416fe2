//! How much one dialog or transaction may say ahead of everybody else.

use crate::recent::Recent;

const REMEMBERED: usize = 20_000;
/// What no telephone needs: a key pressed ten times a second, and all that was held up by a stall.
const PERIOD_NS: u64 = 50_000_000;
const BURST: u64 = 64;

/// A token bucket each, kept as the time when it will be full again.
#[derive(Default)]
pub struct Allowance {
    full_at_ns: Recent<u64, u64, REMEMBERED>,
}

impl Allowance {
    /// Count one more, if there may be one.
    pub fn admits(&mut self, dialog: u64, now_ns: u64) -> bool {
        let full_at_ns = self.full_at_ns.get(dialog).copied().unwrap_or(0).max(now_ns) + PERIOD_NS;
        let admits = full_at_ns - now_ns <= BURST * PERIOD_NS;
        if admits {
            self.full_at_ns.insert(dialog, full_at_ns);
        }
        admits
    }
}
