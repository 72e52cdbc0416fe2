//! Audio that is too long to be held in memory: encoded in both laws into a file of the engine's
//! own, and read from it a little ahead of who plays it, by a thread for that.
//!
//! The file has no name any more, so nobody can change or shorten it; a media thread never reads
//! it, and never waits for who does.

use std::fs::{File, OpenOptions, create_dir_all, remove_file};
use std::io::Error;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::g711::Codec;
use crate::playback::copy;

/// Words that are read at once: two seconds, and as long does the disk have for the next.
pub const BLOCK: usize = 16_000;
const LAWS: [Codec; 2] = [Codec::Pcmu, Codec::Pcma];

/// Words of a block, once they have been read: fewer at the end, none behind it.
type Place = Arc<OnceLock<Box<[u8]>>>;

/// The thread that reads.
#[derive(Clone, Debug)]
pub struct Reader {
    jobs: Sender<Job>,
}

#[derive(Debug)]
enum Job {
    Read {
        prompt: Arc<LongPrompt>,
        wanted: Wanted,
    },
    /// Closing a file without a name frees its space, which takes a while.
    Close(File),
}

#[derive(Clone, Debug)]
struct Wanted {
    block: u64,
    law: Codec,
    place: Place,
}

impl Reader {
    /// It ends with the last that may ask it for something.
    pub fn start() -> Result<Self, Error> {
        let (jobs, queue) = channel();
        std::thread::Builder::new().name("media-reader".into()).spawn(move || {
            for job in queue {
                match job {
                    Job::Read { prompt, wanted } => prompt.read(wanted),
                    Job::Close(file) => drop(file),
                }
            }
        })?;
        Ok(Self { jobs })
    }
}

#[derive(Debug)]
pub struct LongPrompt {
    /// Block by block, each in either law.  Taken when the prompt is dropped.
    file: Option<File>,
    /// The first block: playing begins with it, whatever the disk does.
    head: [Box<[u8]>; 2],
    /// In samples; not known before everything has been decoded.
    length: AtomicU64,
    written: Mutex<Written>,
    reader: Reader,
}

#[derive(Debug, Default)]
struct Written {
    /// Whole blocks.
    blocks: u64,
    is_over: bool,
    /// What was asked for before it was written.
    waiting: Vec<Wanted>,
}

const UNKNOWN: u64 = u64::MAX;

impl LongPrompt {
    /// In samples; more than anybody will play as long as it is not known.
    pub fn samples(&self) -> u64 {
        self.length.load(Ordering::Acquire)
    }

    /// What it takes in memory.
    pub fn bytes(&self) -> usize {
        self.head.iter().map(|words| words.len()).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Read a block into its place, now or when it has been written.
    fn read(&self, wanted: Wanted) {
        {
            let mut written = self.lock();
            if !written.is_over && wanted.block >= written.blocks {
                return written.waiting.push(wanted);
            }
        }
        let from = wanted.block * BLOCK as u64;
        let length = self.samples().saturating_sub(from).min(BLOCK as u64) as usize;
        let mut words = vec![wanted.law.silence(); length].into_boxed_slice();
        if let Some(file) = &self.file
            && file.read_exact_at(&mut words, offset(wanted.block, wanted.law)).is_err()
        {
            // A disk that fails is silence, and the prompt as long as it was.
            words.fill(wanted.law.silence());
        }
        // Nobody else fills it.
        let _ = wanted.place.set(words);
    }
}

impl Drop for LongPrompt {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            // The last to let go may be a media thread.
            let _ = self.reader.jobs.send(Job::Close(file));
        }
    }
}

fn offset(block: u64, law: Codec) -> u64 {
    (2 * block + law as u64) * BLOCK as u64
}

/// A long prompt in the making.  It can be played from its beginning on; dropped, it is as long as it got.
pub struct Filing {
    prompt: Arc<LongPrompt>,
    block: Vec<i16>,
    blocks: u64,
}

impl Filing {
    /// In a file of its own in `folder`, beginning with `samples`, at least a block of them.
    pub fn begin(folder: &Path, samples: &[i16], reader: &Reader) -> Result<Self, Error> {
        let first = &samples[..samples.len().min(BLOCK)];
        let prompt = LongPrompt {
            file: Some(nameless(folder)?),
            head: LAWS.map(|law| law.encoded(first)),
            length: AtomicU64::new(UNKNOWN),
            written: Mutex::default(),
            reader: reader.clone(),
        };
        let mut filing = Self { prompt: Arc::new(prompt), block: vec![], blocks: 0 };
        filing.push(samples)?;
        Ok(filing)
    }

