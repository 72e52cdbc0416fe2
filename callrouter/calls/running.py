"""Executing a document: one step per verb."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from callrouter.calls.live import ScopedCall
from callrouter.calls.step import Step
from callrouter.errors import CallError, CallGone
from callrouter.ports import CallStatus, Connect, Finish, GoTo, Hangup, Interrupt, Next, Outcome, Refuse, Side
from callrouter.verbs.program import Program
from dispatcher.grant import BridgeGrant, Control
from metering.interval import Cause

if TYPE_CHECKING:
    from callrouter.calls.controller import Controller


def nothing(controller: Controller) -> Step | None:
    """The end of a document is the end of the call."""
    return None


@dataclass(frozen=True, slots=True)
class Context:
    """Under whose control, and from where, a document runs."""

    control: Control
    url: str
    """Base of relative URLs and default of `action`; "" for a document that came with a request."""
    screening: bool = False
    on_behalf_of: str = ""
    granted: BridgeGrant | None = None
    """For the bridge's own document: the permission it was made from."""
    fallback_used: bool = False
    """The document came from the fallback URL: another failure is final."""
    at_end: Callable[[Controller], Step | None] = nothing
    """What follows when the verbs run out; by default the call ends."""


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
            return self.context.at_end(controller)
        verb = verbs[self.index]
        self.live = ScopedCall(controller, self.context)
        kept: Connect | None = None
        try:
            outcome = await verb.run(self.live)
            kept = outcome if isinstance(outcome, Connect) else None
        except CallGone:
            raise
        except CallError as error:
            return self._failed(controller, error)
        finally:
            await self.live.release(keep=kept.child if kept else None)
        return self.follow(controller, outcome)

    def follow(self, controller: Controller, outcome: Outcome) -> Step | None:
        """The step an outcome of this document's current verb leads to."""
        from callrouter.calls.bridging import Bridging
        from callrouter.calls.dispatching import Dispatching

        match outcome:
            case Next():
                return self.onward()
            case GoTo():
                return Dispatching(
                    outcome, Cause.VERB, self.context, origin=self, promised=self._is_promised(controller)
                )
            case Finish():
                controller.call.end_detail = outcome.detail or "hung up by document"
                return None
            case Refuse():
                _refuse(controller, outcome)
                return None
            case Connect():
                return Bridging(outcome, self)

    def onward(self) -> Running:
        """The verb that follows."""
        return Running(self.context, self.program, self.index + 1)

    async def owed(self, controller: Controller, cause: Interrupt) -> Step | None:
        from callrouter.calls.dispatching import LastRequest

        if self.live is None:
            return None
        outcome = self.program.verbs[self.index].interrupted(self.live, cause)
        if isinstance(outcome, GoTo) and not self.context.screening:
            return LastRequest(outcome, self.context)
        return None

    def _is_promised(self, controller: Controller) -> bool:
        """Whether the verb's action is requested even when the caller hangs up meanwhile."""
        if self.live is None:
            return False
        return self.program.verbs[self.index].interrupted(self.live, Hangup(Side.CALLER)) is not None

    def _failed(self, controller: Controller, error: CallError) -> Step | None:
        from callrouter.calls.dispatching import failed

        line = self.program.verbs[self.index].line
        return failed(controller, error, replace(self.context), line=line)


def _refuse(controller: Controller, outcome: Refuse) -> None:
    call = controller.call
    if call.is_answered or call.leg is None or call.leg.sip is None:
        call.end_detail = "rejected after answer"
        return
    call.leg.sip.reject(outcome.status)
    call.sip_status = outcome.status
    call.end_detail = "rejected by document"
    call.status = CallStatus.BUSY if outcome.status == 486 else CallStatus.NO_ANSWER
