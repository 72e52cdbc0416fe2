"""Bridge mode: two legs joined, no document executing (docs/design.md §4 rule 5)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from callrouter.calls import recording, steps
from callrouter.calls.child import Callee, Child
from callrouter.calls.conversation import Linked, Party, Talk
from callrouter.calls.leg import DigitQueue, Leg
from callrouter.calls.live import ScopedCall
from callrouter.calls.question import RESUME, request_for
from callrouter.calls.reaching import reach
from callrouter.calls.recording import LiveRecording
from callrouter.calls.referral import CANCELLED, Referral, abandon
from callrouter.calls.steps.context import Context, nothing
from callrouter.calls.steps.step import Step
from callrouter.calls.waiting import next_of
from callrouter.ports import (
    AUDIO_ALONE,
    Bridged,
    BridgeRecording,
    Connect,
    DialTarget,
    GoTo,
    Hangup,
    Interrupt,
    Outcome,
    Recorded,
    Shutdown,
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
    """Join a party to the call and wait for the end of the conversation.

    Either end may hand the other one on (`referral`): then the conversation goes on with whoever has
    taken its place, and what comes after it stays the same."""

    party: Party
    after: Callable[[Bridged], Outcome]
    """What is done at the end."""
    resume: Running
    """The suspended document, at its Dial."""
    dialled: DialTarget | None = None
    """How the Dial called."""
    time_limit_seconds: int = 0
    hangup_on_star: bool = False
    record: BridgeRecording | None = None
    cause: Cause = Cause.VERB
    ended: Bridged | None = None
    _talk: Talk | None = None
    _recording: LiveRecording | None = None
    _recorded: Recorded | None = None

    @classmethod
    def of(cls, order: Connect, resume: Running) -> Bridging:
        if not isinstance(order.child, Child):
            raise TypeError("only a call placed by this controller can be joined")
        return cls(
            Callee(order.child),
            order.after,
            resume,
            order.child.target,
            order.time_limit_seconds,
            order.hangup_on_star,
            order.record,
        )

    async def perform(self, controller: Controller) -> Step | None:
        try:
            ended = await self._converse(controller)
        finally:
            self.party.dismiss(controller.call.q850)
            controller.search = None
            abandon(controller)
        if controller.has_handed_on:
            return steps.Departing(self.after(ended), self.resume.context)
        target = self._mapped(controller)
        if target:
            return steps.Dispatching(GoTo(target), Cause.EVENT)
        if self.resume.context.granted:
            # The bridge's own document goes on: control has not left the bridge.
            self.resume.context = replace(self.resume.context, granted=None, at_end=nothing)
            return self.resume.follow(controller, self.after(ended))
        return Resuming(self.resume, self.after(ended))

    def _mapped(self, controller: Controller) -> str:
        """Where the application's event mapping sends the call at the end of a bridge, if anywhere."""
        bridge = controller.control or self.party.control
        target = controller.services.dispatcher.event(bridge, "ended") or ""
        return "" if target == RESUME else target

    async def _converse(self, controller: Controller) -> Bridged:
        scope = ScopedCall(controller, self.resume.context)
        if self.party.is_gone:
            await scope.answer()
            return self._close(0, "callee")
        talk = self._talk = self.party.meet(controller)
        try:
            await scope.answer(
                AUDIO_ALONE if controller.call.is_answered else talk.answer(),
                _codec_of(self.party.controller.leg()),
            )
            talk.agree()
            return await self._joined(controller)
        finally:
            self._talk.end()

    async def _joined(self, controller: Controller) -> Bridged:
        if self.party.is_gone:
            return self._close(0, "callee")
        began_ns = controller.services.clock.monotonic_ns()
        ended_by: EndedBy = "caller"
        try:
            await self._begin(controller)
            with controller.leg().listen() as digits:
                ended_by = await self._until_the_end(controller, digits)
        finally:
            seconds = (controller.services.clock.monotonic_ns() - began_ns + 500_000_000) // 1_000_000_000
            await self._pause()
            ended = self._close(seconds, ended_by)
        return ended

    def _close(self, seconds: int, ended_by: EndedBy) -> Bridged:
        self.ended = Bridged(seconds, ended_by, self._recorded)
        return self.ended

    # ------------------------------------------------------------------ with whom

    async def _begin(self, controller: Controller) -> None:
        """Talk to the party, from now on."""
        at_ns = controller.services.clock.monotonic_ns()
        if self._talk is not None:
            self._talk.begin()
        if self.record is not None:
            self._recording = recording.of_bridge(controller, self.party.controller.leg(), self.record)
        await asyncio.gather(
            controller.take(self.party.control, self.cause, at_ns=at_ns), self.party.take(self.cause, at_ns)
        )

    async def _pause(self) -> None:
        """Talk to nobody."""
        if self._talk is not None:
            self._talk.pause()
        running, self._recording = self._recording, None
        if running is not None:
            self._recorded = await running.stop() or self._recorded

    async def _until_the_end(self, controller: Controller, digits: DigitQueue) -> EndedBy:
        loop = asyncio.get_running_loop()
        limit = loop.time() + self.time_limit_seconds if self.time_limit_seconds else None
        while True:
            found = await self._wait(controller, digits, None if limit is None else limit - loop.time())
            ended = await self._change(controller, found) if isinstance(found, Referral | Linked) else found
            if ended:
                return ended

    async def _wait(
        self, controller: Controller, digits: DigitQueue, seconds: float | None
    ) -> EndedBy | Referral | Linked:
        left = asyncio.ensure_future(self.party.left())
        waits: list[asyncio.Future[Any]] = [left]
        if self.hangup_on_star:
            waits.append(asyncio.ensure_future(_star(digits)))
        async with next_of(controller.referrals) as change:
            try:
                done, _ = await asyncio.wait(
                    (*waits, change), timeout=seconds, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                for wait in waits:
                    wait.cancel()
        if change in done:
            return change.result()
        if left in done:
            return left.result()
        return "star" if done else "time-limit"

    async def _change(self, controller: Controller, wanted: Referral | Linked) -> EndedBy | None:
        """Carry a transfer out.  How the conversation ended, if that is the end of it."""
        self.cause = Cause.SIP
        await self._pause()
        if isinstance(wanted, Linked):
            self._turn_to(wanted)
        elif wanted.transferor is controller:
            if gone := await self._stand_by(wanted):
                return gone
        else:
            reached = await reach(controller, self.resume.context, wanted, self.dialled)
            if reached is not None:
                wanted.succeed()
                self._turn_to(reached)
        if self.party.is_gone:
            return "callee"
        self._talk = self.party.meet(controller)
        self._talk.agree()
        await self._begin(controller)
        return None

    def _turn_to(self, party: Party) -> None:
        if self._talk is not None:
            self._talk.end()
        self.party = party

    async def _stand_by(self, referral: Referral) -> EndedBy | None:
        """Until it is known whether the party that this call hands on comes back."""
        failed = asyncio.ensure_future(referral.over.wait())
        left = asyncio.ensure_future(self.party.left())
        try:
            await asyncio.wait((failed, left), return_when=asyncio.FIRST_COMPLETED)
            return left.result() if left.done() else None
        finally:
            failed.cancel()
            left.cancel()

    async def owed(self, controller: Controller, cause: Interrupt) -> Step | None:
        self.party.dismiss(controller.call.q850)
        outcome = self.after(self.ended or Bridged(0, "caller"))
        if isinstance(cause, Transfer) and cause.target == RESUME:
            return Resuming(self.resume, outcome)
        if not isinstance(cause, Hangup | Shutdown):
            self._call_off(controller)
            return None
        return steps.LastRequest(outcome, self.resume.context) if isinstance(outcome, GoTo) else None

    def _call_off(self, controller: Controller) -> None:
        """Somebody else has moved the call: its telephone hands nobody on any more."""
        if controller.referral is not None:
            controller.referral.fail(CANCELLED)


def _codec_of(leg: Leg) -> str:
    """What the far end speaks, "" when that is not known."""
    return "" if leg.audio is None else leg.audio.codec


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
