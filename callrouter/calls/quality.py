"""What a call's audio was like, as it is kept with the call."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from callrouter.calls.tables import QUALITY

_SOURCES = {
    "packets_lost": "lost",
    "packets_lost_out": "reported_lost",
    "mos_out_x100": "reported_mos_x100",
}
_UNKNOWN_AS_ZERO = frozenset({"round_trip_us", "r_factor_x100", "mos_x100", "mos_out_x100"})
_NOT_MEASURED = MappingProxyType(dict.fromkeys(QUALITY))


def quality_of(counters: Mapping[str, int]) -> Mapping[str, int | None]:
    """The columns of `QUALITY` from the counters of a call's leg; None: not measured, or not yet."""
    if not counters:
        return _NOT_MEASURED
    row: dict[str, int | None] = {}
    for name in QUALITY:
        value = counters.get(_SOURCES.get(name, name))
        row[name] = None if value == 0 and name in _UNKNOWN_AS_ZERO else value
    return row
