"""Stories that far ends and media threads tell together, each of them every 20 ms.

Sound that the machine held up comes too late for whoever waits for it, as on any telephone: it is concealed,
shortened or moved.  A telling in which that happened shows what happens then, which was not asked for, and is
begun anew; one that fails with nobody held up has failed.  Where each is disturbed, nothing can be told.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from typing import ParamSpec

import pytest

from callrouter.errors import MediaUnavailable
from callrouter.media import RtpMedia

TELLINGS = 20
_BEAT_SECONDS = 0.005
_HELD_UP_SECONDS = 0.01
_PUBLISHED_SECONDS = 0.6
"""The media threads bring their sums up to date within this time."""
P = ParamSpec("P")


class _Telling:
    """Who has been held up while a story was told."""

    def __init__(self) -> None:
        self.far_ends_were = False
        self.threads_were = False

    async def beat(self) -> None:
        """Note when this loop would have run and was not let: its own work is its own affair."""
        while True:
            began, worked = time.monotonic(), time.thread_time()
            await asyncio.sleep(_BEAT_SECONDS)
            held_up = time.monotonic() - began - _BEAT_SECONDS - (time.thread_time() - worked)
            self.far_ends_were |= held_up > _HELD_UP_SECONDS


_tellings: list[_Telling] = []


async def note(media: RtpMedia, *, has_failed: bool) -> None:
    """Ask an engine whose story is over whether its threads were held up."""
    if has_failed and _tellings:
        await asyncio.sleep(_PUBLISHED_SECONDS)
    try:
        counts = media.totals().counts
    except MediaUnavailable:  # its story was to stop it
        return
    for telling in _tellings:
        telling.threads_were |= counts["late_sends"] + counts["skipped_sends"] > 0


def in_real_time(story: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
    """Tell a story, and again where it failed because somebody in it was held up."""

    @functools.wraps(story)
    async def told(*args: P.args, **kwargs: P.kwargs) -> None:
        tellings: list[_Telling] = []
        while True:
            telling = _Telling()
            tellings.append(telling)
            _tellings.append(telling)
            beating = asyncio.create_task(telling.beat())
            try:
                await story(*args, **kwargs)
            except Exception:
                if not (telling.far_ends_were or telling.threads_were):
                    raise
                if len(tellings) == TELLINGS:
                    if all(one.far_ends_were for one in tellings):
                        pytest.skip(f"the machine stood still in each of {TELLINGS} tellings")
                    raise
            else:
                return
            finally:
                beating.cancel()
                _tellings.remove(telling)

    return told
