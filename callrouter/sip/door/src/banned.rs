//! Sources that the core does not listen to for a while.

use std::net::IpAddr;

use crate::recent::Recent;
use crate::source::source_of;

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
