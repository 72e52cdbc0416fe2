//! Audio files to 8 kHz mono, piece by piece.  Runs on the threads of whoever asks, never on a media
//! thread.

use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;

use crate::g711::Codec;
use crate::resample::{RATE, Resampler};

/// The longest audio that is taken; what is longer without saying so is cut there.
pub const MAX_SECONDS: u64 = 4 * 60 * 60;
const MIN_RATE: u32 = 4000;
const MAX_RATE: u32 = 384_000;
/// Octets of a file without a header that are read at a time.
const PIECE: usize = 8192;

/// A file that is being decoded.
pub struct Decoding {
    source: Source,
    /// Samples so far.
    made: u64,
}

enum Source {
    Words { file: File, codec: Codec },
    Contained(Box<Contained>),
    Over,
}

struct Contained {
    format: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track: u32,
    /// Known from the first packet on.
    resampler: Option<(u32, Resampler)>,
    block: Vec<f32>,
    narrow: Vec<f32>,
}

impl Decoding {
    /// Begin with the file at `path`.  `content_type` is needed only for formats without a header;
    /// the message of an error completes "cannot play …: ".
    pub fn open(path: &Path, content_type: &str) -> Result<Self, String> {
        guarded(|| open_unguarded(path, content_type)).map(|source| Self { source, made: 0 })
    }

    /// Add the next samples to `out`; false when there are no more.  A file cut short or damaged
    /// after its beginning is as long as what could be read of it.
    pub fn next(&mut self, out: &mut Vec<i16>) -> Result<bool, String> {
        let before = out.len();
        let more = guarded(|| self.source.next(out));
        let left = (MAX_SECONDS * u64::from(RATE) - self.made) as usize;
        out.truncate(before + left.min(out.len() - before));
        self.made += (out.len() - before) as u64;
        match more {
            Ok(true) if self.made < MAX_SECONDS * u64::from(RATE) => return Ok(true),
            Err(error) if self.made == 0 => return Err(error),
            _ => self.source = Source::Over,
        }
        if self.made == 0 { Err("it holds no audio".into()) } else { Ok(false) }
    }
}

/// The decoders are safe code fed with strangers' bytes: a panic of theirs is a bad file.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err("the decoder failed on it".into()))
}

fn open_unguarded(path: &Path, content_type: &str) -> Result<Source, String> {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let words = |codec| Ok(Source::Words { file: open(path)?, codec });
    match essence.as_str() {
        "audio/basic" | "audio/ulaw" | "audio/x-ulaw" | "audio/pcmu" if !has_header(path)? => {
            words(Codec::Pcmu)
        }
        "audio/x-alaw" | "audio/alaw" | "audio/pcma" if !has_header(path)? => words(Codec::Pcma),
        "audio/gsm" | "audio/x-gsm" => Err("GSM 06.10 is not supported; use WAV or MP3".into()),
        _ => Contained::open(path).map(|contained| Source::Contained(Box::new(contained))),
    }
}

fn open(path: &Path) -> Result<File, String> {
    File::open(path).map_err(unreadable)
}

fn unreadable(error: std::io::Error) -> String {
    format!("it cannot be read: {error}")
}

/// µ-law is served under `audio/basic` and relatives both bare and inside a WAV or AIFF file.
fn has_header(path: &Path) -> Result<bool, String> {
    let mut start = [0; 4];
    let mut file = open(path)?;
    Ok(file.read_exact(&mut start).is_ok() && (start == *b"RIFF" || start == *b"FORM"))
}

impl Source {
    fn next(&mut self, out: &mut Vec<i16>) -> Result<bool, String> {
        match self {
            Self::Words { file, codec } => {
                let mut words = [0; PIECE];
                let read = file.read(&mut words).map_err(unreadable)?;
                out.extend(words[..read].iter().map(|&word| codec.decode(word)));
                Ok(read > 0)
            }
            Self::Contained(contained) => contained.next(out),
            Self::Over => Ok(false),
        }
    }
}

impl Contained {
    fn open(path: &Path) -> Result<Self, String> {
        let stream = MediaSourceStream::new(Box::new(open(path)?), Default::default());
        let probe = symphonia::default::get_probe();
        let format = probe
            .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
            .map_err(|_| "it is neither WAV, AIFF nor MP3".to_string())?;
        let track = format.default_track(TrackType::Audio).ok_or("it holds no audio")?;
        let parameters = track.codec_params.as_ref().and_then(|p| p.audio()).ok_or("its codec is unknown")?;
        if let (Some(frames), Some(rate)) = (track.num_frames, parameters.sample_rate)
            && frames > MAX_SECONDS.saturating_mul(u64::from(rate))
        {
            return Err(format!("it is longer than {} hours", MAX_SECONDS / 3600));
        }
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(parameters, &AudioDecoderOptions::default())
            .map_err(|error| format!("its codec is not supported: {error}"))?;
        let track = track.id;
        Ok(Self { format, decoder, track, resampler: None, block: vec![], narrow: vec![] })
    }

    fn next(&mut self, out: &mut Vec<i16>) -> Result<bool, String> {
        let packet = match self.format.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) | Err(Error::IoError(_)) => return self.finish(out),
            Err(error) => {
                self.finish(out)?;
                return Err(format!("it is damaged: {error}"));
            }
        };
        if packet.track_id != self.track {
            return Ok(true);
        }
        let audio = match self.decoder.decode(&packet) {
            Ok(audio) => audio,
            Err(Error::DecodeError(_)) => return Ok(true),
            Err(error) => return Err(format!("it is damaged: {error}")),
        };
        let (channels, rate) = (audio.spec().channels().count(), audio.spec().rate());
        let known = self.resampler.as_ref().map_or(rate, |(known, _)| *known);
        if rate != known || !(MIN_RATE..=MAX_RATE).contains(&rate) || channels == 0 {
            return Err(format!("its sample rate of {rate} Hz is not supported or changes"));
        }
        let (_, resampler) = self.resampler.get_or_insert_with(|| (rate, Resampler::new(rate)));
        self.block.resize(audio.samples_interleaved(), 0f32);
        audio.copy_to_slice_interleaved(&mut self.block);
        let mono: Vec<f32> =
            self.block.chunks_exact(channels).map(|all| all.iter().sum::<f32>() / channels as f32).collect();
        resampler.push(&mono, &mut self.narrow);
        out.extend(self.narrow.drain(..).map(quantise));
        Ok(true)
    }

    fn finish(&mut self, out: &mut Vec<i16>) -> Result<bool, String> {
        if let Some((_, resampler)) = self.resampler.take() {
            resampler.finish(&mut self.narrow);
            out.extend(self.narrow.drain(..).map(quantise));
        }
        Ok(false)
    }
}

fn quantise(sample: f32) -> i16 {
    // `as` saturates, and turns a NaN into silence.
    (sample * 32768.0).round() as i16
}
