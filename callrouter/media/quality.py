"""How well the ends of a leg heard each other, for the operator's charts."""

from __future__ import annotations

from collections.abc import Mapping

from callrouter.ports import Metrics


def observe_quality(metrics: Metrics, counters: Mapping[str, int]) -> None:
    """Put the figures of a leg that has closed into the histograms.  A direction nothing is known
    of is left out: a call that was refused is not a bad call."""
    _observe(metrics, counters, "in", counters["packets_in"], "")
    told = counters["packets_out"] - min(counters["reported_lost"], counters["packets_out"])
    if counters["reported_mos_x100"]:
        _observe(metrics, counters, "out", told, "reported_")
    if counters["round_trip_us"]:
        metrics.observe("rtp_round_trip_seconds", counters["round_trip_us"] / 1e6)


def _observe(
    metrics: Metrics, counters: Mapping[str, int], direction: str, arrived: int, prefix: str
) -> None:
    if not arrived:
        return
    lost = counters[f"{prefix}lost"]
    metrics.observe("rtp_mos", counters[f"{prefix}mos_x100"] / 100, direction=direction)
    metrics.observe("rtp_loss_ratio", lost / (lost + arrived), direction=direction)
    metrics.observe("rtp_jitter_seconds", counters[f"{prefix}jitter_us"] / 1e6, direction=direction)
