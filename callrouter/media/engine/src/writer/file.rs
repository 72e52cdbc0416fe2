//! The file of a recording: written under a temporary name beside its own, which it is given when it
//! is whole and durable.

use std::fs::{File, OpenOptions, create_dir_all, remove_file, rename};
use std::io::{Error, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::event::{Event, LegId, RecordingEnd, Told};
use crate::wav;
use crate::writer::{Ending, Shared};

/// What is told of a recording that has failed.
fn failed(leg: LegId, token: u64, error: String) -> Event {
    let reason = RecordingEnd::Failed;
    let told = Told::RecordingEnded { token, reason, key: None, duration_ms: 0, size_bytes: 0, error };
    Event { leg, at_ns: crate::clock::now_ns(), told }
}

/// A recording being written, under a temporary name beside its own.
pub struct Recording {
    pub leg: LegId,
    token: u64,
    path: PathBuf,
    partial: PathBuf,
    file: File,
    channels: u16,
    octets: u64,
    bytes: Vec<u8>,
    shared: Arc<Shared>,
}

pub fn partial_name(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".partial");
    path.with_file_name(name)
}

/// Make the folder that `path` lies in, where there is none.
fn make_folder(path: &Path) -> Result<(), Error> {
    let Some(folder) = folder_of(path).filter(|folder| !folder.is_dir()) else { return Ok(()) };
    create_dir_all(folder)?;
    // As durable as what will be put into it.
    folder_of(folder).map_or(Ok(()), sync_folder)
}

fn folder_of(path: &Path) -> Option<&Path> {
    path.parent().filter(|folder| !folder.as_os_str().is_empty())
}

fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder)?.sync_all()
}

impl Recording {
    /// The error is told as the event it gives.
    pub fn create(
        leg: LegId,
        token: u64,
        path: PathBuf,
        channels: u16,
        shared: Arc<Shared>,
    ) -> Result<Self, Event> {
        let partial = partial_name(&path);
        let created = make_folder(&path)
            .and_then(|()| OpenOptions::new().write(true).create(true).truncate(true).open(&partial));
        let begun = created.and_then(|mut file| file.write_all(&wav::header(channels, 0)).map(|()| file));
        match begun {
            Ok(file) => {
                Ok(Self { leg, token, path, partial, file, channels, octets: 0, bytes: vec![], shared })
            }
            Err(error) => {
                shared.failed.store(true, Ordering::Relaxed);
                // What could be created but not written is of no use; what could not is not there.
                let _ = remove_file(&partial);
                Err(failed(leg, token, format!("{}: {error}", path.display())))
            }
        }
    }

    pub fn write(&mut self, block: &[i16]) -> Result<(), Error> {
        self.bytes.clear();
        self.bytes.extend(block.iter().flat_map(|sample| sample.to_le_bytes()));
        let written = self.file.write_all(&self.bytes);
        self.octets += self.bytes.len() as u64;
        self.shared.backlog.fetch_sub(block.len(), Ordering::Relaxed);
        written
    }

    /// It has come to nothing; what is told of that.
    pub fn fail(&self, error: &Error) -> Event {
        self.shared.failed.store(true, Ordering::Relaxed);
        // The error that counts is the one that is told.
        let _ = remove_file(&self.partial);
        failed(self.leg, self.token, format!("{}: {error}", self.path.display()))
    }

    /// Nothing more comes: make it whole and durable.  What is told of it.
    pub fn complete(mut self, ending: Ending) -> Event {
        if ending.reason == RecordingEnd::Failed {
            return self.fail(&Error::other("the disk is too slow"));
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
                Event { leg: self.leg, at_ns: ending.at_ns, told }
            }
            Err(error) => self.fail(&error),
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
        folder_of(&self.path).map_or(Ok(()), sync_folder)?;
        Ok(size)
    }
}
