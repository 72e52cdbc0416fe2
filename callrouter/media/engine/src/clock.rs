//! The clock everything is stamped and paced with: `CLOCK_MONOTONIC`, in nanoseconds, the one
//! Python's `time.monotonic_ns()` reads.

use rustix::thread::{ClockId, clock_nanosleep_absolute};
use rustix::time::{Timespec, clock_gettime};

pub const MILLISECOND: i64 = 1_000_000;
pub const SECOND: i64 = 1_000 * MILLISECOND;

pub fn now_ns() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * SECOND + now.tv_nsec
}

/// The clock that the system notes with when a datagram came.
pub fn wall_ns() -> i64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec * SECOND + now.tv_nsec
}

/// Sleep until `deadline_ns`; return at once when it has passed.
pub fn sleep_until(deadline_ns: i64) {
    let deadline = Timespec { tv_sec: deadline_ns / SECOND, tv_nsec: deadline_ns % SECOND };
    while clock_nanosleep_absolute(ClockId::Monotonic, &deadline) == Err(rustix::io::Errno::INTR) {}
}

/// Time as a count of 8 kHz samples: the common ruler of recordings and RTP clocks.
pub fn samples_at(ns: i64) -> i64 {
    (ns / MILLISECOND) * 8 + (ns % MILLISECOND) * 8 / MILLISECOND
}
