"""Two calls that are connected: their audio, what else they exchange, and that each knows of the other."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from callrouter.calls.passage import passage_of
from callrouter.calls.tie import Tie, tied
from callrouter.calls.waiting import first_of
from callrouter.ports import AUDIO_ALONE, Join, Part, Passing
from dispatcher.grant import Control
from metering.interval import Cause

if TYPE_CHECKING:
    from callrouter.calls.controller import Controller

Departure = Literal["callee", "redirected"]
"""Why the other one is not there any more: the call is over, or it has gone elsewhere."""


class Talk(Protocol):
    """Between a call and the party it is connected with."""

    def answer(self) -> Passing:
        """What the call is answered with, if it has not been yet."""

    def agree(self) -> None:
        """Both are answered."""

    def begin(self) -> None: ...

    def pause(self) -> None:
        """They hear each other no more.  Also when it has not begun, or is over."""

    def end(self) -> None:
        """For good."""


class Party(Protocol):
    """Who a call is connected with: a call it has dialled, or one of another session."""

    @property
    def controller(self) -> Controller: ...

    @property
    def control(self) -> Control:
        """Who holds the call meanwhile."""

    @property
    def is_gone(self) -> bool: ...

    async def left(self) -> Departure:
        """Wait until it is not there any more."""

    def meet(self, controller: Controller) -> Talk: ...

    async def take(self, cause: Cause, at_ns: int) -> None:
        """Its own time passes to the bridge."""

    def dismiss(self, q850: int = 0) -> None:
        """Nobody talks to it any more, because of what the far end has said."""


class Conversation:
    """With a call that this one has dialled; it begins once."""

    def __init__(self, near: Controller, far: Controller) -> None:
        self._near = near
        self._far = far
        self._legs = near.leg(), far.leg()
        self._passage = passage_of(near, far.leg())
        self._passage.open()
        self._ties = tied(*self._legs)
        self._is_over = False

    def answer(self) -> Passing:
        return self._passage.answer()

    def agree(self) -> None:
        for tie in self._ties:
            tie.agree()

    def begin(self) -> None:
        near, far = self._legs
        self._near.services.media.submit(Join(near.id, far.id))
        self._passage.begin()
        self._near.meet(self._far, self)
        self._far.meet(self._near, self)

    def pause(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        near, far = self._legs
        if self._near.talk is self:
            self._near.services.media.submit(Part(near.id))
            for controller in (self._near, self._far):
                controller.part()
        self._passage.end()
        far.passage = None
        for tie in self._ties:
            tie.end()

    def end(self) -> None:
        self.pause()


@dataclass(eq=False, slots=True)
class Linked:
    """One of two parties that somebody brought together who talked to both: each of a session of its
    own.  Audio alone; each is with the other until either leaves."""

    near: Controller
    controller: Controller
    control: Control
    _peer: Linked | None = None
    _is_ready: bool = False
    _joined: Linked | None = None
    """Of the two the one that has joined them."""
    _ties: tuple[Tie, ...] = ()
    _deserted: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def pair(cls, one: tuple[Controller, Control], two: tuple[Controller, Control]) -> tuple[Linked, Linked]:
        first, second = cls(one[0], two[0], one[1]), cls(two[0], one[0], two[1])
        first._peer, second._peer = second, first
        return first, second

    @property
    def is_gone(self) -> bool:
        return self._deserted.is_set() or self.controller.over.is_set()

    async def left(self) -> Departure:
        await first_of(self.controller.over, self._deserted)
        return "callee"

    def meet(self, controller: Controller) -> Linked:
        return self

    async def take(self, cause: Cause, at_ns: int) -> None:
        """The other one sees to that."""

    def answer(self) -> Passing:
        return AUDIO_ALONE

    def agree(self) -> None:
        """They have been since before they met."""

    def begin(self) -> None:
        self._is_ready = True
        sip = self.near.leg().sip
        if sip is not None:
            sip.withdraw_lines()
        if self._peer is not None and self._peer._is_ready and not self.is_gone:
            self._join(self._peer)

    def _join(self, peer: Linked) -> None:
        legs = self.near.leg(), peer.near.leg()
        self.near.services.media.submit(Join(legs[0].id, legs[1].id))
        self._ties = tied(*legs)
        for side in (self, peer):
            side.near.meet(side.controller, side)
        self._joined = peer._joined = self

    def pause(self) -> None:
        joined = self._joined
        if joined is None or self._peer is None:
            return
        if self.near.call.leg is not None:
            self.near.services.media.submit(Part(self.near.call.leg.id))
        for tie in joined._ties:
            tie.end()
        for side in (self, self._peer):
            side.near.part()
            side._joined, side._is_ready = None, False

    def end(self) -> None:
        self.pause()
        self.dismiss()

    def dismiss(self, q850: int = 0) -> None:
        if self._peer is not None:
            self._peer._deserted.set()
            self._peer = None  # two that know each other would wait for the collector
