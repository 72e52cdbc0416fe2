//! The one RTP stream a leg sends, whatever it is made of: SSRC, sequence numbers and timestamps
//! go on through every change of path.

use crate::clock::{MILLISECOND, samples_at};
use crate::rtp::{FRAME, HEADER, Packet, write_header};

/// The most payload that is passed on: 120 ms of G.711.
pub const MAX_PAYLOAD: usize = 960;
/// Sequence steps and timestamp steps of a relayed stream beyond which it is a new one.
const MAX_STEP: i16 = 1000;
const MAX_LATE: i16 = 50;
const MAX_LEAP: u32 = 10 * 8000;
/// A relayed stream may come back this far from where our clock expects it, in samples.
const MAX_SHIFT: u32 = 2400;
/// One that comes back late was held up, and catches up by more than this; or it has paused without
/// counting on, and is laid anew after so long.
const CAUGHT_UP: i32 = 2 * FRAME as i32;
const LATE_FOR_GOOD: i64 = 200 * MILLISECOND;
/// A relayed far end that has been silent for so long is made up for with silence; once it was only
/// late, for twice as long as it has been, but no longer than this.
pub const RELAY_GAP: i64 = 60 * MILLISECOND;
const LONGEST_GAP: i64 = 240 * MILLISECOND;

pub struct Outgoing {
    pub ssrc: u32,
    pub packets: u64,
    pub octets: u64,
    sequence: u16,
    /// Timestamp of the next frame must not be below this.
    floor: u32,
    /// Timestamp that belongs to sample time 0.
    offset: u32,
    /// How far that has been moved on because something had to find a place: given back in a pause.
    ahead: u32,
    talkspurt: bool,
    /// Ticks of the RTP clock in a sample: timestamps are samples until they are written.
    scale: u32,
    relayed: Option<Relayed>,
    /// How long to wait for the next relayed packet.
    pub relay_gap_ns: i64,
    buffer: Box<[u8; HEADER + MAX_PAYLOAD]>,
}

/// How a relayed stream's numbers map to ours: the newest packet of it, in and out.
#[derive(Clone, Copy, Debug)]
struct Relayed {
    ssrc: u32,
    sequence_in: u16,
    sequence_out: u16,
    timestamp_in: u32,
    timestamp_out: u32,
    /// How many sequence numbers of ours this stream has used: older packets have none.
    span: u16,
    at_ns: i64,
    /// Frames of our own have been sent since.
    is_interrupted: bool,
    /// Since when it has been behind them, and by how much at first.
    late_since: Option<(i64, i32)>,
}

impl Outgoing {
    /// `ssrc`, `sequence` and `offset` are to be random (RFC 3550 §5.1).
    pub fn new(ssrc: u32, sequence: u16, offset: u32) -> Self {
        Self {
            ssrc,
            packets: 0,
            octets: 0,
            sequence,
            floor: offset,
            offset,
            ahead: 0,
            talkspurt: true,
            scale: 1,
            relayed: None,
            relay_gap_ns: RELAY_GAP,
            buffer: Box::new([0; HEADER + MAX_PAYLOAD]),
        }
    }

    /// Ticks of the agreed codec's RTP clock in a sample of 8 kHz.
    pub fn set_scale(&mut self, scale: u32) {
        self.scale = scale;
    }

    pub fn scale(&self) -> u32 {
        self.scale
    }

    /// Our timestamp of an instant, as it is written.
    pub fn written_timestamp_at(&self, ns: i64) -> u32 {
        self.timestamp_at(ns).wrapping_mul(self.scale)
    }

    /// Our timestamp of an instant.
    pub fn timestamp_at(&self, ns: i64) -> u32 {
        self.offset.wrapping_add(samples_at(ns) as u32)
    }

    /// Whatever is relayed next is another stream, laid behind what has been sent.
    pub fn release(&mut self) {
        self.relay_gap_ns = RELAY_GAP;
        if let Some(relayed) = self.relayed.take().filter(|relayed| !relayed.is_interrupted) {
            self.offset = relayed.timestamp_out.wrapping_sub(samples_at(relayed.at_ns) as u32);
            self.talkspurt = true;
        }
    }

