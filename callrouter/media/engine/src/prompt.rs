//! Audio held once and played by any number of legs: encoded in both laws when it is made, so
//! that playing it is copying it.  What is long is kept in a file.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::decode::Decoding;
use crate::g711::Codec;
use crate::long_prompt::{BLOCK, Filing, Reader};
use crate::playback::Item;

#[derive(Debug)]
pub struct Prompt {
    mulaw: Box<[u8]>,
    alaw: Box<[u8]>,
}

impl Prompt {
    /// Encode samples of 8 kHz.
    pub fn new(samples: &[i16]) -> Self {
        Self { mulaw: Codec::Pcmu.encoded(samples), alaw: Codec::Pcma.encoded(samples) }
    }

    pub fn words(&self, codec: Codec) -> &[u8] {
        match codec {
            Codec::Pcmu => &self.mulaw,
            Codec::Pcma => &self.alaw,
        }
    }

    pub fn samples(&self) -> usize {
        self.mulaw.len()
    }

    pub fn bytes(&self) -> usize {
        self.mulaw.len() + self.alaw.len()
    }
}

/// How a file became a prompt.
pub struct Loaded {
    pub item: Item,
    /// What it takes in memory.
    pub bytes: usize,
    /// What of a long one is still to be decoded; it can be played meanwhile.
    pub rest: Option<Rest>,
}

/// Decode the file at `path`, or so much of it that it is known to be longer than `longest` samples.
/// The message of an error completes "cannot play …: ".
pub fn load(
    path: &Path,
    content_type: &str,
    longest: usize,
    folder: &Path,
    reader: &Reader,
) -> Result<Loaded, String> {
    let mut decoding = Decoding::open(path, content_type)?;
    let mut samples = vec![];
    while decoding.next(&mut samples)? {
        if samples.len() > longest.max(BLOCK) {
            let filing = Filing::begin(folder, &samples, reader)
                .map_err(|error| format!("it cannot be kept in {}: {error}", folder.display()))?;
            let prompt = filing.prompt();
            let rest = Some(Rest { decoding, filing });
            return Ok(Loaded { bytes: prompt.bytes(), item: Item::Long(prompt), rest });
        }
    }
    let prompt = Prompt::new(&samples);
    Ok(Loaded { bytes: prompt.bytes(), item: Item::Prompt(Arc::new(prompt)), rest: None })
}

/// A long prompt that is still being decoded.
pub struct Rest {
    decoding: Decoding,
    filing: Filing,
}

impl Rest {
    /// Decode it all, unless `is_unwanted` says so meanwhile; what its file takes, in octets.
    pub fn finish(mut self, is_unwanted: impl Fn() -> bool) -> Result<u64, std::io::Error> {
        let mut samples = vec![];
        // What is damaged further on is as long as what could be read of it.
        while !is_unwanted() && matches!(self.decoding.next(&mut samples), Ok(true)) {
            self.filing.push(&samples)?;
            samples.clear();
        }
        self.filing.push(&samples)?;
        self.filing.finish()
    }
}

/// Prompts by id.  Media threads never come here: a Play carries what it plays.
#[derive(Default)]
pub struct Prompts {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    by_id: HashMap<u64, Item>,
    next: u64,
}

impl Prompts {
    pub fn add(&self, item: Item) -> u64 {
        let mut held = self.lock();
        held.next += 1;
        let id = held.next;
        held.by_id.insert(id, item);
        id
    }

    pub fn get(&self, id: u64) -> Option<Item> {
        self.lock().by_id.get(&id).cloned()
    }

    /// Forget a prompt; legs that play it play it to its end.
    pub fn remove(&self, id: u64) {
        self.lock().by_id.remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
