"""Bridge mode: two legs joined, no document executing (DESIGN.md §4 rule 5)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from callrouter.calls import recording, steps
from callrouter.calls.child import Child
from callrouter.calls.leg import DigitQueue, Leg
from callrouter.calls.live import ScopedCall
from callrouter.calls.passage import Passage, passage_of
from callrouter.calls.question import RESUME, request_for
from callrouter.calls.steps.context import Context, nothing
from callrouter.calls.steps.step import Step
from callrouter.calls.tie import tied
from callrouter.ports import (
    AUDIO_ALONE,
    Bridged,
    CallStatus,
    Connect,
    GoTo,
    Hangup,
    Interrupt,
    Join,
    Outcome,
    Part,
    Shutdown,
    Side,
    Transfer,
)
from dispatcher.grant import BridgeGrant, Refusal, ResumeGrant
from metering.interval import Cause
from modules.library.bridge import document

if TYPE_CHECKING:
    from callrouter.calls.controller import Controller
    from callrouter.calls.steps.running import Running

EndedBy = Literal["caller", "callee", "star", "time-limit", "redirected", "us"]


@dataclass(slots=True)
class Bridging(Step):
    """Join the child to the call and wait for the end of the conversation."""

    order: Connect
    resume: Running
    """The suspended document, at its Dial."""
    ended: Bridged | None = None

    @property
    def child(self) -> Child:
        if not isinstance(self.order.child, Child):
            raise TypeError("only a call placed by this controller can be joined")
        return self.order.child

    async def perform(self, controller: Controller) -> Step | None:
        try:
            ended = await self._converse(controller)
        finally:
            await self._end_child()
        target = self._mapped(controller)
        if target:
            return steps.Dispatching(GoTo(target), Cause.EVENT)
        if self.resume.context.granted:
            # The bridge's own document goes on: control has not left the bridge.
            self.resume.context = replace(self.resume.context, granted=None, at_end=nothing)
            return self.resume.follow(controller, self.order.after(ended))
        return Resuming(self.resume, self.order.after(ended))

    def _mapped(self, controller: Controller) -> str:
        """Where the application's event mapping sends the call at the end of a bridge, if anywhere."""
        bridge = controller.control or self.child.grant.control
        target = controller.services.dispatcher.event(bridge, "ended") or ""
        return "" if target == RESUME else target

    async def _converse(self, controller: Controller) -> Bridged:
        child, scope = self.child.controller, ScopedCall(controller, self.resume.context)
        if child.over.is_set():
            await scope.answer()
            return self._close(0, "callee", None)
        leg, other = controller.leg(), child.leg()
        passage = passage_of(controller, other)
        passage.open()
        ties = tied(leg, other)
        try:
            await scope.answer(
                AUDIO_ALONE if controller.call.is_answered else passage.answer(), _codec_of(other)
            )
            for tie in ties:
                tie.agree()
            return await self._joined(controller, passage)
        finally:
            passage.end()
            for tie in ties:
                tie.end()

    async def _joined(self, controller: Controller, passage: Passage) -> Bridged:
        child, services = self.child, controller.services
        other = child.controller.leg() if not child.controller.over.is_set() else None
        if other is None:
            return self._close(0, "callee", None)
        leg = controller.leg()
        began_ns = services.clock.monotonic_ns()
        services.media.submit(Join(leg.id, other.id))
        passage.begin()
        running = recording.of_bridge(controller, other, self.order.record) if self.order.record else None
        control = child.grant.control
        driven = replace(control, holder=replace(control.holder, driven_by=controller.call.sid))
        ended_by: EndedBy = "caller"
        try:
            await asyncio.gather(
                controller.take(control, Cause.VERB, at_ns=began_ns),
                child.controller.take(driven, Cause.VERB, at_ns=began_ns),
            )
            with leg.listen() as digits:
                ended_by = await self._wait(digits)
        finally:
            services.media.submit(Part(leg.id))
            seconds = (services.clock.monotonic_ns() - began_ns + 500_000_000) // 1_000_000_000
            kept = await running.stop() if running is not None else None
            ended = self._close(seconds, ended_by, kept)
        return ended

    def _close(self, seconds: int, ended_by: EndedBy, kept: object) -> Bridged:
        self.ended = Bridged(seconds, ended_by, kept)  # type: ignore[arg-type]  # Recorded or None
        return self.ended

    async def _wait(self, digits: DigitQueue) -> EndedBy:
        waits: dict[asyncio.Future[object], EndedBy] = {
            asyncio.ensure_future(self.child.controller.over.wait()): "callee",
            asyncio.ensure_future(self.child.controller.detached.wait()): "redirected",
        }
        if self.order.hangup_on_star:
            waits[asyncio.ensure_future(_star(digits))] = "star"
        try:
            done, _ = await asyncio.wait(
                waits, timeout=self.order.time_limit_seconds or None, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for wait in waits:
                wait.cancel()
        return waits[next(iter(done))] if done else "time-limit"

    async def _end_child(self) -> None:
        child = self.child
        if not child.controller.detached.is_set():
            child.controller.interrupt(Hangup(Side.US, "the other end hung up", CallStatus.COMPLETED))

    async def owed(self, controller: Controller, cause: Interrupt) -> Step | None:
        await self._end_child()
        outcome = self.order.after(self.ended or Bridged(0, "caller"))
        if isinstance(cause, Transfer) and cause.target == RESUME:
            return Resuming(self.resume, outcome)
        if not isinstance(cause, Hangup | Shutdown):
            return None
        return steps.LastRequest(outcome, self.resume.context) if isinstance(outcome, GoTo) else None


def _codec_of(leg: Leg) -> str:
    """What the far end speaks, "" when that is not known."""
    audio = None if leg.sip is None else leg.sip.audio
    return "" if audio is None else audio.codec


async def _star(digits: DigitQueue) -> None:
    while await digits.next() != "*":
        pass


@dataclass(slots=True)
class Resuming(Step):
    """Ask for control to go back to the suspended document, then do what its Dial came to."""

    document: Running
    outcome: Outcome

    async def perform(self, controller: Controller) -> Step | None:
        answer = await controller.services.dispatcher.dispatch(
            request_for(controller, RESUME, Cause.RESUME, suspended=True)
        )
        if isinstance(answer, Refusal):
            return steps.Refused(answer)
        if isinstance(answer, ResumeGrant):
            await controller.take(answer.control, Cause.RESUME)
            self.document.context = replace(self.document.context, control=answer.control)
        return self.document.follow(controller, self.outcome)

    async def owed(self, controller: Controller, cause: Interrupt) -> Step | None:
        if isinstance(cause, Hangup | Shutdown) and isinstance(self.outcome, GoTo):
            return steps.LastRequest(self.outcome, self.document.context)
        return None


@dataclass(slots=True)
class Joining(Step):
    """Give the call to the bridge: its document is a Dial of the granted address."""

    grant: BridgeGrant
    cause: Cause

    async def perform(self, controller: Controller) -> Step | None:
        await controller.take(self.grant.control, self.cause)
        body = document(self.grant.uri, dict(self.grant.parameters))
        return steps.run(
            controller,
            body,
            "text/xml",
            Context(self.grant.control, "", granted=self.grant, at_end=_not_joined),
        )


def _not_joined(controller: Controller) -> Step | None:
    """The bridge did not come about: the flow may know what then."""
    if controller.control is None:
        return None
    target = controller.services.dispatcher.event(controller.control, "failed")
    return steps.Dispatching(GoTo(target), Cause.EVENT) if target else None
