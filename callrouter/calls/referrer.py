"""Asking the far end of a call to call somebody else itself (RFC 3515), and hearing what it makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from callrouter.ports import ReferProgress, Referred, SipLeg

_PENDING = 491


class Referrer:
    """Of one leg; one question at a time."""

    def __init__(self) -> None:
        self._waiting: asyncio.Future[Referred] | None = None
        self._answer = 0
        self._told: Callable[[int], None] | None = None

    async def ask(self, sip: SipLeg, target: str, told: Callable[[int], None] | None) -> Referred:
        """Wait for the end of it.  Whoever is cancelled meanwhile hears no more; the far end goes on."""
        if self._waiting is not None:
            return Referred(_PENDING)
        waiting: asyncio.Future[Referred] = asyncio.get_running_loop().create_future()
        self._waiting = waiting
        self._answer, self._told = 0, told
        sip.refer(target)
        try:
            return await waiting
        finally:
            self._waiting = None

    def told(self, progress: ReferProgress) -> None:
        waiting = self._waiting
        if waiting is None or waiting.done():
            return
        if not progress.by_notify:
            self._answer = progress.status
        if self._told is not None:
            self._told(progress.status)
        if progress.is_final:
            waiting.set_result(Referred(self._answer, progress.status if progress.by_notify else 0))

    def depart(self) -> None:
        """The far end is gone: what it has said so far is all."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(Referred(self._answer))
