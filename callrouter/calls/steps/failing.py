"""When control is refused or a document cannot be had: the fallback, else words, else a status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from callrouter.calls import steps
from callrouter.calls.live import ScopedCall
from callrouter.calls.steps.context import Context
from callrouter.calls.steps.step import Step
from callrouter.errors import CallError, FetchFailed
from callrouter.ports import GoTo, Parameters
from dispatcher.grant import BridgeGrant, DocumentGrant, Refusal
from metering.interval import Cause, Holder, Mode

if TYPE_CHECKING:
    from callrouter.calls.controller import Controller


@dataclass(slots=True)
class Refused(Step):
    """Policy said no: the denied outlet, else a SIP status, else a sentence."""

    refusal: Refusal

    async def perform(self, controller: Controller) -> Step | None:
        refusal, call = self.refusal, controller.call
        controller.services.metrics.count("policy_refusals", rule=refusal.rule)
        controller.warn(
            refusal.code or 12400, f"refused by rule {refusal.rule}: {refusal.reason}", level="error"
        )
        if isinstance(refusal.denied, DocumentGrant):
            return steps.Fetching(refusal.denied, Cause.POLICY, Context(refusal.denied.control, ""))
        if isinstance(refusal.denied, BridgeGrant):
            return steps.Joining(refusal.denied, Cause.POLICY)
        call.end_detail = f"refused by rule {refusal.rule}"
        if call.is_answered:
            return Apologizing(None, refusal.spoken)
        await controller.start_track(
            refusal.holder or Holder("platform.router", "platform", Mode.SETUP)
        ) if controller.control is None else None
        call.sip_status = refusal.sip_status
        if call.leg is not None and call.leg.sip is not None:
            call.leg.sip.reject(refusal.sip_status)
        controller.fail()
        return None


@dataclass(slots=True)
class Apologizing(Step):
    """Say why, and hang up: a caller always hears something."""

    error: CallError | None
    text: str = ""

    async def perform(self, controller: Controller) -> Step | None:
        services = controller.services
        if self.error is not None:
            controller.call.error_code = self.error.code
            controller.call.end_detail = f"error {self.error.code}"
            controller.report(self.error)
        if controller.control is None:
            controller.fail()
            return None
        live = ScopedCall(controller, Context(controller.control, ""))
        try:
            spoken = await live.speech(
                self.text or services.settings.error_message, voice="alice", language="en-US"
            )
            await live.play([spoken])
        finally:
            await live.release(keep=None)
        return None


def failed(
    controller: Controller,
    error: CallError,
    context: Context | None,
    *,
    line: int = 0,
) -> Step:
    """What follows an error that a document cannot survive: the fallback URL, once, else words."""
    call = controller.call
    url = error.url if isinstance(error, FetchFailed) else (context.url if context else "")
    where = getattr(error, "line", 0) or line
    if not call.fallback or (context is not None and (context.fallback_used or context.screening)):
        return Apologizing(error)
    controller.report(error, where)
    details: Parameters = (("ErrorCode", str(error.code)), ("ErrorUrl", url))
    order = GoTo(call.fallback, call.fallback_method, details)
    return steps.Dispatching(order, Cause.FALLBACK, context, is_fallback=True)
