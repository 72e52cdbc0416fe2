"""When the garbage collector looks for what only knows each other, so that no call waits for it.

By Python's defaults it takes a tenth of a busy server's time.  Set to look at the newest objects only,
it still has to look at all of the calls that are up, and holds everybody up for a tenth of a second and
more.  Calls leave nothing behind that would need it, but for accidents: so it looks while there is no
call, or once there is too much that nobody has freed."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

LOOK_SECONDS = 1.0
QUIET_SECONDS = 60.0
"""Between two collections of a server without calls."""
MOST_OBJECTS = 2_000_000
"""More objects than after the last collection, whatever they are: a quarter of a gigabyte.  As many calls
that begin as end make no more objects."""


def spare() -> None:
    """Leave alone what exists by now, which stays, and begin no collection unasked."""
    gc.collect()
    gc.freeze()
    gc.disable()


async def collect(has_calls: Callable[[], bool]) -> None:
    """Collect where it is due, for ever."""
    waited = 0.0
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        waited += LOOK_SECONDS
        if is_due(waited, gc.get_count()[0], has_calls=has_calls()):
            gc.collect()
            waited = 0.0


def is_due(waited: float, grown: int, *, has_calls: bool) -> bool:
    """`waited` seconds and `grown` objects after the last collection."""
    return grown > MOST_OBJECTS or (waited >= QUIET_SECONDS and not has_calls)
