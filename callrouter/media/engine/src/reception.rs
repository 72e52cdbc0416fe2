//! What a leg makes of the sequence numbers and timestamps it receives: duplicates, new streams,
//! loss and jitter (RFC 3550 §6.4.1, appendices A.1, A.3, A.8).

/// A sequence number this far ahead is a restart rather than loss.
const MAX_DROPOUT: u16 = 3000;
/// A packet this late can still be told from a repeated one.
const WINDOW: u16 = 64;
/// Two packets of a stream that begins are no further apart, whatever was lost between them and
/// whichever came first.
const NEARBY: u16 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The next packet, or one after a gap.
    Fresh,
    /// Older than the newest, not seen before.
    Late,
    /// First accepted packet of a stream that replaces the one before.
    NewStream,
    /// Seen already, or too old to tell.
    Duplicate,
    /// Unlike the stream so far: to be kept, and believed once a second one is like it.
    Doubtful,
    /// Like the one in doubt, which is believed now: that is to be judged again first, then this.
    Confirming,
}

/// What may be the first packet of a stream.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    ssrc: u32,
    sequence: u16,
    is_believed: bool,
}

#[derive(Debug, Default)]
pub struct Reception {
    stream: Option<Stream>,
    doubt: Option<Doubt>,
    pub streams: u64,
    /// Times packets were skipped over, and times the numbers began anew.
    pub gaps: u64,
    pub wraps: u64,
    /// The most that jitter has been, in samples.
    pub jitter_max: u32,
    /// Loss of streams that have been replaced.
    lost_before: u64,
}

#[derive(Debug)]
struct Stream {
    ssrc: u32,
    highest: u16,
    cycles: u32,
    base: u32,
    received: u64,
    /// Bit n: `highest - n` has arrived.
    seen: u64,
    transit: Option<i64>,
    jitter: f32,
    expected_prior: u64,
    received_prior: u64,
}

/// A receiver report's figures on what we hear (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlock {
    pub ssrc: u32,
    pub fraction_lost: u8,
    pub lost: i32,
    pub highest: u32,
    pub jitter: u32,
}

impl Reception {
    /// Judge a packet; `arrival` is its time of arrival in samples of 8 kHz.  `timestamp` is None where
    /// it does not say when the packet was sent: it is then no measure of jitter.
    pub fn packet(
        &mut self,
        ssrc: u32,
        sequence: u16,
        timestamp: impl Into<Option<u32>>,
        arrival: i64,
    ) -> Arrival {
        let verdict = match &mut self.stream {
            None => self.restart(ssrc, sequence),
            Some(stream) if stream.ssrc == ssrc => {
                let before = stream.highest;
                match stream.place(sequence) {
                    Arrival::Doubtful => self.doubt(ssrc, sequence),
                    verdict => {
                        // One that is late says nothing against a stream that takes its place.
                        if verdict == Arrival::Fresh {
                            self.doubt = None;
                            self.gaps += u64::from(sequence.wrapping_sub(before) > 1);
                            self.wraps += u64::from(sequence < before);
                        }
                        verdict
                    }
                }
            }
            Some(_) => self.doubt(ssrc, sequence),
        };
        if let (Arrival::Fresh | Arrival::Late | Arrival::NewStream, Some(stream)) =
            (verdict, &mut self.stream)
        {
            stream.received += 1;
            if let Some(timestamp) = timestamp.into() {
                stream.measure(timestamp, arrival);
            }
            self.jitter_max = self.jitter_max.max(stream.jitter as u32);
        }
        verdict
    }

    /// A packet that is of no use has arrived all the same: it is not lost.
    pub fn pass(&mut self, ssrc: u32, sequence: u16) {
        if let Some(stream) = self.stream.as_mut().filter(|stream| stream.ssrc == ssrc)
            && matches!(stream.place(sequence), Arrival::Fresh | Arrival::Late)
        {
            stream.received += 1;
        }
    }

    fn doubt(&mut self, ssrc: u32, sequence: u16) -> Arrival {
        let Some(doubt) = self.doubt.as_mut().filter(|doubt| doubt.ssrc == ssrc) else {
            return self.begin_doubt(ssrc, sequence);
        };
        let apart = sequence.wrapping_sub(doubt.sequence) as i16;
        match apart.unsigned_abs() {
            // Whichever is judged again first, if one of the two is of no use meanwhile.
            0..=NEARBY if doubt.is_believed => self.restart(ssrc, sequence),
            0 => Arrival::Duplicate,
            1..=NEARBY => {
                doubt.is_believed = true;
                Arrival::Confirming
            }
            _ => self.begin_doubt(ssrc, sequence),
        }
    }

