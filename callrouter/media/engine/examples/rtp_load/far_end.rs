//! One far end: what it says, when it heard what.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::net::UdpSocket;
use std::sync::Arc;

use _engine::clock::now_ns;
use _engine::rtp::{FRAME, HEADER, Packet, write_header};

use crate::TICK;
use crate::content::{Check, Listener, OPUS, said};
use crate::page::Page;

/// A key is pressed every so many packets.
const KEY_EVERY: u32 = 250;
const KEY_PACKETS: u32 = 7;
/// How many packets later the next leg's is.
const KEY_TURN: u32 = 10;
/// The first packet that says that the key was let go.
const KEY_END: u32 = 4;
const EVENT: u8 = 101;
/// A packet later than this is missed by a room, which waits for half a packet.
const OVERDUE: i64 = TICK / 2;
/// How finely lateness is told apart.
const FINENESS: i64 = 10_000;

/// The longest packet before it is sealed.
const LONGEST: usize = 1000;

/// A packet of Opus, of 20 ms.
fn coded(sent: u32, words: &[u8]) -> ([u8; LONGEST], usize) {
    let mut packet = [0; LONGEST];
    let length = HEADER + words.len();
    if let Some(header) = packet.first_chunk_mut() {
        write_header(header, false, OPUS, sent as u16, sent.wrapping_mul(6 * FRAME as u32), 1);
    }
    packet[HEADER..length].copy_from_slice(words);
    (packet, length)
}

pub struct FarEnd {
    pub socket: UdpSocket,
    /// Where it is one of a browser's.
    pub page: Option<Page>,
    /// What it says over and over, where that is Opus.
    pub words: Arc<Vec<Vec<u8>>>,
    pub heard: u64,
    /// When the first packet came, and how many came how long after the schedule it began; a list
    /// of all would grow for as long as a soak goes on.
    begin_ns: i64,
    delays: BTreeMap<i64, u64>,
    /// Packets that were sent so late that silence may have been heard in their place.
    pub overdue: u64,
    /// Keys that were pressed and let go.
    pub keys: u64,
    pub listener: Listener,
    number: u32,
    is_loud: bool,
    sent: u32,
    presses: bool,
    /// The newest packet's sequence number, and how many numbers have passed since the first.
    last: Option<u16>,
    passed: i64,
}

impl FarEnd {
    pub fn new(number: u32, is_loud: bool, check: Check) -> Result<Self, Error> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_nonblocking(true)?;
        // Legs beside each other are partners.
        let listener = Listener::new(check, number ^ 1);
        Ok(Self {
            socket,
            page: None,
            words: Arc::default(),
            heard: 0,
            begin_ns: 0,
            delays: BTreeMap::new(),
            overdue: 0,
            keys: 0,
            listener,
            number,
            is_loud,
            sent: 0,
            presses: false,
            last: None,
            passed: 0,
        })
    }

    /// Send the next packet, due at `due_ns`; it does not begin a key unless it may press one.
    pub fn send(&mut self, due_ns: i64, may_press: bool) -> Result<(), Error> {
        self.overdue += u64::from(now_ns() - due_ns > OVERDUE);
        let (packet, length) = match self.words.get(self.sent as usize % self.words.len().max(1)) {
            Some(words) => coded(self.sent, words),
            None => self.next(may_press),
        };
        self.sent = self.sent.wrapping_add(1);
        let mut said = &packet[..length];
        if let Some(page) = &mut self.page {
            page.consent(&self.socket)?;
            let Some(protection) = &mut page.protection else { return Ok(()) };
            said = protection.out.rtp(said).ok_or_else(|| Error::other("a number was used twice"))?;
        }
        match self.socket.send(said) {
            Err(error) if error.kind() != ErrorKind::ConnectionRefused => Err(error),
            _ => Ok(()),
        }
    }

    fn next(&mut self, may_press: bool) -> ([u8; LONGEST], usize) {
        let mut packet = [0; LONGEST];
        // In turn: what a leg hears of many is never nothing but keys.
        let in_key = self.sent.wrapping_add(self.number * KEY_TURN) % KEY_EVERY;
        if in_key == 0 {
            self.presses = may_press && self.sent >= KEY_EVERY;
        }
        let is_key = self.presses && in_key < KEY_PACKETS;
        let time = if is_key { self.sent - in_key } else { self.sent };
        let kind = if is_key { EVENT } else { 0 };
        if let Some(header) = packet.first_chunk_mut() {
            write_header(header, false, kind, self.sent as u16, time.wrapping_mul(FRAME as u32), 1);
        }
        let mut length = HEADER + FRAME;
        if is_key {
            let [high, low] = (((in_key + 1).min(5) * FRAME as u32) as u16).to_be_bytes();
            let end = if in_key >= KEY_END { 0x8A } else { 0x0A };
            packet[HEADER..HEADER + 4].copy_from_slice(&[5, end, high, low]);
            length = HEADER + 4;
            self.keys += u64::from(in_key == KEY_END);
        } else {
            packet[HEADER..length].copy_from_slice(&said(self.number, self.sent as u16, self.is_loud));
        }
        (packet, length)
    }

    pub fn hear(&mut self, begin_ns: i64) -> Result<(), Error> {
        let mut buffer = [0; 2048];
        loop {
            let mut length = match self.socket.recv(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => continue,
                Err(error) => return Err(error),
            };
            let now = now_ns();
            if let Some(page) = &mut self.page {
                let Some(protection) = &mut page.protection else { continue };
                // Answers to checks, and reports.
                if buffer[0] < 128 || matches!(buffer[1], 192..=223) {
                    continue;
                }
                length = protection
                    .heard
                    .rtp(&mut buffer[..length])
                    .map_err(|error| Error::other(format!("not as it was sealed: {error:?}")))?;
            }
            let Some(packet) = Packet::parse(&buffer[..length]).filter(|_| now >= begin_ns) else { continue };
            if matches!(packet.payload_type, 0 | OPUS) {
                self.listener.hear(packet.sequence, packet.payload);
            }
            let last = self.last.replace(packet.sequence).unwrap_or(packet.sequence);
            self.passed += i64::from(packet.sequence.wrapping_sub(last) as i16);
            self.note(now);
        }
    }

    fn note(&mut self, now: i64) {
        if self.heard == 0 {
            self.begin_ns = now;
        }
        let delay = now - self.begin_ns - self.heard as i64 * TICK;
        *self.delays.entry(delay.div_euclid(FINENESS)).or_default() += 1;
        self.heard += 1;
    }

    /// How many packets were how late, in nanoseconds, against the steadiest schedule of 20 ms that
    /// none was early for.
    pub fn lateness(&self) -> impl Iterator<Item = (i64, u64)> {
        let earliest = self.delays.keys().next().copied().unwrap_or(0);
        self.delays.iter().map(move |(delay, count)| ((delay - earliest) * FINENESS, *count))
    }

    pub fn expected(&self) -> u64 {
        self.last.map_or(0, |_| self.passed.unsigned_abs() + 1)
    }
}
