//! Answers on their way out.  Those of one length to one address, as a flood brings them, leave as
//! one: the kernel cuts them into datagrams at a fifth of what it takes to send each.

use std::net::SocketAddr;

use crate::desk::Answer;
use crate::socket::Socket;

/// What the kernel cuts (UDP_MAX_SEGMENTS before Linux 6.9), and what a datagram holds, at most.
const MOST: usize = 64;
const MOST_OCTETS: usize = 65_000;

/// Of one socket.  Side by side in `octets`, run after run.
#[derive(Default)]
pub struct Answers {
    octets: Vec<u8>,
    runs: Vec<Run>,
}

struct Run {
    to: SocketAddr,
    /// Octets of each.
    length: usize,
    count: usize,
}

impl Answers {
    pub fn push(&mut self, answer: &Answer) {
        let (to, length) = (answer.to, answer.octets.len());
        self.octets.extend_from_slice(&answer.octets);
        match self.runs.last_mut() {
            Some(run) if run.takes(to, length) => run.count += 1,
            _ => self.runs.push(Run { to, length, count: 1 }),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Who is not reached asks again.
    pub fn send(&mut self, socket: &Socket) {
        let mut rest = self.octets.as_slice();
        for run in self.runs.drain(..) {
            let (octets, behind) = rest.split_at(run.count * run.length);
            rest = behind;
            // No kernel or no network card on the way that cuts, or they are too long for it.
            if run.count == 1 || socket.send_cut(octets, run.length, run.to).is_err() {
                for answer in octets.chunks_exact(run.length) {
                    let _ = socket.send(answer, run.to);
                }
            }
        }
        self.octets.clear();
    }
}

impl Run {
    fn takes(&self, to: SocketAddr, length: usize) -> bool {
        self.to == to
            && self.length == length
            && self.count < MOST
            && (self.count + 1) * length <= MOST_OCTETS
    }
}
