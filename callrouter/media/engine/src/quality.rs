//! An estimate of how a stream sounds: the E-model (ITU-T G.107) with every term that RTP cannot
//! know at its default, as Cole and Rosenbluth reduced it, in whole hundredths.
//!
//!   R = 93.2 - Id - Ie,eff
//!   Id = 0.024 d + 0.11 max(0, d - 177.3), d the delay from mouth to ear in milliseconds
//!   Ie,eff = Ie + (95 - Ie) Ppl / (Ppl / BurstR + Bpl), Ppl in percent (G.107 §7.4)
//!
//! Ie and Bpl are those of G.113 appendix I; codecs it does not rate are given the values of their
//! nearest relative.  All codecs are on the narrow-band scale, so that legs can be compared.

/// What a codec loses by itself, and how well it stands loss, in tenths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Impairment {
    pub equipment: i64,
    pub robustness: i64,
}

/// G.711 with concealment (G.113 appendix I).
pub const CONCEALED: Impairment = Impairment { equipment: 0, robustness: 251 };
/// The best a listener can be given on the narrow-band scale, in hundredths.
const BEST: i64 = 9320;

/// What was measured of one direction of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    pub received: u64,
    pub lost: u64,
    /// How many times something was lost: a run of packets in a row counts once.
    pub gaps: u64,
    pub jitter_us: u64,
    pub round_trip_us: u64,
}

/// In hundredths; both zero when nothing was received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rating {
    pub r_factor: u64,
    pub mos: u64,
}

pub fn rate(measured: &Measured, codec: Impairment) -> Rating {
    if measured.received == 0 {
        return Rating::default();
    }
    let r = (BEST - delay(measured) - loss(measured, codec)).clamp(0, BEST);
    Rating { r_factor: r as u64, mos: opinion(r) as u64 }
}

/// Id, in hundredths.  The delay is half the round trip, the packet's own 20 ms, and a buffer of
/// twice the jitter.
fn delay(measured: &Measured) -> i64 {
    let us = |value: u64| value.min(10_000_000) as i64;
    let micros = us(measured.round_trip_us) / 2 + 20_000 + 2 * us(measured.jitter_us);
    (24 * micros + 110 * (micros - 177_300).max(0)) / 10_000
}

/// Ie,eff, in hundredths.
fn loss(measured: &Measured, codec: Impairment) -> i64 {
    let received = measured.received.min(u64::from(u32::MAX)) as i64;
    let lost = measured.lost.min(u64::from(u32::MAX)) as i64;
    // In hundredths of a percent.
    let share = lost * 10_000 / (received + lost);
    // BurstR in hundredths: the mean length of a gap over what chance alone would make it.
    let gaps = (measured.gaps as i64).clamp(1, lost.max(1));
    let burst = (lost * (10_000 - share) / (gaps * 100)).max(100);
    let least = codec.equipment * 10;
    let divisor = share * 100 / burst + codec.robustness * 10;
    least + (9_500 - least) * share / divisor.max(1)
}

/// G.107 annex B: R to a mean opinion, both in hundredths.
fn opinion(r: i64) -> i64 {
    // Rounded once, to the nearest.
    (1_000_000_000_000 + 350_000_000 * r + r * (r - 6_000) * (10_000 - r) * 7 + 5_000_000_000)
        / 10_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(received: u64, lost: u64, gaps: u64) -> Measured {
        Measured { received, lost, gaps, ..Measured::default() }
    }

    #[test]
    fn a_perfect_stream_is_as_good_as_the_telephone_gets() {
        // R = 93.2 - 0.024 * 20 = 92.72, MOS 4.40.
        assert_eq!(rate(&stream(1000, 0, 0), CONCEALED), Rating { r_factor: 9272, mos: 440 });
    }

    #[test]
    fn nothing_heard_is_not_rated() {
        assert_eq!(rate(&Measured::default(), CONCEALED), Rating::default());
    }

    #[test]
    fn random_loss_follows_the_formula() {
        // 5 % at random: 95 * 5 / (5 + 25.1) = 15.78, R = 76.94, MOS 3.89.
        let rated = rate(&stream(9500, 500, 475), CONCEALED);
        assert!(rated.r_factor.abs_diff(7694) <= 3, "{rated:?}");
        assert!(rated.mos.abs_diff(389) <= 2, "{rated:?}");
    }

    #[test]
    fn loss_in_bursts_is_worse_than_loss_at_random() {
        let (random, bursts) = (stream(9500, 500, 475), stream(9500, 500, 50));
        // BurstR = 10 * 0.95 = 9.5: 95 * 5 / (5 / 9.5 + 25.1) = 18.54.
        let rated = rate(&bursts, CONCEALED);
        assert!(rated.r_factor.abs_diff(9272 - 1854) <= 3, "{rated:?}");
        assert!(rated.mos < rate(&random, CONCEALED).mos);
    }

    #[test]
    fn delay_costs_little_up_to_177_ms_and_then_much() {
        let at = |round_trip_us| rate(&Measured { round_trip_us, ..stream(100, 0, 0) }, CONCEALED).r_factor;
        assert_eq!(at(200_000), 9320 - 288);
        // d = 420 ms: 0.024 * 420 + 0.11 * 242.7 = 36.78.
        assert!(at(800_000).abs_diff(9320 - 3677) <= 1);
    }

    #[test]
    fn no_figures_whatever_overflow_or_leave_the_scale() {
        let all = [0, 1, 500, u64::from(u32::MAX), u64::MAX];
        for received in all {
            for lost in all {
                for gaps in all {
                    for delay in all {
                        let measured =
                            Measured { received, lost, gaps, jitter_us: delay, round_trip_us: delay };
                        let rated = rate(&measured, Impairment { equipment: 110, robustness: 190 });
                        assert!(rated.r_factor <= 9320 && rated.mos <= 450, "{measured:?} {rated:?}");
                    }
                }
            }
        }
    }
}
