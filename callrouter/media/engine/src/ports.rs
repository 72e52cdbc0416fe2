//! UDP port pairs: an even port for RTP and the next for RTCP (RFC 3550 §11), each rested after
//! use so that a late packet of one call is not heard on the next.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, channel};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, connect_unspec, recv, recvfrom, send, sendto};
use socket2::{Domain, Protocol, Socket, Type};

use crate::arrival;
use crate::clock::now_ns;

/// Kernel buffers per socket: a second and more of packets, so that a stall loses none.
const BUFFER: usize = 64 * 1024;

pub struct Ports {
    address: IpAddr,
    /// The first never used port pair comes first, then the one that has rested longest.
    free: VecDeque<(u16, i64)>,
    quarantine_ns: i64,
    returns: Receiver<Returned>,
    returned: Sender<Returned>,
}

/// A pair that is free again, and since when.
type Returned = (u16, i64);

/// A bound pair; the ports go back to their pool when it is dropped.
#[derive(Debug)]
pub struct PortPair {
    pub port: u16,
    // Declared before the lease: closed before the port is given back.
    pub rtp: UdpSocket,
    pub rtcp: UdpSocket,
    may_narrow: bool,
    /// The only address that is heard.
    narrow: Option<SocketAddr>,
    /// Nothing that came before the port was narrow is left in the socket.
    is_clean: bool,
    /// Read, and not to be heard yet.
    put_back: Option<Box<PutBack>>,
    /// When what was read last had come, where that was told before.
    came_ns: Option<i64>,
    _lease: Lease,
}

/// A datagram of the RTP port that was put back.
#[derive(Debug)]
struct PutBack {
    datagram: Vec<u8>,
    from: SocketAddr,
    arrived_ns: Option<i64>,
}

impl PortPair {
    /// Hear nobody but `peer` on the RTP port: strangers then cost nothing, and a flood of theirs
    /// cannot push the peer's packets out of the socket's buffer.  Sending gets cheaper as well.
    pub fn narrow(&mut self, peer: SocketAddr) {
        // Bound to every address, the system would choose one for us to be reached at.
        self.narrow = (self.may_narrow && self.rtp.connect(peer).is_ok()).then_some(peer);
        self.is_clean = false;
    }

    /// Hear everybody again.
    pub fn widen(&mut self) {
        if self.narrow.is_some() && connect_unspec(&self.rtp).is_ok() {
            self.narrow = None;
        }
    }

    /// Take a datagram off the RTP port; None when there is none.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        if let Some(first) = self.put_back.take() {
            self.came_ns = first.arrived_ns;
            let length = first.datagram.len().min(buffer.len());
            buffer[..length].copy_from_slice(&first.datagram[..length]);
            return Some((length, first.from));
        }
        self.came_ns = None;
        loop {
            let received = match self.narrow {
                Some(peer) if self.is_clean => {
                    recv(&self.rtp, &mut *buffer, RecvFlags::empty()).map(|(length, _)| (length, Some(peer)))
                }
                _ => recvfrom(&self.rtp, &mut *buffer, RecvFlags::empty())
                    .map(|(length, _, from)| (length, from.and_then(|from| from.try_into().ok()))),
            };
            match received {
                Ok((length, Some(from))) => return Some((length, from)),
                // The fate of something we sent says nothing about what we receive.
                Ok((_, None)) | Err(Errno::CONNREFUSED) => {}
                Err(error) => {
                    self.is_clean |= error == Errno::AGAIN;
                    return None;
                }
            }
        }
    }

    /// When the datagram that was received last had come, by the wall clock; None where the system
    /// does not say.
    pub fn arrived_ns(&mut self) -> Option<i64> {
        self.came_ns = self.came_ns.or_else(|| arrival::last_ns(&self.rtp));
        self.came_ns
    }

    /// Leave the datagram that was received last to be received again.
    pub fn put_back(&mut self, datagram: &[u8], from: SocketAddr) {
        let arrived_ns = self.arrived_ns();
        self.put_back = Some(Box::new(PutBack { datagram: datagram.to_vec(), from, arrived_ns }));
    }

    /// Something waits that the system does not know of.
    pub fn has_put_back(&self) -> bool {
        self.put_back.is_some()
    }

    /// Send an RTP packet.
    pub fn send(&self, bytes: &[u8], target: SocketAddr) -> Result<usize, Errno> {
        if self.narrow.is_none() {
            return sendto(&self.rtp, bytes, SendFlags::empty(), &target);
        }
        match send(&self.rtp, bytes, SendFlags::empty()) {
            // The fate of an earlier packet, told instead of sending this one.
            Err(Errno::CONNREFUSED) => send(&self.rtp, bytes, SendFlags::empty()),
            sent => sent,
        }
    }
}

