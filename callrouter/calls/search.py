"""Looking for somebody to be connected with a call: whom a verb has dialled, until one of them is, or nobody
can be had."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from callrouter.calls.waiting import first_of
from callrouter.ports import CallStatus, DialResult

if TYPE_CHECKING:
    from callrouter.calls.child import Child
    from callrouter.calls.controller import Controller

_STATUS = {
    CallStatus.BUSY: 486,
    CallStatus.NO_ANSWER: 480,
    CallStatus.CANCELED: 487,
    CallStatus.COMPLETED: 480,
}


class Finding(enum.Enum):
    CONNECTED = "connected"
    MISSED = "missed"
    """Nobody could be had."""
    GIVEN_UP = "given up"
    """Whoever called did not wait."""


@dataclass(eq=False, slots=True)
class Search:
    _children: list[Child] = field(default_factory=list)
    _found: Child | None = None
    _is_given_up: bool = False
    _over: asyncio.Event = field(default_factory=asyncio.Event)
    """Somebody has been found, or all that was dialled is hung up."""
    _latest: int = 0
    """The last provisional status that came back."""
    _told: Callable[[int], None] | None = None

    def add(self, child: Child) -> None:
        self._children.append(child)
        child.controller.on_ringing = self._rings

    def listen(self, told: Callable[[int], None]) -> None:
        """Have `told` what status comes back, the one that has already first."""
        self._told = told
        if self._latest:
            told(self._latest)

    def _rings(self, status: int) -> None:
        self._latest = status
        if self._told is not None:
            self._told(status)

    def conclude(self, found: Child | None, *, is_given_up: bool) -> None:
        self._found, self._is_given_up = found, is_given_up
        self._told = None
        for child in self._children:
            child.controller.on_ringing = None  # or the two would be left to the collector
        self._over.set()

    async def outcome(self, controller: Controller) -> Finding:
        """Wait until the call of `controller`, whose search this is, is connected, or will not be."""
        await first_of(controller.connected, self._over)
        if self._found is not None:
            await first_of(controller.connected, controller.over, self._found.controller.over)
        if controller.partner is not None:
            return Finding.CONNECTED
        is_given_up = self._is_given_up or (self._found is not None and controller.over.is_set())
        return Finding.GIVEN_UP if is_given_up else Finding.MISSED

    @property
    def status(self) -> int:
        """The SIP status of a search that came to nothing."""
        return next((failure_of(child.result) for child in self._children), _STATUS[CallStatus.NO_ANSWER])


def failure_of(result: DialResult) -> int:
    """The SIP status of an attempt that came to nothing."""
    refused = result.sip_status if result.sip_status >= 400 and result.sip_status != 487 else 0
    return refused or _STATUS.get(result.status, 503)
