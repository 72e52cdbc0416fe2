//! Datagrams as they are read of a socket, some at once.

use std::net::SocketAddr;
use std::ops::Range;

use crate::socket::Socket;

/// The longest datagram.
const LONGEST: usize = 65_536;
/// Read before they are looked at: who waits for the desk waits for no more.
const MOST: usize = 64;

pub struct Batch {
    buffer: Vec<u8>,
    read: Vec<(Range<usize>, SocketAddr)>,
}

impl Default for Batch {
    fn default() -> Self {
        Self { buffer: vec![0; 2 * LONGEST], read: Vec::with_capacity(MOST) }
    }
}

impl Batch {
    /// Read what waits, in place of what was read before; false: nothing is left there.
    pub fn fill(&mut self, socket: &Socket) -> bool {
        self.read.clear();
        let mut start = 0;
        while self.read.len() < MOST
            && let Some(room) = self.buffer.get_mut(start..start + LONGEST)
        {
            // Nothing waits, or ICMP had something to say: that is anybody's word.
            let Ok((length, source)) = socket.receive(room) else { return false };
            self.read.push((start..start + length, source));
            start += length;
        }
        true
    }

    pub fn datagrams(&self) -> impl Iterator<Item = (&[u8], SocketAddr)> {
        self.read.iter().map(|(range, source)| (&self.buffer[range.clone()], *source))
    }
}
