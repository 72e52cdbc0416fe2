//! When a leg exchanges RTCP reports, and what it learns from them.

use std::net::{SocketAddr, UdpSocket};

use crate::counters::Counters;
use crate::reception::ReportBlock;
use crate::rtcp::{LastReport, SenderInfo, compose, ntp_now, parse};
use crate::srtp::Incoming;

/// Datagrams read at a time: a flood on the RTCP port costs no more than this.
const MAX_READ: usize = 8;

pub struct Reports {
    next_ns: i64,
    interval_ns: i64,
    /// Spreads the legs' reports over half to one and a half intervals (RFC 3550 §6.3.1).
    dice: u32,
    cname: String,
    last: Option<LastReport>,
    /// The far end has reported on what we send.
    pub has_been_told: bool,
}

impl Reports {
    pub fn new(seed: u32) -> Self {
        Self {
            next_ns: i64::MAX,
            interval_ns: 0,
            dice: seed | 1,
            cname: format!("{seed:08x}@callrouter"),
            last: None,
            has_been_told: false,
        }
    }

    pub fn begin(&mut self, now_ns: i64, interval_ns: i64) {
        self.interval_ns = interval_ns;
        self.schedule(now_ns);
    }

    pub fn is_due(&self, now_ns: i64) -> bool {
        now_ns >= self.next_ns
    }

    pub fn schedule(&mut self, now_ns: i64) {
        self.dice = self.dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let share = i64::from(self.dice >> 22); // 0..1024
        self.next_ns = now_ns + self.interval_ns / 2 + self.interval_ns * share / 1024;
    }

    /// Read what has come.  `rate` is that of the RTP clock of what we send.
    pub fn receive(
        &mut self,
        socket: &UdpSocket,
        (our_ssrc, rate): (u32, u32),
        is_peer: impl Fn(SocketAddr) -> bool,
        mut protection: Option<&mut Incoming>,
        counters: &mut Counters,
    ) {
        let mut buffer = [0; 1500];
        for _ in 0..MAX_READ {
            let Ok((length, from)) = socket.recv_from(&mut buffer) else { return };
            if !is_peer(from) {
                counters.strangers += 1;
                continue;
            }
            let opened = match &mut protection {
                None => Ok(length),
                Some(protection) => protection.rtcp(&mut buffer[..length]),
            };
            let length = match opened {
                Ok(length) => length,
                Err(rejected) => {
                    *rejected.counter(counters) += 1;
                    continue;
                }
            };
            self.hear(&buffer[..length], (our_ssrc, rate), counters);
        }
    }

    /// Take a compound packet that is the far end's.
    pub fn hear(&mut self, packet: &[u8], (our_ssrc, rate): (u32, u32), counters: &mut Counters) {
        let Some(heard) = parse(packet, our_ssrc, ntp_now()) else {
            counters.garbage += 1;
            return;
        };
        counters.reports_in += 1;
        self.last = heard.sender.or(self.last);
        if let Some(about_us) = heard.about_us {
            self.has_been_told = true;
            counters.reported_lost = about_us.lost;
            counters.reported_jitter_us = u64::from(about_us.jitter) * 1_000_000 / u64::from(rate);
            counters.round_trip_us = about_us.round_trip_us.unwrap_or(counters.round_trip_us);
        }
    }

    pub fn compose(
        &self,
        ssrc: u32,
        timestamp: u32,
        (packets, octets): (u64, u64),
        block: Option<ReportBlock>,
        leaving: bool,
    ) -> Vec<u8> {
        let sender = SenderInfo { ssrc, ntp: ntp_now(), timestamp, packets, octets };
        compose(&sender, block, self.last, &self.cname, leaving)
    }
}