    fn begin_doubt(&mut self, ssrc: u32, sequence: u16) -> Arrival {
        self.doubt = Some(Doubt { ssrc, sequence, is_believed: false });
        Arrival::Doubtful
    }

    fn restart(&mut self, ssrc: u32, sequence: u16) -> Arrival {
        self.lost_before = self.lost();
        self.doubt = None;
        self.streams += 1;
        self.stream = Some(Stream {
            ssrc,
            highest: sequence,
            cycles: 0,
            base: u32::from(sequence),
            received: 0,
            seen: 1,
            transit: None,
            jitter: 0.0,
            expected_prior: 0,
            received_prior: 0,
        });
        Arrival::NewStream
    }

    /// Packets that never arrived, over all streams.
    pub fn lost(&self) -> u64 {
        let current = self.stream.as_ref().map_or(0, |s| s.expected().saturating_sub(s.received));
        self.lost_before + current
    }

    /// Interarrival jitter in samples of 8 kHz.
    pub fn jitter(&self) -> u32 {
        self.stream.as_ref().map_or(0, |s| s.jitter as u32)
    }

    /// Figures for a report, and the start of the next interval.
    pub fn report(&mut self) -> Option<ReportBlock> {
        let stream = self.stream.as_mut()?;
        let expected = stream.expected();
        let expected_now = expected - stream.expected_prior;
        let received_now = stream.received - stream.received_prior;
        stream.expected_prior = expected;
        stream.received_prior = stream.received;
        let lost_now = expected_now.saturating_sub(received_now);
        let fraction = (lost_now * 256).checked_div(expected_now).unwrap_or(0).min(255);
        let lost = expected as i64 - stream.received as i64;
        Some(ReportBlock {
            ssrc: stream.ssrc,
            fraction_lost: fraction as u8,
            lost: lost.clamp(-0x80_0000, 0x7F_FFFF) as i32,
            highest: stream.cycles + u32::from(stream.highest),
            jitter: stream.jitter as u32,
        })
    }
}

impl Stream {
    fn expected(&self) -> u64 {
        u64::from((self.cycles + u32::from(self.highest)).wrapping_sub(self.base)) + 1
    }

    fn place(&mut self, sequence: u16) -> Arrival {
        let ahead = sequence.wrapping_sub(self.highest);
        if ahead == 0 {
            return Arrival::Duplicate;
        }
        if ahead < MAX_DROPOUT {
            if sequence < self.highest {
                self.cycles = self.cycles.wrapping_add(1 << 16);
            }
            self.seen = if ahead >= WINDOW { 1 } else { self.seen << ahead | 1 };
            self.highest = sequence;
            return Arrival::Fresh;
        }
        let behind = self.highest.wrapping_sub(sequence);
        if behind >= WINDOW {
            return Arrival::Doubtful;
        }
        let bit = 1u64 << behind;
        if self.seen & bit != 0 {
            return Arrival::Duplicate;
        }
        self.seen |= bit;
        Arrival::Late
    }

    fn measure(&mut self, timestamp: u32, arrival: i64) {
        let transit = arrival.wrapping_sub(i64::from(timestamp));
        if let Some(before) = self.transit {
            // Timestamps wrap at 32 bits: so does the difference.
            let difference = f64::from((transit.wrapping_sub(before) as i32).unsigned_abs()) as f32;
            // A jump of seconds is a gap in the stream, not jitter.
            if difference < 16_000.0 {
                self.jitter += (difference - self.jitter) / 16.0;
            }
        }
        self.transit = Some(transit);
    }
}

