//! DTMF as RFC 4733 events: one key press reported once, whatever the network did to its packets.

mod passing;

use crate::clock::MILLISECOND;
use crate::rtp::FRAME;
pub use passing::{Passed, PassedKey};

const KEYS: &[u8; 16] = b"0123456789*#ABCD";
/// A key whose end never arrives is over when its packets have stopped for this long.
const SILENT_END_NS: i64 = 120 * MILLISECOND;
/// A timestamp this far back, in milliseconds, is of a clock that was set back and not of a key before: no
/// packet is so late, and no segment of a key so long.
const SET_BACK_MS: i32 = 10_000;
/// Ticks in a millisecond of a clock with one tick in a sample.
const TICKS: u32 = 8;

/// Event code of a key, None for anything that is not one.
pub fn code_of(key: u8) -> Option<u8> {
    let key = key.to_ascii_uppercase();
    KEYS.iter().position(|&k| k == key).map(|at| at as u8)
}

/// The key of an event code, None for events that are not keys.
pub fn key_of(code: u8) -> Option<char> {
    KEYS.get(usize::from(code)).map(|&key| char::from(key))
}

/// An event's four octets with its duration in ticks of another clock; None: it is none.
pub fn rescaled(payload: &[u8], from: u16, to: u16) -> Option<[u8; 4]> {
    let [code, flags, high, low] = *payload.first_chunk()?;
    let duration = u32::from(u16::from_be_bytes([high, low])) * u32::from(to) / u32::from(from.max(1));
    let [high, low] = (duration.min(u32::from(u16::MAX)) as u16).to_be_bytes();
    Some([code, flags, high, low])
}

/// A set of keys, as stop digits are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeySet(u16);

impl KeySet {
    pub fn of(keys: &str) -> Self {
        Self(keys.bytes().filter_map(code_of).fold(0, |set, code| set | 1 << code))
    }

