"""`CallControl`: what the REST API may do to calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from callrouter.calls import recording, steps
from callrouter.calls.call import Call, StatusCallback
from callrouter.calls.controller import Controller
from callrouter.calls.question import INLINE, request_for
from callrouter.calls.services import Services
from callrouter.calls.steps.step import Step
from callrouter.errors import CallError, DocumentError
from callrouter.ports import CallStatus, DialTarget, GoTo, Hangup, Interrupt, NewCall, Side
from callrouter.ports.causes import TIMER_EXPIRED
from callrouter.storage.journal import JournalUnwritable
from dispatcher.grant import InlineGrant, NoOutlet, Refusal, ResumeGrant
from metering.interval import CallFacts, Cause


class ServerDraining(CallError):
    """No call is originated any more."""

    code = 20503
    retryable = True
    sip_status = 503


class Orders:
    """Makes and changes calls on behalf of accounts."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def create(self, order: NewCall) -> str:
        services = self._services
        if services.exchange.draining:
            raise ServerDraining("the server is shutting down")
        if not services.meter.writable:
            raise JournalUnwritable("calls cannot be metered now: the journal cannot be written")
        call = await self._call(order)
        await services.log.queued(call)
        controller = Controller(call, services)
        services.exchange.spawn(controller, Originating(order))
        return call.sid

    async def interrupt(self, sid: str, cause: Interrupt) -> bool:
        controller = self._services.exchange.get(sid)
        if controller is None or controller.over.is_set():
            return False
        controller.interrupt(cause)
        if isinstance(cause, Hangup):
            await controller.finished.wait()
        return True

    async def cancel(self, sid: str) -> bool:
        controller = self._services.exchange.get(sid)
        if controller is None or controller.over.is_set() or controller.call.is_answered:
            return False
        controller.interrupt(Hangup(Side.US, "canceled through the API", CallStatus.CANCELED))
        await controller.finished.wait()
        return True

    def transfer_token(self, sid: str, target: str, seconds: int = 300) -> str | None:
        controller = self._services.exchange.get(sid)
        if controller is None or controller.over.is_set():
            return None
        now_ms = self._services.clock.monotonic_ns() // 1_000_000
        return self._services.transfers.issue(sid, target, now_ms + seconds * 1000)

    def live(self, sid: str) -> Mapping[str, Any] | None:
        controller = self._services.exchange.get(sid)
        if controller is None:
            return None
        control, call = controller.control, controller.call
        return {
            "call_sid": sid,
            "session_sid": call.facts.session_sid,
            "account_sid": call.facts.account_sid,
            "parent_sid": call.facts.parent_sid,
            "split_from": call.split_from,
            "linked_sid": call.linked_sid,
            "direction": call.direction,
            "from_": call.from_,
            "to": call.to,
            "status": call.status.value,
            "sip_call_id": call.sip_call_id,
            "module": control.holder.module if control else "",
            "mode": control.holder.mode.value if control else "",
            "calls": [member.call.sid for member in self._services.exchange.session(sid)],
        }

    async def _call(self, order: NewCall) -> Call:
        services = self._services
        sid = services.ids.sid("CA")
        key_number = await services.dispatcher.key_number(order.account_sid, order.from_)
        callbacks: tuple[StatusCallback, ...] = ()
        if order.status_callback:
            callbacks = (
                StatusCallback(
                    order.status_callback, order.status_callback_method, order.status_callback_events
                ),
            )
        return Call(
            facts=CallFacts(sid, sid, order.account_sid, key_number),
            direction="outbound-api",
            from_=order.from_,
            to=order.to,
            created_ms=services.clock.utc_ms(),
            created_ns=services.clock.monotonic_ns(),
            jar=services.fetcher.jar(),
            fallback=order.fallback,
            fallback_method=order.fallback_method,
            callbacks=callbacks,
            caller_name=order.caller_name,
        )


class Originating(Step):
    """Ask for permission, dial out for the API, and carry the permission out at the answer."""

    def __init__(self, order: NewCall) -> None:
        self._order = order

    async def perform(self, controller: Controller) -> Step | None:
        order = self._order
        asked = steps.Dispatching(GoTo(order.target or INLINE, order.method), Cause.API)
        grant = await controller.services.dispatcher.dispatch(
            request_for(controller, asked.order.target, Cause.API, method=order.method)
        )
        if isinstance(grant, Refusal):
            return steps.Refused(grant)
        if isinstance(grant, NoOutlet | ResumeGrant):
            return steps.Apologizing(DocumentError(f"{order.target} cannot begin a call", code=11100))
        uri = order.to if ":" in order.to else f"tel:{order.to}"
        target = DialTarget(
            uri,
            caller_id=order.from_,
            timeout_seconds=order.timeout_seconds,
            username=order.username,
            password=order.password,
            send_digits=order.send_digits,
            detection=order.detection,
        )

        def answered(controller: Controller) -> Step | None:
            if order.record:
                recording.of_call(controller)
            controller.limit(order.time_limit_seconds, "time limit of the order reached", TIMER_EXPIRED)
            if isinstance(grant, InlineGrant):
                return steps.Inline(order.twiml, grant)
            return steps.carry_out(controller, grant, asked)

        return steps.Placing(target, grant.control, answered, order.caller_name)