    /// The next packet starts a talkspurt: it carries the marker.
    pub fn mark(&mut self) {
        self.talkspurt = true;
    }

    /// Something of our own comes between relayed packets: go on in the time that the far end has been hearing.
    fn interrupt(&mut self) {
        if let Some(relayed) = self.relayed.as_mut().filter(|relayed| !relayed.is_interrupted) {
            relayed.is_interrupted = true;
            self.offset = relayed.timestamp_out.wrapping_sub(samples_at(relayed.at_ns) as u32);
            self.talkspurt = true;
        }
    }

    /// A timestamp for a key that goes down beside what is sent, behind all that has been.
    pub fn begin_key(&mut self, now_ns: i64) -> u32 {
        self.interrupt();
        let timestamp = self.timestamp_at(now_ns);
        if (timestamp.wrapping_sub(self.floor) as i32) < 0 { self.floor } else { timestamp }
    }

    /// Take a timestamp for a frame of our own due at `due_ns`.
    pub fn begin_frame(&mut self, due_ns: i64) -> u32 {
        self.interrupt();
        let mut timestamp = self.timestamp_at(due_ns);
        if self.packets > 0 && (timestamp.wrapping_sub(self.floor) as i32) < 0 {
            // A relayed stream ran ahead of our clock: the clock moves, and not back before a pause.
            let more = self.floor.wrapping_sub(timestamp);
            self.offset = self.offset.wrapping_add(more);
            self.ahead = self.ahead.saturating_add(more);
            timestamp = self.floor;
        } else {
            let less = self.ahead.min(timestamp.wrapping_sub(self.floor));
            self.offset = self.offset.wrapping_sub(less);
            self.ahead -= less;
            if let Some(relayed) = &mut self.relayed {
                // It comes back that much earlier.
                relayed.timestamp_out = relayed.timestamp_out.wrapping_sub(less);
            }
            timestamp = timestamp.wrapping_sub(less);
        }
        self.floor = timestamp.wrapping_add(FRAME as u32);
        timestamp
    }

    /// The frame of 160 octets to fill, ahead of `audio_packet`.
    pub fn frame(&mut self) -> &mut [u8; FRAME] {
        let (_, body) = self.buffer.split_at_mut(HEADER);
        body.first_chunk_mut().expect("the buffer holds a frame")
    }

    /// The packet around what was put into `frame`.
    pub fn audio_packet(&mut self, payload_type: u8, timestamp: u32) -> &[u8] {
        let marker = std::mem::take(&mut self.talkspurt);
        self.packet(marker, payload_type, timestamp, FRAME)
    }

    /// A packet of another codec, of 20 ms.
    pub fn coded_packet(&mut self, payload_type: u8, timestamp: u32, payload: &[u8]) -> &[u8] {
        let marker = std::mem::take(&mut self.talkspurt);
        let length = payload.len().min(MAX_PAYLOAD);
        self.buffer[HEADER..HEADER + length].copy_from_slice(&payload[..length]);
        self.packet(marker, payload_type, timestamp, length)
    }

    /// A telephone-event packet; `timestamp` is that of the key's first packet.
    pub fn event_packet(&mut self, payload_type: u8, timestamp: u32, first: bool, payload: [u8; 4]) -> &[u8] {
        self.interrupt();
        self.buffer[HEADER..HEADER + 4].copy_from_slice(&payload);
        self.packet(first, payload_type, timestamp, 4)
    }

    fn packet(&mut self, marker: bool, payload_type: u8, timestamp: u32, length: usize) -> &[u8] {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        self.finish(marker, payload_type, sequence, timestamp, length)
    }

