//! Calls that were let in, and whose INVITE may come again: by repetition, or with what it was asked
//! for (a password).

use crate::recent::Recent;

const REMEMBERED: usize = 20_000;
/// How often a call that was let in may ask anew without waiting for room: once for a challenge,
/// once more because its answer came too late.
const CHANCES: u8 = 2;

#[derive(Default)]
pub struct Admitted {
    calls: Recent<u64, Call, REMEMBERED>,
}

struct Call {
    /// Of its last INVITE.
    branch: u64,
    chances: u8,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Past {
    Unknown,
    /// This very INVITE was let in.
    Repeated,
    /// Another INVITE of the same call was.
    Continued,
}

impl Admitted {
    pub fn past(&self, call: u64, branch: u64) -> Past {
        match self.calls.get(call) {
            Some(known) if known.branch == branch => Past::Repeated,
            Some(known) if known.chances > 0 => Past::Continued,
            _ => Past::Unknown,
        }
    }

    pub fn remember(&mut self, call: u64, branch: u64) {
        if let Some(known) = self.calls.get_mut(call) {
            known.branch = branch;
            known.chances = known.chances.saturating_sub(1);
            return;
        }
        self.calls.insert(call, Call { branch, chances: CHANCES });
    }
}
