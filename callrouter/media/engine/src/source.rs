//! Whom a leg listens and sends to: symmetric RTP in the safe order.
//!
//! The signalled address is preferred: the first valid packet from it settles the matter.  Another
//! address is believed only while the signalled one is silent, and only after `PROBATION` packets
//! in a row from one address, one SSRC, with rising sequence numbers; none of those is let
//! through.  Once settled, everybody else is a stranger; so is, for a while, the old address of one
//! who moves.  Nothing is sent to an address that was neither signalled nor settled on.

use std::net::SocketAddr;

/// Consecutive packets that make an address that was not signalled believable.
pub const PROBATION: u8 = 5;
/// And the one that was settled on before signalling named another: whoever moves may go on at the
/// old place until the move has come through, and must not be followed back there.  That is three
/// seconds; half a second for one behind a NAT, where what is signalled says little.
const PROBATION_OF_PRIOR: u8 = 150;
const PROBATION_OF_LATCHED_PRIOR: u8 = 25;

#[derive(Clone, Copy, Debug)]
struct Candidate {
    address: SocketAddr,
    ssrc: u32,
    sequence: u16,
    seen: u8,
}

/// What had been settled on before another address was signalled.
#[derive(Clone, Copy, Debug)]
struct Prior {
    signalled: SocketAddr,
    settled: SocketAddr,
}

