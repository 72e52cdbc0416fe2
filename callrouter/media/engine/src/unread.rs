//! Media other than the call's audio, passed on unread: video with its RTCP, fax over UDPTL.
//!
//! A leg has a line for each such media line of its SDP, on ports of its own.  Whom a line hears and
//! sends to is settled as for audio (`source`); what the datagrams say is their ends' business.

use std::net::SocketAddr;

use socket2::SockRef;

use crate::counters::Counters;
use crate::event::LegId;
use crate::inbox::Limit;
use crate::ports::PortPair;
use crate::source::{Source, Verdict};

/// Datagrams read from one port at a time: more than a picture comes in.
pub const MAX_READ: usize = 256;
/// The longest datagram there is.
pub const LONGEST: usize = 65_535;
/// What a port may hold until it is read: a picture comes in one burst.
const BUFFER: usize = 512 * 1024;

/// A line of some leg; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineId(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// With RTCP on the next port.
    Rtp,
    /// On one port (ITU-T T.38).
    Udptl,
}

/// Which of a line's ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    Media,
    Control,
}

/// Where the far end hears a line, as signalling has it.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub framing: Framing,
    pub remote: SocketAddr,
    pub control: Option<SocketAddr>,
}

pub struct Line {
    pub id: LineId,
    /// Where what it hears goes.
    pub partner: Option<(LegId, LineId)>,
    ports: PortPair,
    place: Option<(Place, Source)>,
    /// When a sign of life came; of a fax, from either end: one page may be minutes of one side's.
    heard_ns: i64,
}

impl Line {
    pub fn new(id: LineId, ports: PortPair) -> Self {
        for socket in [&ports.rtp, &ports.rtcp] {
            // The system gives what it allows.
            let _ = SockRef::from(socket).set_recv_buffer_size(BUFFER);
        }
        Self { id, partner: None, ports, place: None, heard_ns: i64::MIN / 2 }
    }

    pub fn sockets(&self) -> [&std::net::UdpSocket; 2] {
        [&self.ports.rtp, &self.ports.rtcp]
    }

    /// Signalling says where the far end is, for the first time or again.
    pub fn set_place(&mut self, place: Place, now_ns: i64) {
        let source = match self.place.take() {
            Some((_, mut source)) => {
                if source.signal(place.remote) {
                    self.ports.widen();
                }
                source
            }
            None => {
                self.heard_ns = now_ns;
                Source::new(place.remote)
            }
        };
        self.place = Some((place, source));
    }

    /// Something waits that the system does not know of.
    pub fn has_put_back(&self) -> bool {
        self.ports.has_put_back()
    }

    /// When the far end, or whoever it exchanges a fax with, was last heard.
    pub fn heard_ns(&self) -> i64 {
        self.heard_ns
    }

    /// Whether something has to come while the call lives: a fax leaves no audio to tell by.
    pub fn is_awaited(&self) -> bool {
        self.partner.is_some() && matches!(self.place, Some((Place { framing: Framing::Udptl, .. }, _)))
    }

    /// Take the next datagram off a port; None when there is none, `Some(None)`: of a stranger.
    pub fn receive(
        &mut self,
        port: Port,
        buffer: &mut [u8],
        now_ns: i64,
        counters: &mut Counters,
        limit: &mut Limit<'_>,
    ) -> Option<Option<usize>> {
        let (length, from) = match port {
            Port::Media => limit.receive(&mut self.ports, buffer)?,
            Port::Control => self.ports.rtcp.recv_from(buffer).ok()?,
        };
        let is_theirs = match port {
            Port::Media => self.judge(&buffer[..length], from),
            Port::Control => self.place.as_ref().is_some_and(|(_, source)| source.is_peer_host(from)),
        };
        if !is_theirs {
            counters.passed_strangers += 1;
            return Some(None);
        }
        self.heard_ns = now_ns;
        Some(Some(length))
    }

    fn judge(&mut self, datagram: &[u8], from: SocketAddr) -> bool {
        let Some((place, source)) = &mut self.place else { return false };
        let Some((stream, sequence)) = numbering(place.framing, datagram) else {
            return source.is_believed(from);
        };
        match source.judge(from, stream, sequence) {
            Verdict::Accepted => true,
            Verdict::Settled => {
                self.ports.narrow(from);
                true
            }
            Verdict::Stranger => false,
        }
    }

    /// Send what the partner heard.
    pub fn pass(&mut self, port: Port, datagram: &[u8], now_ns: i64, counters: &mut Counters) {
        let Some((place, source)) = &self.place else { return };
        let sent = match port {
            Port::Media => source.target().map(|to| self.ports.send(datagram, to).is_ok()),
            Port::Control => {
                control_target(place, source).map(|to| self.ports.rtcp.send_to(datagram, to).is_ok())
            }
        };
        if place.framing == Framing::Udptl {
            self.heard_ns = now_ns;
        }
        match sent {
            Some(true) => {
                counters.passed += 1;
                counters.passed_octets += datagram.len() as u64;
            }
            Some(false) => counters.send_errors += 1,
            None => {}
        }
    }
}

/// Where RTCP goes: beside a port that was found by listening, else where signalling said.
fn control_target(place: &Place, source: &Source) -> Option<SocketAddr> {
    if place.framing == Framing::Udptl {
        return None;
    }
    let target = source.target()?;
    let next = target.port().checked_add(1).map(|port| SocketAddr::new(target.ip(), port));
    source.latched().and(next).or(place.control).or(next)
}

