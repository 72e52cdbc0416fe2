//! A socket of ours.  IPv4 that comes by one of IPv6 counts as what it is.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
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
    /// What we send comes from here; `None`: from wherever the way there begins, or the socket is bound.
    source: Option<Source>,
}

impl Socket {
    /// `advertised`: how others are told to reach it, of use where it is an address of this machine.
    pub fn bind(listener: u32, host: &str, port: u16, advertised: &str) -> io::Result<Self> {
        let udp = UdpSocket::bind((host, port))?;
        udp.set_nonblocking(true)?;
        if sockopt::set_socket_recv_buffer_size_force(&udp, RECEIVE_BUFFER).is_err() {
            sockopt::set_socket_recv_buffer_size(&udp, RECEIVE_BUFFER)?;
        }
        let bound = udp.local_addr()?.ip();
        let is_v6 = bound.is_ipv6();
        let source = if bound.is_unspecified() { Source::of(advertised, is_v6) } else { None };
        Ok(Self { listener, udp, is_v6, source })
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
        if self.source.as_ref().is_some_and(|source| self.send_from(source, octets, to).is_ok()) {
            return Ok(());
        }
        match self.udp.send_to(octets, self.reached(to)) {
            // As if it were lost on the way: it is sent again.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// An answer that does not come from where it was asked for is not let through by a NAT (RFC 3581 §4).
    fn send_from(&self, source: &Source, octets: &[u8], to: SocketAddr) -> nix::Result<usize> {
        let to = SockaddrStorage::from(self.reached(to));
        sendmsg(
            self.udp.as_raw_fd(),
            &[IoSlice::new(octets)],
            &[source.message()],
            MsgFlags::empty(),
            Some(&to),
        )
    }

    /// Send a datagram of each `length` octets: the kernel cuts them (UDP_SEGMENT, see udp(7)), where it can.
    pub fn send_cut(&self, octets: &[u8], length: usize, to: SocketAddr) -> io::Result<()> {
        let length = u16::try_from(length).map_err(io::Error::other)?;
        let (pieces, cut) = ([IoSlice::new(octets)], ControlMessage::UdpGsoSegments(&length));
        let to = SockaddrStorage::from(self.reached(to));
        let (alone, both);
        let how: &[ControlMessage<'_>] = match &self.source {
            None => {
                alone = [cut];
                &alone
            }
            Some(source) => {
                both = [cut, source.message()];
                &both
            }
        };
        match sendmsg(self.udp.as_raw_fd(), &pieces, how, MsgFlags::empty(), Some(&to)) {
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

/// An address of this machine, as the kernel is told it (`ip(7)`, `ipv6(7)`).
enum Source {
    V4(in_pktinfo),
    V6(in6_pktinfo),
}

impl Source {
    /// `None` for what is no address, not of this machine, or out of reach of such a socket.
    fn of(advertised: &str, is_v6: bool) -> Option<Self> {
        let address: IpAddr = advertised.parse().ok()?;
        UdpSocket::bind((address, 0)).ok()?;
        match address {
            IpAddr::V4(host) if is_v6 => Some(Self::v6(host.to_ipv6_mapped())),
            IpAddr::V4(host) => Some(Self::v4(host)),
            IpAddr::V6(host) => is_v6.then(|| Self::v6(host)),
        }
    }

    fn v4(host: Ipv4Addr) -> Self {
        let (ours, any) = (in_addr { s_addr: u32::from_ne_bytes(host.octets()) }, in_addr { s_addr: 0 });
        Self::V4(in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: ours, ipi_addr: any })
    }

    fn v6(host: Ipv6Addr) -> Self {
        Self::V6(in6_pktinfo { ipi6_addr: in6_addr { s6_addr: host.octets() }, ipi6_ifindex: 0 })
    }

    fn message(&self) -> ControlMessage<'_> {
        match self {
            Self::V4(info) => ControlMessage::Ipv4PacketInfo(info),
            Self::V6(info) => ControlMessage::Ipv6PacketInfo(info),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.udp.as_fd()
    }
}
