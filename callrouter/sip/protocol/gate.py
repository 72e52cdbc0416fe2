"""The gate for new calls: what is more than we can carry is turned away at once, and cheaply.

A rate that the operator sets, and one that follows the load: pressure that stands cuts what is let
in, and as long as anybody is turned away the rate feels its way back up, faster the less pressure
there is.  When nobody has been turned away for a while it is forgotten.  What belongs to a call that
is up never comes here.
"""

from __future__ import annotations

from collections import OrderedDict
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
_FAST_GROWTH = 0.25
"""The same before the limit has ever been too high."""
_FIRST = 500.0
"""Calls a second that are let in when a flood sets in where there were fewer before it: what an
ordinary machine carries, so that a moment's stall turns nobody away."""
_QUIET_SECONDS = 2.0
"""Nobody turned away for so long: the limit is above what is asked for, so there need be none."""
_MEMORY_SECONDS = 2.0
"""Long enough for the first moments of a flood not to be taken for what we can carry."""
_RETRY_FROM, _RETRY_TO = 5, 30
_REMEMBERED = 20_000


class CallGate:
    """`per_second` = 0: only the load decides."""

    __slots__ = (
        "_admitted",
        "_carried",
        "_chance",
        "_fixed",
        "_is_probing",
        "_limit",
        "_quiet",
        "_recent",
        "_since_tick",
        "_ticks_over",
        "_tokens",
        "_turned_away",
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
        self._carried = 0.0
        """Calls per second when the gate closed."""
        self._is_probing = False
        """The limit is known to be low enough, not by how much."""
        self._quiet = 0.0
        """Seconds for which nobody was turned away."""
        self._turned_away = 0
        self._admitted: OrderedDict[bytes, None] = OrderedDict()
        self.turned_away = 0
        """In all."""

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
        self._recent += (rate - self._recent) * min(1.0, seconds / _MEMORY_SECONDS)
        turned_away, self._turned_away = self.turned_away - self._turned_away, self.turned_away
        self._quiet = 0.0 if turned_away else self._quiet + seconds
        self._ticks_over = self._ticks_over + 1 if pressure > 1.0 else 0
        if self._ticks_over >= (_FELT if self._limit else _PATIENCE):
            self._cut(pressure)
        elif self._quiet >= _QUIET_SECONDS:
            self._limit = 0.0
        elif turned_away:
            self._is_probing = self._is_probing and pressure < 0.5
            growth = _FAST_GROWTH if self._is_probing else _GROWTH
            self._limit *= 1.0 + growth * max(0.0, 1.0 - pressure)

    def _cut(self, pressure: float) -> None:
        if not self._limit:
            self._limit = self._carried = self._recent
        cut = self._limit * min(_LEAST_CUT, max(_MOST_CUT, pressure**-0.5))
        if cut < self._carried * _FLOOR:
            self._carried *= _SINKING
        self._limit = max(_LEAST, cut, self._carried * _FLOOR)
        self._ticks_over, self._quiet, self._is_probing = 0, 0.0, False

    def brace(self) -> None:
        """A flood has set in, so much is certain, but not yet how much we can carry: let in what came
        of late, and find out from there."""
        if not self._limit:
            self._limit = self._carried = max(_FIRST, self._recent)
            self._is_probing, self._quiet = True, 0.0

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