/// What shows that datagrams are of one sender: the stream and the number they carry.  None for
/// what shares a port with RTP: RTCP (RFC 5761), STUN.
fn numbering(framing: Framing, datagram: &[u8]) -> Option<(u32, u16)> {
    let word = |at: usize| datagram.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]));
    match framing {
        Framing::Udptl => Some((0, word(0)?)),
        Framing::Rtp => {
            let (first, second) = (*datagram.first()?, *datagram.get(1)?);
            let is_rtp = first >> 6 == 2 && !(192..=223).contains(&second);
            let (high, low) = (word(8)?, word(10)?);
            is_rtp.then_some((u32::from(high) << 16 | u32::from(low), word(2)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn line() -> Line {
        Line::new(LineId(1), PortPair::free())
    }

    fn socket() -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_nonblocking(true).expect("a socket of ours");
        socket
    }

    fn at(socket: &UdpSocket) -> SocketAddr {
        socket.local_addr().expect("is bound")
    }

    fn place(framing: Framing, remote: SocketAddr) -> Place {
        Place { framing, remote, control: None }
    }

    fn hears(line: &mut Line, from: &UdpSocket, datagram: &[u8], counters: &mut Counters) -> Option<Vec<u8>> {
        let to = line.ports.rtp.local_addr().expect("is bound");
        from.send_to(datagram, to).expect("loopback takes it");
        let mut buffer = vec![0; LONGEST];
        let received = line.receive(Port::Media, &mut buffer, 7, counters, &mut Limit::Before(i64::MAX));
        received.flatten().map(|length| buffer[..length].to_vec())
    }

    fn rtp(sequence: u8) -> [u8; 13] {
        [0x80, 96, 0, sequence, 0, 0, 0, 0, 1, 2, 3, 4, 0xAB]
    }

    #[test]
    fn the_longest_datagram_passes_and_one_of_a_stranger_does_not() {
        let (mut line, peer, stranger) = (line(), socket(), socket());
        let mut counters = Counters::default();
        assert_eq!(hears(&mut line, &peer, &rtp(1), &mut counters), None, "nothing is known of anybody");
        line.set_place(place(Framing::Rtp, at(&peer)), 0);
        let long = [&rtp(2)[..], &[0x5A; 60_000]].concat();
        assert_eq!(hears(&mut line, &peer, &long, &mut counters), Some(long));
        for sequence in 0..20 {
            assert_eq!(hears(&mut line, &stranger, &rtp(sequence), &mut counters), None);
        }
        line.pass(Port::Media, b"back", 9, &mut counters);
        let mut buffer = [0; 9];
        assert_eq!(peer.recv(&mut buffer).ok(), Some(4));
        assert!(stranger.recv(&mut buffer).is_err(), "nothing goes to a stranger");
        assert_eq!((counters.passed, counters.passed_octets), (1, 4));
    }

    #[test]
    fn a_fax_behind_an_address_translator_is_found_though_it_repeats_itself() {
        let (mut line, peer) = (line(), socket());
        let mut counters = Counters::default();
        line.set_place(place(Framing::Udptl, SocketAddr::from(([127, 0, 0, 2], 9))), 0);
        let heard: Vec<bool> =
            (0..12u8).map(|n| hears(&mut line, &peer, &[0, n / 2, 6], &mut counters).is_some()).collect();
        assert_eq!(heard.iter().position(|&heard| heard), Some(8), "with the fifth number");
        assert!(heard[8..].iter().all(|&heard| heard));
        line.pass(Port::Media, b"back", 9, &mut counters);
        assert_eq!(peer.recv(&mut [0; 9]).ok(), Some(4));
        assert_eq!(line.heard_ns(), 9, "a fax that is sent is a sign of life of the call");
    }

    #[test]
    fn rtcp_is_heard_from_the_peer_s_host_and_goes_where_signalling_said() {
        let (mut line, peer, control) = (line(), socket(), socket());
        let mut counters = Counters::default();
        line.set_place(Place { control: Some(at(&control)), ..place(Framing::Rtp, at(&peer)) }, 0);
        line.pass(Port::Control, b"report", 0, &mut counters);
        assert_eq!(control.recv(&mut [0; 9]).ok(), Some(6));
        let to = line.ports.rtcp.local_addr().expect("is bound");
        control.send_to(b"answer", to).expect("loopback takes it");
        assert_eq!(
            line.receive(Port::Control, &mut [0; 9], 0, &mut counters, &mut Limit::Before(i64::MAX)),
            Some(Some(6))
        );
        let other = UdpSocket::bind("127.0.0.9:0").expect("another address of this host");
        other.send_to(b"forged", to).expect("loopback takes it");
        assert_eq!(
            line.receive(Port::Control, &mut [0; 9], 0, &mut counters, &mut Limit::Before(i64::MAX)),
            Some(None)
        );
        assert_eq!(counters.passed_strangers, 1);
    }

    #[test]
    fn what_shares_a_port_with_rtp_is_believed_from_a_known_address_only() {
        let (mut line, peer, stranger) = (line(), socket(), socket());
        let mut counters = Counters::default();
        line.set_place(place(Framing::Rtp, at(&peer)), 0);
        let report = [0x80, 200, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0];
        assert!(hears(&mut line, &peer, &report, &mut counters).is_some());
        assert!(hears(&mut line, &stranger, &report, &mut counters).is_none());
        assert!(hears(&mut line, &peer, b"", &mut counters).is_some(), "whatever it is");
    }

    #[test]
    fn a_new_address_starts_the_search_anew() {
        let (mut line, peer, next) = (line(), socket(), socket());
        let mut counters = Counters::default();
        line.set_place(place(Framing::Rtp, at(&peer)), 0);
        assert!(hears(&mut line, &peer, &rtp(1), &mut counters).is_some());
        line.set_place(place(Framing::Rtp, at(&next)), 0);
        assert!(hears(&mut line, &next, &rtp(2), &mut counters).is_some());
        assert!(hears(&mut line, &peer, &rtp(2), &mut counters).is_none());
    }
}