    pub fn prompt(&self) -> Arc<LongPrompt> {
        self.prompt.clone()
    }

    pub fn push(&mut self, mut samples: &[i16]) -> Result<(), Error> {
        while !samples.is_empty() {
            let (some, rest) = samples.split_at(samples.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(some);
            samples = rest;
            if self.block.len() == BLOCK {
                self.write()?;
                self.block.clear();
                self.blocks += 1;
                self.tell(false);
            }
        }
        Ok(())
    }

    /// Nothing follows; what the file takes, in octets.
    pub fn finish(mut self) -> Result<u64, Error> {
        self.write()?;
        self.end(self.block.len() as u64);
        Ok(2 * self.prompt.samples())
    }

    fn write(&self) -> Result<(), Error> {
        let Some(file) = &self.prompt.file else { return Ok(()) };
        LAWS.iter()
            .try_for_each(|&law| file.write_all_at(&law.encoded(&self.block), offset(self.blocks, law)))
    }

    /// The length is known: the whole blocks and `more` samples.
    fn end(&mut self, more: u64) {
        if self.prompt.samples() == UNKNOWN {
            self.prompt.length.store(self.blocks * BLOCK as u64 + more, Ordering::Release);
            self.tell(true);
        }
    }

    /// Let be read what has been written.
    fn tell(&self, is_over: bool) {
        let mut written = self.prompt.lock();
        (written.blocks, written.is_over) = (self.blocks, is_over);
        let (ready, waiting) =
            written.waiting.drain(..).partition(|wanted| is_over || wanted.block < self.blocks);
        written.waiting = waiting;
        drop(written);
        for wanted in Vec::into_iter(ready) {
            ask(&self.prompt, wanted);
        }
    }
}

impl Drop for Filing {
    fn drop(&mut self) {
        self.end(0);
    }
}

fn ask(prompt: &Arc<LongPrompt>, wanted: Wanted) {
    // The reader ends only when nobody can ask it.
    let _ = prompt.reader.jobs.send(Job::Read { prompt: prompt.clone(), wanted });
}

/// A file that only its holder has.
fn nameless(folder: &Path) -> Result<File, Error> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    create_dir_all(folder)?;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!(".prompt-{}-{number}.partial", std::process::id()));
    // One of that name is of a process that died between this line and the next but one.
    let _ = remove_file(&path);
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    remove_file(&path)?;
    Ok(file)
}

/// Where somebody is in a long prompt.
#[derive(Debug)]
pub struct Reading {
    /// The law that is read; another one is made of it, for the far end may change its mind.
    law: Codec,
    current: Option<Wanted>,
    next: Option<Wanted>,
}

impl Reading {
    pub fn new(law: Codec) -> Self {
        Self { law, current: None, next: None }
    }

    /// Copy words from `at` on; how many, None: they have not been read yet.
    pub fn copy(
        &mut self,
        prompt: &Arc<LongPrompt>,
        at: u64,
        codec: Codec,
        room: &mut [u8],
    ) -> Option<usize> {
        if at >= prompt.samples() {
            return Some(0);
        }
        let (block, from) = (at / BLOCK as u64, at % BLOCK as u64);
        let words =
            if block == 0 { Some(&prompt.head[self.law as usize][..]) } else { self.block(prompt, block) };
        let took = words.map(|words| copy(words, from, room));
        if self.law != codec {
            let table = self.law.to_other();
            room[..took.unwrap_or(0)].iter_mut().for_each(|word| *word = table[usize::from(*word)]);
        }
        self.look_ahead(prompt, block + 1);
        took
    }

    /// What was asked for has been read.
    #[cfg(test)]
    pub fn is_ahead(&self) -> bool {
        self.next.as_ref().is_none_or(|next| next.place.get().is_some())
    }

    fn block(&mut self, prompt: &Arc<LongPrompt>, block: u64) -> Option<&[u8]> {
        if self.current.as_ref().is_none_or(|current| current.block != block) {
            self.current = self.next.take().filter(|next| next.block == block);
        }
        let law = self.law;
        let current = self.current.get_or_insert_with(|| wanted(prompt, block, law));
        current.place.get().map(|words| &words[..])
    }

