"""Calls that a call dials: placed, screened, joined, ended; each has a controller of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from callrouter.calls import invited_transfer, steps
from callrouter.calls.call import Call, StatusCallback
from callrouter.calls.conversation import Conversation, Departure
from callrouter.calls.question import request_for
from callrouter.calls.waiting import first_of
from callrouter.ports import (
    CallStatus,
    DialResult,
    DialTarget,
    GoTo,
    Hangup,
    Side,
)
from dispatcher.grant import BridgeGrant, Control, Grant, NoOutlet, Refusal
from metering.interval import CallFacts, Cause

if TYPE_CHECKING:
    from callrouter.calls.controller import Controller
    from callrouter.calls.leg import Leg
    from callrouter.calls.steps.context import Context


@dataclass(frozen=True, slots=True)
class Screening:
    """An order to a driven call: run this document, then say that it ran through."""

    order: GoTo
    context: Context
    done: asyncio.Future[bool]


@dataclass(slots=True)
class Child:
    """The `ChildCall` of a verb, backed by a controller."""

    controller: Controller
    target: DialTarget
    grant: BridgeGrant
    control: Control
    screen_context: Context
    parent_leg: Leg | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    orders: asyncio.Queue[Screening] = field(default_factory=asyncio.Queue)

    @property
    def sid(self) -> str:
        return self.controller.call.sid

    @property
    def result(self) -> DialResult:
        call = self.controller.call
        status = CallStatus.COMPLETED if call.is_answered else call.status
        if not status.final:
            status = CallStatus.CANCELED
        return DialResult(status, call.sip_status, call.sip_call_id, call.sip_headers)

    def start(self) -> None:
        step = steps.Placing(
            self.target, self.control, lambda _: steps.Driven(self), on_behalf=self.parent_leg
        )
        self.controller.services.exchange.spawn(self.controller, step)

    async def answered(self) -> bool:
        await first_of(self.settled, self.controller.over)
        return self.controller.call.is_answered

    async def screen(self, url: str, method: Literal["GET", "POST"]) -> bool:
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.orders.put_nowait(Screening(GoTo(url, method), self.screen_context, done))
        over = asyncio.ensure_future(self.controller.over.wait())
        try:
            await asyncio.wait((done, over), return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
        return done.done() and not self.controller.over.is_set()

    def dismiss(self) -> None:
        """Order the end without waiting for it."""
        self.leave("ended by the caller's document")

    def leave(self, why: str, q850: int = 0) -> None:
        status = CallStatus.COMPLETED if self.controller.call.is_answered else CallStatus.CANCELED
        if not self._goes_its_own_way:
            self.controller.interrupt(Hangup(Side.US, why, status, q850))

    @property
    def _goes_its_own_way(self) -> bool:
        return self.controller.detached.is_set() or self.controller.is_spoken_for

    async def end(self) -> None:
        self.dismiss()
        if not self._goes_its_own_way:
            await self.controller.finished.wait()


@dataclass(frozen=True, slots=True)
class Callee:
    """Somebody a call has dialled, who has accepted and is connected with it (`Party`)."""

    child: Child

    @property
    def controller(self) -> Controller:
        return self.child.controller

    @property
    def control(self) -> Control:
        return self.child.grant.control

    @property
    def is_gone(self) -> bool:
        return self.controller.over.is_set()

    async def left(self) -> Departure:
        await first_of(self.controller.over, self.controller.detached)
        return "callee" if self.controller.over.is_set() else "redirected"

    def meet(self, controller: Controller) -> Conversation:
        return Conversation(controller, self.controller)

    async def take(self, cause: Cause, at_ns: int) -> None:
        control, driver = self.control, self.controller.call.facts.parent_sid
        driven = replace(control, holder=replace(control.holder, driven_by=driver))
        await self.controller.take(driven, cause, at_ns=at_ns)

    def dismiss(self, q850: int = 0) -> None:
        self.child.leave("the other end hung up", q850)


@dataclass(frozen=True, slots=True)
class FailedChild:
    """An attempt that policy or resolution refused: no call was made."""

    result: DialResult
    sid: str = ""

    async def answered(self) -> bool:
        return False

    async def screen(self, url: str, method: Literal["GET", "POST"]) -> bool:
        return False

    async def end(self) -> None:
        return


async def place(
    parent: Controller, context: Context, target: DialTarget, cause: Cause = Cause.VERB
) -> Child | FailedChild:
    """Ask for permission to dial `target` and make the call object; `start` sends the INVITE."""
    grant = context.granted or await _permission(parent, target, cause)
    if isinstance(grant, FailedChild):
        return grant
    services, mother = parent.services, parent.call
    facts = CallFacts(
        call_sid=services.ids.sid("CA"),
        session_sid=mother.facts.session_sid,
        account_sid=mother.facts.account_sid,
        key_number=mother.facts.key_number,
        parent_sid=mother.sid,
    )
    created_ns = services.clock.monotonic_ns()
    # In whole milliseconds of the session: each rounding of its own would cost one more.
    created_ns -= (created_ns - mother.created_ns) % 1_000_000
    call = Call(
        facts=facts,
        direction="outbound-dial",
        from_=target.caller_id or mother.from_,
        to=_shown(target.uri),
        created_ms=parent.wall_ms(created_ns),
        created_ns=created_ns,
        jar=mother.jar,
        callbacks=_callbacks(target),
        chain=mother.chain,
        marks=mother.marks,
        hops_left=mother.hops_left,
        diverted_from=mother.to if mother.direction == "inbound" else "",
    )
    call.start_ms = call.created_ms
    control = replace(context.control, holder=replace(context.control.holder, driven_by=mother.sid))
    screen = replace(
        context, control=control, screening=True, on_behalf_of=mother.facts.account_sid, granted=None
    )
    return Child(parent.dialled(call), target, grant, control, screen, mother.leg)


async def permission(party: Controller, target: str, cause: Cause = Cause.SIP) -> Grant | NoOutlet | Refusal:
    """May the call be connected with `target`?  Who was dialled and goes on without whoever dialled
    takes no part in their application."""
    current = party.control
    if current is not None and cause is Cause.SIP and current.holder.driven_by:
        current = replace(current, holder=replace(current.holder, instance="", application=""))
    return await party.services.dispatcher.dispatch(request_for(party, target, cause, current=current))


async def _permission(parent: Controller, target: DialTarget, cause: Cause) -> BridgeGrant | FailedChild:
    answer = await permission(parent, target.uri, cause)
    if isinstance(answer, BridgeGrant):
        return answer
    status = 403
    if isinstance(answer, Refusal):
        status = answer.sip_status
        parent.services.metrics.count("policy_refusals", rule=answer.rule)
        parent.warn(answer.code or 13225, f"{target.uri} refused by rule {answer.rule}: {answer.reason}")
    elif isinstance(answer, NoOutlet):
        parent.warn(13224, answer.message)
    return FailedChild(DialResult(CallStatus.FAILED, status, ""))


def _callbacks(target: DialTarget) -> tuple[StatusCallback, ...]:
    if not target.status_callback:
        return ()
    return (
        StatusCallback(target.status_callback, target.status_callback_method, target.status_callback_events),
    )


def _shown(uri: str) -> str:
    return invited_transfer.without(uri).removeprefix("tel:")
