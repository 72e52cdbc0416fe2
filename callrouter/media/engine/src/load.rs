//! What media threads have to do: what a leg will cost its thread, and how busy a thread has been.

use rustix::time::{ClockId, clock_gettime};

use crate::clock::SECOND;
use crate::coded::Codec;

/// How many legs of G.711 a leg costs as much as, all of them hearing a prompt and listened to.  What is
/// relayed unread costs less than it weighs: whether a leg is, changes too often to move it for that.
pub fn weight(coded: Option<Codec>) -> u32 {
    match coded {
        None => 1,
        Some(Codec::G722) => 4,
        Some(Codec::Opus) => 11,
    }
}

/// How busy the thread is that asks.
#[derive(Default)]
pub struct Meter {
    asked_ns: i64,
    busy_ns: i64,
}

impl Meter {
    /// Thousandths of the time since the last question that were spent with work, as the system
    /// accounts for it.
    pub fn read(&mut self, now_ns: i64) -> u64 {
        let busy_ns = busy_ns();
        let (passed, spent) = (now_ns - self.asked_ns, busy_ns - self.busy_ns);
        (self.asked_ns, self.busy_ns) = (now_ns, busy_ns);
        if passed <= 0 { 0 } else { (spent * 1000 / passed).clamp(0, 1000).unsigned_abs() }
    }
}

fn busy_ns() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * SECOND + time.tv_nsec
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now_ns;
    use crate::coded::{Edge, MAX_CODED};
    use crate::g711::Codec as Law;
    use crate::leg::TICK;
    use crate::rtp::FRAME;
    use crate::synthetic_speech::Talker;

    #[test]
    fn a_thread_is_as_busy_as_it_works() {
        let mut meter = Meter::default();
        meter.read(now_ns());
        std::thread::sleep(std::time::Duration::from_millis(50));
        let idle = meter.read(now_ns());
        assert!(idle < 200, "{idle}");
        let before = busy_ns();
        while busy_ns() - before < SECOND / 50 {}
        // As if it had been twice as long; neighbours may take time, but none is made up.
        let passed = meter.asked_ns + SECOND / 25;
        let busy = meter.read(passed);
        assert!((500..=650).contains(&busy), "{busy}");
    }

    /// What a codec adds to a leg: `cargo test --release cost_of_a_codec -- --ignored --nocapture`
    #[test]
    #[ignore = "measures"]
    fn cost_of_a_codec() {
        const FRAMES: u32 = 2000;
        for codec in [Codec::G722, Codec::Opus] {
            let (mut said, mut heard) = (Edge::new(codec), Edge::new(codec));
            let (mut encoding, mut decoding) = (0, 0);
            let mut talker = Talker::new(3);
            for number in 0..FRAMES {
                let frame = [(); FRAME].map(|()| Law::Pcmu.encode(talker.sample()));
                let mut space = [0; MAX_CODED];
                let begun = busy_ns();
                let packet = said.encode(&frame, &mut space);
                let encoded = busy_ns();
                heard.hear(number as u16, false, packet);
                heard.decode(true, i64::from(number) * TICK);
                encoding += encoded - begun;
                decoding += busy_ns() - encoded;
            }
            let share = |ns: i64| ns as f64 * 100.0 / (i64::from(FRAMES) * TICK) as f64;
            println!(
                "{codec:?}: {:.3} % of a core to encode, {:.3} to decode",
                share(encoding),
                share(decoding)
            );
        }
    }
}