#[derive(Debug)]
struct Lease {
    port: u16,
    returned: Sender<Returned>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        // A pool that is gone needs no ports back.
        let _ = self.returned.send((self.port, now_ns()));
    }
}

impl Ports {
    /// Pairs from `range`, in an order that begins at the pair numbered `start`.
    pub fn new(address: IpAddr, range: Range<u16>, quarantine_ns: i64, start: usize) -> Self {
        let first = range.start.next_multiple_of(2);
        let mut free: VecDeque<_> = (first..range.end)
            .step_by(2)
            .filter(|port| port + 1 < range.end)
            .map(|port| (port, i64::MIN))
            .collect();
        if !free.is_empty() {
            let turn = start % free.len();
            free.rotate_left(turn);
        }
        let (returned, returns) = channel();
        Self { address, free, quarantine_ns, returns, returned }
    }

    pub fn is_v6(&self) -> bool {
        self.address.is_ipv6()
    }

    /// Bind the next pair that is free and rested.  Ports that another program holds are passed
    /// over and tried again later.
    pub fn take(&mut self) -> Result<PortPair, Error> {
        self.take_at(now_ns())
    }

    fn take_at(&mut self, now: i64) -> Result<PortPair, Error> {
        // Nobody may have asked for long: they have rested all the while.
        self.free.extend(self.returns.try_iter().map(|(port, since)| (port, since + self.quarantine_ns)));
        let mut refusal = None;
        for _ in 0..self.free.len() {
            let Some((port, rested_at)) = self.free.pop_front() else { break };
            if rested_at > now {
                self.free.push_front((port, rested_at));
                break;
            }
            match self.bind(port) {
                Ok(pair) => return Ok(pair),
                Err(error) => {
                    self.free.push_back((port, now));
                    if error.kind() != ErrorKind::AddrInUse {
                        return Err(error);
                    }
                    refusal = Some(error);
                }
            }
        }
        Err(refusal.unwrap_or_else(|| {
            Error::new(ErrorKind::AddrNotAvailable, "every RTP port is in use or resting")
        }))
    }

    fn bind(&self, port: u16) -> Result<PortPair, Error> {
        let rtp = bound(SocketAddr::new(self.address, port))?;
        let rtcp = bound(SocketAddr::new(self.address, port + 1))?;
        arrival::note(&rtp);
        let returned = self.returned.clone();
        let may_narrow = !self.address.is_unspecified();
        Ok(PortPair {
            port,
            rtp,
            rtcp,
            may_narrow,
            narrow: None,
            is_clean: false,
            put_back: None,
            came_ns: None,
            _lease: Lease { port, returned },
        })
    }
}

fn bound(address: SocketAddr) -> Result<UdpSocket, Error> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(BUFFER)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// So many ports in a row, from an even one on, that the system has free at loopback just now.
#[cfg(test)]
pub fn free_ports(count: u16) -> Range<u16> {
    let bind = |port: u16| UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, port));
    loop {
        let chosen = bind(0).and_then(|socket| socket.local_addr()).expect("a free port").port();
        let first = chosen.next_multiple_of(2);
        if (first..first + count).all(|port| bind(port).is_ok()) {
            return first..first + count;
        }
    }
}

