"""The virtual-time loop: instants are exact, and it says when nothing can happen any more."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from callrouter.testing import virtual_time
from callrouter.testing.virtual_time import Deadlock, LoopClock, TasksLeft, VirtualTimeLoop


def test_an_hour_takes_no_time() -> None:
    async def main() -> float:
        await asyncio.sleep(3600)
        return virtual_time.now()

    began = time.monotonic()
    assert virtual_time.run(main()) == pytest.approx(3600)
    assert time.monotonic() - began < 1800, "half of it at the very most"


def test_timers_fire_in_order_at_their_instants() -> None:
    async def main() -> list[tuple[str, float]]:
        seen: list[tuple[str, float]] = []

        async def note(name: str, delay: float) -> None:
            await asyncio.sleep(delay)
            seen.append((name, round(virtual_time.now(), 6)))

        async with asyncio.TaskGroup() as group:
            group.create_task(note("late", 2.5))
            group.create_task(note("early", 0.5))
        return seen

    assert virtual_time.run(main()) == [("early", 0.5), ("late", 2.5)]


def test_a_timeout_fires_in_virtual_time() -> None:
    async def main() -> None:
        async with asyncio.timeout(30):
            await asyncio.sleep(31)

    with pytest.raises(TimeoutError):
        virtual_time.run(main())


def test_the_clock_port_reads_the_loop() -> None:
    async def main() -> tuple[int, int]:
        clock = LoopClock(asyncio.get_running_loop(), epoch_ms=1_000)
        await asyncio.sleep(1.25)
        return clock.monotonic_ns(), clock.utc_ms()

    assert virtual_time.run(main()) == (1_250_000_000, 2_250)


def test_waiting_for_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_time, "PATIENCE_SECONDS", 0.0)
    loop = VirtualTimeLoop()
    task = loop.create_task(asyncio.Event().wait())
    with pytest.raises(Deadlock):
        loop.run_until_complete(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()


def test_tasks_left_behind_are_named() -> None:
    async def forgotten() -> None:
        await asyncio.sleep(60)

    kept = []

    async def main() -> None:
        kept.append(asyncio.get_running_loop().create_task(forgotten()))
        await asyncio.sleep(0)

    with pytest.raises(TasksLeft, match="forgotten"):
        virtual_time.run(main())


def test_threads_still_answer() -> None:
    async def main() -> str:
        return await asyncio.to_thread(str.upper, "done")

    assert virtual_time.run(main()) == "DONE"


def test_time_stands_still_while_a_thread_works() -> None:
    async def main() -> float:
        hurried = asyncio.create_task(asyncio.sleep(5))
        await asyncio.to_thread(time.sleep, 0.05)
        began = virtual_time.now()
        await hurried
        return began

    assert virtual_time.run(main()) == 0.0


def test_a_thread_that_never_comes_back_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_time, "PATIENCE_SECONDS", 0.0)
    back = threading.Event()

    async def main() -> None:
        hurried = asyncio.create_task(asyncio.sleep(5))
        try:
            await asyncio.to_thread(back.wait)
        finally:
            hurried.cancel()

    loop = VirtualTimeLoop()
    task = loop.create_task(main())
    with pytest.raises(Deadlock):
        loop.run_until_complete(task)
    back.set()
    monkeypatch.undo()
    loop.run_until_complete(task)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