    fn finish(
        &mut self,
        marker: bool,
        payload_type: u8,
        sequence: u16,
        timestamp: u32,
        length: usize,
    ) -> &[u8] {
        if let Some(header) = self.buffer.first_chunk_mut() {
            let written = timestamp.wrapping_mul(self.scale);
            write_header(header, marker, payload_type, sequence, written, self.ssrc);
        }
        self.packets += 1;
        self.octets += length as u64;
        &self.buffer[..HEADER + length]
    }

    /// Pass a packet on under our own numbers; `recode` maps its octets where the codecs differ.
    /// Loss and reordering stay visible to the far end.  Returns the packet and our timestamp,
    /// None for a packet that is empty or too long.
    pub fn relay(
        &mut self,
        packet: &Packet<'_>,
        payload_type: u8,
        recode: Option<&[u8; 256]>,
        now_ns: i64,
    ) -> Option<(u32, &[u8])> {
        let length = packet.payload.len();
        if length == 0 || length > MAX_PAYLOAD {
            return None;
        }
        let fresh = self.relayed.is_none_or(|relayed| relayed.is_interrupted);
        let (sequence, timestamp) = self.place(packet, now_ns);
        let body = &mut self.buffer[HEADER..HEADER + length];
        match recode {
            None => body.copy_from_slice(packet.payload),
            Some(table) => {
                body.iter_mut().zip(packet.payload).for_each(|(out, word)| *out = table[usize::from(*word)])
            }
        }
        let marker = packet.marker || fresh;
        Some((timestamp, self.finish(marker, payload_type, sequence, timestamp, length)))
    }

    fn place(&mut self, packet: &Packet<'_>, now_ns: i64) -> (u16, u32) {
        let Some(mut relayed) = self.relayed.filter(|relayed| relayed.is_followed_by(packet)) else {
            return self.lay_anew(packet, now_ns);
        };
        let step = packet.sequence.wrapping_sub(relayed.sequence_in) as i16;
        let mut timestamp =
            relayed.timestamp_out.wrapping_add(packet.timestamp.wrapping_sub(relayed.timestamp_in));
        if step <= 0 {
            return (self.number_of_late(relayed, step), timestamp);
        }
        let shift = timestamp.wrapping_sub(self.timestamp_at(now_ns)) as i32;
        if relayed.is_interrupted {
            if shift.unsigned_abs() > MAX_SHIFT {
                return self.lay_anew(packet, now_ns);
            }
            let late = self.floor.wrapping_sub(timestamp) as i32;
            if (1..=FRAME as i32).contains(&late) {
                // Somebody speaks again, while a frame of ours was on its way: the next pause makes up for it.
                timestamp = self.floor;
                self.ahead = self.ahead.saturating_add(late as u32);
            } else if late > 0 {
                // It was only late.  It says where it belongs: who has waited for it hears it there.
                let waited = now_ns - relayed.at_ns;
                self.relay_gap_ns = (2 * waited).clamp(self.relay_gap_ns, LONGEST_GAP);
                relayed.late_since.get_or_insert((now_ns, shift));
            }
            relayed.sequence_out = self.sequence;
            relayed.span = 1;
        } else {
            relayed.sequence_out = relayed.sequence_out.wrapping_add(step as u16);
            relayed.span = relayed.span.saturating_add(step as u16);
        }
        match relayed.late_since {
            Some((_, first)) if shift - first > CAUGHT_UP => relayed.late_since = None,
            Some((since, _)) if now_ns - since > LATE_FOR_GOOD => {
                // In the time of what was sent in its place, not in its own.
                self.relayed = None;
                return self.lay_anew(packet, now_ns);
            }
            _ => {}
        }
        relayed.is_interrupted = false;
        self.follow(relayed, packet, timestamp, now_ns)
    }

    /// The number of a packet that is older than the newest of its stream.  Where ours had not begun by
    /// then, or was interrupted, there is none left for it: it takes the next.
    fn number_of_late(&mut self, mut relayed: Relayed, step: i16) -> u16 {
        if step.unsigned_abs() < relayed.span {
            return relayed.sequence_out.wrapping_add(step as u16);
        }
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        relayed.sequence_out = sequence;
        relayed.span = 1;
        self.relayed = Some(relayed);
        sequence
    }

