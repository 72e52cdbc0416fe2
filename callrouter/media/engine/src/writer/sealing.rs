//! Threads that make finished recordings durable: that takes as long as the disk likes, and nobody
//! who is still recorded waits for it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::event::{Event, EventSender, LegId};
use crate::writer::Ending;
use crate::writer::file::Recording;

/// Recordings that are made durable at a time: the disk does several at once as fast as one.
const THREADS: usize = 4;

enum Job {
    Seal(Recording, Ending),
    Tell(Event),
}

/// What is told of a leg is told in order, as each leg has a thread of its own.
pub struct Sealers {
    threads: Vec<(Sender<Job>, JoinHandle<()>)>,
}

impl Sealers {
    pub fn start(events: &EventSender) -> std::io::Result<Self> {
        let start = |number: usize| {
            let (jobs, queue) = channel();
            let events = events.clone();
            let builder = std::thread::Builder::new().name(format!("media-sealer-{number}"));
            Ok((jobs, builder.spawn(move || work(&queue, &events))?))
        };
        Ok(Self { threads: (0..THREADS).map(start).collect::<std::io::Result<_>>()? })
    }

    /// Make a recording whole and durable, and tell of it.
    pub fn seal(&self, recording: Recording, ending: Ending) {
        self.send(recording.leg, Job::Seal(recording, ending));
    }

    /// Tell `event` after everything that was handed over before it of the same leg.
    pub fn tell(&self, event: Event) {
        self.send(event.leg, Job::Tell(event));
    }

    fn send(&self, leg: LegId, job: Job) {
        let (jobs, _) = &self.threads[leg.0 as usize % self.threads.len()];
        // It ends when `finish` lets go of the sender.
        let _ = jobs.send(job);
    }

    /// Wait for everything that was handed over.
    pub fn finish(self) {
        let (jobs, handles): (Vec<_>, Vec<_>) = self.threads.into_iter().unzip();
        drop(jobs);
        for handle in handles {
            // A thread that panicked has said so on standard error.
            let _ = handle.join();
        }
    }
}

fn work(queue: &Receiver<Job>, events: &EventSender) {
    for job in queue {
        let event = match job {
            Job::Seal(recording, ending) => recording.complete(ending),
            Job::Tell(event) => event,
        };
        events.send(event.leg, event.at_ns, event.told);
    }
}
