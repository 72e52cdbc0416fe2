"""The gate for new calls: what is more than we can carry is turned away at once, and cheaply.

A rate that the operator sets, and one that follows the load: each tick over the limit cuts what is
let in, each tick under it lets in a little more (additive increase, multiplicative decrease).  What
belongs to a call that is up never comes here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

_SECOND = 1_000_000_000
_LEAST = 20.0
"""Calls a second that are let in however bad it looks: else there would be nothing to judge by."""
_PATIENCE = 4
"""Ticks until a cut: a pause of the collector, or one large document, is no overload; and a cut needs
as long to be felt."""
_CUT = 0.85
_GROWTH = 1.06
_RETRY_FROM, _RETRY_TO = 5, 30
_REMEMBERED = 20_000


class CallGate:
    """`per_second` = 0: only the load decides."""

    __slots__ = (
        "_admitted",
        "_chance",
        "_fixed",
        "_limit",
        "_recent",
        "_since_tick",
        "_ticks_over",
        "_tokens",
        "_updated_ns",
        "turned_away",
    )

    def __init__(self, per_second: float, chance: Callable[[int], str]) -> None:
        self._fixed = per_second
        self._chance = chance
        self._limit = 0.0
        """By load; 0 = none."""
        self._tokens = 0.0
        self._updated_ns = 0
        self._since_tick = 0
        self._ticks_over = 0
        self._recent = 0.0
        """Calls let in per second, of late."""
        self._admitted: OrderedDict[bytes, None] = OrderedDict()
        self.turned_away = 0

    @property
    def per_second(self) -> float:
        """What is let in now; 0 = everything."""
        limits = [limit for limit in (self._fixed, self._limit) if limit]
        return min(limits, default=0.0)

    def admits(self, now_ns: int) -> bool:
        """Count one more new call."""
        rate = self.per_second
        if rate:
            most = max(1.0, rate / 5)
            elapsed = (now_ns - self._updated_ns) / _SECOND
            self._tokens = min(most, self._tokens + elapsed * rate)
            self._updated_ns = now_ns
            if self._tokens < 1.0:
                self.turned_away += 1
                return False
            self._tokens -= 1.0
        self._since_tick += 1
        return True

    def has_room(self, now_ns: int) -> bool:
        """`admits` would say yes; nothing is counted."""
        rate = self.per_second
        return not rate or self._tokens + (now_ns - self._updated_ns) / _SECOND * rate >= 1.0

    def tick(self, pressure: float, seconds: float) -> None:
        """`pressure` above 1 is more than we can carry; `seconds` since the last tick."""
        rate, self._since_tick = self._since_tick / max(seconds, 0.001), 0
        self._recent += (rate - self._recent) * min(1.0, seconds)
        self._ticks_over = self._ticks_over + 1 if pressure > 1.0 else 0
        if self._ticks_over >= _PATIENCE:
            carried = min(self._limit, self._recent) if self._limit else self._recent
            self._limit = max(_LEAST, carried * _CUT)
            self._ticks_over = 0
        elif self._limit and pressure <= 1.0:
            self._limit *= _GROWTH
            if self._limit > 3 * max(self._recent, _LEAST) and pressure < 0.7:
                self._limit = 0.0

    def retry_after(self) -> int:
        """Seconds; everybody is told another time, or all would be back at once."""
        return _RETRY_FROM + int(self._chance(2), 16) % (_RETRY_TO - _RETRY_FROM + 1)

    # -- calls that were let in, and whose INVITE may come again

    def remember(self, call_id: bytes) -> None:
        self._admitted[call_id] = None
        if len(self._admitted) > _REMEMBERED:
            self._admitted.popitem(last=False)

    def remembers(self, call_id: bytes) -> bool:
        return call_id in self._admitted
