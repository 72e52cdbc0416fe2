//! The threads that write recordings.  Media threads hand them blocks of samples and never wait:
//! a disk that cannot keep up, or fails, ends its recording and nothing else.

mod file;
mod sealing;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::event::{Event, EventSender, LegId, RecordingEnd};
use file::Recording;
use sealing::Sealers;

/// Samples that may wait for the disk: ten seconds of one channel.
const MAX_BACKLOG: usize = 80_000;

/// What a recording's media thread and its writer know of each other.
#[derive(Debug, Default)]
pub struct Shared {
    /// Samples handed over and not yet written.
    backlog: AtomicUsize,
    /// The writer has given up and said so.
    failed: AtomicBool,
}

/// Why and when a recording ended, as its media thread sees it.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    pub at_ns: i64,
    pub reason: RecordingEnd,
    pub key: Option<char>,
    /// Frames (one sample of each channel) to keep, the rest being silence to trim.
    pub keep: Option<u64>,
}

enum Job {
    Open { id: u64, leg: LegId, token: u64, path: PathBuf, channels: u16, shared: Arc<Shared> },
    Samples { id: u64, block: Vec<i16> },
    End { id: u64, ending: Ending },
    Tell(Event),
}

/// The media threads' end.
#[derive(Clone)]
pub struct Writer {
    jobs: Sender<Job>,
}

/// A recording as its media thread holds it.
#[derive(Debug)]
pub struct Sink {
    id: u64,
    shared: Arc<Shared>,
}

impl Sink {
    /// The writer gave up: `RecordingEnded` has been told already.
    pub fn has_failed(&self) -> bool {
        self.shared.failed.load(Ordering::Relaxed)
    }
}

impl Writer {
    pub fn start(events: EventSender) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (jobs, queue) = channel();
        let sealers = Sealers::start(&events)?;
        let thread =
            std::thread::Builder::new().name("media-writer".into()).spawn(move || work(&queue, sealers))?;
        Ok((Self { jobs }, thread))
    }

    /// `id` is to be unique over all recordings.
    pub fn open(&self, id: u64, leg: LegId, token: u64, path: PathBuf, channels: u16) -> Sink {
        let shared = Arc::new(Shared::default());
        self.send(Job::Open { id, leg, token, path, channels, shared: shared.clone() });
        Sink { id, shared }
    }

    /// False when the disk is so far behind that the block was not taken.
    pub fn samples(&self, sink: &Sink, block: Vec<i16>) -> bool {
        let backlog = &sink.shared.backlog;
        if backlog.load(Ordering::Relaxed) + block.len() > MAX_BACKLOG {
            return false;
        }
        backlog.fetch_add(block.len(), Ordering::Relaxed);
        self.send(Job::Samples { id: sink.id, block });
        true
    }

    pub fn end(&self, sink: &Sink, ending: Ending) {
        self.send(Job::End { id: sink.id, ending });
    }

    /// Tell `event` after everything that was handed over before it.
    pub fn tell(&self, event: Event) {
        self.send(Job::Tell(event));
    }

    fn send(&self, job: Job) {
        // The writer outlives the media threads; it ends when the last sender is gone.
        let _ = self.jobs.send(job);
    }
}

