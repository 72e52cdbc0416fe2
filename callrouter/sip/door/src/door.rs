//! The sockets, and the thread that reads them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use crate::answers::Answers;
use crate::batch::Batch;
use crate::desk::{Arrival, Counts, Desk, Wishes};
use crate::keyed::Key;
use crate::socket::Socket;
use crate::waiting::Datagram;

/// How often one socket is read before the others have their turn.
const AT_ONCE: usize = 4;
/// After a look at the sockets that found something: to be woken for each datagram costs both threads
/// more than all that is done with it, most of all under a flood.
const REST: Duration = Duration::from_millis(1);
/// The same while calls are turned away: each rest that ends takes the processor from the core.
const REST_IN_FLOOD: Duration = Duration::from_millis(4);

/// Threads and sockets end with it.
pub struct Door {
    key: Key,
    shared: Arc<Shared>,
    sockets: Mutex<Vec<Arc<Socket>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    /// Readable while something waits to be taken.
    wake: OwnedFd,
    /// Readable once the thread has to end.
    stop: OwnedFd,
    began: Instant,
}

struct State {
    desk: Desk,
    /// `wake` is readable.
    is_awake: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Have `wake` say whether something waits.
    fn settle(&self, state: &mut State) {
        if state.is_awake == state.desk.is_idle() {
            state.is_awake = !state.is_awake;
            // The one fails only near 2^64, the other only where it was not readable.
            let _ = match state.is_awake {
                true => rustix::io::write(&self.wake, &1_u64.to_ne_bytes()),
                false => rustix::io::read(&self.wake, &mut [0; 8]),
            };
        }
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Door {
    pub fn new(wishes: Wishes) -> io::Result<Self> {
        let key = Key::default();
        let shared = Shared {
            state: Mutex::new(State { desk: Desk::new(key.clone(), wishes), is_awake: false }),
            wake: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
            stop: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
            began: Instant::now(),
        };
        Ok(Self { key, shared: Arc::new(shared), sockets: Mutex::default(), thread: Mutex::default() })
    }

    /// Open a socket, which others reach as `advertised`; its port.  What comes there is read from `start` on.
    pub fn bind(&self, listener: u32, host: &str, port: u16, advertised: &str) -> io::Result<u16> {
        let socket = Socket::bind(listener, host, port, advertised)?;
        let port = socket.port()?;
        self.sockets().push(Arc::new(socket));
        Ok(port)
    }

    /// Begin to read.
    pub fn start(&self) -> io::Result<()> {
        let (shared, sockets) = (self.shared.clone(), self.sockets().clone());
        let thread =
            std::thread::Builder::new().name("sip-door".into()).spawn(move || watch(&shared, &sockets))?;
        self.thread.lock().unwrap_or_else(PoisonError::into_inner).replace(thread);
        Ok(())
    }

    fn sockets(&self) -> MutexGuard<'_, Vec<Arc<Socket>>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Readable while something waits to be taken.
    pub fn descriptor(&self) -> i32 {
        self.shared.wake.as_raw_fd()
    }

    /// A tag or branch that is known as ours when it comes back.
    pub fn sign(&self, token: &str) -> String {
        self.key.sign(token)
    }

    pub fn take(&self, new_calls: usize) -> Vec<Datagram> {
        let mut state = self.shared.state();
        let taken = state.desk.take(new_calls);
        self.shared.settle(&mut state);
        taken
    }

    /// Send by the socket of `listener`.
    pub fn send(&self, listener: u32, octets: &[u8], to: SocketAddr) -> io::Result<()> {
        let sockets = self.sockets();
        let Some(socket) = sockets.iter().find(|socket| socket.listener == listener) else {
            return Err(io::Error::from(io::ErrorKind::NotConnected));
        };
        socket.send(octets, to)
    }

    /// Do not hear `host` for so long.
    pub fn ban(&self, host: IpAddr, nanoseconds: u64) {
        let until_ns = self.shared.now_ns().saturating_add(nanoseconds);
        self.shared.state().desk.ban(host, until_ns);
    }

    pub fn counts(&self) -> Counts {
        self.shared.state().desk.counts()
    }

    /// End the thread and close the sockets.
    pub fn close(&self) {
        // Fails only near 2^64.
        let _ = rustix::io::write(&self.shared.stop, &1_u64.to_ne_bytes());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It has panicked where this fails, and said so.
            let _ = thread.join();
        }
        self.sockets().clear();
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.close();
    }
}

fn watch(shared: &Shared, sockets: &[Arc<Socket>]) {
    let (mut batch, mut answers) = (Batch::default(), Answers::default());
    let mut polled: Vec<_> = sockets.iter().map(|socket| PollFd::new(&**socket, PollFlags::IN)).collect();
    polled.push(PollFd::new(&shared.stop, PollFlags::IN));
    loop {
        // Interrupted, or out of memory for a moment: asked again.
        if poll(&mut polled, None).is_err() {
            continue;
        }
        if polled.last().is_some_and(|stop| !stop.revents().is_empty()) {
            return;
        }
        let readable = sockets.iter().zip(&polled).filter(|(_, polled)| !polled.revents().is_empty());
        let rest = readable.map(|(socket, _)| read(shared, socket, &mut batch, &mut answers)).min();
        std::thread::sleep(rest.unwrap_or_default());
    }
}

/// For how long nobody need look at the socket again.
fn read(shared: &Shared, socket: &Socket, batch: &mut Batch, answers: &mut Answers) -> Duration {
    let mut rest = REST;
    for _ in 0..AT_ONCE {
        let is_more_there = batch.fill(socket);
        look_at(shared, socket.listener, batch, answers);
        if !answers.is_empty() {
            answers.send(socket);
            rest = REST_IN_FLOOD;
        }
        if !is_more_there {
            return rest;
        }
    }
    Duration::ZERO
}

fn look_at(shared: &Shared, listener: u32, batch: &Batch, answers: &mut Answers) {
    let mut state = shared.state();
    let now_ns = shared.now_ns();
    for (octets, source) in batch.datagrams() {
        if let Some(answer) = state.desk.receive(Arrival { octets, source, listener }, now_ns) {
            answers.push(&answer);
        }
    }
    shared.settle(&mut state);
}