    pub fn contains(self, key: char) -> bool {
        u8::try_from(key).ok().and_then(code_of).is_some_and(|code| self.0 & (1 << code) != 0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Press {
    pub key: char,
    pub duration_ms: u32,
}

/// What an event packet told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// A key that is over now.
    pub ended: Option<Press>,
    /// A key that went down with this packet.
    pub began: Option<char>,
}

#[derive(Clone, Copy, Debug)]
struct Down {
    key: char,
    timestamp: u32,
    /// Ticks in a millisecond.
    ticks: u32,
    /// Ticks of earlier segments of a key held longer than 65535 of them (§2.5.1.3).
    earlier: u32,
    duration: u16,
    last_ns: i64,
}

impl Down {
    fn press(&self) -> Press {
        Press { key: self.key, duration_ms: (self.earlier.saturating_add(self.duration.into())) / self.ticks }
    }
}

/// The receiving side.  The timestamp names a key press: the same one again is the same key.
#[derive(Debug, Default)]
pub struct KeyReceiver {
    down: Option<Down>,
    /// Timestamp of the press reported last: late and repeated packets of it mean nothing.
    done: Option<u32>,
}

impl KeyReceiver {
    /// `scale`: the ticks of its clock in a sample of 8 kHz.
    pub fn receive(&mut self, timestamp: u32, payload: &[u8], scale: u16, now_ns: i64) -> Heard {
        let Some((&[code, flags, high, low], _)) = payload.split_first_chunk::<4>() else {
            return Heard::default();
        };
        let Some(key) = key_of(code) else {
            return Heard::default();
        };
        let end = flags & 0x80 != 0;
        let duration = u16::from_be_bytes([high, low]);
        let ticks = TICKS * u32::from(scale.max(1));
        let is_before = |other: u32| {
            let since = timestamp.wrapping_sub(other) as i32;
            since < 0 && since > -SET_BACK_MS * ticks as i32
        };
        if self.done.is_some_and(|done| timestamp == done || is_before(done)) {
            return Heard::default();
        }
        let mut heard = Heard::default();
        match &mut self.down {
            Some(down) if down.timestamp == timestamp => {
                down.duration = down.duration.max(duration);
                down.last_ns = now_ns;
            }
            Some(down) if is_before(down.timestamp) => return heard,
            Some(down) if down.key == key && down.continues_at(timestamp) => {
                down.earlier = down.earlier.saturating_add(u16::MAX.into());
                down.timestamp = timestamp;
                down.duration = duration;
                down.last_ns = now_ns;
            }
            _ => {
                heard.ended = self.finish();
                heard.began = Some(key);
                self.down = Some(Down { key, timestamp, ticks, earlier: 0, duration, last_ns: now_ns });
            }
        }
        if end {
            // A key that began and ended in this very packet, after one whose end was lost, waits
            // for `poll`: two are never reported at once.
            if heard.ended.is_none() {
                heard.ended = self.finish();
            } else if let Some(down) = &mut self.down {
                down.last_ns = now_ns - SILENT_END_NS;
            }
        }
        heard
    }

    /// The key whose end was lost, once its packets have stopped coming.
    pub fn poll(&mut self, now_ns: i64) -> Option<Press> {
        match &self.down {
            Some(down) if now_ns - down.last_ns >= SILENT_END_NS => self.finish(),
            _ => None,
        }
    }

    /// End the key that is down, for a stream that ends or changes.
    pub fn finish(&mut self) -> Option<Press> {
        let down = self.down.take()?;
        self.done = Some(down.timestamp);
        Some(down.press())
    }

    /// A new stream: its timestamps say nothing about the old one's.
    pub fn restart(&mut self) -> Option<Press> {
        let pressed = self.finish();
        self.done = None;
        pressed
    }
}

impl Down {
    /// Whether a press goes on in a segment of its own: the last packets of the one before, whose
    /// end is never marked, may have been lost.
    fn continues_at(&self, timestamp: u32) -> bool {
        let unheard = (SILENT_END_NS / MILLISECOND) as u32 * self.ticks;
        let is_nearly_full = u32::from(self.duration) + unheard >= u32::from(u16::MAX);
        is_nearly_full && timestamp == self.timestamp.wrapping_add(u32::from(u16::MAX))
    }
}

/// Frames a key is held, the frames until the next one, and frames of `w`.
const HELD: u16 = 5;
const PERIOD: u16 = 10;
const END_REPEATS: u16 = 3;
const HALF_SECOND: u16 = 25;

/// What goes out in one 20 ms slot while keys are being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFrame {
    /// An event packet; `frame` counts from 0 within the key and the packet keeps the timestamp
    /// of frame 0.
    Event {
        payload: [u8; 4],
        frame: u16,
    },
    Silence,
    Done,
}

/// The sending side: a string of keys, `w` for half a second and `W` for a second.
#[derive(Debug)]
pub struct KeySender {
    keys: Vec<u8>,
    next: usize,
    frame: u16,
}

impl KeySender {
    pub fn new(keys: &str) -> Self {
        let known = |key: &u8| code_of(*key).is_some() || key.eq_ignore_ascii_case(&b'w');
        Self { keys: keys.bytes().filter(known).collect(), next: 0, frame: 0 }
    }

    pub fn frame(&mut self) -> KeyFrame {
        let Some(&key) = self.keys.get(self.next) else {
            return KeyFrame::Done;
        };
        let frame = self.frame;
        let (length, out) = match (key, code_of(key)) {
            (b'w', _) => (HALF_SECOND, KeyFrame::Silence),
            (_, Some(code)) => (PERIOD, key_frame(code, frame)),
            _ => (2 * HALF_SECOND, KeyFrame::Silence),
        };
        self.frame += 1;
        if self.frame >= length {
            self.frame = 0;
            self.next += 1;
        }
        out
    }
}

fn key_frame(code: u8, frame: u16) -> KeyFrame {
    if frame >= HELD + END_REPEATS - 1 {
        return KeyFrame::Silence;
    }
    let end = frame + 1 >= HELD;
    let [high, low] = (((frame + 1).min(HELD)) * FRAME as u16).to_be_bytes();
    // Volume 10: -10 dBm0, what telephones send.
    KeyFrame::Event { payload: [code, (u8::from(end) << 7) | 10, high, low], frame }
}

#[cfg(test)]
mod impaired;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = MILLISECOND;

