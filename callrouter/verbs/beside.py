"""Work that goes on beside a verb's main business and ends with it: a prompt, a ringback tone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run `work` for as long as the block lasts.  Its failure is raised when the block ends well."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        await stop((task,))
    if not task.cancelled():
        task.result()


async def stop(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel `tasks` and see them end, even when cancelled meanwhile.  What they raised is left in
    them, marked as seen: whoever cares asks `result`."""
    interrupted: asyncio.CancelledError | None = None
    running = {task for task in tasks if not task.done()}
    for task in running:
        task.cancel()
    while running:
        try:
            _, running = await asyncio.wait(running)
        except asyncio.CancelledError as error:
            interrupted = error
            running = {task for task in running if not task.done()}
    for task in tasks:
        if not task.cancelled():
            task.exception()
    try:
        if interrupted is not None:
            raise interrupted
    finally:
        del interrupted  # an exception keeps this frame