impl Prior {
    fn probation(&self) -> u8 {
        if self.settled == self.signalled { PROBATION_OF_PRIOR } else { PROBATION_OF_LATCHED_PRIOR }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Source {
    signalled: SocketAddr,
    settled: Option<SocketAddr>,
    candidate: Option<Candidate>,
    prior: Option<Prior>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    /// Accepted, and from now on the only address we hear and send to.
    Settled,
    Stranger,
}

impl Source {
    pub fn new(signalled: SocketAddr) -> Self {
        Self { signalled, settled: None, candidate: None, prior: None }
    }

    /// Whoever proves to be the far end some other way than by its packets; nobody until then.
    pub fn unknown() -> Self {
        Self::new(SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// Hear and send to `address` alone, which has proved itself.
    pub fn settle(&mut self, address: Option<SocketAddr>) {
        self.settled = address;
        self.candidate = None;
    }

    /// Signalling gave an address (again).  Only a different one starts the search anew: true.
    pub fn signal(&mut self, address: SocketAddr) -> bool {
        let differs = address != self.signalled;
        if differs {
            let left = self.settled.map(|settled| Prior { signalled: self.signalled, settled });
            // Back from where it was held, say: nobody has moved.
            let prior = left.or(self.prior).filter(|prior| prior.signalled != address);
            *self = Self { prior, ..Self::new(address) };
        }
        differs
    }

    /// Where to send now; None when the signalled address cannot be sent to (`0.0.0.0`, port 0).
    pub fn target(&self) -> Option<SocketAddr> {
        let target = self.settled.unwrap_or(self.signalled);
        (target.port() != 0 && !target.ip().is_unspecified()).then_some(target)
    }

    pub fn judge(&mut self, from: SocketAddr, ssrc: u32, sequence: u16) -> Verdict {
        if let Some(settled) = self.settled {
            return if from == settled { Verdict::Accepted } else { Verdict::Stranger };
        }
        if from == self.signalled {
            self.settled = Some(from);
            self.candidate = None;
            return Verdict::Settled;
        }
        let seen = match self.candidate {
            Some(c) if c.address == from && c.ssrc == ssrc && sequence == c.sequence.wrapping_add(1) => {
                c.seen + 1
            }
            // A repetition neither counts nor undoes: fax gateways send everything several times.
            Some(c) if c.address == from && c.ssrc == ssrc && sequence == c.sequence => c.seen,
            // A second voice must not undo the count of the first, or a sprayer could keep
            // the true peer out for ever: it has to be at least as consistent to displace it.
            Some(c) if c.address != from && c.seen > 1 => {
                self.candidate = Some(Candidate { seen: c.seen - 1, ..c });
                return Verdict::Stranger;
            }
            _ => 1,
        };
        let prior = self.prior.filter(|prior| prior.settled == from);
        if seen >= prior.map_or(PROBATION, |prior| prior.probation()) {
            self.settled = Some(from);
            self.candidate = None;
            return Verdict::Settled;
        }
        self.candidate = Some(Candidate { address: from, ssrc, sequence, seen });
        Verdict::Stranger
    }

    /// Whether something without a number of its own may be the peer's.
    pub fn is_believed(&self, from: SocketAddr) -> bool {
        self.settled.unwrap_or(self.signalled) == from
    }

    pub fn is_settled_on(&self, from: SocketAddr) -> bool {
        self.settled == Some(from)
    }

    pub fn is_settled_elsewhere(&self, from: SocketAddr) -> bool {
        self.settled.is_some_and(|settled| settled != from)
    }

    /// Whether RTCP from this host can be the peer's.
    pub fn is_peer_host(&self, from: SocketAddr) -> bool {
        from.ip() == self.settled.unwrap_or(self.signalled).ip()
    }

    /// The settled address, where it is not the signalled one.
    pub fn latched(&self) -> Option<SocketAddr> {
        self.settled.filter(|settled| *settled != self.signalled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn the_signalled_address_is_accepted_from_its_first_packet_and_then_alone() {
        let mut source = Source::new(at(4000));
        assert_eq!(source.judge(at(4000), 1, 10), Verdict::Settled);
        assert_eq!(source.judge(at(4000), 1, 11), Verdict::Accepted);
        for sequence in 0..100 {
            assert_eq!(source.judge(at(5000), 2, sequence), Verdict::Stranger);
        }
        assert_eq!(source.target(), Some(at(4000)));
    }

    #[test]
    fn another_address_is_latched_onto_after_five_consistent_packets() {
        let mut source = Source::new(at(4000));
        for sequence in 1..5 {
            assert_eq!(source.judge(at(5000), 2, sequence), Verdict::Stranger);
            assert_eq!(source.target(), Some(at(4000)), "nothing goes to a stranger");
        }
        assert_eq!(source.judge(at(5000), 2, 5), Verdict::Settled);
        assert_eq!(source.target(), Some(at(5000)));
        assert_eq!(source.judge(at(4000), 1, 1), Verdict::Stranger);
    }

    #[test]
    fn inconsistent_packets_never_latch() {
        let mut source = Source::new(at(4000));
        for sequence in (0..200).step_by(2) {
            assert_eq!(source.judge(at(5000), 2, sequence), Verdict::Stranger);
        }
        for (ssrc, sequence) in (0..200).zip(0..) {
            assert_eq!(source.judge(at(5000), ssrc, sequence), Verdict::Stranger);
        }
        for (port, sequence) in (5000..5200).zip(0..) {
            assert_eq!(source.judge(at(port), 9, sequence), Verdict::Stranger);
        }
    }

    #[test]
    fn the_signalled_address_wins_over_a_candidate() {
        let mut source = Source::new(at(4000));
        for sequence in 0..4 {
            source.judge(at(5000), 2, sequence);
        }
        assert_eq!(source.judge(at(4000), 1, 0), Verdict::Settled);
        assert_eq!(source.judge(at(5000), 2, 4), Verdict::Stranger);
    }

    #[test]
    fn occasional_spray_does_not_keep_the_true_peer_out() {
        let mut source = Source::new(at(4000));
        let mut verdict = Verdict::Stranger;
        for sequence in 0..20 {
            verdict = source.judge(at(5000), 2, sequence);
            if verdict == Verdict::Settled {
                break;
            }
            if sequence % 3 == 2 {
                source.judge(at(6000 + sequence), 3, 0);
            }
        }
        assert_eq!(verdict, Verdict::Settled);
    }

    #[test]
    fn the_same_address_signalled_again_keeps_what_was_learned() {
        let mut source = Source::new(at(4000));
        for sequence in 1..=5 {
            source.judge(at(5000), 2, sequence);
        }
        source.signal(at(4000));
        assert_eq!(source.target(), Some(at(5000)));
        source.signal(at(4002));
        assert_eq!(source.target(), Some(at(4002)));
    }

    /// The first packet of `count` by which an address is settled on, from where they come in a row.
    fn settles(source: &mut Source, port: u16, count: u16) -> Option<u16> {
        (0..count).find(|&sequence| source.judge(at(port), 2, sequence) == Verdict::Settled)
    }

    #[test]
    fn who_has_moved_is_not_followed_back_by_what_the_old_place_still_sends() {
        let mut source = Source::new(at(4000));
        assert_eq!(source.judge(at(4000), 1, 0), Verdict::Settled);
        source.signal(at(5000));
        assert_eq!(settles(&mut source, 4000, 100), None, "two seconds of it");
        assert_eq!(source.target(), Some(at(5000)));
        assert_eq!(source.judge(at(5000), 1, 200), Verdict::Settled);
        assert_eq!(source.judge(at(4000), 2, 101), Verdict::Stranger);
    }

    #[test]
    fn a_move_that_was_announced_and_never_made_is_not_waited_for() {
        let mut source = Source::new(at(4000));
        source.judge(at(4000), 1, 0);
        source.signal(at(5000));
        assert_eq!(settles(&mut source, 4000, 200), Some(149));
    }

    #[test]
    fn behind_a_nat_another_address_says_less() {
        let mut source = Source::new(at(4000));
        assert_eq!(settles(&mut source, 9000, 5), Some(4));
        source.signal(at(5000));
        assert_eq!(settles(&mut source, 9000, 30), Some(24));
        let mut elsewhere = Source::new(at(4000));
        assert_eq!(settles(&mut elsewhere, 9000, 5), Some(4));
        elsewhere.signal(at(5000));
        assert_eq!(settles(&mut elsewhere, 9002, 5), Some(4), "a new port of the NAT");
    }

    #[test]
    fn who_was_held_and_is_back_has_not_moved() {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 4000));
        let mut source = Source::new(at(4000));
        assert_eq!(settles(&mut source, 9000, 5), Some(4));
        source.signal(nowhere);
        source.signal(at(4000));
        assert_eq!(settles(&mut source, 9000, 5), Some(4));
    }

    #[test]
    fn a_blackhole_address_is_never_sent_to() {
        assert_eq!(Source::new(at(0)).target(), None);
        assert_eq!(Source::new(SocketAddr::from(([0, 0, 0, 0], 4000))).target(), None);
    }
}