    fn event(code: u8, end: bool, duration: u16) -> [u8; 4] {
        let [high, low] = duration.to_be_bytes();
        [code, if end { 0x8A } else { 0x0A }, high, low]
    }

    fn press(key: char, duration_ms: u32) -> Option<Press> {
        Some(Press { key, duration_ms })
    }

    /// Feed a clean press with three copies of its end; collect what was reported.
    fn clean(receiver: &mut KeyReceiver, code: u8, timestamp: u32, skip: &[usize]) -> Vec<Press> {
        let packets = [(false, 160), (false, 320), (false, 480), (true, 640), (true, 640), (true, 640)];
        let mut told = vec![];
        for (index, (end, duration)) in packets.into_iter().enumerate() {
            if !skip.contains(&index) {
                let now = i64::from(timestamp) / 8 * MS + index as i64 * 20 * MS;
                told.extend(receiver.receive(timestamp, &event(code, end, duration), 1, now).ended);
            }
        }
        told
    }

    #[test]
    fn a_press_is_reported_once_however_often_its_end_is_repeated() {
        let mut receiver = KeyReceiver::default();
        assert_eq!(clean(&mut receiver, 5, 8000, &[]), [Press { key: '5', duration_ms: 80 }]);
        assert_eq!(receiver.poll(i64::MAX), None);
    }

    #[test]
    fn any_single_packet_of_a_press_is_enough() {
        for kept in 0..6 {
            let skip: Vec<usize> = (0..6).filter(|&index| index != kept).collect();
            let mut receiver = KeyReceiver::default();
            let mut told = clean(&mut receiver, 11, 8000, &skip);
            told.extend(receiver.poll(10_000 * MS));
            assert_eq!(told.len(), 1, "only packet {kept} arrived");
            assert_eq!(told[0].key, '#');
        }
    }

    #[test]
    fn a_new_press_ends_one_whose_end_was_lost() {
        let mut receiver = KeyReceiver::default();
        receiver.receive(1000, &event(1, false, 160), 1, 0);
        let heard = receiver.receive(3000, &event(1, false, 160), 1, 50 * MS);
        assert_eq!(heard, Heard { ended: press('1', 20), began: Some('1') });
    }

    #[test]
    fn late_and_repeated_packets_of_a_finished_press_mean_nothing() {
        let mut receiver = KeyReceiver::default();
        clean(&mut receiver, 1, 8000, &[]);
        clean(&mut receiver, 2, 16000, &[]);
        assert_eq!(receiver.receive(8000, &event(1, true, 640), 1, 3000 * MS), Heard::default());
        assert_eq!(receiver.receive(16000, &event(2, false, 320), 1, 3000 * MS), Heard::default());
    }

    #[test]
    fn a_key_held_beyond_the_duration_field_is_one_press() {
        let mut receiver = KeyReceiver::default();
        receiver.receive(0, &event(9, false, u16::MAX), 1, 0);
        let next = u32::from(u16::MAX);
        assert_eq!(receiver.receive(next, &event(9, false, 160), 1, 20 * MS), Heard::default());
        let heard = receiver.receive(next, &event(9, true, 800), 1, 40 * MS);
        assert_eq!(heard.ended, press('9', (65535 + 800) / 8));
    }

    #[test]
    fn a_key_held_on_a_faster_clock_is_one_press_of_the_same_length() {
        // Three seconds at 48 kHz: the duration field is full after 1.4.
        let mut receiver = KeyReceiver::default();
        let (mut segment, mut told) = (500u32, vec![]);
        for packet in 1..=150u32 {
            if packet * 960 - (segment - 500) > u32::from(u16::MAX) {
                told.extend(receiver.receive(segment, &event(9, false, u16::MAX), 6, 0).ended);
                segment += u32::from(u16::MAX);
            }
            let duration = (packet * 960 - (segment - 500)) as u16;
            let now = i64::from(packet) * 20 * MS;
            told.extend(receiver.receive(segment, &event(9, packet == 150, duration), 6, now).ended);
        }
        assert_eq!(told, [Press { key: '9', duration_ms: 3000 }]);
    }

