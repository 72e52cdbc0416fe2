//! Audio held once and played by any number of legs: encoded in both laws when it is made, so
//! that playing it is copying it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::g711::Codec;

#[derive(Debug)]
pub struct Prompt {
    mulaw: Box<[u8]>,
    alaw: Box<[u8]>,
}

impl Prompt {
    /// Encode samples of 8 kHz.
    pub fn new(samples: &[i16]) -> Self {
        let encoded = |codec: Codec| samples.iter().map(|&sample| codec.encode(sample)).collect();
        Self { mulaw: encoded(Codec::Pcmu), alaw: encoded(Codec::Pcma) }
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

/// Prompts by id.  Media threads never come here: a Play carries what it plays.
#[derive(Default)]
pub struct Prompts {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    by_id: HashMap<u64, Arc<Prompt>>,
    next: u64,
}

impl Prompts {
    pub fn add(&self, prompt: Prompt) -> u64 {
        let mut held = self.lock();
        held.next += 1;
        let id = held.next;
        held.by_id.insert(id, Arc::new(prompt));
        id
    }

    pub fn get(&self, id: u64) -> Option<Arc<Prompt>> {
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
