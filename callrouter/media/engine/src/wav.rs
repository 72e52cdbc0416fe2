//! Headers of the WAV files that recordings are written to: 16-bit PCM at 8 kHz.

pub const HEADER: usize = 44;

/// The header of a file with `octets` of samples.  Beyond 4 GiB the format has no words for the
/// length; it then says the most it can.
pub fn header(channels: u16, octets: u64) -> [u8; HEADER] {
    let rate = crate::resample::RATE;
    let block = channels * 2;
    let data = u32::try_from(octets).unwrap_or(u32::MAX - 36);
    let mut out = [0; HEADER];
    let fields: [&[u8]; 13] = [
        b"RIFF",
        &data.saturating_add(36).to_le_bytes(),
        b"WAVE",
        b"fmt ",
        &16u32.to_le_bytes(),
        &1u16.to_le_bytes(),
        &channels.to_le_bytes(),
        &rate.to_le_bytes(),
        &(rate * u32::from(block)).to_le_bytes(),
        &block.to_le_bytes(),
        &16u16.to_le_bytes(),
        b"data",
        &data.to_le_bytes(),
    ];
    let mut at = 0;
    for field in fields {
        out[at..at + field.len()].copy_from_slice(field);
        at += field.len();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dual_channel_header_is_canonical() {
        let header = header(2, 32_000);
        assert_eq!(&header[..4], b"RIFF");
        assert_eq!(header[4..8], 32_036u32.to_le_bytes());
        assert_eq!(header[22..24], 2u16.to_le_bytes());
        assert_eq!(header[28..32], 32_000u32.to_le_bytes());
        assert_eq!(header[32..36], [4, 0, 16, 0]);
        assert_eq!(header[40..44], 32_000u32.to_le_bytes());
    }
}
