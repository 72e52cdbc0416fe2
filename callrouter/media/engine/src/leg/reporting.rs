//! What a leg exchanges with its far end about how well they hear each other.

use std::net::SocketAddr;

use crate::clock::now_ns;
use crate::leg::Leg;
use crate::quality::{self, CONCEALED, Measured};
use crate::reception::ReportBlock;

impl Leg {
    pub(super) fn report(&mut self, now_ns: i64, leaving: bool) {
        if !leaving && !self.reports.is_due(now_ns) {
            return;
        }
        self.measure();
        let Some(remote) = &self.remote else { return };
        let (source, host) = (&remote.source, remote.rtcp);
        let Some(target) = source.target() else { return };
        let next_port = target.port().checked_add(1).map(|port| SocketAddr::new(target.ip(), port));
        let latched = source.latched().and(next_port);
        let Some(to) = latched.or(host).or(next_port) else { return };
        let timestamp = self.out.written_timestamp_at(now_ns);
        // Jitter is in ticks of the RTP clock.
        let block = self
            .reception
            .report()
            .map(|block| ReportBlock { jitter: block.jitter.saturating_mul(self.out.scale()), ..block });
        let sent = (self.out.packets, self.out.octets);
        let bytes = self.reports.compose(self.out.ssrc, timestamp, sent, block, leaving);
        let bytes = match &mut self.protection {
            None => Some(&bytes[..]),
            Some(protection) => protection.out.rtcp(&bytes),
        };
        // A report that cannot be sent is as good as one that is lost.
        let is_sent = bytes.is_some_and(|bytes| match self.browser {
            // By the way of the audio (RFC 5761).
            Some(_) => self.ports.send(bytes, target).is_ok(),
            None => self.ports.rtcp.send_to(bytes, to).is_ok(),
        });
        self.counters.reports_out += u64::from(is_sent);
        self.reports.schedule(now_ns);
    }

    /// Read the far end's reports.  They say when they were sent: whoever calls has to do so soon
    /// after they came, or the round trip is not true.
    pub fn hear_reports(&mut self) {
        let (source, ssrc) = (self.remote.as_ref().map(|remote| &remote.source), self.out.ssrc);
        // A browser's come among its audio.
        let has_port = self.browser.is_none();
        let is_peer = |from| has_port && source.is_some_and(|source| source.is_peer_host(from));
        let heard = self.protection.as_mut().map(|protection| &mut protection.heard);
        let rate = 8000 * self.out.scale();
        let before = self.counters.reports_in;
        self.reports.receive(&self.ports.rtcp, (ssrc, rate), is_peer, heard, &mut self.counters);
        // In silence that was described nothing else comes.
        if self.far_silence.is_some() && self.counters.reports_in > before {
            self.heard_ns = now_ns();
        }
    }

    /// Bring the figures that are not counted one by one up to date.
    fn measure(&mut self) {
        let codec = self.edge.as_ref().map_or(CONCEALED, |edge| edge.codec.impairment());
        let counters = &mut self.counters;
        counters.lost = self.reception.lost();
        counters.gaps = self.reception.gaps;
        counters.wraps = self.reception.wraps;
        counters.jitter_us = u64::from(self.reception.jitter()) * 125;
        counters.jitter_max_us = u64::from(self.reception.jitter_max) * 125;
        let heard = Measured {
            received: counters.packets_in,
            lost: counters.lost,
            gaps: counters.gaps,
            jitter_us: counters.jitter_us,
            round_trip_us: counters.round_trip_us,
        };
        let rating = quality::rate(&heard, codec);
        (counters.r_factor_x100, counters.mos_x100) = (rating.r_factor, rating.mos);
        if !self.reports.has_been_told {
            return;
        }
        let lost = counters.reported_lost.min(counters.packets_out);
        let told = Measured {
            received: counters.packets_out - lost,
            lost,
            gaps: lost,
            jitter_us: counters.reported_jitter_us,
            round_trip_us: counters.round_trip_us,
        };
        let rating = quality::rate(&told, codec);
        (counters.reported_r_factor_x100, counters.reported_mos_x100) = (rating.r_factor, rating.mos);
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use crate::event::events;
    use crate::inbox::Limit;
    use crate::leg::stand::{self, KEYS};
    use crate::leg::{Leg, TICK};
    use crate::rtp::{HEADER, write_header};

    fn say(far_end: &UdpSocket, leg: &Leg, kind: u8, sequence: u16, timestamp: u32, payload: &[u8]) {
        let mut header = [0; HEADER];
        write_header(&mut header, false, kind, sequence, timestamp, 9);
        let to = leg.rtp().local_addr().expect("is bound");
        far_end.send_to(&[&header, payload].concat(), to).expect("is sent");
    }

    #[test]
    fn keys_that_are_held_are_no_jitter() {
        let (mut leg, far_end) = stand::leg(None);
        let (sender, _receiver) = events().expect("an eventfd");
        for n in 0..200u16 {
            // A second of sound, a key that is held for two, and sound again.
            let time = u32::from(n) * 160;
            if (50..150).contains(&n) {
                let [high, low] = ((n - 49) * 160).to_be_bytes();
                say(&far_end, &leg, KEYS, n, 50 * 160, &[5, 10, high, low]);
            } else {
                say(&far_end, &leg, 0, n, time, &[0xFF; 160]);
            }
            leg.listen(&mut [0; 2048], i64::from(n) * TICK, &sender, &mut Limit::Before(i64::MAX));
        }
        leg.measure();
        let counters = &leg.counters;
        assert_eq!((counters.packets_in, counters.lost), (200, 0));
        assert_eq!((counters.jitter_us, counters.jitter_max_us), (0, 0));
    }
}