    fn lay_anew(&mut self, packet: &Packet<'_>, now_ns: i64) -> (u16, u32) {
        let timestamp = self.begin_frame(now_ns);
        let relayed = Relayed {
            ssrc: packet.ssrc,
            sequence_in: packet.sequence,
            sequence_out: self.sequence,
            timestamp_in: packet.timestamp,
            timestamp_out: timestamp,
            span: 1,
            at_ns: now_ns,
            is_interrupted: false,
            late_since: None,
        };
        self.follow(relayed, packet, timestamp, now_ns)
    }

    /// `packet` is the newest of the relayed stream, and of ours.
    fn follow(
        &mut self,
        mut relayed: Relayed,
        packet: &Packet<'_>,
        timestamp: u32,
        now_ns: i64,
    ) -> (u16, u32) {
        relayed.sequence_in = packet.sequence;
        relayed.timestamp_in = packet.timestamp;
        relayed.timestamp_out = timestamp;
        relayed.at_ns = now_ns;
        self.sequence = relayed.sequence_out.wrapping_add(1);
        let end = timestamp.wrapping_add(FRAME as u32);
        // Not back behind what was sent in its place.
        if !(0..MAX_SHIFT as i32).contains(&(self.floor.wrapping_sub(end) as i32)) {
            self.floor = end;
        }
        self.relayed = Some(relayed);
        (relayed.sequence_out, timestamp)
    }
}

impl Relayed {
    /// Whether a packet belongs to the same stream, near its newest.
    fn is_followed_by(&self, packet: &Packet<'_>) -> bool {
        let step = packet.sequence.wrapping_sub(self.sequence_in) as i16;
        let leap = packet.timestamp.wrapping_sub(self.timestamp_in) as i32;
        self.ssrc == packet.ssrc && leap.unsigned_abs() <= MAX_LEAP && (-MAX_LATE..=MAX_STEP).contains(&step)
    }
}