    #[test]
    fn keys_are_heard_on_though_the_clock_is_set_back() {
        for back in [1 << 20, 1 << 31, (1 << 31) + 5000] {
            let mut receiver = KeyReceiver::default();
            clean(&mut receiver, 1, 90_000, &[]);
            let timestamp = 90_000u32.wrapping_sub(back);
            assert_eq!(receiver.receive(timestamp, &event(2, true, 800), 1, 0).ended, press('2', 100));
            receiver.receive(timestamp + 9000, &event(3, false, 160), 1, 0);
            let late = receiver.receive(timestamp, &event(2, true, 800), 1, 0);
            assert_eq!(late, Heard::default(), "what is late is late all the same");
        }
    }

    #[test]
    fn a_key_held_long_is_one_press_though_the_end_of_a_segment_is_lost() {
        let mut receiver = KeyReceiver::default();
        receiver.receive(0, &event(9, false, 65_120), 1, 0);
        let next = u32::from(u16::MAX);
        assert_eq!(receiver.receive(next, &event(9, false, 320), 1, 100 * MS), Heard::default());
        assert_eq!(receiver.receive(next, &event(9, true, 800), 1, 160 * MS).ended, press('9', 66_335 / 8));
    }

    #[test]
    fn a_lost_end_before_a_press_of_one_packet_reports_both() {
        let mut receiver = KeyReceiver::default();
        receiver.receive(1000, &event(1, false, 160), 1, 0);
        let heard = receiver.receive(3000, &event(2, true, 640), 1, 50 * MS);
        assert_eq!(heard, Heard { ended: press('1', 20), began: Some('2') });
        assert_eq!(receiver.poll(51 * MS), press('2', 80));
        assert_eq!(receiver.receive(3000, &event(2, true, 640), 1, 52 * MS), Heard::default());
    }

    #[test]
    fn timestamps_may_wrap() {
        let mut receiver = KeyReceiver::default();
        assert_eq!(clean(&mut receiver, 1, u32::MAX - 100, &[]).len(), 1);
        assert_eq!(clean(&mut receiver, 2, 4000, &[]).len(), 1);
    }

    #[test]
    fn payloads_that_are_short_or_not_keys_are_ignored() {
        let mut receiver = KeyReceiver::default();
        assert_eq!(receiver.receive(0, &[1, 2, 3], 1, 0), Heard::default());
        assert_eq!(receiver.receive(0, &event(16, true, 640), 1, 0), Heard::default());
    }

    #[test]
    fn what_is_sent_is_received() {
        let mut sender = KeySender::new("1w*x#");
        let mut receiver = KeyReceiver::default();
        let (mut told, mut start, mut slots) = (String::new(), 0, 0u32);
        loop {
            match sender.frame() {
                KeyFrame::Done => break,
                KeyFrame::Silence => {}
                KeyFrame::Event { payload, frame } => {
                    if frame == 0 {
                        start = slots * 160 + 1;
                    }
                    let heard = receiver.receive(start, &payload, 1, i64::from(slots) * 20 * MS);
                    if let Some(press) = heard.ended {
                        assert_eq!(press.duration_ms, 100);
                        told.push(press.key);
                    }
                }
            }
            slots += 1;
        }
        assert_eq!(told, "1*#");
        assert_eq!(slots, 3 * u32::from(PERIOD) + u32::from(HALF_SECOND));
    }

    #[test]
    fn key_sets_know_their_keys() {
        let keys = KeySet::of("1*a");
        assert!(keys.contains('1') && keys.contains('*') && keys.contains('A'));
        assert!(!keys.contains('2') && !KeySet::default().contains('1') && !keys.contains('é'));
    }
}
