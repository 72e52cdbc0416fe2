//! Audio files to 8 kHz mono.  Runs on the threads of whoever asks, never on a media thread.

use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;

use crate::g711::Codec;
use crate::resample::{RATE, to_8k};

/// The longest audio that is taken.
pub const MAX_SECONDS: usize = 60 * 60;
const MIN_RATE: u32 = 4000;
const MAX_RATE: u32 = 384_000;

/// Decode the file at `path`.  `content_type` is needed only for formats without a header; the
/// message of an error completes "cannot play …: ".
pub fn decode(path: &Path, content_type: &str) -> Result<Vec<i16>, String> {
    // The decoders are safe code fed with strangers' bytes: a panic of theirs is a bad file.
    catch_unwind(AssertUnwindSafe(|| decode_unguarded(path, content_type)))
        .unwrap_or_else(|_| Err("the decoder failed on it".into()))
}

fn decode_unguarded(path: &Path, content_type: &str) -> Result<Vec<i16>, String> {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "audio/basic" | "audio/ulaw" | "audio/x-ulaw" | "audio/pcmu" if !has_header(path)? => {
            raw(path, Codec::Pcmu)
        }
        "audio/x-alaw" | "audio/alaw" | "audio/pcma" if !has_header(path)? => raw(path, Codec::Pcma),
        "audio/gsm" | "audio/x-gsm" => Err("GSM 06.10 is not supported; use WAV or MP3".into()),
        _ => contained(path),
    }
}

fn open(path: &Path) -> Result<File, String> {
    File::open(path).map_err(|error| format!("it cannot be read: {error}"))
}

/// µ-law is served under `audio/basic` and relatives both bare and inside a WAV or AIFF file.
fn has_header(path: &Path) -> Result<bool, String> {
    let mut start = [0; 4];
    let mut file = open(path)?;
    Ok(file.read_exact(&mut start).is_ok() && (start == *b"RIFF" || start == *b"FORM"))
}

fn raw(path: &Path, codec: Codec) -> Result<Vec<i16>, String> {
    let limit = MAX_SECONDS * RATE as usize;
    let mut words = vec![];
    let read = open(path)?.take(limit as u64 + 1).read_to_end(&mut words);
    read.map_err(|error| format!("it cannot be read: {error}"))?;
    if words.len() > limit {
        return Err(too_long());
    }
    Ok(words.into_iter().map(|word| codec.decode(word)).collect())
}

fn too_long() -> String {
    format!("it is longer than {} minutes", MAX_SECONDS / 60)
}

fn contained(path: &Path) -> Result<Vec<i16>, String> {
    let stream = MediaSourceStream::new(Box::new(open(path)?), Default::default());
    let probe = symphonia::default::get_probe();
    let mut format = probe
        .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
        .map_err(|_| "it is neither WAV, AIFF nor MP3".to_string())?;
    let track = format.default_track(TrackType::Audio).ok_or("it holds no audio")?;
    let track_id = track.id;
    let parameters = track.codec_params.as_ref().and_then(|p| p.audio()).ok_or("its codec is unknown")?;
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &AudioDecoderOptions::default())
        .map_err(|error| format!("its codec is not supported: {error}"))?;

    let (mut mono, mut block, mut rate) = (vec![], vec![], 0);
    loop {
        let packet = match format.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            // A file cut short plays as far as it goes.
            Err(Error::IoError(_)) => break,
            Err(error) if mono.is_empty() => return Err(format!("it is damaged: {error}")),
            Err(_) => break,
        };
        if packet.track_id != track_id {
            continue;
        }
        let audio = match decoder.decode(&packet) {
            Ok(audio) => audio,
            Err(Error::DecodeError(_)) => continue,
            Err(error) => return Err(format!("it is damaged: {error}")),
        };
        let channels = audio.spec().channels().count();
        let this_rate = audio.spec().rate();
        if rate == 0 {
            rate = this_rate;
        }
        if this_rate != rate || !(MIN_RATE..=MAX_RATE).contains(&rate) || channels == 0 {
            return Err(format!("its sample rate of {this_rate} Hz is not supported or changes"));
        }
        block.resize(audio.samples_interleaved(), 0f32);
        audio.copy_to_slice_interleaved(&mut block);
        mono.extend(block.chunks_exact(channels).map(|all| all.iter().sum::<f32>() / channels as f32));
        if mono.len() > MAX_SECONDS * rate as usize {
            return Err(too_long());
        }
    }
    if mono.is_empty() {
        return Err("it holds no audio".into());
    }
    Ok(to_8k(&mono, rate).into_iter().map(quantise).collect())
}

fn quantise(sample: f32) -> i16 {
    // `as` saturates, and turns a NaN into silence.
    (sample * 32768.0).round() as i16
}
