"""Waiting for the first of several things, and losing nothing that has come meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

T = TypeVar("T")


async def first_of(*events: asyncio.Event) -> None:
    """Until one of them is set."""
    if any(event.is_set() for event in events):
        return
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


@asynccontextmanager
async def next_of(
    queue: asyncio.Queue[T], wanted: Callable[[T], bool] = lambda _: True
) -> AsyncIterator[asyncio.Future[T]]:
    """The next that is `wanted` of a queue, waited for as long as the block lasts; what comes before it
    is dropped.  When the block is cancelled, what was taken for it goes back."""
    taken = asyncio.ensure_future(_get(queue, wanted))
    try:
        yield taken
    except asyncio.CancelledError:
        if taken.done():
            queue.put_nowait(taken.result())
        raise
    finally:
        taken.cancel()


async def _get(queue: asyncio.Queue[T], wanted: Callable[[T], bool]) -> T:
    while not wanted(found := await queue.get()):
        pass
    return found
