//! The far ends of many legs, for benchmarks: sends 50 RTP packets a second on each, measures what
//! comes back from outside the server's process, and compares it with what should.
//!
//!     rtp_load LEGS SECONDS TALKERS CHECK [FAR]   (then one line on standard input, see below)
//!
//! The first TALKERS legs are loud and the others silent.  CHECK says what every leg has to hear:
//! the name of a file of µ-law words, over and over from anywhere in it; `partner`: to the octet
//! what the leg beside it says, each packet once and in order; `sound`: anything but silence;
//! `nothing` is checked.
//!
//! FAR says what the far ends are: `plain` by default, or browsers' with `pcmu` or `opus`.  The line on standard
//! input has LEGS server ports, behind the SHA-256 of the server's certificate in hexadecimal where
//! browsers' need it.  With `opus`, CHECK is `coded`.
//!
//! Prints its own ports first, `ready` when browsers' have their keys and, at the end, one line of
//! JSON.

mod content;
mod far_end;
mod page;

use std::collections::BTreeMap;
use std::io::{Error, Write, stdin, stdout};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use _engine::clock::{MILLISECOND, SECOND, now_ns};
use rustix::event::{Timespec, epoll};
use rustix::process::setpriority_process;

use content::{Check, coded_words};
use far_end::FarEnd;
use page::Page;

const TICK: i64 = 20 * MILLISECOND;
const SLOTS: usize = 20;
const NICE: i32 = -10;
/// Packets of the first second are not judged.
const WARM_UP: i64 = SECOND;
/// No key is begun that might not come to its end.
const LAST_WORDS: i64 = SECOND / 2;
/// Packets of Opus that are made, to be said over and over.
const CODED: u32 = 500;
/// Handshakes of all legs together may take so long.
const PATIENCE: i64 = 20 * SECOND;

struct Load {
    ends: Vec<FarEnd>,
    watch: OwnedFd,
    begin_ns: i64,
}

impl Load {
    fn new(legs: usize, talkers: usize, check: &Check) -> Result<Self, Error> {
        let watch = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut ends = vec![];
        for number in 0..legs {
            let end = FarEnd::new(number as u32, number < talkers, check.clone())?;
            let data = epoll::EventData::new_u64(number as u64);
            epoll::add(&watch, &end.socket, data, epoll::EventFlags::IN)?;
            ends.push(end);
        }
        Ok(Self { ends, watch, begin_ns: 0 })
    }

    /// Have every far end be a browser's that is through with its handshake; how long that took.
    fn become_pages(&mut self, digest: &[u8]) -> Result<i64, Error> {
        let (identity, begun) = (page::identity()?, now_ns());
        for end in &mut self.ends {
            end.page = Some(Page::new(&identity, digest)?);
        }
        let mut waiting = self.ends.len();
        while waiting > 0 {
            waiting = 0;
            for end in &mut self.ends {
                let Some(page) = &mut end.page else { continue };
                waiting += usize::from(page.protection.is_none() && !page.connect(&end.socket)?);
            }
            std::thread::sleep(Duration::from_millis(1));
            if now_ns() - begun > PATIENCE {
                return Err(Error::other(format!("{waiting} legs without keys")));
            }
        }
        Ok(now_ns() - begun)
    }

    fn run(&mut self, until_ns: i64) -> Result<(), Error> {
        let step = TICK / SLOTS as i64;
        let mut slot = now_ns() / step;
        while now_ns() < until_ns {
            let phase = slot as usize % SLOTS;
            let may_press = now_ns() < until_ns - LAST_WORDS;
            let due_ns = slot * step;
            self.ends
                .iter_mut()
                .skip(phase)
                .step_by(SLOTS)
                .try_for_each(|end| end.send(due_ns, may_press))?;
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

    fn print(&self, handshakes_ns: i64) {
        let sum = |figure: fn(&FarEnd) -> u64| self.ends.iter().map(figure).sum::<u64>();
        let mut late: BTreeMap<i64, u64> = BTreeMap::new();
        for (ns, count) in self.ends.iter().flat_map(FarEnd::lateness) {
            *late.entry(ns).or_default() += count;
        }
        let packets = sum(|end| end.heard);
        let share = |part: u64| {
            let mut passed = 0;
            let reached = late.iter().find(|(_, count)| {
                passed += **count;
                passed * 1000 > packets * part
            });
            reached.or(late.last_key_value()).map_or(0, |(ns, _)| ns / 1000)
        };
        println!(
            "{{\"packets\": {}, \"lost\": {}, \"fewest_on_a_leg\": {}, \"checked\": {}, \"wrong\": {}, \
             \"made_up\": {}, \"left_out\": {}, \"overdue\": {}, \"keys\": {}, \"p50_us\": {}, \"p99_us\": {}, \"max_us\": {}, \"handshakes_ms\": {}}}",
            packets,
            sum(FarEnd::expected).saturating_sub(packets),
            self.ends.iter().map(|end| end.heard).min().unwrap_or(0),
            sum(|end| end.listener.checked),
            sum(|end| end.listener.wrong),
            sum(|end| end.listener.made_up),
            sum(|end| end.listener.left_out),
            sum(|end| end.overdue),
            sum(|end| end.keys),
            share(500),
            share(990),
            share(1000),
            handshakes_ns / MILLISECOND,
        );
    }
}

fn octets(text: &str) -> Result<Vec<u8>, Error> {
    let pairs = text.as_bytes().chunks(2).map(|pair| {
        let digits = std::str::from_utf8(pair).unwrap_or_default();
        u8::from_str_radix(digits, 16).map_err(|_| Error::other(format!("no digest: {text}")))
    });
    pairs.collect()
}

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [legs, seconds, talkers, check, far @ ..] = &arguments[..] else {
        return Err(Error::other("usage: rtp_load LEGS SECONDS TALKERS CHECK [FAR]"));
    };
    let far = far.first().map_or("plain", String::as_str);
    let number =
        |text: &String| text.parse::<usize>().map_err(|_| Error::other(format!("no number: {text}")));
    let check = match check.as_str() {
        "partner" => Check::Partner,
        "sound" => Check::Sound,
        "coded" => Check::Coded,
        "nothing" => Check::Nothing,
        file => Check::Prompt(Arc::new(std::fs::read(file)?)),
    };
    let mut load = Load::new(number(legs)?, number(talkers)?, &check)?;
    let ports: Vec<String> = load
        .ends
        .iter()
        .map(|end| end.socket.local_addr().map(|address| address.port().to_string()))
        .collect::<Result<_, _>>()?;
    println!("{}", ports.join(" "));
    stdout().flush()?;
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let digest = if far == "plain" { vec![] } else { octets(words.next().unwrap_or_default())? };
    for (end, port) in load.ends.iter().zip(words) {
        end.socket.connect(format!("127.0.0.1:{port}"))?;
    }
    if far == "opus" {
        let words = Arc::new(coded_words(CODED));
        load.ends.iter_mut().for_each(|end| end.words = words.clone());
    }
    let mut handshakes_ns = 0;
    if far != "plain" {
        handshakes_ns = load.become_pages(&digest)?;
        println!("ready");
        stdout().flush()?;
    }
    // Lateness is to be the server's: ours is kept from it where the system permits.
    let _ = setpriority_process(None, NICE);
    load.begin_ns = now_ns() + WARM_UP;
    load.run(now_ns() + WARM_UP + number(seconds)? as i64 * SECOND)?;
    load.print(handshakes_ns);
    Ok(())
}
