"""What the engine counts on each leg; `LegClosed.counters` has these names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

COUNTERS: dict[str, str] = {
    "packets_in": "RTP packets accepted from the far end",
    "packets_out": "RTP packets sent",
    "octets_in": "payload octets accepted",
    "octets_out": "payload octets sent",
    "lost": "packets of the far end that never arrived",
    "late": "packets that arrived after a newer one",
    "duplicates": "packets that arrived twice, or far too late",
    "new_streams": "RTP streams (SSRCs, restarts) that the far end has sent",
    "strangers": "packets from an address that is not the far end's",
    "garbage": "datagrams that were not RTP, or not of an agreed payload type",
    "unexpected": "RTP packets that the negotiated direction does not allow",
    "digits": "keys received",
    "relayed": "packets passed on from the joined leg",
    "late_sends": "packets sent more than 5 ms after they were due",
    "skipped_sends": "packets not sent because their time had long passed",
    "send_errors": "packets that the system refused to send",
    "jitter_us": "interarrival jitter of the far end's packets, microseconds",
    "reported_lost": "packets of ours that the far end says it missed",
    "reported_jitter_us": "jitter of our packets as the far end sees it, microseconds",
    "round_trip_us": "round-trip time by RTCP, microseconds; 0 when unknown",
}

GAUGES = frozenset({"jitter_us", "reported_jitter_us", "round_trip_us"})
"""Latest values rather than counts: they have no sum over legs."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over every leg the engine has had since it started, and how many live now."""

    counts: dict[str, int]
    legs_live: int


def by_name(values: Sequence[int]) -> dict[str, int]:
    """The engine's row of values, named."""
    return dict(zip(COUNTERS, values, strict=True))
