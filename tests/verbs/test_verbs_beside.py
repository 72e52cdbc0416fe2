"""Work beside a verb's main business ends with it, whatever happens meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from callrouter.testing import virtual_time
from callrouter.verbs.beside import beside, stop


class Trace:
    """A task's life; its clean-up takes a second."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def work(self) -> None:
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(1)
            self.seen.append(f"cleaned up at {virtual_time.now():g}")


async def test_work_ends_with_the_block() -> None:
    trace = Trace()
    async with beside(trace.work()):
        await asyncio.sleep(2)
    assert trace.seen == ["cleaned up at 3"]


async def test_an_interruption_during_the_clean_up_waits_for_its_end() -> None:
    trace = Trace()

    async def block() -> None:
        async with beside(trace.work()):
            await asyncio.sleep(2)

    running = asyncio.create_task(block())
    await asyncio.sleep(2.5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert trace.seen == ["cleaned up at 3"]


async def test_a_failure_of_the_block_goes_before_one_of_the_work() -> None:
    async def fail() -> None:
        raise KeyError("work")

    async def block() -> None:
        async with beside(fail()):
            await asyncio.sleep(1)
            raise ValueError("block")

    with pytest.raises(ValueError, match="block"):
        await block()


async def test_a_failure_of_the_work_is_raised_when_the_block_ends_well() -> None:
    async def fail() -> None:
        raise KeyError("work")

    with pytest.raises(KeyError, match="work"):
        async with beside(fail()):
            await asyncio.sleep(1)


async def test_stopping_what_has_ended_does_nothing() -> None:
    task = asyncio.create_task(asyncio.sleep(0))
    await task
    await stop((task,))
    assert not task.cancelled()
