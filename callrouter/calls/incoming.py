"""A new INVITE: whose number is it, may it come in, who controls it first."""

from __future__ import annotations

import structlog

from callrouter.calls import steps
from callrouter.calls.call import Call, StatusCallback
from callrouter.calls.controller import Controller
from callrouter.calls.hosted import InnerLeg
from callrouter.calls.leg import Leg
from callrouter.calls.loops import Looped
from callrouter.calls.party import party_of, user_of
from callrouter.calls.services import Services
from callrouter.calls.signals import Signals
from callrouter.calls.steps.step import Step
from callrouter.errors import CallError, MediaUnavailable
from callrouter.identity.addresses import Address
from callrouter.ports import CallStatus, GoTo, SipLeg
from metering.interval import CallFacts, Cause

logger = structlog.get_logger(__name__)

RETRY_AFTER = "10"
"""Seconds after which a carrier may try again when we are full."""
WRONG_FAMILY = '301 callrouter "Incompatible network address formats"'
"""Warning (RFC 3261 §20.43) of a call whose audio is where we have no address."""


class Incoming:
    """The handler that signalling calls with each new leg."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._looking_up = 0
        """Calls let in whose number is still being looked up: they take up room too."""
        services.exchange.incoming = self

    def __call__(self, sip: SipLeg) -> None:
        """Decide at once whether there is room; the rest happens in the call's own task."""
        services = self._services
        if refusal := self._full():
            sip.reject(503, refusal, (("Retry-After", RETRY_AFTER),))
            services.metrics.count("calls", direction="inbound", outcome="shed")
            return
        self._looking_up += 1
        services.exchange.start(self._look_up(sip), "incoming call")

    def _full(self) -> str:
        """Why no call can be taken now, "" when one can."""
        services = self._services
        if services.exchange.draining:
            return "Shutting Down"
        if len(services.exchange) + self._looking_up >= services.settings.max_calls:
            return "Too Many Calls"
        return "" if services.meter.writable else "Cannot Meter Calls"

    async def _look_up(self, sip: SipLeg) -> None:
        services = self._services
        number = services.dispatcher.number
        try:
            mapping = await number(user_of(sip.request_uri)) or await number(sip.request_uri)
        finally:
            self._looking_up -= 1
        if mapping is None:
            sip.reject(404)
            services.metrics.count("calls", direction="inbound", outcome="unknown-number")
            logger.info("unknown_number", request_uri=sip.request_uri, source=sip.source.host)
            return
        try:
            services.loops.check_arrival(mapping.address, sip.history)
        except Looped as error:
            sip.reject(error.sip_status)
            services.metrics.count("calls", direction="inbound", outcome="looped")
            logger.warning("call_looped", error=str(error), source=sip.source.host)
            return
        key_number = await self._key_number(sip, mapping)
        controller = Controller(self._call(sip, mapping, key_number), services)
        sip.attach(Signals(controller).on_signal)
        await services.exchange.run(controller, Arriving(sip, mapping))

    async def _key_number(self, sip: SipLeg, mapping: Address) -> str:
        """What the call is metered to: the number that a user of ours is registered under where it is
        one of the account's whose address was called, else that address's (docs/design.md §2)."""
        for address in sip.registered_as:
            own = await self._services.dispatcher.number(address)
            if own is not None and own.account_sid == mapping.account_sid:
                return own.key_number
        return mapping.key_number

    def _call(self, sip: SipLeg, mapping: Address, key_number: str) -> Call:
        services = self._services
        sid = services.ids.sid("CA")
        now_ns, now_ms = services.clock.monotonic_ns(), services.clock.utc_ms()
        created_ms = now_ms - (now_ns - sip.received_ns) // 1_000_000
        call = Call(
            facts=CallFacts(sid, sid, mapping.account_sid, key_number),
            direction="inbound",
            from_=party_of(sip.from_uri),
            to=mapping.address,
            created_ms=created_ms,
            created_ns=sip.received_ns,
            start_ms=created_ms,
            jar=services.fetcher.jar(),
            status=CallStatus.RINGING,
            fallback=mapping.fallback,
            fallback_method=mapping.fallback_method,
            callbacks=_callbacks(mapping),
            caller_name=sip.from_name,
            forwarded_from=party_of(next(iter(sip.history.diverted_by), "")),
            sip_call_id=sip.call_id,
            sip_source=sip.source.host,
            sip_headers=sip.headers,
            chain=(mapping.address,),
            marks=sip.history.marks,
            hops_left=sip.history.hops_left,
        )
        if isinstance(sip, InnerLeg):
            origin = sip.invite.origin
            call.linked_sid, origin.linked_sid = origin.sid, sid
            call.chain = (*origin.chain, mapping.address)
        return call


class Arriving(Step):
    """Open the audio, then pass control to where the number points."""

    def __init__(self, sip: SipLeg, mapping: Address) -> None:
        self._sip = sip
        self._mapping = mapping

    async def perform(self, controller: Controller) -> Step | None:
        call, services = controller.call, controller.services
        try:
            leg = Leg(services.media, services.clock, self._sip.family)
        except MediaUnavailable as error:
            self._refuse(controller, error)
            return None
        leg.sip = self._sip
        Signals(controller).hear(leg)
        call.leg = leg
        if controller.over.is_set():
            leg.depart()
        services.log.changed(call)
        order = GoTo(self._mapping.target, self._mapping.method)
        return steps.Dispatching(order, Cause.ARRIVAL)

    def _refuse(self, controller: Controller, error: CallError) -> None:
        field = ("Retry-After", RETRY_AFTER) if error.retryable else ("Warning", WRONG_FAMILY)
        self._sip.reject(error.sip_status, "", (field,))
        controller.call.sip_status = error.sip_status
        controller.warn(error.code, str(error), level="error")
        controller.fail()


def _callbacks(mapping: Address) -> tuple[StatusCallback, ...]:
    if not mapping.status_callback:
        return ()
    return (
        StatusCallback(mapping.status_callback, mapping.status_callback_method, frozenset({"completed"})),
    )
