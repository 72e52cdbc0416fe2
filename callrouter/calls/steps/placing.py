"""Outgoing calls: the INVITE, and what a dialled call does while its parent drives it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from callrouter.calls import detection, invited_transfer, steps
from callrouter.calls.conversation import Linked
from callrouter.calls.hosted import InnerLeg, Invite, hosted
from callrouter.calls.leg import Leg
from callrouter.calls.passage import Passage
from callrouter.calls.redirection import Trail
from callrouter.calls.referral import Referral
from callrouter.calls.signals import Signals
from callrouter.calls.steps.step import Step
from callrouter.calls.waiting import next_of
from callrouter.errors import CallError, CallGone, NoSuchFamily, Unroutable
from callrouter.identity.addresses import Address
from callrouter.ports import (
    MOST_HOPS,
    Answered,
    CallStatus,
    DialTarget,
    Failed,
    Hangup,
    NegotiatedAudio,
    OutgoingCall,
    PassedLine,
    Side,
    SipLeg,
    causes,
)
from dispatcher.grant import Control
from metering.interval import Cause

if TYPE_CHECKING:
    from callrouter.calls.child import Child, Screening
    from callrouter.calls.controller import Controller

_STATUS_OF_SIP = {
    404: CallStatus.FAILED,
    408: CallStatus.NO_ANSWER,
    480: CallStatus.NO_ANSWER,
    486: CallStatus.BUSY,
    487: CallStatus.NO_ANSWER,
    600: CallStatus.BUSY,
    603: CallStatus.BUSY,
}


def status_of(sip_status: int) -> CallStatus:
    """CallStatus of a final refusal."""
    return _STATUS_OF_SIP.get(sip_status, CallStatus.FAILED)


@dataclass(slots=True)
class Placing(Step):
    """Send the INVITE and wait for its end; then `then`."""

    target: DialTarget
    control: Control
    then: Callable[[Controller], Step | None]
    caller_name: str = ""
    on_behalf: Leg | None = None
    """Whose video and fax is offered to the callee as well."""

    async def perform(self, controller: Controller) -> Step | None:
        await controller.take(self.control, Cause.ARRIVAL)
        outcome = await self._reach(controller)
        if outcome is None:
            return None
        leg = controller.leg()
        leg.connect(outcome.audio)
        known = detection.begin(controller, self.target.detection)
        if leg.sip is not None:
            controller.call.sip_headers = dict(outcome.headers)
        await asyncio.gather(controller.answered(outcome.at_ns), controller.save_dialog())
        if self.target.send_digits:
            await leg.send_digits(self.target.send_digits)
        if known is not None:
            await known.wait()
        return self.then(controller)

    async def _reach(self, controller: Controller) -> Answered | None:
        """Call the target, and wherever it says that it is to be had."""
        deadline = asyncio.get_running_loop().time() + self.target.timeout_seconds
        trail = Trail(self.target)
        target: DialTarget | None = self.target
        failed: Failed | None = None
        while target is not None:
            try:
                await self._invite(controller, target)
            except CallGone:
                raise
            except CallError as error:
                failed = self._unreachable(controller, error)
            else:
                outcome = await self._outcome(controller, deadline)
                if not isinstance(outcome, Failed):
                    return outcome
                failed = outcome
            controller.early.end()
            target = await trail.following(controller, failed)
        if failed is not None:
            self._came_to_nothing(controller, failed)
        return None

    def _unreachable(self, controller: Controller, error: CallError) -> Failed:
        controller.warn(error.code, str(error))
        return Failed(controller.services.clock.monotonic_ns(), error.sip_status, str(error), {})

    async def _invite(self, controller: Controller, target: DialTarget) -> None:
        """Raises `CallError`."""
        call, services = controller.call, controller.services
        uri = invited_transfer.without(target.uri.removeprefix("tel:"))
        if (mapping := await hosted(services, call, uri)) is not None:
            sip = self._arrive_here(controller, target, mapping)
        else:
            services.loops.check_departure(uri, call)
            route = await services.signalling.route(uri, target.trunk)
            leg = self._open(controller, route.family)
            order = OutgoingCall(
                target=uri,
                caller=target.caller_id or call.from_,
                caller_name=self.caller_name,
                local=leg.local,
                headers=target.headers + invited_transfer.fields(services, call, target.uri),
                username=target.username,
                password=target.password,
                lines=self._offered(controller, leg),
                responsible=call.facts.key_number,
                diverted_from=call.diverted_from,
                hops=call.hops_left - 1 if call.chain else MOST_HOPS,
                marks=services.loops.marks(call),
                codec="" if (audio := self._callers_audio) is None else audio.codec,
                trunk=target.trunk,
                mentioned_by=target.mentioned_by,
            )
            sip = leg.sip = services.signalling.place(order, Signals(controller).on_signal)
        call.sip_call_id = sip.call_id

    def _open(self, controller: Controller, family: Literal[4, 6]) -> Leg:
        call, services = controller.call, controller.services
        if controller.over.is_set():
            # It was given up in this moment: nobody would be left to cancel an INVITE.
            raise CallGone("the call was given up before it was placed")
        if call.leg is not None:
            if call.leg.family == family:
                return call.leg
            call.leg.close()
        call.leg = Leg(services.media, services.clock, family)
        Signals(controller).hear(call.leg)
        if call.start_ms is None:
            call.start_ms = services.clock.utc_ms()
        controller.enter(CallStatus.INITIATED)
        return call.leg

    def _arrive_here(self, controller: Controller, target: DialTarget, mapping: Address) -> SipLeg:
        """The number is one of this server: the call arrives at it as a session of its own."""
        call, services = controller.call, controller.services
        try:
            leg = self._open(controller, 4)
        except NoSuchFamily:
            leg = self._open(controller, 6)
        caller = target.caller_id or call.from_
        headers = dict(target.headers + invited_transfer.fields(services, call, target.uri))
        invite = Invite(
            call,
            mapping.address,
            caller,
            self.caller_name,
            leg.near,
            headers,
            self._callers_audio,
            self._offered(controller, leg),
        )
        own, arriving = InnerLeg.facing(invite, services.ids.token(16), services.clock)
        leg.sip = own
        own.attach(Signals(controller).on_signal)
        if services.exchange.incoming is None:
            raise Unroutable(f"nothing takes calls to {mapping.address} here")
        services.exchange.incoming(arriving)
        return own

    @property
    def _callers_audio(self) -> NegotiatedAudio | None:
        """What the caller speaks, whom the callee is to be connected with."""
        return None if self.on_behalf is None or self.on_behalf.gone else self.on_behalf.audio

    def _offered(self, controller: Controller, leg: Leg) -> tuple[PassedLine, ...]:
        if self.on_behalf is None or self.on_behalf.gone:
            return ()
        leg.passage = leg.passage or Passage(controller.services.media, self.on_behalf, leg)
        return leg.passage.invitation()

    async def _outcome(self, controller: Controller, deadline: float) -> Answered | Failed | None:
        """What became of the INVITE; None when there is no more time."""
        left = deadline - asyncio.get_running_loop().time()
        done, _ = await asyncio.wait((controller.answer,), timeout=max(0, left))
        if not done:
            detail = f"no answer within {self.target.timeout_seconds} s"
            rang = controller.call.status is CallStatus.RINGING
            cause = causes.NO_ANSWER if rang else causes.NOT_RESPONDING
            controller.interrupt(Hangup(Side.US, detail, CallStatus.NO_ANSWER, cause))
            return None
        outcome = controller.answer.result()
        if isinstance(outcome, Failed):
            controller.answer = asyncio.get_running_loop().create_future()
        return outcome

    def _came_to_nothing(self, controller: Controller, failed: Failed) -> None:
        call = controller.call
        call.sip_status = failed.status
        call.end_detail = f"{failed.status} {failed.reason}"[:250]
        call.q850 = failed.q850
        controller.fail(status_of(causes.refined(failed.status, failed.q850)), failed.at_ns)


@dataclass(slots=True)
class Driven(Step):
    """Answered, and waiting for what the parent wants."""

    child: Child

    async def perform(self, controller: Controller) -> Step | None:
        self.child.settled.set()
        order = await self._order(controller)
        if isinstance(order, Referral):
            return steps.Transferring(self.child, order)
        if isinstance(order, Linked):
            controller.detach()
            return steps.on_its_own(self.child, order)

        def back(_: Controller) -> Step:
            if not order.done.done():
                order.done.set_result(True)
            return Driven(self.child)

        context = replace(order.context, at_end=back)
        return steps.Dispatching(order.order, Cause.VERB, context)

    async def _order(self, controller: Controller) -> Screening | Referral | Linked:
        """What its parent wants, or a telephone that hands it on."""

        def is_for_us(wanted: Referral | Linked) -> bool:
            """One that it has asked for itself is carried out by whom it talked to."""
            return isinstance(wanted, Linked) or wanted.transferor is not controller

        screening = asyncio.ensure_future(self.child.orders.get())
        async with next_of(controller.referrals, is_for_us) as change:
            try:
                await asyncio.wait((screening, change), return_when=asyncio.FIRST_COMPLETED)
            finally:
                screening.cancel()
        return change.result() if change.done() else screening.result()
