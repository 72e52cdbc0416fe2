//! The far ends of many legs, for benchmarks: sends 50 RTP packets a second on each and measures
//! what comes back from outside the server's process.
//!
//!     rtp_load LEGS SECONDS [TALKERS]   (then one line with LEGS server ports on standard input)
//!
//! Without TALKERS every leg hums; with it the first ones are loud and the others silent.
//!
//! Prints its own ports first and, at the end, one line of JSON.

use std::io::{Error, ErrorKind, Write, stdin, stdout};
use std::mem::MaybeUninit;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;

use _engine::clock::{MILLISECOND, SECOND, now_ns};
use _engine::rtp::{FRAME, HEADER, Packet, write_header};
use rustix::event::{Timespec, epoll};

const TICK: i64 = 20 * MILLISECOND;
const SLOTS: usize = 20;
/// A key is pressed every so many packets.
const KEY_EVERY: u16 = 250;
const KEY_PACKETS: u16 = 7;
const EVENT: u8 = 101;
const HUM: u8 = 0x55;
const LOUD: u8 = 0x20;
const SILENCE: u8 = 0xFF;
/// Packets of the first second are not judged.
const WARM_UP: i64 = SECOND;

struct FarEnd {
    socket: UdpSocket,
    /// What it says, over and over.
    word: u8,
    sent: u16,
    heard: Vec<i64>,
    first: Option<u16>,
    last: u16,
    wrong: u64,
}

struct Load {
    ends: Vec<FarEnd>,
    watch: OwnedFd,
    begin_ns: i64,
}

impl Load {
    fn new(legs: usize, talkers: Option<usize>) -> Result<Self, Error> {
        let watch = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut ends = vec![];
        for number in 0..legs {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.set_nonblocking(true)?;
            epoll::add(&watch, &socket, epoll::EventData::new_u64(number as u64), epoll::EventFlags::IN)?;
            let word = talkers.map_or(HUM, |talkers| if number < talkers { LOUD } else { SILENCE });
            ends.push(FarEnd { socket, word, sent: 0, heard: vec![], first: None, last: 0, wrong: 0 });
        }
        Ok(Self { ends, watch, begin_ns: now_ns() + WARM_UP })
    }

    fn run(&mut self, until_ns: i64) -> Result<(), Error> {
        let step = TICK / SLOTS as i64;
        let mut slot = now_ns() / step;
        while now_ns() < until_ns {
            let phase = slot as usize % SLOTS;
            self.ends.iter_mut().skip(phase).step_by(SLOTS).try_for_each(FarEnd::send)?;
            slot += 1;
            self.hear_until(slot * step)?;
        }
        Ok(())
    }

    fn hear_until(&mut self, deadline_ns: i64) -> Result<(), Error> {
        let mut space = [const { MaybeUninit::uninit() }; 256];
        loop {
            let left = (deadline_ns - now_ns()).max(0);
            let timeout = Timespec { tv_sec: 0, tv_nsec: left };
            let (ready, _) = epoll::wait(&self.watch, &mut space, Some(&timeout))?;
            for event in ready.iter() {
                self.ends[event.data.u64() as usize].hear(self.begin_ns)?;
            }
            if left == 0 {
                return Ok(());
            }
        }
    }
}

impl FarEnd {
    fn send(&mut self) -> Result<(), Error> {
        let mut packet = [self.word; HEADER + FRAME];
        // Loud is a square wave of 1 kHz.
        for (n, word) in packet.iter_mut().enumerate().filter(|_| self.word == LOUD) {
            *word ^= ((n / 4 % 2) << 7) as u8;
        }
        let in_key = self.sent % KEY_EVERY;
        let is_key = in_key < KEY_PACKETS && self.sent >= KEY_EVERY;
        let time = if is_key { self.sent - in_key } else { self.sent };
        let kind = if is_key { EVENT } else { 0 };
        if let Some(header) = packet.first_chunk_mut() {
            write_header(header, false, kind, self.sent, u32::from(time) * FRAME as u32, 1);
        }
        let mut length = packet.len();
        if is_key {
            let [high, low] = ((in_key + 1).min(5) * FRAME as u16).to_be_bytes();
            let end = if in_key >= 4 { 0x8A } else { 0x0A };
            packet[HEADER..HEADER + 4].copy_from_slice(&[5, end, high, low]);
            length = HEADER + 4;
        }
        self.sent = self.sent.wrapping_add(1);
        match self.socket.send(&packet[..length]) {
            Err(error) if error.kind() != ErrorKind::ConnectionRefused => Err(error),
            _ => Ok(()),
        }
    }

    fn hear(&mut self, begin_ns: i64) -> Result<(), Error> {
        let mut buffer = [0; 2048];
        loop {
            let length = match self.socket.recv(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => continue,
                Err(error) => return Err(error),
            };
            let now = now_ns();
            let Some(packet) = Packet::parse(&buffer[..length]).filter(|_| now >= begin_ns) else { continue };
            self.wrong += u64::from(packet.payload_type == 0 && packet.payload.len() != FRAME);
            self.first.get_or_insert(packet.sequence);
            self.last = packet.sequence;
            self.heard.push(now);
        }
    }

    /// How late each packet was against the steadiest schedule of 20 ms that none was early for.
    fn lateness(&self) -> Vec<i64> {
        let due = |index: usize| index as i64 * TICK;
        let start = self.heard.iter().enumerate().map(|(n, at)| at - due(n)).min().unwrap_or(0);
        self.heard.iter().enumerate().map(|(n, at)| at - due(n) - start).collect()
    }

    fn expected(&self) -> u64 {
        self.first.map_or(0, |first| u64::from(self.last.wrapping_sub(first)) + 1)
    }
}

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let (Some(legs), Some(seconds)) = (arguments.next(), arguments.next()) else {
        return Err(Error::other("usage: rtp_load LEGS SECONDS [TALKERS]"));
    };
    let mut load = Load::new(legs, arguments.next())?;
    let ports: Vec<String> = load
        .ends
        .iter()
        .map(|end| end.socket.local_addr().map(|address| address.port().to_string()))
        .collect::<Result<_, _>>()?;
    println!("{}", ports.join(" "));
    stdout().flush()?;
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    for (end, port) in load.ends.iter().zip(line.split_whitespace()) {
        end.socket.connect(format!("127.0.0.1:{port}"))?;
    }
    load.begin_ns = now_ns() + WARM_UP;
    load.run(now_ns() + WARM_UP + seconds as i64 * SECOND)?;

    let mut late: Vec<i64> = load.ends.iter().flat_map(FarEnd::lateness).collect();
    late.sort_unstable();
    let share = |part: usize| late.get(late.len() * part / 1000).map_or(0, |ns| ns / 1000);
    let expected: u64 = load.ends.iter().map(FarEnd::expected).sum();
    let fewest = load.ends.iter().map(|end| end.heard.len()).min().unwrap_or(0);
    let wrong: u64 = load.ends.iter().map(|end| end.wrong).sum();
    println!(
        "{{\"packets\": {}, \"lost\": {}, \"fewest_on_a_leg\": {fewest}, \"wrong\": {wrong}, \
         \"p50_us\": {}, \"p99_us\": {}, \"max_us\": {}}}",
        late.len(),
        expected.saturating_sub(late.len() as u64),
        share(500),
        share(990),
        late.last().map_or(0, |ns| ns / 1000),
    );
    Ok(())
}
