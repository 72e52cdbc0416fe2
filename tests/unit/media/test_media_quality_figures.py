"""What of a closed leg goes into the charts."""

from __future__ import annotations

from callrouter.media.counters import COUNTERS
from callrouter.media.quality import observe_quality
from metering.prometheus import PrometheusMetrics


def rendered(**counters: int) -> str:
    metrics = PrometheusMetrics()
    observe_quality(metrics, dict.fromkeys(COUNTERS, 0) | counters)
    return metrics.render().decode()


def test_a_leg_is_charted_in_both_directions() -> None:
    text = rendered(
        packets_in=90,
        lost=10,
        mos_x100=310,
        jitter_us=2000,
        packets_out=100,
        reported_lost=1,
        reported_mos_x100=420,
        round_trip_us=40_000,
    )
    assert 'callrouter_rtp_loss_ratio_bucket{direction="in",le="0.1"} 1.0' in text
    assert 'callrouter_rtp_loss_ratio_bucket{direction="in",le="0.05"} 0.0' in text
    assert 'callrouter_rtp_mos_sum{direction="in"} 3.1' in text
    assert 'callrouter_rtp_mos_sum{direction="out"} 4.2' in text
    assert 'callrouter_rtp_jitter_seconds_bucket{direction="in",le="0.0025"} 1.0' in text
    assert 'callrouter_rtp_round_trip_seconds_bucket{le="0.05"} 1.0' in text


def test_a_direction_of_which_nothing_is_known_is_left_out() -> None:
    text = rendered(packets_out=100)
    assert "direction=" not in "".join(line for line in text.splitlines() if "rtp_mos" in line)
    assert "callrouter_rtp_round_trip_seconds_count 0.0" in text
