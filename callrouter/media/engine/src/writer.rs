//! The threads that write recordings.  Media threads hand them blocks of samples and never wait:
//! a disk that cannot keep up, or fails, ends its recording and nothing else.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, remove_file, rename};
use std::io::{Error, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use crate::event::{Event, EventSender, LegId, RecordingEnd, Told};
use crate::wav;

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
        let thread =
            std::thread::Builder::new().name("media-writer".into()).spawn(move || work(&queue, &events))?;
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

fn work(queue: &Receiver<Job>, events: &EventSender) {
    let mut files: HashMap<u64, Recording> = HashMap::new();
    for job in queue {
        match job {
            Job::Open { id, leg, token, path, channels, shared } => {
                let opened = Recording::create(leg, token, path, channels, shared);
                match opened {
                    Ok(recording) => drop(files.insert(id, recording)),
                    Err(failed) => failed.tell(events),
                }
            }
            Job::Samples { id, block } => {
                let written = files.get_mut(&id).map(|recording| recording.write(&block));
                if let (Some(Err(error)), Some(recording)) = (written, files.get(&id)) {
                    recording.fail(&error).tell(events);
                    files.remove(&id);
                }
            }
            Job::End { id, ending } => {
                if let Some(recording) = files.remove(&id) {
                    recording.complete(ending, events);
                }
            }
            Job::Tell(event) => events.send(event.leg, event.at_ns, event.told),
        }
    }
}

struct Failure {
    leg: LegId,
    token: u64,
    error: String,
}

impl Failure {
    fn tell(self, events: &EventSender) {
        let told = Told::RecordingEnded {
            token: self.token,
            reason: RecordingEnd::Failed,
            key: None,
            duration_ms: 0,
            size_bytes: 0,
            error: self.error,
        };
        events.send(self.leg, crate::clock::now_ns(), told);
    }
}

/// A recording being written, under a temporary name beside its own.
struct Recording {
    leg: LegId,
    token: u64,
    path: PathBuf,
    partial: PathBuf,
    file: File,
    channels: u16,
    octets: u64,
    bytes: Vec<u8>,
    shared: Arc<Shared>,
}

fn partial_name(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".partial");
    path.with_file_name(name)
}

impl Recording {
    fn create(
        leg: LegId,
        token: u64,
        path: PathBuf,
        channels: u16,
        shared: Arc<Shared>,
    ) -> Result<Self, Failure> {
        let partial = partial_name(&path);
        let created = OpenOptions::new().write(true).create(true).truncate(true).open(&partial);
        let begun = created.and_then(|mut file| file.write_all(&wav::header(channels, 0)).map(|()| file));
        match begun {
            Ok(file) => {
                Ok(Self { leg, token, path, partial, file, channels, octets: 0, bytes: vec![], shared })
            }
            Err(error) => {
                shared.failed.store(true, Ordering::Relaxed);
                // What could be created but not written is of no use; what could not is not there.
                let _ = remove_file(&partial);
                Err(Failure { leg, token, error: format!("{}: {error}", path.display()) })
            }
        }
    }

    fn write(&mut self, block: &[i16]) -> Result<(), Error> {
        self.bytes.clear();
        self.bytes.extend(block.iter().flat_map(|sample| sample.to_le_bytes()));
        let written = self.file.write_all(&self.bytes);
        self.octets += self.bytes.len() as u64;
        self.shared.backlog.fetch_sub(block.len(), Ordering::Relaxed);
        written
    }

    fn fail(&self, error: &Error) -> Failure {
        self.shared.failed.store(true, Ordering::Relaxed);
        // The error that counts is the one that is told.
        let _ = remove_file(&self.partial);
        Failure { leg: self.leg, token: self.token, error: format!("{}: {error}", self.path.display()) }
    }

    fn complete(mut self, ending: Ending, events: &EventSender) {
        if ending.reason == RecordingEnd::Failed {
            let error = Error::other("the disk is too slow");
            return self.fail(&error).tell(events);
        }
        match self.seal(ending.keep) {
            Ok(size_bytes) => {
                let told = Told::RecordingEnded {
                    token: self.token,
                    reason: ending.reason,
                    key: ending.key,
                    duration_ms: self.octets / (u64::from(self.channels) * 16),
                    size_bytes,
                    error: String::new(),
                };
                events.send(self.leg, ending.at_ns, told);
            }
            Err(error) => self.fail(&error).tell(events),
        }
    }

    /// Cut off trailing silence, write the true length, and make file and name durable.
    fn seal(&mut self, keep: Option<u64>) -> Result<u64, Error> {
        if let Some(frames) = keep {
            self.octets = self.octets.min(frames * u64::from(self.channels) * 2);
        }
        let size = wav::HEADER as u64 + self.octets;
        self.file.set_len(size)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&wav::header(self.channels, self.octets))?;
        self.file.sync_all()?;
        rename(&self.partial, &self.path)?;
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventReceiver, events};
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
    fn a_folder_that_is_not_there_fails_the_recording_once() {
        let path = folder("missing").join("nowhere").join("one.wav");
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
}
