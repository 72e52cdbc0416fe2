"""What is played to a leg, one behind the other and joined to the sample."""

from __future__ import annotations

from asyncio import Future
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from callrouter.errors import CallGone
from callrouter.ports import PlayEnd, PlayEnded, PlayItem


class Start(Protocol):
    """Have a leg play something, in place of what it plays or behind that."""

    def __call__(
        self, items: Sequence[PlayItem], loops: int, stop_digits: str, *, follows: bool
    ) -> Future[PlayEnded | None]:
        """Done with how it ended, or with None when the leg ends first.  Raises `CallGone`."""


class Playlist:
    """Begun in this order; everything raises `CallGone` when the leg ends."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._ends: deque[Future[PlayEnded | None]] = deque()

    @property
    def is_heard(self) -> bool:
        return any(not ended.done() or ended.cancelled() for ended in self._ends)

    def begin(self, items: Sequence[PlayItem], loops: int = 1, stop_digits: str = "") -> None:
        """Play it when what was begun before has ended."""
        self._ends.append(self._start(items, loops, stop_digits, follows=bool(self._ends)))

    async def turn(self) -> None:
        """Wait until it is the turn of what was begun last."""
        while len(self._ends) > 1:
            await self._first()

    async def end(self) -> None:
        """Wait until all has ended."""
        while self._ends:
            await self._first()

    async def play(self, items: Sequence[PlayItem], loops: int, stop_digits: str) -> PlayEnded:
        """Play it to its end, and nothing else."""
        await self.end()
        self.begin(items, loops, stop_digits)
        return await self._first()

    async def _first(self) -> PlayEnded:
        ended = await self._ends[0]
        self._ends.popleft()
        if ended is None or ended.reason is PlayEnd.CLOSED:
            raise CallGone("the call ended while it was being played to")
        return ended
