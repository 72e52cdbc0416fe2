//! A socket of ours.  IPv4 that comes by one of IPv6 counts as what it is.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};
use rustix::net::sockopt;

/// Octets: a burst must not cost a BYE.  Without CAP_NET_ADMIN the kernel gives what it allows
/// everybody (net.core.rmem_max).
const RECEIVE_BUFFER: usize = 2 << 20;

pub struct Socket {
    /// The number of this address of ours.
    pub listener: u32,
    udp: UdpSocket,
    is_v6: bool,
}

impl Socket {
    pub fn bind(listener: u32, host: &str, port: u16) -> io::Result<Self> {
        let udp = UdpSocket::bind((host, port))?;
        udp.set_nonblocking(true)?;
        if sockopt::set_socket_recv_buffer_size_force(&udp, RECEIVE_BUFFER).is_err() {
            sockopt::set_socket_recv_buffer_size(&udp, RECEIVE_BUFFER)?;
        }
        let is_v6 = udp.local_addr()?.is_ipv6();
        Ok(Self { listener, udp, is_v6 })
    }

    pub fn port(&self) -> io::Result<u16> {
        Ok(self.udp.local_addr()?.port())
    }

    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (length, source) = self.udp.recv_from(buffer)?;
        match source.ip().to_canonical() {
            host @ IpAddr::V4(_) => Ok((length, SocketAddr::new(host, source.port()))),
            IpAddr::V6(_) => Ok((length, source)),
        }
    }

    pub fn send(&self, octets: &[u8], to: SocketAddr) -> io::Result<()> {
        match self.udp.send_to(octets, self.reached(to)) {
            // As if it were lost on the way: it is sent again.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// Send a datagram of each `length` octets: the kernel cuts them (UDP_SEGMENT, see udp(7)), where it can.
    pub fn send_cut(&self, octets: &[u8], length: usize, to: SocketAddr) -> io::Result<()> {
        let length = u16::try_from(length).map_err(io::Error::other)?;
        let (pieces, cut) = ([IoSlice::new(octets)], [ControlMessage::UdpGsoSegments(&length)]);
        let to = SockaddrStorage::from(self.reached(to));
        match sendmsg(self.udp.as_raw_fd(), &pieces, &cut, MsgFlags::empty(), Some(&to)) {
            Err(error) if error != Errno::EWOULDBLOCK => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// How this socket knows the address.
    fn reached(&self, to: SocketAddr) -> SocketAddr {
        match to.ip() {
            IpAddr::V4(host) if self.is_v6 => SocketAddr::new(host.to_ipv6_mapped().into(), to.port()),
            _ => to,
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.udp.as_fd()
    }
}