    fn look_ahead(&mut self, prompt: &Arc<LongPrompt>, block: u64) {
        let is_there = block * (BLOCK as u64) < prompt.samples();
        if is_there && self.next.as_ref().is_none_or(|next| next.block != block) {
            self.next = Some(wanted(prompt, block, self.law));
        }
    }
}

/// Have a block read.
fn wanted(prompt: &Arc<LongPrompt>, block: u64, law: Codec) -> Wanted {
    let wanted = Wanted { block, law, place: Place::default() };
    ask(prompt, wanted.clone());
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn folder() -> std::path::PathBuf {
        std::env::temp_dir().join(format!("callrouter-long-prompts-{}", std::process::id()))
    }

    fn ramp(samples: usize) -> Vec<i16> {
        (0..samples).map(|n| (n % 60_000) as i16).collect()
    }

    /// Play in frames, as fast as the reader reads; the words.
    fn play(prompt: &Arc<LongPrompt>, codec: Codec) -> Vec<u8> {
        let (mut reading, mut words, begun) = (Reading::new(codec), vec![], Instant::now());
        loop {
            let mut room = [0; 160];
            match reading.copy(prompt, words.len() as u64, codec, &mut room) {
                Some(0) if words.len() as u64 >= prompt.samples() => return words,
                Some(took) => words.extend(&room[..took]),
                None => std::thread::sleep(Duration::from_millis(1)),
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "is read in the end");
        }
    }

    #[test]
    fn it_is_played_to_the_word_in_either_law_whatever_its_length() {
        let reader = Reader::start().expect("a thread");
        for samples in [BLOCK, BLOCK + 1, 3 * BLOCK, 5 * BLOCK + 77] {
            let sound = ramp(samples);
            let mut filing = Filing::begin(&folder(), &sound[..BLOCK], &reader).expect("a file");
            sound[BLOCK..].chunks(999).for_each(|piece| filing.push(piece).expect("is written"));
            let prompt = filing.prompt();
            assert_eq!(filing.finish().ok(), Some(2 * samples as u64));
            for law in LAWS {
                assert!(play(&prompt, law)[..] == law.encoded(&sound)[..], "{samples} in {law:?}");
            }
            assert_eq!(prompt.bytes(), 2 * BLOCK);
        }
        assert_eq!(std::fs::read_dir(folder()).map(Iterator::count).ok(), Some(0), "no file has a name");
    }

    #[test]
    fn it_can_be_played_while_it_is_being_decoded() {
        let reader = Reader::start().expect("a thread");
        let sound = ramp(6 * BLOCK + 5);
        let mut filing = Filing::begin(&folder(), &sound[..BLOCK], &reader).expect("a file");
        let prompt = filing.prompt();
        let listener = std::thread::spawn(move || play(&prompt, Codec::Pcmu));
        for piece in sound[BLOCK..].chunks(BLOCK / 2) {
            std::thread::sleep(Duration::from_millis(3));
            filing.push(piece).expect("is written");
        }
        filing.finish().expect("is written");
        assert!(listener.join().expect("plays")[..] == Codec::Pcmu.encoded(&sound)[..]);
    }

    #[test]
    fn given_up_it_is_as_long_as_it_got() {
        let reader = Reader::start().expect("a thread");
        let sound = ramp(2 * BLOCK + 500);
        let filing = Filing::begin(&folder(), &sound, &reader).expect("a file");
        let prompt = filing.prompt();
        assert_eq!(prompt.samples(), UNKNOWN);
        drop(filing);
        assert!(play(&prompt, Codec::Pcmu)[..] == Codec::Pcmu.encoded(&sound[..2 * BLOCK])[..]);
    }

    #[test]
    fn a_law_changed_on_the_way_goes_on_where_it_was() {
        let reader = Reader::start().expect("a thread");
        let mut filing = Filing::begin(&folder(), &[5000; BLOCK], &reader).expect("a file");
        filing.push(&[5000; 100]).expect("is written");
        let prompt = filing.prompt();
        filing.finish().expect("is written");
        let (mut reading, mut room) = (Reading::new(Codec::Pcmu), [0; 160]);
        assert_eq!(reading.copy(&prompt, 0, Codec::Pcma, &mut room), Some(160));
        assert!(room.iter().all(|&word| (i32::from(Codec::Pcma.decode(word)) - 5000).abs() < 200));
    }

    #[test]
    fn a_folder_that_cannot_be_is_said_to_be_so() {
        let reader = Reader::start().expect("a thread");
        assert!(Filing::begin(Path::new("/proc/nowhere"), &[0; BLOCK], &reader).is_err());
    }
}
