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
    garbage: "Datagrams that were neither RTP nor anything else with a name.",
    stun: "STUN requests and answers of somebody else's making.",
    checks: "Connectivity checks of a browser that proved itself.",
    handshake_strangers: "DTLS datagrams from an address that no check had chosen.",
    empty: "RTP packets without a payload.",
    wrong_type: "RTP packets of a payload type that was not agreed on.",
    bad_tags: "Packets that the agreed keys did not seal.",
    replays: "Sealed packets that had come before.",
    unexpected: "RTP packets that the negotiated direction does not allow.",
    gaps: "Runs of packets of the far end that never arrived, or not in their turn.",
    wraps: "Times the far end's sequence numbers began anew at zero.",
    switches: "Times the far end changed to another agreed codec.",
    digits: "Keys received.",
    feed_dropped: "Pieces of handed-over audio that were not taken: too much waited, or nothing was open for them.",
    relayed: "Packets passed on from the joined leg.",
    passed: "Datagrams of other media than audio passed on unread from the joined leg.",
    passed_octets: "Octets in them.",
    passed_strangers: "Datagrams of other media from an address that is not the far end's.",
    comfort_noise: "Packets that only say how the far end's silence sounds.",
    decoded: "Frames of 20 ms decoded from another codec than G.711.",
    encoded: "Frames of 20 ms encoded in another codec than G.711.",
    concealed: "Frames made up because their packet was lost or late.",
    recovered: "Frames that the next packet carried once more.",
    too_late: "Packets that came after their turn to be decoded.",
    late_prompts: "Frames of silence because a long prompt had not been read from its file in time.",
    late_sends: "Packets sent more than 5 ms after they were due.",
    skipped_sends: "Packets not sent because their time had long passed.",
    send_errors: "Packets that the system refused to send.",
    jitter_us: "Interarrival jitter of the far end's packets, in microseconds.",
    jitter_max_us: "The most that jitter has been.",
    reports_in: "RTCP packets of the far end.",
    reports_out: "RTCP packets sent.",
    reported_lost: "Packets of ours that the far end says it missed.",
    reported_jitter_us: "Jitter of our packets as the far end sees it, in microseconds.",
    round_trip_us: "Round-trip time by RTCP, in microseconds; 0 when unknown.",
    r_factor_x100: "What we hear, rated by the E-model, in hundredths; 0 when nothing was heard.",
    mos_x100: "The same as a mean opinion, in hundredths.",
    reported_r_factor_x100: "What the far end hears, rated from its reports; 0 without any.",
    reported_mos_x100: "The same as a mean opinion, in hundredths.",
}

/// Running sums, readable by any thread.
pub struct Totals {
    values: [AtomicU64; Counters::NAMES.len()],
    legs: AtomicU64,
    transcoding: AtomicU64,
    load: AtomicU64,
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            values: [const { AtomicU64::new(0) }; Counters::NAMES.len()],
            legs: AtomicU64::new(0),
            transcoding: AtomicU64::new(0),
            load: AtomicU64::new(0),
        }
    }
}

impl Totals {
    /// `transcoding` of the `legs` decode or encode; `load`: thousandths of its time that the thread
    /// is busy.
    pub fn publish(&self, counters: &Counters, legs: usize, transcoding: usize, load: u64) {
        for (total, value) in self.values.iter().zip(counters.values()) {
            total.store(value, Ordering::Relaxed);
        }
        self.legs.store(legs as u64, Ordering::Relaxed);
        self.transcoding.store(transcoding as u64, Ordering::Relaxed);
        self.load.store(load, Ordering::Relaxed);
    }

    pub fn read(&self) -> [u64; Counters::NAMES.len()] {
        std::array::from_fn(|index| self.values[index].load(Ordering::Relaxed))
    }

    pub fn legs(&self) -> u64 {
        self.legs.load(Ordering::Relaxed)
    }

    pub fn transcoding(&self) -> u64 {
        self.transcoding.load(Ordering::Relaxed)
    }

    pub fn load(&self) -> u64 {
        self.load.load(Ordering::Relaxed)
    }
}
