"""What is kept of a call's audio."""

from __future__ import annotations

from callrouter.calls.quality import quality_of
from callrouter.calls.tables import QUALITY
from callrouter.media.counters import COUNTERS


def test_before_the_leg_has_closed_nothing_is_known() -> None:
    assert quality_of({}) == dict.fromkeys(QUALITY)


def test_every_column_has_a_counter_of_the_engine() -> None:
    counters = {name: number for number, name in enumerate(COUNTERS, 1)}
    row = quality_of(counters)
    assert None not in row.values()
    assert row["packets_lost"] == counters["lost"]
    assert row["packets_lost_out"] == counters["reported_lost"]
    assert row["mos_out_x100"] == counters["reported_mos_x100"]


def test_what_was_not_measured_is_not_zero() -> None:
    row = quality_of(dict.fromkeys(COUNTERS, 0))
    assert row["round_trip_us"] is row["mos_x100"] is row["r_factor_x100"] is None
    assert row["packets_lost"] == row["jitter_us"] == 0
