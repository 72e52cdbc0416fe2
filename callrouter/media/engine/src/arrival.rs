//! When a datagram came, as the system noted it: asked for where it matters, which is rarely.

use std::net::UdpSocket;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::ioctl::{Getter, Opcode, ioctl, opcode};

use crate::clock::{SECOND, wall_ns};

/// `SIOCGSTAMPNS` (linux/sockios.h): seconds and nanoseconds of the wall clock at which the datagram
/// that was last read from a socket had come.
const LAST_ARRIVAL: Opcode = opcode::read::<[i64; 2]>(0x89, 0x07);
/// How often it is tried whether the system notes anything yet.
const TRIALS: u32 = 200;
/// For how long a datagram to ourselves is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// Have the system note when datagrams come, from the return of this on and for as long as the
/// process lives: it begins a little after the first socket that wishes it.
pub fn begin() {
    static KEPT: OnceLock<Option<UdpSocket>> = OnceLock::new();
    KEPT.get_or_init(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").or_else(|_| UdpSocket::bind("[::1]:0")).ok()?;
        let itself = socket.local_addr().ok()?;
        socket.set_read_timeout(Some(PATIENCE)).ok()?;
        note(&socket);
        for _ in 0..TRIALS {
            socket.send_to(b"x", itself).ok()?;
            let sent_ns = wall_ns();
            std::thread::sleep(Duration::from_millis(1));
            socket.recv(&mut [0; 1]).ok()?;
            // What was not noted is told of as if it came now.
            if last_ns(&socket)? <= sent_ns {
                break;
            }
        }
        Some(socket)
    });
}

/// Have the system note when datagrams come to a socket that nothing was read from.
pub fn note(socket: &UdpSocket) {
    // Asking is what has it do so.
    let _ = last_ns(socket);
}

/// When the datagram that was last read had come, in nanoseconds of the wall clock; None where
/// the system does not say.
#[expect(unsafe_code, reason = "no library has a safe way to ask; the only place in the engine")]
pub fn last_ns(socket: &UdpSocket) -> Option<i64> {
    // SAFETY: the call reads nothing of ours and writes two 64-bit integers for this number, which
    // is made of that size, on every architecture (struct __kernel_timespec since Linux 5.1).
    let asked = unsafe { ioctl(socket, Getter::<LAST_ARRIVAL, [i64; 2]>::new()) };
    asked.ok().map(|[seconds, nanoseconds]| seconds * SECOND + nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_came_when_it_was_sent_and_not_when_it_was_read() {
        begin();
        let [socket, peer] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a socket"));
        assert_eq!(last_ns(&socket), None);
        let to = socket.local_addr().expect("is bound");
        for turn in 0..100 {
            let before = wall_ns();
            peer.send_to(b"x", to).expect("loopback takes it");
            let after = wall_ns();
            std::thread::sleep(Duration::from_millis(1));
            socket.recv(&mut [0; 9]).expect("there is one");
            let came = last_ns(&socket).expect("Linux says");
            assert!((before..=after).contains(&came), "{turn}: {before} {came} {after}");
        }
    }
}
