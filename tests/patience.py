"""How long a test waits for what has to come.

So long that what ends the wait is that it does not come, and never that the machine was slow, shared or
stalled for a while.  Only what must *not* happen is worth a short wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

PATIENCE_SECONDS = 60.0
_BEAT_SECONDS = 0.01


async def until(ready: Callable[[], object]) -> None:
    """Return once `ready()` is true, which something outside of this loop may decide."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not ready():
            await asyncio.sleep(0.01)


async def punctually(act: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Have `act` do what has to be done within `seconds` at a time, and anew where it failed because this
    loop was held up for so long: that shows what happens to somebody who is late, who was not asked for."""
    while True:
        pulse = _Pulse()
        beating = asyncio.create_task(pulse.beat())
        try:
            await act()
        except (AssertionError, EOFError, OSError):
            if pulse.latest() < seconds:
                raise
        else:
            return
        finally:
            beating.cancel()


class _Pulse:
    """How late the running loop has been."""

    def __init__(self) -> None:
        self._due = time.monotonic() + _BEAT_SECONDS
        self._latest = 0.0

    async def beat(self) -> None:
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            self._latest = self.latest()
            self._due = time.monotonic() + _BEAT_SECONDS

    def latest(self) -> float:
        return max(self._latest, time.monotonic() - self._due)
