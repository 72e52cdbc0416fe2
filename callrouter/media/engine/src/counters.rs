//! What is counted on each leg and, summed, over all of them.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($name:ident: $meaning:literal,)*) => {
        /// Counts of one leg, or of one thread.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counters { $(#[doc = $meaning] pub $name: u64,)* }

        impl Counters {
            pub const NAMES: [&'static str; [$(stringify!($name)),*].len()] = [$(stringify!($name)),*];

            pub fn values(&self) -> [u64; Self::NAMES.len()] {
                [$(self.$name),*]
            }

            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counters! {
    packets_in: "RTP packets accepted from the far end.",
    packets_out: "RTP packets sent.",
    octets_in: "Payload octets accepted.",
    octets_out: "Payload octets sent.",
    lost: "Packets of the far end that never arrived.",
    late: "Packets that arrived after a newer one.",
    duplicates: "Packets that arrived twice, or far too late.",
    new_streams: "Times the far end began another RTP stream.",
    strangers: "RTP packets from an address that is not the far end's.",
    garbage: "Datagrams that were not RTP, or not of an agreed payload type.",
    unexpected: "RTP packets that the negotiated direction does not allow.",
    digits: "Keys received.",
    relayed: "Packets passed on from the joined leg.",
    late_sends: "Packets sent more than 5 ms after they were due.",
    skipped_sends: "Packets not sent because their time had long passed.",
    send_errors: "Packets that the system refused to send.",
    jitter_us: "Interarrival jitter of the far end's packets, in microseconds.",
    reported_lost: "Packets of ours that the far end says it missed.",
    reported_jitter_us: "Jitter of our packets as the far end sees it, in microseconds.",
    round_trip_us: "Round-trip time by RTCP, in microseconds; 0 when unknown.",
}

/// Running sums, readable by any thread.
#[derive(Default)]
pub struct Totals {
    values: [AtomicU64; Counters::NAMES.len()],
    legs: AtomicU64,
}

impl Totals {
    pub fn publish(&self, counters: &Counters, legs: usize) {
        for (total, value) in self.values.iter().zip(counters.values()) {
            total.store(value, Ordering::Relaxed);
        }
        self.legs.store(legs as u64, Ordering::Relaxed);
    }

    pub fn read(&self) -> [u64; Counters::NAMES.len()] {
        std::array::from_fn(|index| self.values[index].load(Ordering::Relaxed))
    }

    pub fn legs(&self) -> u64 {
        self.legs.load(Ordering::Relaxed)
    }
}
