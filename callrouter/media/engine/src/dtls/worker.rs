//! The thread that does the handshakes' arithmetic: half a millisecond of elliptic curves each, and
//! fifty browsers that come back at once would have every other leg of their thread wait for a
//! packet's time and more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use crate::dtls::{Failure, Progress, Session};

/// A session on its way to the thread, with what came for it.
pub struct Job {
    pub session: Box<Session>,
    pub datagrams: Vec<Vec<u8>>,
    /// Where the session goes back to; whoever waits may be gone.
    pub back: Sender<Done>,
}

pub type Done = (Box<Session>, Progress);

/// Ends with the last clone of it.
#[derive(Clone, Debug)]
pub struct Worker {
    jobs: Sender<Job>,
}

impl Worker {
    pub fn start() -> std::io::Result<Self> {
        let (jobs, inbox) = channel();
        std::thread::Builder::new().name("rtp-handshakes".into()).spawn(move || run(&inbox))?;
        Ok(Self { jobs })
    }

    /// False: the thread is gone, and the job with it.
    pub fn send(&self, job: Job) -> bool {
        self.jobs.send(job).is_ok()
    }
}

fn run(inbox: &Receiver<Job>) {
    for Job { mut session, datagrams, back } in inbox {
        // What strangers send goes through a parser that is not ours: should it ever panic, one
        // call fails and not all that come after.
        let step = AssertUnwindSafe(|| session.step(&datagrams, Instant::now()));
        let progress = catch_unwind(step)
            .unwrap_or_else(|_| Progress { failure: Some(Failure::Handshake), ..Progress::default() });
        let _ = back.send((session, progress));
    }
}
