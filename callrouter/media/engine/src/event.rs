//! What the engine tells its user: an ordered queue that loses nothing, and one file descriptor
//! that becomes readable when there is something in it.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use rustix::event::{EventfdFlags, eventfd};

use crate::answering::Answer;
use crate::counters::Counters;
use crate::dtls::Failure;
use crate::srtp::Suite;
use crate::tap;

/// Slot number and generation of a leg in one integer; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlayEnd {
    Finished,
    Stopped,
    Digit,
    Replaced,
    Closed,
}

/// Why a browser's audio does not flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsecured {
    ByHandshake(Failure),
    /// It has not asked to be sent to for too long (RFC 7675).
    ByConsent,
    /// It has closed the connection (close_notify, RFC 5246 §7.2.1).
    ByLeave,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingEnd {
    Stopped,
    Silence,
    Digit,
    MaxLength,
    MaxSize,
    Closed,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    PlayEnded {
        token: u64,
        reason: PlayEnd,
        key: Option<char>,
        played_ms: u64,
    },
    /// A key went down; `DigitReceived` follows when it is let go.
    DigitBegan {
        key: char,
    },
    DigitReceived {
        key: char,
        duration_ms: u32,
    },
    DigitsSent {
        token: u64,
    },
    RecordingEnded {
        token: u64,
        reason: RecordingEnd,
        key: Option<char>,
        duration_ms: u64,
        size_bytes: u64,
        error: String,
    },
    AudioStarted,
    /// The handshake with a browser gave the keys of a suite.
    Secured {
        suite: Suite,
    },
    /// There will be no audio with a browser, or no more.
    NotSecured {
        why: Unsecured,
    },
    VoiceStarted {
        silent_ms: u64,
    },
    VoiceStopped {
        spoke_ms: u64,
    },
    /// The leg is the one that speaks in its room.
    SpeakerChanged {
        room: u64,
    },
    AnswerDetected {
        token: u64,
        answer: Answer,
        after_ms: u32,
    },
    MarkReached {
        token: u64,
        mark: u64,
        /// The audio before it was thrown away.
        cleared: bool,
    },
    /// Nothing comes after what still waits in it.
    TapEnded {
        tap: Arc<tap::Shared>,
    },
    AudioLost {
        silent_ms: u64,
    },
    LegClosed {
        counters: Box<Counters>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub leg: LegId,
    pub at_ns: i64,
    pub told: Told,
}

struct Signal {
    descriptor: OwnedFd,
    /// Set while the descriptor has been made readable and not been drained.
    raised: AtomicBool,
}

/// The end that media and writer threads hold.  Sending never blocks.
#[derive(Clone)]
pub struct EventSender {
    queue: Sender<Event>,
    signal: Arc<Signal>,
}

impl EventSender {
    pub fn send(&self, leg: LegId, at_ns: i64, told: Told) {
        // The receiver lives as long as the engine: a send can fail only while that is torn down.
        if self.queue.send(Event { leg, at_ns, told }).is_ok() {
            self.raise();
        }
    }

    /// Tell of marks that went with the audio ahead of them.
    pub fn send_cleared(&self, leg: LegId, at_ns: i64, token: u64, marks: Vec<u64>) {
        for mark in marks {
            self.send(leg, at_ns, Told::MarkReached { token, mark, cleared: true });
        }
    }

    /// Wake whoever takes events, for something that waits elsewhere.
    pub fn raise(&self) {
        if !self.signal.raised.swap(true, Ordering::AcqRel) {
            // Adding 1 to an eventfd fails only near 2^64.
            let _ = rustix::io::write(&self.signal.descriptor, &1u64.to_ne_bytes());
        }
    }
}

/// The end of the engine's user.
pub struct EventReceiver {
    queue: Mutex<Receiver<Event>>,
    signal: Arc<Signal>,
}

impl EventReceiver {
    pub fn descriptor(&self) -> RawFd {
        self.signal.descriptor.as_raw_fd()
    }

    /// Everything that has happened since the last call.
    pub fn take(&self) -> Vec<Event> {
        let mut count = [0; 8];
        // Not readable: somebody took the events already.
        let _ = rustix::io::read(&self.signal.descriptor, &mut count);
        // Lowered before the queue is read: an event sent from here on raises it again.
        self.signal.raised.store(false, Ordering::Release);
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).try_iter().collect()
    }
}

pub fn events() -> std::io::Result<(EventSender, EventReceiver)> {
    let descriptor = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
    let signal = Arc::new(Signal { descriptor, raised: AtomicBool::new(false) });
    let (sender, receiver) = channel();
    Ok((
        EventSender { queue: sender, signal: signal.clone() },
        EventReceiver { queue: Mutex::new(receiver), signal },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    fn is_readable(receiver: &EventReceiver) -> bool {
        let mut descriptors = [PollFd::new(&receiver.signal.descriptor, PollFlags::IN)];
        poll(&mut descriptors, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) == Ok(1)
    }

    #[test]
    fn the_descriptor_is_readable_exactly_while_events_wait() {
        let (sender, receiver) = events().expect("an eventfd");
        assert!(!is_readable(&receiver));
        for round in 0..3u64 {
            sender.send(LegId(1), 0, Told::DigitsSent { token: round });
            sender.send(LegId(1), 0, Told::AudioStarted);
            assert!(is_readable(&receiver));
            let told: Vec<Told> = receiver.take().into_iter().map(|event| event.told).collect();
            assert_eq!(told, [Told::DigitsSent { token: round }, Told::AudioStarted]);
            assert!(!is_readable(&receiver));
        }
    }

    #[test]
    fn events_of_many_threads_are_all_received_in_each_senders_order() {
        let (sender, receiver) = events().expect("an eventfd");
        let threads: Vec<_> = (0..4)
            .map(|leg| {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    (0..5000).for_each(|token| sender.send(LegId(leg), 0, Told::DigitsSent { token }));
                })
            })
            .collect();
        let mut next = [0u64; 4];
        while next.iter().any(|&n| n < 5000) {
            for event in receiver.take() {
                assert_eq!(event.told, Told::DigitsSent { token: next[event.leg.0 as usize] });
                next[event.leg.0 as usize] += 1;
            }
        }
        threads.into_iter().for_each(|thread| thread.join().expect("a sender finishes"));
    }
}
