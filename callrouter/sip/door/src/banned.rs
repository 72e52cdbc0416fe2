//! Sources that the core does not listen to for a while.

use std::net::{IpAddr, Ipv6Addr};

use crate::recent::Recent;

const REMEMBERED: usize = 10_000;

#[derive(Default)]
pub struct Banned {
    until_ns: Recent<IpAddr, u64, REMEMBERED>,
}

impl Banned {
    pub fn ban(&mut self, host: IpAddr, until_ns: u64) {
        self.until_ns.insert(source_of(host), until_ns);
    }

    pub fn holds(&self, host: IpAddr, now_ns: u64) -> bool {
        self.until_ns.get(source_of(host)).is_some_and(|until| *until > now_ns)
    }
}

/// An IPv4 address, an IPv6 network of 64 bits: as the core counts them (`sources.py`).
fn source_of(host: IpAddr) -> IpAddr {
    match host.to_canonical() {
        host @ IpAddr::V4(_) => host,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}
