//! What counts as one source.

use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 address, an IPv6 network of 64 bits: as the core counts them (`sources.py`).
pub fn source_of(host: IpAddr) -> IpAddr {
    match host.to_canonical() {
        host @ IpAddr::V4(_) => host,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}
