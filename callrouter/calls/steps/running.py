"""Executing a document: one step per verb."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from callrouter.calls import steps
from callrouter.calls.live import ScopedCall
from callrouter.calls.question import INLINE, request_for
from callrouter.calls.row import play_next, row_of
from callrouter.calls.steps.context import Context
from callrouter.calls.steps.step import Step
from callrouter.errors import CallError, CallGone, DocumentError
from callrouter.ports import (
    CallStatus,
    Connect,
    Finish,
    GoTo,
    Hangup,
    Interrupt,
    Next,
    Outcome,
    Refuse,
    Side,
    Verb,
)
from callrouter.verbs.dial.dial import Dial
from callrouter.verbs.program import Program
from dispatcher.grant import InlineGrant, Refusal
from metering.interval import Cause

if TYPE_CHECKING:
    from callrouter.calls.controller import Controller


@dataclass(slots=True)
class Running(Step):
    """Run the verb at `index`, then go where its outcome says."""

    context: Context
    program: Program
    index: int = 0
    live: ScopedCall | None = None

    async def perform(self, controller: Controller) -> Step | None:
        verbs = self.program.verbs
        if self.index >= len(verbs):
            await self._pick_up(controller)
            return self.context.at_end(controller)
        verb = verbs[self.index]
        self.live = ScopedCall(controller, self.context)
        if isinstance(verb, Dial):
            self.live.look()
        kept: Connect | None = None
        try:
            outcome = await self._run(self.live, verb)
            kept = outcome if isinstance(outcome, Connect) else None
        except CallGone:
            raise
        except CallError as error:
            return self._failed(controller, error)
        finally:
            await self.live.release(keep=kept.child if kept else None)
        return self.follow(controller, outcome)

    async def _run(self, live: ScopedCall, verb: Verb) -> Outcome:
        """What `verb` leads to; those behind it that only play, as it does, have run as well then."""
        row = row_of(self.program.verbs, self.index)
        if len(row) < 2:
            return await verb.run(live)
        first = self.index
        with live.playlist() as playlist:
            for place, one in enumerate(row):
                self.index = first + place
                await play_next(live, playlist, one)
            await playlist.end()
        return Next()

    async def _pick_up(self, controller: Controller) -> None:
        """A document that had nothing to say, or only waited, is answered all the same.
        One that looked in vain for somebody to answer (`answerOnBridge`) leaves the call unanswered."""
        if not controller.call.is_answered and not any(isinstance(verb, Dial) for verb in self.program.verbs):
            await ScopedCall(controller, self.context).answer()

    def follow(self, controller: Controller, outcome: Outcome) -> Step | None:
        """The step an outcome of this document's current verb leads to."""
        match outcome:
            case Next():
                return self.onward()
            case GoTo():
                return steps.Dispatching(
                    outcome, Cause.VERB, self.context, origin=self, promised=self._is_promised(controller)
                )
            case Finish():
                controller.call.end_detail = outcome.detail or "hung up by document"
                return None
            case Refuse():
                _refuse(controller, outcome)
                return None
            case Connect():
                return steps.Bridging.of(outcome, self)

    def onward(self) -> Running:
        """The verb that follows."""
        return Running(self.context, self.program, self.index + 1)

    async def owed(self, controller: Controller, cause: Interrupt) -> Step | None:
        if self.live is None:
            return None
        outcome = self.program.verbs[self.index].interrupted(self.live, cause)
        if isinstance(outcome, GoTo) and not self.context.screening:
            return steps.LastRequest(outcome, self.context)
        return None

    def _is_promised(self, controller: Controller) -> bool:
        """Whether the verb's action is requested even when the caller hangs up meanwhile."""
        if self.live is None:
            return False
        return self.program.verbs[self.index].interrupted(self.live, Hangup(Side.CALLER)) is not None

    def _failed(self, controller: Controller, error: CallError) -> Step | None:
        line = self.program.verbs[self.index].line
        return steps.failed(controller, error, replace(self.context), line=line)


def _refuse(controller: Controller, outcome: Refuse) -> None:
    call = controller.call
    if call.is_answered or call.leg is None or call.leg.sip is None:
        call.end_detail = "rejected after answer"
        return
    call.leg.sip.reject(outcome.status)
    call.sip_status = outcome.status
    call.end_detail = "rejected by document"
    call.status = CallStatus.BUSY if outcome.status == 486 else CallStatus.NO_ANSWER


@dataclass(slots=True)
class Inline(Step):
    """Run a document that came with a REST request; without a grant yet, ask for one first."""

    twiml: str
    grant: InlineGrant | None = None

    async def perform(self, controller: Controller) -> Step | None:
        answer = self.grant or await controller.services.dispatcher.dispatch(
            request_for(controller, INLINE, Cause.API)
        )
        if isinstance(answer, Refusal):
            return steps.Refused(answer)
        if not isinstance(answer, InlineGrant):
            return steps.Apologizing(
                DocumentError("the dispatcher did not grant an inline document", code=12400)
            )
        await controller.take(answer.control, Cause.API)
        return run(controller, self.twiml.encode(), "text/xml", Context(answer.control, ""))


def run(controller: Controller, body: bytes, content_type: str, context: Context) -> Step:
    """Compile `body` and begin with its first verb.  A document that cannot be compiled fails."""
    try:
        program = controller.services.compile(body, content_type, context.url)
    except DocumentError as error:
        return steps.failed(controller, error, context)
    for warning in program.warnings:
        controller.warn(warning.code, warning.message, warning.line, level=warning.level.value)
    return Running(context, program)
