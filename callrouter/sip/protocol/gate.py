"""The gate for new calls: what is more than we can carry is turned away at once, and cheaply.

A rate that the operator sets, and one that follows the load: pressure that stands cuts what is let
in, and as long as anybody is turned away the rate feels its way back up, faster the less pressure
there is.  When nobody has been turned away for a while it is forgotten.  What belongs to a call that
is up never comes here.

New calls by UDP have waited at the door (`sip/door`) until there was time for them, so for these the
operator's rate is all there is.
"""

from __future__ import annotations

from collections.abc import Callable

_SECOND = 1_000_000_000
_LEAST = 20.0
"""Calls a second that are let in however bad it looks: else there would be nothing to judge by."""
_PATIENCE = 6
"""Ticks until the gate closes: a pause of the collector, or one large document, is no overload."""
_FELT = 2
"""Ticks until a cut is felt, and the next may follow."""
_LEAST_CUT, _MOST_CUT = 0.95, 0.8
_FLOOR = 0.6
"""Of what was carried when the gate closed: where that is still too much, it is not the new calls that
are, and turning more of them away helps little.  It sinks with each cut that would pass it."""
_SINKING = 0.97
_GROWTH = 0.06
"""Of a tick without any pressure."""
_QUIET_SECONDS = 2.0
"""Nobody turned away for so long: the limit is above what is asked for, so there need be none."""
_MEMORY_SECONDS = 2.0
"""Long enough for the first moments of a flood not to be taken for what we can carry."""
_RETRY_FROM, _RETRY_TO = 5, 30


class _Bucket:
    """As many tokens as a fifth of a second brings."""

    __slots__ = ("_tokens", "_updated_ns")

    def __init__(self) -> None:
        self._tokens = 0.0
        self._updated_ns = 0

    def take(self, per_second: float, now_ns: int) -> bool:
        """One token, if there is one."""
        elapsed = (now_ns - self._updated_ns) / _SECOND
        self._tokens = min(max(1.0, per_second / 5), self._tokens + elapsed * per_second)
        self._updated_ns = now_ns
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class CallGate:
    """`per_second` = 0: only the load decides."""

    __slots__ = (
        "_by_load",
        "_by_order",
        "_carried",
        "_chance",
        "_fixed",
        "_limit",
        "_quiet",
        "_recent",
        "_since_tick",
        "_ticks_over",
        "_turned_away",
        "turned_away",
    )

    def __init__(self, per_second: float, chance: Callable[[int], str]) -> None:
        self._fixed = per_second
        self._chance = chance
        self._by_order, self._by_load = _Bucket(), _Bucket()
        self._limit = 0.0
        """By load; 0 = none."""
        self._since_tick = 0
        self._ticks_over = 0
        self._recent = 0.0
        """Calls let in per second, of late."""
        self._carried = 0.0
        """Calls per second when the gate closed."""
        self._quiet = 0.0
        """Seconds for which nobody was turned away."""
        self._turned_away = 0
        self.turned_away = 0
        """In all."""

    def admits(self, now_ns: int, *, has_waited: bool = False) -> bool:
        """Count one more new call; `has_waited`: at the door."""
        admits = not self._fixed or self._by_order.take(self._fixed, now_ns)
        if admits and not has_waited:
            admits = not self._limit or self._by_load.take(self._limit, now_ns)
            self._since_tick += admits
        self.turned_away += not admits
        return admits

    def tick(self, pressure: float, seconds: float) -> None:
        """`pressure` above 1 is more than we can carry; `seconds` since the last tick."""
        rate, self._since_tick = self._since_tick / max(seconds, 0.001), 0
        self._recent += (rate - self._recent) * min(1.0, seconds / _MEMORY_SECONDS)
        turned_away, self._turned_away = self.turned_away - self._turned_away, self.turned_away
        self._quiet = 0.0 if turned_away else self._quiet + seconds
        self._ticks_over = self._ticks_over + 1 if pressure > 1.0 else 0
        if self._ticks_over >= (_FELT if self._limit else _PATIENCE):
            self._cut(pressure)
        elif self._quiet >= _QUIET_SECONDS:
            self._limit = 0.0
        elif turned_away:
            self._limit *= 1.0 + _GROWTH * max(0.0, 1.0 - pressure)

    def _cut(self, pressure: float) -> None:
        if not self._limit:
            self._limit = self._carried = self._recent
        cut = self._limit * min(_LEAST_CUT, max(_MOST_CUT, pressure**-0.5))
        if cut < self._carried * _FLOOR:
            self._carried *= _SINKING
        self._limit = max(_LEAST, cut, self._carried * _FLOOR)
        self._ticks_over, self._quiet = 0, 0.0

    def retry_after(self) -> int:
        """Seconds; everybody is told another time, or all would be back at once."""
        return _RETRY_FROM + int(self._chance(2), 16) % (_RETRY_TO - _RETRY_FROM + 1)
