"""An event loop whose clock jumps: an hour of call takes the microseconds of its callbacks.

Whenever every task waits, the loop's time moves straight to the next timer.  Order, deadlines and
`asyncio.timeout` behave exactly as in real time, so a test states instants (`now() == 5.0`)
instead of tolerances.

Three ways to use it:

    virtual_time.run(main())                     # a plain test function, or a hypothesis example

    # conftest.py of a folder (or a test module): every async test of it runs in virtual time
    def pytest_asyncio_loop_factories(config, item):
        return {"virtual": VirtualTimeLoop}

    virtual_time.LoopClock(loop)                 # `ports.Clock` that reads the same time

Sockets still work, since a ready descriptor goes before a jump, but time does not wait for a peer:
use real time where the other end is another process or thread.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 2.0
"""Real time granted to threads and sockets when no timer is armed, before the loop calls it a deadlock."""


class Deadlock(RuntimeError):
    """Every task waits, no timer is armed and nothing came from outside."""


class TasksLeft(AssertionError):
    """The main coroutine returned while tasks that it had started were still there."""


class _JumpingSelector(selectors.DefaultSelector):
    """Where a loop would sleep, moves `now` forward instead."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.now = start

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            ready = super().select(PATIENCE_SECONDS)
            if not ready:
                raise Deadlock("every task waits and no timer is armed: nothing can ever happen again")
            return ready
        ready = super().select(0)
        if not ready and timeout > 0:
            self.now += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A selector loop on a clock of its own, which starts at `start` seconds."""

    def __init__(self, start: float = 0.0) -> None:
        self._jumping = _JumpingSelector(start)
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


class LoopClock:
    """`ports.Clock` on a loop's time; UTC starts at `epoch_ms` when the loop's clock is 0."""

    def __init__(self, loop: asyncio.AbstractEventLoop, epoch_ms: int = 1_700_000_000_000) -> None:
        self._loop = loop
        self._epoch_ms = epoch_ms

    def monotonic_ns(self) -> int:
        return round(self._loop.time() * 1_000_000_000)

    def utc_ms(self) -> int:
        return self._epoch_ms + round(self._loop.time() * 1000)


def now() -> float:
    """Seconds of the running loop's clock."""
    return asyncio.get_running_loop().time()


def run(main: Coroutine[Any, Any, T], *, start: float = 0.0) -> T:
    """Run `main` in a fresh virtual-time loop.  Raises `TasksLeft` if it leaves tasks behind."""

    async def checked() -> T:
        result = await main
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            raise TasksLeft(f"tasks left behind: {sorted(str(task.get_coro()) for task in left)}")
        return result

    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(start)) as runner:
        return runner.run(checked())