#[cfg(test)]
mod hostile;

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(reception: &mut Reception, ssrc: u32, sequence: u16) -> Arrival {
        let time = i64::from(sequence) * 160;
        reception.packet(ssrc, sequence, time as u32, time)
    }

    #[test]
    fn a_steady_stream_across_the_wrap_loses_nothing() {
        let mut reception = Reception::default();
        assert_eq!(feed(&mut reception, 1, 65530), Arrival::NewStream);
        for sequence in (65531..=65535).chain(0..50) {
            assert_eq!(feed(&mut reception, 1, sequence), Arrival::Fresh);
        }
        assert_eq!((reception.lost(), reception.gaps, reception.wraps), (0, 0, 1));
        assert_eq!(reception.report().map(|r| r.highest), Some(65536 + 49));
    }

    #[test]
    fn gaps_count_as_loss_until_the_late_packet_comes() {
        let mut reception = Reception::default();
        for sequence in [1, 2, 4] {
            feed(&mut reception, 1, sequence);
        }
        assert_eq!(reception.lost(), 1);
        assert_eq!(feed(&mut reception, 1, 3), Arrival::Late);
        assert_eq!(feed(&mut reception, 1, 3), Arrival::Duplicate);
        assert_eq!(feed(&mut reception, 1, 4), Arrival::Duplicate);
        assert_eq!((reception.lost(), reception.gaps), (0, 1));
        feed(&mut reception, 1, 10);
        assert_eq!((reception.lost(), reception.gaps), (5, 2), "five in a row are one gap");
    }

    #[test]
    fn what_is_of_no_use_is_not_lost() {
        let mut reception = Reception::default();
        feed(&mut reception, 1, 1);
        reception.pass(1, 2);
        reception.pass(1, 40000);
        reception.pass(9, 3);
        assert_eq!(feed(&mut reception, 1, 3), Arrival::Fresh);
        assert_eq!((reception.lost(), reception.gaps, reception.streams), (0, 0, 1));
    }

    #[test]
    fn a_fraction_is_of_the_interval_since_the_last_report() {
        let mut reception = Reception::default();
        for sequence in 0..10 {
            feed(&mut reception, 1, sequence);
        }
        assert_eq!(reception.report().map(|r| r.fraction_lost), Some(0));
        for sequence in (10..20).step_by(2) {
            feed(&mut reception, 1, sequence);
        }
        let report = reception.report().expect("has a stream");
        assert_eq!((report.lost, report.fraction_lost), (4, (4 * 256 / 9) as u8));
    }

    #[test]
    fn a_jump_or_a_new_ssrc_is_believed_at_its_second_packet_with_the_first() {
        let mut reception = Reception::default();
        feed(&mut reception, 1, 1);
        assert_eq!(feed(&mut reception, 1, 30000), Arrival::Doubtful);
        assert_eq!(feed(&mut reception, 1, 30001), Arrival::Confirming);
        assert_eq!(feed(&mut reception, 1, 30000), Arrival::NewStream);
        assert_eq!(feed(&mut reception, 1, 30001), Arrival::Fresh);
        assert_eq!(feed(&mut reception, 2, 7), Arrival::Doubtful);
        assert_eq!(feed(&mut reception, 1, 30002), Arrival::Fresh, "one stray changes nothing");
        assert_eq!(feed(&mut reception, 2, 8), Arrival::Doubtful);
        assert_eq!(feed(&mut reception, 2, 9), Arrival::Confirming);
        assert_eq!(feed(&mut reception, 2, 8), Arrival::NewStream);
        assert_eq!(feed(&mut reception, 2, 9), Arrival::Fresh);
        assert_eq!((reception.streams, reception.lost()), (3, 0));
    }

    #[test]
    fn a_stream_that_begins_with_loss_repetition_or_out_of_order_is_believed_as_well() {
        for (first, second, then) in
            [(7, 9, Arrival::Fresh), (8, 7, Arrival::Late), (65_535, 3, Arrival::Fresh)]
        {
            let mut reception = Reception::default();
            feed(&mut reception, 1, 300);
            assert_eq!(feed(&mut reception, 2, first), Arrival::Doubtful);
            assert_eq!(feed(&mut reception, 2, first), Arrival::Duplicate);
            assert_eq!(feed(&mut reception, 1, 299), Arrival::Late, "of the stream before");
            assert_eq!(feed(&mut reception, 2, second), Arrival::Confirming);
            assert_eq!(feed(&mut reception, 2, first), Arrival::NewStream);
            assert_eq!(feed(&mut reception, 2, second), then);
        }
        let mut reception = Reception::default();
        feed(&mut reception, 1, 1);
        assert_eq!(feed(&mut reception, 2, 100), Arrival::Doubtful);
        assert_eq!(feed(&mut reception, 2, 100 + NEARBY + 1), Arrival::Doubtful, "nothing like the first");
    }

    #[test]
    fn jitter_is_nought_for_a_metronome_and_grows_with_delay() {
        let mut reception = Reception::default();
        for sequence in 0..100 {
            feed(&mut reception, 1, sequence);
        }
        assert_eq!(reception.jitter(), 0);
        for sequence in 100..200u16 {
            let wobble = if sequence % 2 == 0 { 80 } else { 0 };
            let time = i64::from(sequence) * 160;
            reception.packet(1, sequence, time as u32, time + wobble);
        }
        assert!((60..=80).contains(&reception.jitter()), "{}", reception.jitter());
        for sequence in 200..400 {
            feed(&mut reception, 1, sequence);
        }
        assert!(reception.jitter() < 5 && reception.jitter_max >= 60);
    }
}
