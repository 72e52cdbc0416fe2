"""A dialled call that who dialled it hands on, and that goes on by itself once that has worked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from callrouter.calls import steps
from callrouter.calls.child import Callee, Child
from callrouter.calls.conversation import Party
from callrouter.calls.reaching import reach
from callrouter.calls.referral import CANCELLED
from callrouter.calls.steps.context import Context
from callrouter.calls.steps.step import Step
from callrouter.ports import Finish, GoTo, Hangup, Interrupt, Outcome, Shutdown
from callrouter.verbs.beside import beside
from callrouter.verbs.program import Program
from metering.interval import Cause

if TYPE_CHECKING:
    from callrouter.calls.controller import Controller
    from callrouter.calls.referral import Referral


@dataclass(slots=True)
class Transferring(Step):
    """Call the target; then talk to it, or to the transferor again."""

    child: Child
    """The call itself, as who dialled it knows it."""
    referral: Referral

    async def perform(self, controller: Controller) -> Step | None:
        context = Context(self.child.control, "")
        async with beside(self._until_left(controller)):
            reached = await reach(controller, context, self.referral, self.child.target)
        transferor = self.referral.transferor
        if reached is None:
            return None if transferor.over.is_set() else steps.Driven(self.child)
        controller.detach()
        if isinstance(reached, Callee):
            reached.controller.join_session(controller.call.sid)
        self.referral.succeed()
        return on_its_own(self.child, reached)

    async def owed(self, controller: Controller, cause: Interrupt) -> Step | None:
        """Interrupted before it began, or meanwhile: the telephone is told."""
        self.referral.fail(CANCELLED)
        return None

    async def _until_left(self, controller: Controller) -> None:
        """A transferor that does not wait for the outcome drives nobody any more: from then on the call
        is a session of its own."""
        await self.referral.transferor.over.wait()
        controller.detach()
        if controller.control is not None:
            await asyncio.shield(controller.take(controller.control, Cause.SIP))


def on_its_own(child: Child, party: Party) -> Step:
    """The conversation with `party` of a call that was dialled and has left who dialled it.  No document
    waits behind it: its end is the end of the call."""
    context = Context(party.control, "", granted=child.grant)
    return steps.Bridging(
        party,
        lambda _: Finish("the other end hung up"),
        steps.Running(context, Program(())),
        child.target,
        cause=Cause.SIP,
    )


@dataclass(slots=True)
class Departing(Step):
    """Its far end has handed its conversation on: wait until it hangs up, or is hung up."""

    outcome: Outcome
    context: Context

    async def perform(self, controller: Controller) -> Step | None:
        await controller.finished.wait()  # the end of the call interrupts this
        return None

    async def owed(self, controller: Controller, cause: Interrupt) -> Step | None:
        """What its document asked to be told at the end of its Dial."""
        if not isinstance(cause, Hangup | Shutdown) or not isinstance(self.outcome, GoTo):
            return None
        return steps.LastRequest(self.outcome, self.context)
