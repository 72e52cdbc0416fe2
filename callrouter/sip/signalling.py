"""The SIP user agent: `ports.Signalling`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import structlog

from callrouter.errors import MediaUnavailable, Unroutable
from callrouter.ports import (
    Clock,
    Failed,
    Ids,
    Metrics,
    OutgoingCall,
    Route,
    SignalEvent,
    SignalSink,
    SipLeg,
    TracedMessage,
    TransferRequested,
)
from callrouter.ports.carriers import TrunkState
from callrouter.ports.causes import TEMPORARY_FAILURE
from callrouter.sip.access import install_access
from callrouter.sip.arrivals import Arrivals, NotOwned
from callrouter.sip.branch import Branch
from callrouter.sip.carriers import Carriers
from callrouter.sip.endpoint import Endpoint
from callrouter.sip.heartbeat import Heartbeat
from callrouter.sip.invitations import InvitationWriter
from callrouter.sip.leg import IncomingLeg, Leg, reason_header
from callrouter.sip.outgoing_leg import OutgoingLeg
from callrouter.sip.passing_settings import passed_kinds
from callrouter.sip.planning import Planner
from callrouter.sip.protocol.addresses import is_listed
from callrouter.sip.protocol.agent import Agent, AgentSettings
from callrouter.sip.protocol.dialog import Dialog
from callrouter.sip.protocol.domains import Domains
from callrouter.sip.protocol.hop import Hop, Listener, family_of
from callrouter.sip.protocol.incoming import IncomingSession, NewCall, Replaced
from callrouter.sip.protocol.session import Session
from callrouter.sip.protocol.shield import Shield
from callrouter.sip.redirections import Redirections
from callrouter.sip.referrals import Referrals
from callrouter.sip.resolver import Place, Unresolvable
from callrouter.sip.settings import Settings
from callrouter.sip.tally import Tally
from callrouter.sip.trunks import Trunks, credentials_of

log = structlog.get_logger(__name__)
_OWNERS = (Leg, Branch)
"""Of sessions."""
_RETRY_AFTER = (("Retry-After", "5"),)


class Signalling:
    """Sockets are open from `start` to `stop`; everything else may be called in between."""

    def __init__(
        self, settings: Settings, clock: Clock, ids: Ids, metrics: Metrics, fingerprint: str = ""
    ) -> None:
        """`fingerprint` is that of the certificate that media shows browsers, as `a=fingerprint` has
        it; "": they cannot be served."""
        self._clock = clock
        self._ids = ids
        self._agent = Agent(_agent_settings(settings, fingerprint), ids.token)
        self._endpoint = Endpoint(settings, self._agent, clock, metrics, self._deliver)
        self._trusted = settings.defence.trusted
        self._shield = Shield(settings.defence.shield, ids.token, self._is_trusted)
        self._agent.shield = self._shield
        tally = Tally(self._shield, self._endpoint.udp, settings.defence.ban_seconds, metrics)
        self._heartbeat = Heartbeat(self._shield.gate, clock, tally)
        self._trunks = Trunks(settings, ids.token)
        domains = Domains(settings.registrar.domains, self._agent.listeners)
        access = install_access(settings, self._agent, domains, ids.token)
        self._shield.is_proved = access.bindings.has_by
        self._referrals = Referrals(settings, self._trunks, domains)
        self._redirections = Redirections(settings, self._trunks, self._referrals)
        self._arrivals = Arrivals(settings, self._trunks, domains)
        self._planner = Planner(settings, self._agent, self._trunks, domains, access.bindings, clock)
        self._writer = InvitationWriter(self._agent, self._trunks)
        self._carriers = Carriers(
            settings, self._agent, self._trunks, access.admission, self._endpoint, clock, metrics
        )
        self._incoming: Callable[[SipLeg], None] | None = None
        self._is_open = False

    @property
    def is_open(self) -> bool:
        """Every listener is bound: calls may come."""
        return self._is_open

    async def start(self) -> None:
        """Bind the listeners.  Raises `StartupError`."""
        await self._endpoint.open()
        self._is_open = True
        self._heartbeat.start()
        for listener in self._agent.listeners:
            log.info("sip_listening", transport=listener.transport, host=listener.host, port=listener.port)
        self._carriers.start()

    async def stop(self) -> None:
        """Close everything.  Calls still up are not told: end them before."""
        self._is_open = False
        await self._carriers.stop()
        self._heartbeat.stop()
        await self._endpoint.close()

    def trace(self, call_id: str) -> tuple[tuple[TracedMessage, ...], int]:
        """The messages of a call that are still remembered, in order, and how many are not."""
        return self._endpoint.trace.of(call_id)

    def trunk_states(self) -> tuple[TrunkState, ...]:
        """How the carriers are doing."""
        return self._carriers.states()

    def reload(self) -> None:
        """Read the certificates again.  Open connections, and calls, stay as they are."""
        self._endpoint.reload()

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """Bound addresses as advertised, in the order of the settings."""
        return tuple(self._agent.listeners)

    @property
    def is_idle(self) -> bool:
        """No call, transaction or timer is left."""
        return self._agent.is_idle

    def _is_trusted(self, host: str) -> bool:
        """No limit is for this source but that of what we can carry."""
        admission = self._agent.admission
        return is_listed(host, self._trusted) or (admission is not None and admission.is_carrier(host))

    def on_incoming(self, handler: Callable[[SipLeg], None]) -> None:
        """`handler` gets every new, negotiable INVITE exactly once."""
        self._incoming = handler

    def _deliver(self, session: Session, event: SignalEvent | NewCall | Replaced) -> None:
        if isinstance(event, NewCall):
            self._new_call(event.session)
        elif isinstance(event, Replaced):
            if isinstance(session.owner, _OWNERS):
                session.owner.continue_with(event.session)
        elif isinstance(session.owner, _OWNERS):
            if isinstance(event, TransferRequested):
                event = self._referrals.read(session, event)
            elif isinstance(event, Failed):
                event = self._redirections.read(session, event)
            session.owner.deliver(event)

    def _new_call(self, session: IncomingSession) -> None:
        if self._incoming is None:
            session.reject(503, "", _RETRY_AFTER, self._clock.monotonic_ns())
            return
        try:
            arrival = self._arrivals.read(session)
        except NotOwned as error:
            log.warning("sip_number_not_owned", error=str(error))
            session.reject(404, "", (), self._clock.monotonic_ns())
            return
        self._incoming(IncomingLeg(session, arrival, self._clock, self._endpoint.pump))

    def limit_coding(self, has_time: Callable[[], bool]) -> None:
        """While `has_time` says no, new calls are in codecs that cost nothing, or refused."""
        self._agent.has_time_to_code = has_time

    def limit_calls(self, has_time: Callable[[], bool]) -> None:
        """While `has_time` says no, new calls by UDP wait at the door, and are turned away where
        too many wait."""
        self._endpoint.udp.has_time = has_time

    # -- calls we place

    async def route(self, target: str, trunk: str = "") -> Route:
        """Raises `Unroutable` when nothing serves the target."""
        why_not: Unroutable | None = None
        for group in self._planner.plan(target, trunk).groups:
            for destination in group:
                try:
                    return await self._way(target, destination.where)
                except Unroutable as error:
                    why_not = why_not or error
        raise why_not or Unroutable(f"{target!r} cannot be reached: there is no way to it")

    async def _way(self, target: str, where: Place | Hop) -> Route:
        """Raises `Unroutable` when `target` is not reached there."""
        try:
            host = (await self._locate(where))[0].host
        except Unresolvable as error:
            raise Unroutable(f"{target!r} cannot be reached: {error}") from error
        family: Literal[4, 6] = 6 if family_of(host) == 6 else 4
        if family not in self._agent.listeners.families:
            raise Unroutable(f"{target!r} needs IPv{family}, and nothing listens there: see `sip.listen`")
        return Route(family)

    def is_ours(self, target: str) -> bool:
        """An address that calls come to here, and of no telephone that may register."""
        return self._planner.is_ours(target)

    def place(self, call: OutgoingCall, sink: SignalSink) -> SipLeg:
        """Raises `Unroutable` like `route`, and `MediaUnavailable` where the call would have to be
        transcoded, and there is no time for that; everything later is told to `sink`."""
        plan = self._planner.plan(call.target, call.trunk, call.mentioned_by)
        codecs = self._agent.codecs_beside(call.codec)
        if not codecs:
            raise MediaUnavailable(
                "no time to transcode another call: as many legs as `media.max_transcoding` are in G.722 or "
                "Opus, and `sip.codecs` has no G.711 to offer instead"
            )
        call_id = self._ids.token(16)
        write = self._writer.writer(call, plan)
        leg = OutgoingLeg(
            plan,
            lambda destination: self._agent.call(write(destination), call_id, codecs),
            self._begin,
            self._agent.timers,
            self._clock,
            self._endpoint.pump,
            lambda destination, failure, goes_on: self._carriers.failed(
                plan, destination, failure, goes_on=goes_on
            ),
        )
        leg.attach(sink)
        leg.start()
        self._endpoint.pump()
        return leg

    def _begin(self, branch: Branch) -> None:
        where = branch.destination.where
        known = (where,) if isinstance(where, Hop) else self._endpoint.resolver.known(where)
        if known is None:
            self._endpoint.spawn(self._locate_and_begin(branch))
        else:
            branch.begin(known)

    async def _locate_and_begin(self, branch: Branch) -> None:
        try:
            branch.begin(await self._locate(branch.destination.where))
        except Unresolvable as error:
            branch.unreachable(str(error))
        self._endpoint.pump()

    async def _locate(self, where: Place | Hop) -> tuple[Hop, ...]:
        if isinstance(where, Hop):
            return (where,)
        return await self._endpoint.resolver.locate(where, self._agent.listeners.families)

    # -- what a dead process left behind

    def end_orphan(self, dialog_state: str, reason: str) -> None:
        """Send the BYE of a dialog that a dead process left behind.  Raises `ValueError` for a
        state that `dialog_state()` did not write."""
        dialog = Dialog.from_json(dialog_state)
        self._agent.uac.end_orphan(
            dialog, reason_header(reason, TEMPORARY_FAILURE), self._clock.monotonic_ns()
        )
        self._endpoint.pump()


def _agent_settings(settings: Settings, fingerprint: str) -> AgentSettings:
    dialogs = settings.dialogs
    return AgentSettings(
        user_agent=settings.user_agent,
        answers_where_via_says=settings.answers_without_rport == "via",
        codecs=settings.codecs,
        session_seconds=dialogs.session_seconds,
        min_session_seconds=dialogs.min_session_seconds,
        mentionable=settings.defence.mentionable,
        unanswered_seconds=dialogs.unanswered_seconds,
        srtp=settings.srtp,
        noise=settings.comfort_noise,
        fingerprint=fingerprint,
        srtp_of_listeners=tuple(listen.srtp for listen in settings.listen),
        credentials_of_trunks={
            trunk.name: known for trunk in settings.trunks if (known := credentials_of(trunk)) is not None
        },
        passes=passed_kinds(settings.passes),
        passes_of_trunks={
            trunk.name: passed_kinds(trunk.passes) for trunk in settings.trunks if trunk.passes is not None
        },
        srtp_of_trunks={trunk.name: trunk.srtp for trunk in settings.trunks if trunk.srtp is not None},
    )