fn work(queue: &Receiver<Job>, sealers: Sealers) {
    let mut files: HashMap<u64, Recording> = HashMap::new();
    for job in queue {
        match job {
            Job::Open { id, leg, token, path, channels, shared } => {
                match Recording::create(leg, token, path, channels, shared) {
                    Ok(recording) => drop(files.insert(id, recording)),
                    Err(failed) => sealers.tell(failed),
                }
            }
            Job::Samples { id, block } => {
                let written = files.get_mut(&id).map(|recording| recording.write(&block));
                if let Some(Err(error)) = written
                    && let Some(recording) = files.remove(&id)
                {
                    sealers.tell(recording.fail(&error));
                }
            }
            Job::End { id, ending } => {
                if let Some(recording) = files.remove(&id) {
                    sealers.seal(recording, ending);
                }
            }
            Job::Tell(event) => sealers.tell(event),
        }
    }
    sealers.finish();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventReceiver, Told, events};
    use crate::wav;
    use file::partial_name;
    use std::fs::remove_file;
    use std::time::{Duration, Instant};

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("callrouter-writer-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    fn next(receiver: &EventReceiver, count: usize) -> Vec<Told> {
        let (mut told, begun) = (vec![], Instant::now());
        while told.len() < count && begun.elapsed() < Duration::from_secs(10) {
            told.extend(receiver.take().into_iter().map(|event| event.told));
            std::thread::sleep(Duration::from_millis(2));
        }
        told
    }

    fn ending(keep: Option<u64>) -> Ending {
        Ending { at_ns: 5, reason: RecordingEnd::Stopped, key: None, keep }
    }

    #[test]
    fn a_recording_appears_complete_under_its_name_before_it_is_told() {
        let path = folder("whole").join("one.wav");
        let (sender, receiver) = events().expect("an eventfd");
        let (writer, _) = Writer::start(sender).expect("a thread");
        let sink = writer.open(1, LegId(1), 9, path.clone(), 2);
        assert!(writer.samples(&sink, vec![1, -2, 3, -4]));
        assert!(writer.samples(&sink, vec![5; 3196]));
        writer.end(&sink, ending(None));
        let told = next(&receiver, 1);
        assert_eq!(told.len(), 1);
        assert!(matches!(
            &told[0],
            Told::RecordingEnded {
                token: 9,
                reason: RecordingEnd::Stopped,
                duration_ms: 200,
                size_bytes: 6444,
                ..
            }
        ));
        let bytes = std::fs::read(&path).expect("the file is there");
        assert_eq!(bytes[..44], wav::header(2, 6400));
        assert_eq!(bytes[44..52], [1, 0, 0xFE, 0xFF, 3, 0, 0xFC, 0xFF]);
        assert!(!partial_name(&path).exists());
    }

    #[test]
    fn trailing_silence_is_cut_off() {
        let path = folder("trim").join("one.wav");
        let (sender, receiver) = events().expect("an eventfd");
        let (writer, _) = Writer::start(sender).expect("a thread");
        let sink = writer.open(1, LegId(1), 9, path.clone(), 1);
        writer.samples(&sink, vec![7; 1600]);
        writer.end(&sink, ending(Some(800)));
        assert!(matches!(
            next(&receiver, 1)[..],
            [Told::RecordingEnded { duration_ms: 100, size_bytes: 1644, .. }]
        ));
        assert_eq!(std::fs::read(&path).map(|bytes| bytes.len()).ok(), Some(1644));
    }

    #[test]
    fn a_folder_that_is_not_there_is_made() {
        let above = folder("made");
        let path = above.join("account").join("one.wav");
        let (sender, receiver) = events().expect("an eventfd");
        let (writer, _) = Writer::start(sender).expect("a thread");
        let sink = writer.open(1, LegId(1), 9, path.clone(), 1);
        writer.samples(&sink, vec![7; 160]);
        writer.end(&sink, ending(None));
        assert!(matches!(next(&receiver, 1)[..], [Told::RecordingEnded { size_bytes: 364, .. }]));
        assert!(path.exists());
        std::fs::remove_dir_all(above).expect("it is ours");
    }

    #[test]
    fn a_folder_that_cannot_be_made_fails_the_recording_once() {
        let file = folder("missing").join("file");
        std::fs::write(&file, "no folder").expect("a file");
        let path = file.join("nowhere").join("one.wav");
        let (sender, receiver) = events().expect("an eventfd");
        let (writer, _) = Writer::start(sender).expect("a thread");
        let sink = writer.open(1, LegId(1), 9, path, 1);
        writer.samples(&sink, vec![7; 160]);
        writer.end(&sink, ending(None));
        writer.tell(Event { leg: LegId(1), at_ns: 6, told: Told::AudioStarted });
        let told = next(&receiver, 2);
        assert!(
            matches!(&told[0], Told::RecordingEnded { reason: RecordingEnd::Failed, error, .. } if !error.is_empty())
        );
        assert_eq!(told[1..], [Told::AudioStarted]);
        assert!(sink.has_failed());
    }

    #[test]
    fn a_full_disk_fails_the_recording_and_leaves_nothing_behind() {
        // /dev/full takes no byte; the partial name is made to lead there.
        let path = folder("full").join("one.wav");
        let partial = partial_name(&path);
        let _ = remove_file(&partial);
        std::os::unix::fs::symlink("/dev/full", &partial).expect("a link");
        let (sender, receiver) = events().expect("an eventfd");
        let (writer, _) = Writer::start(sender).expect("a thread");
        let sink = writer.open(1, LegId(1), 9, path.clone(), 1);
        writer.end(&sink, ending(None));
        let told = next(&receiver, 1);
        assert!(
            matches!(&told[0], Told::RecordingEnded { reason: RecordingEnd::Failed, error, .. } if error.contains("one.wav"))
        );
        assert!(!path.exists() && !partial.is_symlink());
    }

    #[test]
    fn a_backlog_without_end_is_refused() {
        let (jobs, _queue) = channel();
        let writer = Writer { jobs };
        let sink = writer.open(1, LegId(1), 9, "x".into(), 1);
        assert!((0..10).all(|_| writer.samples(&sink, vec![0; 8000])));
        assert!(!writer.samples(&sink, vec![0; 1]));
    }

    #[test]
    fn what_is_told_of_a_leg_comes_after_its_recordings_whoever_else_has_to_wait() {
        let place = folder("many");
        let (sender, receiver) = events().expect("an eventfd");
        let (writer, handle) = Writer::start(sender).expect("a thread");
        for id in 0..40 {
            let sink = writer.open(id, LegId(id / 2), id, place.join(format!("{id}.wav")), 1);
            writer.samples(&sink, vec![1; 1600]);
            writer.end(&sink, ending(None));
            if id % 2 == 1 {
                writer.tell(Event { leg: LegId(id / 2), at_ns: 6, told: Told::AudioStarted });
            }
        }
        drop(writer);
        handle.join().expect("it ends with all that was handed over");
        let told = receiver.take();
        assert_eq!(told.len(), 60);
        for leg in 0..20 {
            let of_leg: Vec<_> = told.iter().filter(|event| event.leg == LegId(leg)).collect();
            let tokens = of_leg.iter().filter_map(|event| match event.told {
                Told::RecordingEnded { token, .. } => Some(token),
                _ => None,
            });
            assert_eq!(tokens.collect::<Vec<_>>(), [2 * leg, 2 * leg + 1]);
            assert_eq!(of_leg[2].told, Told::AudioStarted);
        }
        std::fs::remove_dir_all(place).expect("it is ours");
    }
}
