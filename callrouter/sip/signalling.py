"""The SIP user agent: `ports.Signalling`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import structlog

from callrouter.errors import Unroutable
from callrouter.ports import Clock, Ids, Metrics, OutgoingCall, Route, SignalEvent, SignalSink, SipLeg
from callrouter.sip.endpoint import Endpoint
from callrouter.sip.leg import IncomingLeg, OutgoingLeg, _Leg, reason_header
from callrouter.sip.protocol.agent import Agent, AgentSettings, NewCall, family_of
from callrouter.sip.protocol.auth import Credentials
from callrouter.sip.protocol.dialog import Dialog
from callrouter.sip.protocol.grammar import displayable, is_token, quote, write_host
from callrouter.sip.protocol.hop import Hop, Listener
from callrouter.sip.protocol.incoming import IncomingSession
from callrouter.sip.protocol.outgoing import Invitation, OutgoingSession
from callrouter.sip.protocol.session import Session
from callrouter.sip.protocol.uri import Uri
from callrouter.sip.resolver import Unresolvable
from callrouter.sip.settings import Settings
from callrouter.sip.trunks import Destination, Trunks, escape_user

log = structlog.get_logger(__name__)
_RETRY_AFTER = (("Retry-After", "5"),)
_OURS = frozenset(
    {
        "via",
        "from",
        "to",
        "call-id",
        "cseq",
        "contact",
        "max-forwards",
        "route",
        "record-route",
        "content-type",
        "content-length",
        "authorization",
        "proxy-authorization",
        "require",
        "proxy-require",
        "allow",
        "supported",
        "user-agent",
    }
)
"""Headers a caller of `place` must leave to us."""


class Signalling:
    """Sockets are open from `start` to `stop`; everything else may be called in between."""

    def __init__(self, settings: Settings, clock: Clock, ids: Ids, metrics: Metrics) -> None:
        self._clock = clock
        self._ids = ids
        self._agent = Agent(_agent_settings(settings), ids.token)
        self._endpoint = Endpoint(settings, self._agent, clock, metrics, self._deliver)
        self._trunks = Trunks(settings)
        self._incoming: Callable[[SipLeg], None] | None = None

    async def start(self) -> None:
        """Bind the listeners.  Raises `StartupError`."""
        await self._endpoint.open()
        for listener in self._agent.listeners:
            log.info("sip_listening", transport=listener.transport, host=listener.host, port=listener.port)

    async def stop(self) -> None:
        """Close everything.  Calls still up are not told: end them before."""
        self._endpoint.pump()
        await self._endpoint.close()

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

    def on_incoming(self, handler: Callable[[SipLeg], None]) -> None:
        """`handler` gets every new, negotiable INVITE exactly once."""
        self._incoming = handler

    def _deliver(self, session: Session, event: SignalEvent | NewCall) -> None:
        if isinstance(event, NewCall):
            self._new_call(event.session)
        elif isinstance(session.owner, _Leg):
            session.owner.deliver(event)

    def _new_call(self, session: IncomingSession) -> None:
        if self._incoming is None:
            session.reject(503, "", _RETRY_AFTER, self._clock.monotonic_ns())
            return
        self._incoming(IncomingLeg(session, self._clock, self._endpoint.pump))

    # -- calls we place

    async def route(self, target: str, trunk: str = "") -> Route:
        """Raises `Unroutable` when nothing serves the target."""
        destination = self._trunks.destination(target, trunk)
        try:
            address = await self._endpoint.resolver.resolve(destination.host, self._families())
        except Unresolvable as error:
            raise Unroutable(f"{target!r} cannot be reached: {error}") from error
        family: Literal[4, 6] = 6 if family_of(address) == 6 else 4
        if family not in self._families():
            raise Unroutable(f"{target!r} needs IPv{family}, and nothing listens there: see `sip.listen`")
        return Route(family)

    def place(self, call: OutgoingCall, sink: SignalSink) -> SipLeg:
        """Raises `Unroutable` like `route`; everything later is told to `sink`."""
        destination = self._trunks.destination(call.target, call.trunk)
        invitation = self._invitation(call, destination)
        session = self._agent.call(invitation, self._ids.token(16))
        leg = OutgoingLeg(session, destination, self._clock, self._endpoint.pump)
        leg.attach(sink)
        address = self._endpoint.resolver.remembered(destination.host)
        if address is None:
            self._endpoint.spawn(self._resolve_and_start(session, destination))
        else:
            self._start(session, destination, address)
        return leg

    def _start(self, session: OutgoingSession, destination: Destination, address: str) -> None:
        hop = Hop(destination.transport, address, destination.port, name=destination.host)
        session.start(hop, self._clock.monotonic_ns())
        self._endpoint.pump()

    async def _resolve_and_start(self, session: OutgoingSession, destination: Destination) -> None:
        try:
            address = await self._endpoint.resolver.resolve(destination.host, self._families())
        except Unresolvable as error:
            session.fail(503, str(error), self._clock.monotonic_ns())
            self._endpoint.pump()
        else:
            self._start(session, destination, address)

    def _invitation(self, call: OutgoingCall, destination: Destination) -> Invitation:
        credentials = destination.credentials
        if call.username:
            credentials = Credentials(call.username, call.password)
        user, caller = self._caller(call, destination)
        name = f"{quote(displayable(call.caller_name))} " if call.caller_name else ""
        fields = tuple(
            (name, displayable(value))
            for name, value in call.headers
            if is_token(name) and name.lower() not in _OURS
        )
        return Invitation(destination.uri, f"{name}<{caller}>", user, call.local, fields, credentials)

    def _caller(self, call: OutgoingCall, destination: Destination) -> tuple[str, str]:
        """The user part for Contact, and the URI for From."""
        if call.caller[:5].lower().startswith(("sip:", "sips:")):
            try:
                uri = Uri.parse(call.caller)
            except ValueError as error:
                raise Unroutable(f"the caller {call.caller!r} is not a SIP URI: {error}") from error
            return uri.user, str(uri)
        user = escape_user(call.caller)
        if not user:
            return "", "sip:anonymous@anonymous.invalid"
        probe = Hop(destination.transport, destination.host, destination.port)
        domain = destination.domain or write_host(self._agent.listener_of(probe).host)
        return user, f"sip:{user}@{domain}"

    def _families(self) -> frozenset[int]:
        return frozenset(listener.family for listener in self._agent.listeners)

    # -- what a dead process left behind

    def end_orphan(self, dialog_state: str, reason: str) -> None:
        """Send the BYE of a dialog that a dead process left behind.  Raises `ValueError` for a
        state that `dialog_state()` did not write."""
        dialog = Dialog.from_json(dialog_state)
        self._agent.end_orphan(dialog, reason_header(reason), self._clock.monotonic_ns())
        self._endpoint.pump()


def _agent_settings(settings: Settings) -> AgentSettings:
    dialogs = settings.dialogs
    return AgentSettings(
        user_agent=settings.user_agent,
        codecs=settings.codecs,
        session_seconds=dialogs.session_seconds,
        min_session_seconds=dialogs.min_session_seconds,
        unanswered_seconds=dialogs.unanswered_seconds,
    )
