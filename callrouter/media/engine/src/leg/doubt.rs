//! The first packet of what may be another stream (a new SSRC, or numbers that leap): kept until a second
//! one like it comes, and heard then as if it had been believed at once.  One alone is nobody's stream:
//! whoever writes the far end's address on a packet has not seen the numbers of its stream.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::clock::MILLISECOND;
use crate::leg::Leg;

/// One that is believed later than this is heard as if it had come so long before.
const LONGEST: i64 = 100 * MILLISECOND;

/// The first, and once it is believed the second: as they were after they had been opened.
#[derive(Default)]
pub(super) struct Kept {
    datagrams: VecDeque<(Vec<u8>, SocketAddr, i64)>,
    is_believed: bool,
}

impl Leg {
    pub(super) fn keep(&mut self, datagram: &[u8], from: SocketAddr, now_ns: i64) {
        let kept = self.kept.get_or_insert_default();
        kept.datagrams.push_back((datagram.to_vec(), from, now_ns));
    }

    /// A second packet is like the one that is kept.
    pub(super) fn believe(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.is_believed = true;
        }
    }

    /// Whether there is something to hear that has been taken from the socket already.
    pub fn has_believed(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.is_believed)
    }

    /// Put what is to be heard next into `buffer`: its length, whom it is from, when it came.
    pub(super) fn take_believed(
        &mut self,
        buffer: &mut [u8],
        now_ns: i64,
    ) -> Option<(usize, SocketAddr, i64)> {
        let kept = self.kept.as_mut().filter(|kept| kept.is_believed)?;
        let (datagram, from, at_ns) = kept.datagrams.pop_front()?;
        if kept.datagrams.is_empty() {
            self.kept = None;
        }
        let room = buffer.get_mut(..datagram.len())?;
        room.copy_from_slice(&datagram);
        Some((datagram.len(), from, at_ns.max(now_ns - LONGEST)))
    }

    /// What is kept, and was not believed, is nobody's.
    pub(super) fn end_doubt(&mut self) {
        if self.kept.as_ref().is_some_and(|kept| !kept.is_believed) {
            self.kept = None;
            self.counters.duplicates += 1;
        }
    }
}
