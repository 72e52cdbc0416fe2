//! The engine as its user sees it: legs, commands in atomic batches, one queue of events.

mod directory;

use std::io::Error;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::rand::{GetRandomFlags, getrandom};

use crate::arrival;
use crate::command::{Action, Command};
use crate::counters::{Counters, Totals};
use crate::dtls::{Identity, Worker};
use crate::event::{Event, EventReceiver, EventSender, LegId, events};
use crate::leg::{Leg, Policy};
use crate::ports::Ports;
use crate::shard::{Order, Shard};
use crate::tap::Taps;
use crate::unread::LineId;
use crate::writer::Writer;
use directory::{Directory, Thread};

#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses to bind, of either family at most one each.
    pub addresses: Vec<IpAddr>,
    pub ports: Range<u16>,
    pub threads: usize,
    pub quarantine_ns: i64,
    pub rtp_timeout_ns: i64,
    pub report_interval_ns: i64,
    /// What browsers are shown; None: no leg speaks to one.
    pub identity: Option<Identity>,
}

/// Of all legs there have been.
#[derive(Debug)]
pub struct Sums {
    pub counts: [u64; Counters::NAMES.len()],
    /// Legs that live, and those of them that decode or encode.
    pub legs: u64,
    pub transcoding: u64,
    /// Thousandths of its time that each thread is busy.
    pub loads: Vec<u64>,
}

pub struct Engine {
    receiver: EventReceiver,
    policy: Arc<Policy>,
    directory: Mutex<Directory>,
    totals: Vec<Arc<Totals>>,
    pub taps: Taps,
}

impl Engine {
    pub fn start(config: &Config) -> Result<Self, Error> {
        arrival::begin();
        let (events, receiver) = events()?;
        let (writer, handle) = Writer::start(events.clone())?;
        let threads = (0..config.threads.max(1))
            .map(|number| start_thread(number, &events, &writer))
            .collect::<Result<Vec<_>, Error>>()?;
        let mut pools = vec![];
        for &address in &config.addresses {
            let start = u16::from_ne_bytes(random::<2>()?);
            pools.push(Ports::new(address, config.ports.clone(), config.quarantine_ns, usize::from(start)));
        }
        let handshakes = config.identity.clone().map(Worker::start).transpose()?;
        Ok(Self {
            receiver,
            policy: Arc::new(Policy {
                rtp_timeout_ns: config.rtp_timeout_ns,
                report_interval_ns: config.report_interval_ns,
                handshakes,
            }),
            taps: Taps::default(),
            totals: threads.iter().map(|thread| thread.totals.clone()).collect(),
            directory: Mutex::new(Directory::new(threads, handle, pools)),
        })
    }

    pub fn events(&self) -> &EventReceiver {
        &self.receiver
    }

    /// Bind the next pair of ports; the leg and its RTP port.
    pub fn open(&self, is_v6: bool) -> Result<(LegId, u16), Error> {
        let random = random()?;
        let mut directory = self.lock();
        let ports = directory.ports(is_v6)?;
        let port = ports.port;
        let Some((id, thread)) = directory.enlist(is_v6) else {
            return Err(Error::other("the engine has been stopped"));
        };
        let leg = Box::new(Leg::new(id, ports, self.policy.clone(), random));
        directory.order(thread, Order::Adopt(leg));
        Ok((id, port))
    }

    /// Bind another pair of ports for a leg, for media that is passed on unread; the line and its
    /// first port.
    pub fn open_line(&self, leg: LegId) -> Result<(LineId, u16), Error> {
        let mut directory = self.lock();
        let Some(is_v6) = directory.is_v6(leg) else {
            return Err(Error::other("the leg has been closed"));
        };
        let ports = directory.ports(is_v6)?;
        let port = ports.port;
        directory.lines += 1;
        let line = LineId(directory.lines);
        directory.submit(vec![Command { leg, action: Action::OpenLine { line, ports } }]);
        Ok((line, port))
    }

    /// Carry out `commands` in one step on one thread; those of closed legs are dropped.
    pub fn submit(&self, commands: Vec<Command>) {
        self.lock().submit(commands);
    }

    /// A number for a recording, unique over the engine's life.
    pub fn recording_id(&self) -> u64 {
        let mut directory = self.lock();
        directory.recordings += 1;
        directory.recordings
    }

    /// Sums over all threads.
    pub fn totals(&self) -> Sums {
        let mut counts = [0; Counters::NAMES.len()];
        for totals in &self.totals {
            counts.iter_mut().zip(totals.read()).for_each(|(sum, value)| *sum += value);
        }
        Sums {
            counts,
            legs: self.totals.iter().map(|totals| totals.legs()).sum(),
            transcoding: self.totals.iter().map(|totals| totals.transcoding()).sum(),
            loads: self.totals.iter().map(|totals| totals.load()).collect(),
        }
    }

    /// Close every leg, finish every recording, end the threads; the events that are left.
    pub fn stop(&self) -> Vec<Event> {
        let (threads, writers) = self.lock().dissolve();
        let mut handles = vec![];
        for thread in threads {
            // A thread that is gone needs no telling.
            let _ = thread.orders.send(Order::Stop);
            handles.push(thread.handle);
        }
        // The writers end when the media threads, their only users, have.
        for handle in handles.into_iter().chain(writers) {
            // A thread that panicked has said so on standard error.
            let _ = handle.join();
        }
        self.receiver.take()
    }

    fn lock(&self) -> MutexGuard<'_, Directory> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start_thread(number: usize, events: &EventSender, writer: &Writer) -> Result<Thread, Error> {
    let (orders, inbox) = channel();
    let totals = Arc::new(Totals::default());
    let shard = Shard::new(inbox, events.clone(), writer.clone(), totals.clone())?;
    let handle = std::thread::Builder::new().name(format!("media-{number}")).spawn(move || shard.run())?;
    Ok(Thread { orders, totals, handle, weight: 0 })
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(bytes)
}
