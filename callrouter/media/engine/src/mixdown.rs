//! A recording's channels mixed into one, as a mono recording would have had them.  Runs on the
//! threads of whoever asks, never on a media thread.

use std::fs::File;
use std::io::{BufReader, BufWriter, Error, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::wav;

/// Samples of each channel that are mixed at a time.
const BLOCK: usize = 8192;

/// Write the channels of the 16-bit WAV `source`, added up, to `target` as a WAV of one channel.
///
/// The error of a file that is no such WAV is of the kind `InvalidData`.
pub fn mix_down(source: &Path, target: &Path) -> Result<(), Error> {
    let mut reader = BufReader::new(File::open(source)?);
    let (channels, octets) = samples_of(&mut reader)?;
    // Octets of one sample of every channel.
    let width = 2 * usize::from(channels);
    let mut writer = BufWriter::new(File::create(target)?);
    writer.write_all(&wav::header(1, 0))?;
    let mut samples = reader.take(octets);
    let (mut block, mut written) = (vec![], 0u64);
    while samples.by_ref().take((BLOCK * width) as u64).read_to_end(&mut block)? > 0 {
        for frame in block.chunks_exact(width) {
            let sum: i32 = frame
                .chunks_exact(2)
                .map(|octets| i32::from(i16::from_le_bytes([octets[0], octets[1]])))
                .sum();
            let mixed = sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
            writer.write_all(&mixed.to_le_bytes())?;
            written += 2;
        }
        block.clear();
    }
    let mut file = writer.into_inner().map_err(|error| error.into_error())?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&wav::header(1, written))
}

/// Number of channels and octets of samples; the reader is at the first of them.
fn samples_of(reader: &mut (impl Read + Seek)) -> Result<(u16, u64), Error> {
    let mut start = [0; 12];
    reader.read_exact(&mut start)?;
    if &start[..4] != b"RIFF" || &start[8..] != b"WAVE" {
        return Err(invalid("it is not a WAV file"));
    }
    let mut channels = None;
    loop {
        let mut head = [0; 8];
        reader.read_exact(&mut head)?;
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        match &head[..4] {
            b"data" => {
                let channels = channels.ok_or_else(|| invalid("its samples come before their format"))?;
                return Ok((channels, u64::from(length)));
            }
            b"fmt " if length >= 16 => channels = Some(format_of(reader, length)?),
            _ => drop(reader.seek(SeekFrom::Current(i64::from(length) + i64::from(length % 2)))?),
        }
    }
}

fn format_of(reader: &mut (impl Read + Seek), length: u32) -> Result<u16, Error> {
    let mut format = [0; 16];
    reader.read_exact(&mut format)?;
    reader.seek(SeekFrom::Current(i64::from(length) - 16))?;
    let word = |at: usize| u16::from_le_bytes([format[at], format[at + 1]]);
    let (kind, channels, bits) = (word(0), word(2), word(14));
    if kind != 1 || bits != 16 || !(1..=8).contains(&channels) {
        return Err(invalid("its samples are not 16-bit PCM of one to eight channels"));
    }
    Ok(channels)
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn file(name: &str, content: &[u8]) -> PathBuf {
        let path = std::env::temp_dir().join(format!("callrouter-mixdown-{name}-{}", std::process::id()));
        std::fs::write(&path, content).expect("a file");
        path
    }

    fn dual(pairs: &[(i16, i16)]) -> Vec<u8> {
        let samples = pairs.iter().flat_map(|(left, right)| [left.to_le_bytes(), right.to_le_bytes()]);
        let mut wav = wav::header(2, 4 * pairs.len() as u64).to_vec();
        wav.extend(samples.flatten());
        wav
    }

    fn mixed(name: &str, content: &[u8]) -> Result<Vec<u8>, Error> {
        let source = file(name, content);
        let target = source.with_extension("mono");
        mix_down(&source, &target)?;
        std::fs::read(&target)
    }

    #[test]
    fn both_channels_are_added_up_without_wrapping() {
        let out = mixed("sum", &dual(&[(1, 2), (-300, 100), (30_000, 30_000), (-30_000, -30_000)]));
        let expected: Vec<u8> =
            [3i16, -200, i16::MAX, i16::MIN].iter().flat_map(|s| s.to_le_bytes()).collect();
        let out = out.expect("is mixed");
        assert_eq!(out[..44], wav::header(1, 8));
        assert_eq!(out[44..], expected);
    }

    #[test]
    fn a_long_one_is_mixed_across_blocks() {
        let pairs: Vec<(i16, i16)> = (0..BLOCK * 3 + 17).map(|n| ((n % 1000) as i16, 5)).collect();
        let out = mixed("long", &dual(&pairs)).expect("is mixed");
        let samples = out[44..].chunks_exact(2).map(|octets| i16::from_le_bytes([octets[0], octets[1]]));
        assert!(samples.eq(pairs.iter().map(|(left, right)| left + right)));
    }

    #[test]
    fn one_cut_short_is_mixed_as_far_as_it_goes() {
        let whole = dual(&[(1, 2); 100]);
        let out = mixed("cut", &whole[..44 + 4 * 10 + 3]).expect("is mixed");
        assert_eq!(out[..44], wav::header(1, 20));
        assert_eq!(out.len(), 44 + 20);
    }

    #[test]
    fn what_is_no_wav_of_16_bits_is_refused() {
        for (name, content) in [("text", b"hello, hello, hello".to_vec()), ("none", vec![])] {
            assert!(mixed(name, &content).is_err(), "{name}");
        }
        let mut eight = dual(&[(1, 2)]);
        eight[34] = 8;
        assert_eq!(mixed("eight", &eight).map_err(|error| error.kind()).err(), Some(ErrorKind::InvalidData));
    }
}
