//! The 503 to a new call for which there is no room, from a template.

use std::io::Write;
use std::net::SocketAddr;

use crate::scan::Request;

/// Seconds until the call may be tried again: each is told another time, or all would be back at once.
/// They have as many digits, so that answers are of one length and leave together (`answers`).
const RETRY_FROM: u64 = 10;
const RETRY_TO: u64 = 30;

/// `chance` picks the time.
pub fn write(request: &Request<'_>, source: SocketAddr, tag: &[u8], chance: u64) -> Vec<u8> {
    let mut answer = Vec::with_capacity(512);
    answer.extend_from_slice(b"SIP/2.0 503 Service Unavailable\r\nVia: ");
    request.via.stamped(source, &mut answer);
    for value in &request.further_vias {
        field(&mut answer, "Via", value);
    }
    field(&mut answer, "From", request.from);
    field(&mut answer, "To", request.to);
    answer.extend_from_slice(b";tag=");
    answer.extend_from_slice(tag);
    field(&mut answer, "Call-ID", request.call_id);
    field(&mut answer, "CSeq", request.cseq);
    let seconds = RETRY_FROM + chance % (RETRY_TO - RETRY_FROM + 1);
    // To memory, which does not fail.
    let _ = write!(answer, "\r\nRetry-After: {seconds}\r\nContent-Length: 0\r\n\r\n");
    answer
}

fn field(answer: &mut Vec<u8>, name: &str, value: &[u8]) {
    answer.extend_from_slice(b"\r\n");
    answer.extend_from_slice(name.as_bytes());
    answer.extend_from_slice(b": ");
    answer.extend_from_slice(value);
}
