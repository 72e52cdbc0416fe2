//! The thread that does the handshakes' arithmetic: a millisecond of elliptic curves each, from the first
//! look at our own key on, and fifty browsers that come back at once would have every other leg of their
//! thread wait for a packet's time and more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use rustix::process::setpriority_process;
use rustix::thread::gettid;

use crate::dtls::{Failure, Identity, Progress, Session, Terms};

/// A handshake may wait for whatever else the machine does.
const NICE: i32 = 5;

/// How far a handshake is.
pub enum Stage {
    New(Terms),
    Begun(Box<Session>),
}

/// A handshake on its way to the thread, with what came for it.
pub struct Job {
    pub stage: Stage,
    pub datagrams: Vec<Vec<u8>>,
    /// Where the session goes back to; whoever waits may be gone.
    pub back: Sender<Done>,
}

/// None: it cannot go on.
pub type Done = (Option<Box<Session>>, Progress);

/// Ends with the last clone of it.
#[derive(Clone, Debug)]
pub struct Worker {
    jobs: Sender<Job>,
}

impl Worker {
    pub fn start(identity: Identity) -> std::io::Result<Self> {
        let (jobs, inbox) = channel();
        std::thread::Builder::new().name("rtp-handshakes".into()).spawn(move || run(&identity, &inbox))?;
        Ok(Self { jobs })
    }

    /// False: the thread is gone, and the job with it.
    pub fn send(&self, job: Job) -> bool {
        self.jobs.send(job).is_ok()
    }
}

fn run(identity: &Identity, inbox: &Receiver<Job>) {
    // Behind the media threads, also where the system does not let those go ahead.
    let _ = setpriority_process(Some(gettid()), NICE);
    for Job { stage, datagrams, back } in inbox {
        // What strangers send goes through a parser that is not ours: should it ever panic, one
        // call fails and not all that come after.
        let step = AssertUnwindSafe(|| {
            let now = Instant::now();
            let mut session = match stage {
                Stage::New(terms) => Box::new(Session::new(identity, &terms, now)),
                Stage::Begun(session) => session,
            };
            let progress = session.step(&datagrams, now);
            (Some(session), progress)
        });
        let failed = || (None, Progress { failure: Some(Failure::Handshake), ..Progress::default() });
        let _ = back.send(catch_unwind(step).unwrap_or_else(|_| failed()));
    }
}