#[cfg(test)]
mod jitter;

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: i64 = 20 * MILLISECOND;

    fn incoming(sequence: u16, timestamp: u32, payload: &[u8]) -> Packet<'_> {
        Packet { marker: false, payload_type: 0, sequence, timestamp, ssrc: 77, payload }
    }

    fn numbers(bytes: &[u8]) -> (u16, u32) {
        let packet = Packet::parse(bytes).expect("we send RTP");
        (packet.sequence, packet.timestamp)
    }

    #[test]
    fn frames_of_our_own_are_160_samples_apart_and_only_the_first_is_marked() {
        let mut out = Outgoing::new(1, 65535, 5);
        let mut last = None;
        for tick in 0..4 {
            let timestamp = out.begin_frame(tick * TICK);
            let packet = Packet::parse(out.audio_packet(0, timestamp)).map(|p| (p.marker, p.sequence));
            assert_eq!(packet, Some((tick == 0, 65535u16.wrapping_add(tick as u16))));
            assert_eq!(last.map_or(160, |l: u32| timestamp.wrapping_sub(l)), 160);
            last = Some(timestamp);
        }
    }

    #[test]
    fn a_relayed_stream_continues_ours_and_keeps_its_gaps_and_order() {
        let mut out = Outgoing::new(1, 10, 0);
        let timestamp = out.begin_frame(0);
        out.audio_packet(0, timestamp);
        let mut relay = |sequence: u16, timestamp: u32| {
            let packet = incoming(sequence, timestamp, &[1; 160]);
            out.relay(&packet, 0, None, 25 * MILLISECOND).map(|(_, bytes)| numbers(bytes))
        };
        assert_eq!(relay(500, 9000), Some((11, 200)));
        assert_eq!(relay(503, 9480), Some((14, 680)), "two lost");
        assert_eq!(relay(502, 9320), Some((13, 520)), "late");
        assert_eq!(relay(499, 8840), Some((15, 40)), "older than the relay itself");
        assert_eq!(relay(501, 9160), Some((16, 360)), "late, and out of numbers");
        assert_eq!(relay(504, 9640), Some((17, 840)));
        assert_eq!(relay(506, 9960), Some((19, 1160)));
        assert_eq!(relay(505, 9800), Some((18, 1000)));
    }

    #[test]
    fn going_back_to_our_own_frames_never_goes_back_in_time() {
        let mut out = Outgoing::new(1, 0, 0);
        for index in 0..10u16 {
            // The source sends twice as much as it should.
            out.relay(
                &incoming(index, u32::from(index) * 160, &[1; 160]),
                0,
                None,
                i64::from(index) * TICK / 2,
            );
        }
        let timestamp = out.begin_frame(5 * TICK);
        assert_eq!(timestamp, 1600);
        assert_eq!(numbers(out.audio_packet(0, timestamp)), (10, 1600));
        assert_eq!(out.begin_frame(6 * TICK), 1760);
    }

    #[test]
    fn the_first_word_after_a_pause_that_was_filled_is_whole_and_delay_does_not_pile_up() {
        for phase in 0..8 {
            let mut out = Outgoing::new(1, 0, 0);
            let (mut sequence, begun) = (0u16, phase * TICK / 8 + 1);
            for round in 0..200i64 {
                let talk = round * 40;
                for n in talk..talk + 20 {
                    let packet = incoming(sequence, (n * 160) as u32, &[1; 160]);
                    sequence = sequence.wrapping_add(1);
                    assert!(out.relay(&packet, 0, None, n * TICK + begun).is_some(), "round {round}");
                }
                for n in talk + 21..talk + 40 {
                    let timestamp = out.begin_frame(n * TICK + TICK);
                    out.audio_packet(0, timestamp);
                }
                let ahead = out.floor.wrapping_sub(out.timestamp_at((talk + 41) * TICK)) as i32;
                assert!(ahead.abs() <= 320 && out.ahead <= 320, "{ahead} and {} ahead in {round}", out.ahead);
            }
            let drift = out.offset as i32;
            assert!(drift.abs() <= 480, "{drift}");
        }
    }

    #[test]
    fn a_stream_that_is_late_for_good_is_let_in_again() {
        let mut out = Outgoing::new(1, 0, 0);
        out.relay(&incoming(0, 0, &[1; 160]), 0, None, 0);
        let mut last = None;
        for n in 1..40i64 {
            let timestamp = out.begin_frame((n + 5) * TICK);
            out.audio_packet(0, timestamp);
            let packet = incoming(n as u16, (n * 160) as u32, &[1; 160]);
            last = out.relay(&packet, 0, None, (n + 5) * TICK + 1).map(|(timestamp, _)| timestamp).or(last);
        }
        assert!(last.is_some_and(|timestamp| timestamp > 2000));
    }

    #[test]
    fn a_jump_in_the_source_is_not_passed_on() {
        let mut out = Outgoing::new(1, 0, 0);
        out.relay(&incoming(0, 0, &[1; 160]), 0, None, 0);
        let far = incoming(1, 4_000_000, &[1; 160]);
        let placed = out.relay(&far, 0, None, TICK).map(|(_, bytes)| numbers(bytes));
        assert_eq!(placed, Some((1, 160)));
    }

    #[test]
    fn a_table_recodes_on_the_way() {
        let mut table = [0u8; 256];
        table[9] = 42;
        let mut out = Outgoing::new(1, 0, 0);
        let packet = incoming(0, 0, &[9; 80]);
        let (_, bytes) = out.relay(&packet, 8, Some(&table), 0).expect("is passed on");
        assert_eq!((bytes[1], &bytes[HEADER..]), (0x88, &[42u8; 80][..]));
    }

    #[test]
    fn empty_and_huge_payloads_are_not_passed_on() {
        let mut out = Outgoing::new(1, 0, 0);
        assert!(out.relay(&incoming(0, 0, &[]), 0, None, 0).is_none());
        assert!(out.relay(&incoming(0, 0, &[0; 1400]), 0, None, 0).is_none());
    }
}
