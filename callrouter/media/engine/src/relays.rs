//! Sockets that are asked once a slot which of them have something to read: those of relayed legs,
//! and the RTCP ports of all.

use std::mem::MaybeUninit;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;

use rustix::event::Timespec;
use rustix::event::epoll;

use crate::event::LegId;

/// Legs served per question; the others are still readable at the next.
const READY: usize = 512;

pub struct Relays {
    descriptor: OwnedFd,
    watched: usize,
    ready: Vec<LegId>,
    /// Legs to be named though the system knows of nothing.
    named: Vec<LegId>,
}

impl Relays {
    pub fn new() -> std::io::Result<Self> {
        let descriptor = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { descriptor, watched: 0, ready: Vec::with_capacity(READY), named: vec![] })
    }

    /// Refused only without memory, and for a socket that is watched already.
    pub fn watch(&mut self, socket: &UdpSocket, leg: LegId) -> bool {
        let data = epoll::EventData::new_u64(leg.0);
        let watches = epoll::add(&self.descriptor, socket, data, epoll::EventFlags::IN).is_ok();
        self.watched += usize::from(watches);
        watches
    }

    pub fn forget(&mut self, socket: &UdpSocket) {
        if epoll::delete(&self.descriptor, socket).is_ok() {
            self.watched -= 1;
        }
    }

    /// Name a leg at the next question: something waits that is not in its socket any more.
    pub fn name(&mut self, leg: LegId) {
        self.named.push(leg);
    }

    /// The legs that have something to read now; give the list back with `reuse`.
    pub fn poll(&mut self) -> Vec<LegId> {
        let mut ready = std::mem::take(&mut self.ready);
        ready.clear();
        ready.append(&mut self.named);
        if self.watched > 0 {
            let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
            let mut events = [const { MaybeUninit::uninit() }; READY];
            // Interrupted: the next slot asks again.
            if let Ok((events, _)) = epoll::wait(&self.descriptor, &mut events, Some(&at_once)) {
                ready.extend(events.iter().map(|event| LegId(event.data.u64())));
            }
        }
        ready
    }

    pub fn reuse(&mut self, ready: Vec<LegId>) {
        self.ready = ready;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_watched_sockets_with_something_to_read_are_named() {
        let mut relays = Relays::new().expect("an epoll set");
        let sockets = [(); 3].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a socket"));
        for (socket, id) in sockets.iter().zip(1..) {
            assert!(relays.watch(socket, LegId(id)));
            assert!(!relays.watch(socket, LegId(id)), "watched already");
        }
        assert!(relays.poll().is_empty());
        for socket in &sockets[1..] {
            let to = socket.local_addr().expect("is bound");
            assert_eq!(socket.send_to(b"x", to).ok(), Some(1));
        }
        relays.forget(&sockets[2]);
        assert_eq!(relays.poll(), [LegId(2)]);
    }
}
