"""Timers as data: the core is told the time, and says when it wants to be told next.

The letters and the three constants are those of RFC 3261 §17 (table 4) and RFC 6026.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import Protocol

MS = 1_000_000
T1 = 500 * MS
"""Estimate of the round trip."""
T2 = 4_000 * MS
"""Longest gap between retransmissions of a non-INVITE request or an INVITE response."""
T4 = 5_000 * MS
"""How long a message stays in the network."""
LIFETIME = 64 * T1
"""Timers B, D, F, H, J, L, M, and the time a 2xx waits for its ACK."""

_COMPACT_FROM = 4096
_ENDINGS_EVERY = 20 * MS


class Timer:
    """One appointment.  Cancelled ones stay in the heap until their time or the next clearing."""

    __slots__ = ("_timers", "action")

    def __init__(self, timers: Timers, action: Callable[[int], None]) -> None:
        self._timers = timers
        self.action: Callable[[int], None] | None = action

    def cancel(self) -> None:
        if self.action is not None:
            self.action = None
            self._timers.cancelled()


def cancel(*timers: Timer | None) -> None:
    """Those that are running, and have not been cancelled yet."""
    for timer in timers:
        if timer is not None:
            timer.cancel()


class Timers:
    __slots__ = ("_dead", "_heap", "_sequence")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timer]] = []
        self._sequence = 0
        self._dead = 0

    def start(self, at_ns: int, action: Callable[[int], None]) -> Timer:
        """Call `action(now_ns)` at or after `at_ns`."""
        timer = Timer(self, action)
        self._sequence += 1
        heapq.heappush(self._heap, (at_ns, self._sequence, timer))
        return timer

    def cancelled(self) -> None:
        self._dead += 1
        if self._dead > _COMPACT_FROM and self._dead * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].action is not None]
            heapq.heapify(self._heap)
            self._dead = 0

    @property
    def next_ns(self) -> int | None:
        """When `run` wants to be called next."""
        heap = self._heap
        while heap and heap[0][2].action is None:
            heapq.heappop(heap)
            self._dead -= 1
        return heap[0][0] if heap else None

    def run(self, now_ns: int) -> None:
        """Fire what is due, in order."""
        heap = self._heap
        while heap and heap[0][0] <= now_ns:
            timer = heapq.heappop(heap)[2]
            action = timer.action
            if action is None:
                self._dead -= 1
                continue
            timer.action = None
            action(now_ns)
            heap = self._heap

    def __len__(self) -> int:
        return len(self._heap) - self._dead


class Ending(Protocol):
    ends_ns: int

    def terminate(self) -> None: ...


class Endings:
    """What ends a `LIFETIME` after it was added, unless it does so earlier by itself.  All of it lasts
    equally long, so it ends in the order in which it came, and one timer does for tens of thousands."""

    __slots__ = ("_queue", "_timers")

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._queue: deque[Ending] = deque()

    def add(self, what: Ending, now_ns: int) -> None:
        what.ends_ns = now_ns + LIFETIME
        self._queue.append(what)
        if len(self._queue) == 1:
            self._timers.start(what.ends_ns, self._run)

    def _run(self, now_ns: int) -> None:
        queue = self._queue
        try:
            while queue and queue[0].ends_ns <= now_ns:
                queue.popleft().terminate()
        finally:  # one that fails must not keep the others for ever
            if queue:
                self._timers.start(max(queue[0].ends_ns, now_ns + _ENDINGS_EVERY), self._run)
