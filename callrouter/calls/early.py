"""What is heard of a callee before it answers (RFC 3960): its announcements, its own ringing."""

from __future__ import annotations

import asyncio


class EarlyAudio:
    """Whether there is any, as something to wait for.  It may end before the answer does, where the call
    goes on to somebody else."""

    __slots__ = ("begun", "ended")

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()

    def begin(self) -> None:
        self.ended.clear()
        self.begun.set()

    def end(self) -> None:
        self.begun.clear()
        self.ended.set()