#[cfg(test)]
impl PortPair {
    /// A pair at loopback that is nobody else's.
    pub fn free() -> Self {
        arrival::begin();
        loop {
            // Somebody may have been faster.
            if let Ok(pair) = Ports::new([127, 0, 0, 1].into(), free_ports(2), 0, 0).take() {
                return pair;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn pool(range: Range<u16>, quarantine_ns: i64) -> Ports {
        Ports::new(IpAddr::V4(Ipv4Addr::LOCALHOST), range, quarantine_ns, 0)
    }

    #[test]
    fn pairs_are_even_bound_and_exhaustible() {
        let Range { start, end } = free_ports(6);
        let mut ports = pool(start + 1..end, 0);
        let (one, two) = (ports.take().expect("first"), ports.take().expect("second"));
        assert_eq!((one.port, two.port), (start + 2, start + 4));
        assert_eq!(one.rtp.local_addr().map(|a| a.port()).ok(), Some(start + 2));
        assert_eq!(one.rtcp.local_addr().map(|a| a.port()).ok(), Some(start + 3));
        assert_eq!(ports.take().map_err(|e| e.kind()).err(), Some(ErrorKind::AddrNotAvailable));
        drop(one);
        assert_eq!(ports.take().map(|pair| pair.port).ok(), Some(start + 2));
    }

    const HOUR: i64 = 3600 * crate::clock::SECOND;

    #[test]
    fn a_returned_pair_rests_before_it_is_used_again() {
        let mut ports = pool(free_ports(2), HOUR);
        drop(ports.take().expect("the only pair"));
        assert!(ports.take().is_err());
        assert!(ports.take_at(now_ns() + HOUR).is_ok());
    }

    #[test]
    fn a_returned_pair_rests_from_then_on_although_nobody_asks_meanwhile() {
        let mut ports = pool(free_ports(2), HOUR);
        drop(ports.take().expect("the only pair"));
        assert!(ports.take_at(now_ns() + HOUR).is_ok());
    }

    #[test]
    fn ports_of_another_program_are_passed_over() {
        let range = free_ports(4);
        let start = range.start;
        let mut ports = pool(range, 0);
        let other = UdpSocket::bind(("127.0.0.1", start + 1)).expect("a free port");
        assert_eq!(ports.take().map(|pair| pair.port).ok(), Some(start + 2));
        drop(other);
        assert_eq!(ports.take().map(|pair| pair.port).ok(), Some(start));
    }

    #[test]
    fn a_narrow_port_hears_its_peer_alone_until_it_is_widened() {
        let mut pair = PortPair::free();
        let (peer, other) = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a socket")).into();
        let at = |socket: &UdpSocket| socket.local_addr().expect("is bound");
        let hears = |pair: &mut PortPair, socket: &UdpSocket| {
            let _ = socket.send_to(b"x", at(&pair.rtp));
            pair.receive(&mut [0; 9])
        };
        assert!(hears(&mut pair, &other).is_some());
        assert_eq!(other.send_to(b"early", at(&pair.rtp)).ok(), Some(5));
        pair.narrow(at(&peer));
        assert_eq!(pair.receive(&mut [0; 9]), Some((5, at(&other))), "what came before says whom it is from");
        assert_eq!(pair.receive(&mut [0; 9]), None);
        assert_eq!(hears(&mut pair, &peer), Some((1, at(&peer))));
        assert_eq!(hears(&mut pair, &other), None);
        pair.widen();
        assert!(hears(&mut pair, &peer).is_some() && hears(&mut pair, &other).is_some());
        assert_eq!(pair.rtp.local_addr().map(|a| a.port()).ok(), Some(pair.port));
    }

    #[test]
    fn a_packet_is_sent_although_the_one_before_was_refused() {
        let mut pair = PortPair::free();
        let peer = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let to = peer.local_addr().expect("is bound");
        pair.narrow(to);
        drop(peer);
        assert_eq!(pair.send(b"x", to).ok(), Some(1));
        let peer = UdpSocket::bind(to).expect("the port is free again");
        assert_eq!(pair.send(b"y", to).ok(), Some(1));
        assert_eq!(peer.recv(&mut [0; 9]).ok(), Some(1));
    }

    #[test]
    fn an_address_that_is_not_ours_is_reported() {
        let mut ports = Ports::new(IpAddr::from([192, 0, 2, 1]), free_ports(2), 0, 0);
        assert_eq!(ports.take().map_err(|e| e.kind()).err(), Some(ErrorKind::AddrNotAvailable));
    }
}
