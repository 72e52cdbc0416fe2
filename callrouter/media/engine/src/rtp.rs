//! RTP packets (RFC 3550 §5.1): strict enough to drop what is not RTP, nothing else.

pub const HEADER: usize = 12;
/// Samples and, with G.711, octets of the 20 ms that every packet we make carries.
pub const FRAME: usize = 160;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// None for anything that is not an RTP packet of version 2 with a consistent length: STUN,
    /// RTCP on the wrong port, truncated or padded beyond its end.
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let start = header_length(datagram)?;
        let header = datagram.first_chunk::<HEADER>()?;
        let mut end = datagram.len();
        if header[0] & 0x20 != 0 {
            let padding = usize::from(*datagram.last()?);
            if padding == 0 {
                return None;
            }
            end = end.checked_sub(padding)?;
        }
        Some(Self {
            marker: header[1] & 0x80 != 0,
            payload_type: header[1] & 0x7F,
            sequence: u16::from_be_bytes([header[2], header[3]]),
            timestamp: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
            ssrc: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
            payload: datagram.get(start..end)?,
        })
    }
}

/// Octets of an RTP packet ahead of its payload, which may be encrypted; None: not RTP.
pub fn header_length(packet: &[u8]) -> Option<usize> {
    let header = packet.first_chunk::<HEADER>()?;
    // 192..=223 in the second octet is RTCP (RFC 5761 §4).
    if header[0] >> 6 != 2 || (192..=223).contains(&header[1]) {
        return None;
    }
    let mut length = HEADER + 4 * usize::from(header[0] & 0x0F);
    if header[0] & 0x10 != 0 {
        let extension = packet.get(length..length + 4)?;
        length += 4 + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
    }
    (length <= packet.len()).then_some(length)
}

/// Whether a datagram is STUN (RFC 8489 §5): its cookie says so, and its first two bits are zero.
pub fn is_stun(datagram: &[u8]) -> bool {
    datagram.len() >= 20 && datagram[0] < 4 && datagram[4..8] == [0x21, 0x12, 0xA4, 0x42]
}

/// Write a header without extension or contributing sources.
pub fn write_header(
    out: &mut [u8; HEADER],
    marker: bool,
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
) {
    out[0] = 0x80;
    out[1] = (u8::from(marker) << 7) | payload_type;
    out[2..4].copy_from_slice(&sequence.to_be_bytes());
    out[4..8].copy_from_slice(&timestamp.to_be_bytes());
    out[8..12].copy_from_slice(&ssrc.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(first: u8, second: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first, second, 0x12, 0x34, 0, 0, 1, 0, 0xAA, 0xBB, 0xCC, 0xDD];
        bytes.extend_from_slice(rest);
        bytes
    }

    #[test]
    fn a_plain_packet_is_read() {
        let bytes = packet(0x80, 0x80, &[1, 2, 3]);
        let read = Packet::parse(&bytes).expect("is RTP");
        assert_eq!(
            read,
            Packet {
                marker: true,
                payload_type: 0,
                sequence: 0x1234,
                timestamp: 256,
                ssrc: 0xAABB_CCDD,
                payload: &[1, 2, 3],
            }
        );
    }

    #[test]
    fn contributing_sources_extension_and_padding_are_skipped() {
        let mut rest = vec![0, 0, 0, 1]; // one contributing source
        rest.extend([0xBE, 0xDE, 0, 1, 9, 9, 9, 9]); // extension of one word
        rest.extend([7, 8, 0, 0, 3]); // two octets of payload, three of padding
        let bytes = packet(0xB1, 8, &rest);
        assert_eq!(Packet::parse(&bytes).map(|p| p.payload), Some(&[7u8, 8][..]));
    }

    #[test]
    fn lengths_that_do_not_add_up_are_refused() {
        assert_eq!(Packet::parse(&[]), None);
        assert_eq!(Packet::parse(&packet(0x80, 0, &[])[..11]), None);
        assert_eq!(Packet::parse(&packet(0x8F, 0, &[0; 8])), None, "contributing sources missing");
        assert_eq!(Packet::parse(&packet(0x90, 0, &[0, 0, 0xFF, 0xFF])), None, "extension too long");
        assert_eq!(Packet::parse(&packet(0xA0, 0, &[200])), None, "padding too long");
        assert_eq!(Packet::parse(&packet(0xA0, 0, &[0])), None, "padding of nothing");
    }

    #[test]
    fn stun_and_rtcp_are_not_rtp() {
        assert_eq!(Packet::parse(&packet(0x00, 0x01, &[0; 8])), None);
        assert_eq!(Packet::parse(&packet(0x80, 200, &[0; 16])), None);
        assert_eq!(Packet::parse(&packet(0x80, 201, &[0; 16])), None);
    }

    #[test]
    fn stun_is_known_by_its_cookie() {
        let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
        request.resize(20, 7);
        assert!(is_stun(&request));
        assert!(!is_stun(&request[..19]) && !is_stun(&packet(0x80, 0, &[0; 30])) && !is_stun(&[0; 40]));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut header = [0; HEADER];
        write_header(&mut header, true, 101, 65535, u32::MAX, 7);
        let read = Packet::parse(&header).expect("is RTP");
        assert_eq!((read.marker, read.payload_type, read.sequence), (true, 101, 65535));
        assert_eq!((read.timestamp, read.ssrc, read.payload.len()), (u32::MAX, 7, 0));
    }
}
