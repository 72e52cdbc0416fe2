//! What becomes of each datagram: no sockets, no threads, no clock.

use std::net::{IpAddr, SocketAddr};

use crate::admitted::{Admitted, Past};
use crate::allowance::Allowance;
use crate::banned::Banned;
use crate::keyed::Key;
use crate::rate::Rate;
use crate::refusal;
use crate::scan::{Kind, Request, scan};
use crate::waiting::{Datagram, Waiting};

/// Sums since the start.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// New calls that were answered 503 here.
    pub turned_away: u64,
    /// Datagrams of banned sources.
    pub banned: u64,
    /// Datagrams for which there was no room, and no answer.
    pub dropped: u64,
}

/// A datagram that has just come to the address `listener` of ours.
#[derive(Clone, Copy)]
pub struct Arrival<'a> {
    pub octets: &'a [u8],
    pub source: SocketAddr,
    pub listener: u32,
}

/// What is sent back, and where to.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub octets: Vec<u8>,
    pub to: SocketAddr,
}

/// What the operator wants.
#[derive(Debug, Default, Clone, Copy)]
pub struct Wishes {
    /// New calls that are let in; 0: as many as the core takes.
    pub calls_per_second: f64,
    /// Who does not ask for `rport` is answered at the port of its Via.
    pub answers_where_via_says: bool,
}

impl Arrival<'_> {
    fn kept(&self) -> Datagram {
        Datagram { octets: self.octets.to_vec(), source: self.source, listener: self.listener }
    }
}

/// Hashes of what tells requests apart.
#[derive(Clone, Copy)]
struct Names {
    call: u64,
    branch: u64,
}

pub struct Desk {
    key: Key,
    wishes: Wishes,
    rate: Rate,
    admitted: Admitted,
    allowance: Allowance,
    banned: Banned,
    waiting: Waiting,
    /// The core has time for new calls.
    wants_calls: bool,
    counts: Counts,
}

impl Desk {
    pub fn new(key: Key, wishes: Wishes) -> Self {
        Self {
            key,
            wishes,
            rate: Rate::new(wishes.calls_per_second),
            admitted: Admitted::default(),
            allowance: Allowance::default(),
            banned: Banned::default(),
            waiting: Waiting::default(),
            wants_calls: true,
            counts: Counts::default(),
        }
    }

    /// Queue a datagram, answer it or drop it.
    pub fn receive(&mut self, arrival: Arrival<'_>, now_ns: u64) -> Option<Answer> {
        let kind = scan(arrival.octets);
        if self.is_ack_of_ours(&kind) {
            return None;
        }
        let names = self.names_of(&kind);
        if let Some(dialog) = self.dialog_of(&kind, names)
            && self.allowance.admits(dialog, now_ns)
        {
            self.counts.dropped += u64::from(!self.waiting.push_of_call(arrival.kept()));
            return None;
        }
        if self.banned.holds(arrival.source.ip(), now_ns) {
            self.hear_banned(arrival);
            return None;
        }
        let is_kept = match (kind, names) {
            (Kind::NewCall(request), Some(names)) => {
                return self.receive_call(&request, names, arrival, now_ns);
            }
            (Kind::Cancel(_), Some(names)) => self.receive_cancel(names.call, arrival),
            (Kind::UnclearInvite, _) => {
                self.waiting.has_room(now_ns) && self.waiting.push_new_call(None, arrival.kept())
            }
            _ => self.waiting.push_other(arrival.kept()),
        };
        self.counts.dropped += u64::from(!is_kept);
        None
    }

    /// The dialog or transaction of ours that a message shows to belong to: by a tag or branch that we
    /// have signed, or by the branch of an INVITE that was let in and does not wait any more.
    fn dialog_of(&self, kind: &Kind<'_>, names: Option<Names>) -> Option<u64> {
        let signed = match kind {
            Kind::Response(branch) => branch,
            Kind::InDialog(request) => request.to_tag,
            _ => b"",
        };
        if self.key.has_signed(signed) {
            return Some(self.key.hash(&[signed]));
        }
        let Names { call, branch } = names?;
        (self.admitted.past(call, branch) == Past::Repeated && !self.waiting.is_waiting(call)).then_some(call)
    }

    fn names_of(&self, kind: &Kind<'_>) -> Option<Names> {
        let (Kind::InDialog(request) | Kind::NewCall(request) | Kind::Cancel(request)) = kind else {
            return None;
        };
        let (call, branch) = (self.key.hash(&[request.call_id]), self.key.hash(&[request.via.branch]));
        Some(Names { call, branch })
    }

    /// The core may have learnt meanwhile that a carrier calls from there, so it is left to decide,
    /// as long as nobody else waits for it.
    fn hear_banned(&mut self, arrival: Arrival<'_>) {
        if self.waiting.has_others() || !self.waiting.push_other(arrival.kept()) {
            self.counts.banned += 1;
        }
    }

    fn is_ack_of_ours(&self, kind: &Kind<'_>) -> bool {
        matches!(kind, Kind::InDialog(request)
            if request.method == b"ACK" && request.to_tag == self.key.tag(request.call_id))
    }

    fn receive_call(
        &mut self,
        request: &Request<'_>,
        Names { call, branch }: Names,
        arrival: Arrival<'_>,
        now_ns: u64,
    ) -> Option<Answer> {
        let is_kept = match self.admitted.past(call, branch) {
            // What still waits need not wait twice; else it has come too often (`dialog_of`).
            Past::Repeated => self.waiting.is_waiting(call) || self.waiting.push_other(arrival.kept()),
            _ if self.waiting.has_room(now_ns) && self.rate.admits(now_ns) => {
                self.admitted.remember(call, branch);
                self.waiting.push_new_call(Some(call), arrival.kept())
            }
            Past::Continued => {
                self.admitted.remember(call, branch);
                self.waiting.push_behind(call, arrival.kept())
            }
            Past::Unknown => return Some(self.turn_away(request, arrival.source)),
        };
        self.counts.dropped += u64::from(!is_kept);
        None
    }

    fn turn_away(&mut self, request: &Request<'_>, source: SocketAddr) -> Answer {
        self.counts.turned_away += 1;
        let chance = self.key.hash(&[&self.counts.turned_away.to_ne_bytes()]);
        let octets = refusal::write(request, source, &self.key.tag(request.call_id), chance);
        let mut to = source;
        if self.wishes.answers_where_via_says {
            to.set_port(request.via.named_port(source).unwrap_or(source.port()));
        }
        Answer { octets, to }
    }

    /// Not before the INVITE it is about.
    fn receive_cancel(&mut self, call: u64, arrival: Arrival<'_>) -> bool {
        if self.waiting.is_waiting(call) {
            self.waiting.push_behind(call, arrival.kept())
        } else {
            self.waiting.push_other(arrival.kept())
        }
    }

    /// What the core has to see next, with up to `new_calls` of these; 0: it wants none until it asks
    /// for some again.
    pub fn take(&mut self, new_calls: usize) -> Vec<Datagram> {
        self.wants_calls = new_calls > 0;
        self.waiting.take(new_calls)
    }

    /// Nothing waits that the core wants.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty(self.wants_calls)
    }

    pub fn ban(&mut self, host: IpAddr, until_ns: u64) {
        self.banned.ban(host, until_ns);
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }
}
