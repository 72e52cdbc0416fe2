//! The topmost Via of a request over UDP, and how it goes back (RFC 3261 §18.2.1, RFC 3581 §4).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::scan::{is_token, number};

const PROTOCOL: &[u8] = b"SIP/2.0/UDP ";
const COOKIE: &[u8] = b"z9hG4bK";
const DEFAULT_PORT: u16 = 5060;

#[derive(Debug, PartialEq, Eq)]
pub struct Via<'a> {
    value: &'a [u8],
    /// `host`, `host:port` or `[address]:port`.
    sent_by: &'a [u8],
    /// Without brackets.
    host: &'a [u8],
    port: Option<u16>,
    /// Without the first `;`, and without those around it.
    parameters: &'a [u8],
    pub branch: &'a [u8],
}

/// None: not without doubt.
pub fn read(value: &[u8]) -> Option<Via<'_>> {
    let rest = value.strip_prefix(PROTOCOL)?;
    let semicolon = rest.iter().position(|octet| *octet == b';')?;
    let (sent_by, parameters) = (&rest[..semicolon], &rest[semicolon + 1..]);
    let (host, port) = host_and_port(sent_by)?;
    let mut branch = None;
    for parameter in split(parameters) {
        let (name, value) = halves(parameter);
        let fits =
            value.is_none_or(|value| !value.is_empty() && value.iter().all(|octet| is_in_value(*octet)));
        // Names in capitals would have to be written otherwise than they came.
        let is_name = name.iter().all(|octet| is_token(*octet) && !octet.is_ascii_uppercase());
        if name.is_empty() || !is_name || !fits {
            return None;
        }
        if name == b"branch" && branch.replace(value?).is_some() {
            return None;
        }
    }
    let branch = branch.filter(|branch| branch.len() > COOKIE.len() && branch.starts_with(COOKIE))?;
    Some(Via { value, sent_by, host, port, parameters, branch })
}

impl Via<'_> {
    /// As it goes back to `source`: `received` where that is not what it says, `rport` filled in
    /// where it was asked for.
    pub fn stamped(&self, source: SocketAddr, into: &mut Vec<u8>) {
        let (host, port) = (source.ip().to_string(), source.port());
        let count = |wanted: &[u8]| split(self.parameters).filter(|each| is_named(each, wanted)).count();
        let (ports, is_stamped) = (count(b"rport"), count(b"received") > 0);
        if ports == 0 && self.host == host.as_bytes() && !is_stamped {
            into.extend_from_slice(self.value);
            return;
        }
        if self.value.ends_with(b";rport") && ports == 1 && !is_stamped {
            into.extend_from_slice(self.value);
            into.extend_from_slice(format!("={port};received={host}").as_bytes());
            return;
        }
        into.extend_from_slice(PROTOCOL);
        into.extend_from_slice(self.sent_by);
        for parameter in split(self.parameters) {
            if !is_named(parameter, b"rport") && !is_named(parameter, b"received") {
                into.push(b';');
                into.extend_from_slice(parameter);
            }
        }
        into.extend_from_slice(format!(";received={host}").as_bytes());
        if ports > 0 {
            into.extend_from_slice(format!(";rport={port}").as_bytes());
        }
    }

    /// The port at the host of `source` where who does not ask for `rport` says to listen; None: a NAT
    /// may be in between (RFC 3261 §18.2.2, as the core's `responses.answer_port`).
    pub fn named_port(&self, source: SocketAddr) -> Option<u16> {
        let host: IpAddr = std::str::from_utf8(self.host).ok()?.parse().ok()?;
        let asks = split(self.parameters).any(|each| is_named(each, b"rport"));
        (!asks && host == source.ip()).then_some(self.port.unwrap_or(DEFAULT_PORT))
    }
}

fn host_and_port(sent_by: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let (host, port) = match sent_by.strip_prefix(b"[") {
        Some(rest) => {
            let host = &rest[..rest.iter().position(|octet| *octet == b']')?];
            std::str::from_utf8(host).ok()?.parse::<Ipv6Addr>().ok()?;
            (host, &rest[host.len() + 1..])
        }
        None => {
            let host = sent_by.split(|octet| *octet == b':').next()?;
            let is_name = host.iter().all(|octet| octet.is_ascii_alphanumeric() || b".-_".contains(octet));
            if host.is_empty() || !is_name {
                return None;
            }
            (host, &sent_by[host.len()..])
        }
    };
    let port = if port.is_empty() { None } else { Some(port_of(port.strip_prefix(b":")?)?) };
    Some((host, port))
}

/// Not 0, nor with zeros ahead of it.
fn port_of(digits: &[u8]) -> Option<u16> {
    number(digits).filter(|_| !digits.starts_with(b"0")).and_then(|port| u16::try_from(port).ok())
}

fn split(parameters: &[u8]) -> impl Iterator<Item = &[u8]> {
    parameters.split(|octet| *octet == b';')
}

fn halves(parameter: &[u8]) -> (&[u8], Option<&[u8]>) {
    match parameter.iter().position(|octet| *octet == b'=') {
        Some(equals) => (&parameter[..equals], Some(&parameter[equals + 1..])),
        None => (parameter, None),
    }
}

fn is_named(parameter: &[u8], name: &[u8]) -> bool {
    halves(parameter).0 == name
}

fn is_in_value(octet: u8) -> bool {
    is_token(octet) || b"[]:/".contains(&octet)
}
