//! Messages as peers send them.

use std::net::SocketAddr;

pub const VIA: &str = "SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK";

pub fn peer() -> SocketAddr {
    "192.0.2.9:5060".parse().expect("an address")
}

/// A request of call `call`; `to` is the To header's value.
pub fn request(method: &str, call: &str, branch: &str, to: &str) -> Vec<u8> {
    format!(
        "{method} sip:bob@192.0.2.2 SIP/2.0\r\nVia: {VIA}{branch}\r\nFrom: <sip:peer@192.0.2.9>;tag=f\r\n\
         To: {to}\r\nCall-ID: {call}\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

pub fn invite(call: &str) -> Vec<u8> {
    request("INVITE", call, call, "<sip:bob@192.0.2.2>")
}
