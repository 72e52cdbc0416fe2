//! The far ends of many legs, for benchmarks: sends 50 RTP packets a second on each, measures what
//! comes back from outside the server's process, and compares it with what should.
//!
//!     rtp_load LEGS SECONDS TALKERS CHECK   (then one line with LEGS server ports on standard input)
//!
//! The first TALKERS legs are loud and the others silent.  CHECK says what every leg has to hear:
//! the name of a file of µ-law words, over and over from anywhere in it; `partner`: to the octet
//! what the leg beside it says, each packet once and in order; `sound`: anything but silence;
//! `nothing` is checked.
//!
//! Prints its own ports first and, at the end, one line of JSON.

mod content;
mod far_end;

use std::collections::BTreeMap;
use std::io::{Error, Write, stdin, stdout};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use _engine::clock::{MILLISECOND, SECOND, now_ns};
use rustix::event::{Timespec, epoll};
use rustix::process::setpriority_process;

use content::Check;
use far_end::FarEnd;

const TICK: i64 = 20 * MILLISECOND;
const SLOTS: usize = 20;
const NICE: i32 = -10;
/// Packets of the first second are not judged.
const WARM_UP: i64 = SECOND;
/// No key is begun that might not come to its end.
const LAST_WORDS: i64 = SECOND / 2;

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

    fn print(&self) {
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
             \"made_up\": {}, \"left_out\": {}, \"overdue\": {}, \"keys\": {}, \"p50_us\": {}, \"p99_us\": {}, \"max_us\": {}}}",
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
        );
    }
}

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [legs, seconds, talkers, check] = &arguments[..] else {
        return Err(Error::other("usage: rtp_load LEGS SECONDS TALKERS CHECK"));
    };
    let number =
        |text: &String| text.parse::<usize>().map_err(|_| Error::other(format!("no number: {text}")));
    let check = match check.as_str() {
        "partner" => Check::Partner,
        "sound" => Check::Sound,
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
    for (end, port) in load.ends.iter().zip(line.split_whitespace()) {
        end.socket.connect(format!("127.0.0.1:{port}"))?;
    }
    // Lateness is to be the server's: ours is kept from it where the system permits.
    let _ = setpriority_process(None, NICE);
    load.begin_ns = now_ns() + WARM_UP;
    load.run(now_ns() + WARM_UP + number(seconds)? as i64 * SECOND)?;
    load.print();
    Ok(())
}
