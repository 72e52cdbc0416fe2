"""Passing control: ask the dispatcher, and do what its answer says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from callrouter.calls import steps
from callrouter.calls.question import request_for, resolve
from callrouter.calls.steps.context import Context
from callrouter.calls.steps.step import Step
from callrouter.errors import DocumentError
from callrouter.ports import GoTo, Hangup, Interrupt, Replace, Shutdown, Transfer
from dispatcher.grant import (
    BridgeGrant,
    Control,
    DocumentGrant,
    Grant,
    InlineGrant,
    NoOutlet,
    Refusal,
    ResumeGrant,
)
from metering.interval import Cause

if TYPE_CHECKING:
    from callrouter.calls.controller import Controller
    from callrouter.calls.steps.running import Running


_CAUSES = {"event": Cause.EVENT, "sip": Cause.SIP}


@dataclass(slots=True)
class Dispatching(Step):
    """Ask for control to pass to where `order` says."""

    order: GoTo
    cause: Cause
    context: Context | None = None
    origin: Running | None = None
    """The document that goes on if the target turns out to be an unwired outlet."""
    promised: bool = False
    """The request is owed even if the caller hangs up before it is made."""
    is_fallback: bool = False

    async def perform(self, controller: Controller) -> Step | None:
        try:
            target = resolve(self.context.url if self.context else "", self.order.target)
        except DocumentError as error:
            return steps.failed(controller, error, self.context, line=_line(self.origin))
        answer = await controller.services.dispatcher.dispatch(
            request_for(
                controller,
                target,
                Cause.OUTLET if target.startswith("outlet:") else self.cause,
                method=self.order.method,
                parameters=self.order.parameters,
                on_behalf_of=self.context.on_behalf_of if self.context else "",
            )
        )
        match answer:
            case NoOutlet():
                controller.warn(12200, answer.message, _line(self.origin))
                return self.origin.onward() if self.origin else None
            case Refusal():
                controller.conclude_transfer(answer.sip_status)
                return steps.Refused(answer)
            case _:
                controller.conclude_transfer(200)
                return carry_out(controller, answer, self)

    def yields_to(self, cause: Interrupt) -> bool:
        return not (self.promised and isinstance(cause, Hangup | Shutdown))

    async def owed(self, controller: Controller, cause: Interrupt) -> Step | None:
        if self.promised and self.context is not None and isinstance(cause, Hangup | Shutdown):
            return steps.LastRequest(self.order, self.context)
        return None


def carry_out(controller: Controller, grant: Grant, asked: Dispatching) -> Step | None:
    """The step that makes use of `grant`."""
    cause = Cause.OUTLET if asked.order.target.startswith("outlet:") else asked.cause
    base = asked.context
    match grant:
        case DocumentGrant():
            keep = replace(base, control=grant.control) if base else Context(grant.control, "")
            return steps.Fetching(grant, cause, keep, promised=asked.promised, is_fallback=asked.is_fallback)
        case BridgeGrant():
            return steps.Joining(grant, cause)
        case ResumeGrant() if asked.origin is not None:
            return Taking(grant.control, Cause.RESUME, asked.origin.onward())
        case ResumeGrant() | InlineGrant():
            controller.warn(12200, f"{asked.order.target} has nothing to go back to")
            return None


@dataclass(slots=True)
class Taking(Step):
    """Journal the transfer, then go on."""

    control: Control
    cause: Cause
    then: Step

    async def perform(self, controller: Controller) -> Step | None:
        await controller.take(self.control, self.cause)
        return self.then


def instructions_of(controller: Controller, cause: Replace | Transfer) -> Step | None:
    """The step that new instructions from outside lead to."""
    controller.detach()
    if isinstance(cause, Transfer):
        return Dispatching(GoTo(cause.target), _CAUSES.get(cause.cause, Cause.API))
    if cause.fallback:
        controller.call.fallback = cause.fallback
    if cause.twiml:
        return steps.Inline(cause.twiml)
    return Dispatching(GoTo(cause.target, cause.method), Cause.API)


def _line(origin: Running | None) -> int:
    return origin.program.verbs[origin.index].line if origin is not None else 0
