"""An event loop whose clock jumps: an hour of call takes the microseconds of its callbacks.

Whenever every task waits, the loop's time moves straight to the next timer.  Order, deadlines and
`asyncio.timeout` behave exactly as in real time, so a test states instants (`now() == 5.0`)
instead of tolerances.

Three ways to use it:

    virtual_time.run(main())                     # a plain test function, or a hypothesis example

    # conftest.py of a folder: every async test of it runs in virtual time
    def pytest_asyncio_loop_factories(config, item):
        return {"virtual": VirtualTimeLoop}

    virtual_time.LoopClock(loop)                 # `ports.Clock` that reads the same time

Time stands still while a thread of `asyncio.to_thread` or `run_in_executor` is at work.  Sockets still
work, since a ready descriptor goes before a jump, but time does not wait for a peer: use real time where
the other end is another process, or a thread that the loop did not start.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

PATIENCE_SECONDS = 60.0
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
        self.threads = 0
        """At work for the loop."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or (timeout > 0 and self.threads):
            ready = super().select(PATIENCE_SECONDS)
            if not ready:
                raise Deadlock("every task waits, no timer is armed or a thread never comes back")
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

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self._jumping.threads += 1
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _future: asyncio.Future[Any]) -> None:
        self._jumping.threads -= 1


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
