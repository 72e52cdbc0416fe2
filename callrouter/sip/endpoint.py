"""The shell around the core: feed, drain, send, arm one timer, close."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from callrouter.errors import StartupError
from callrouter.ports import Clock, Metrics, SignalEvent
from callrouter.sip.certificates import Certificates
from callrouter.sip.connections import Connections
from callrouter.sip.protocol import stun
from callrouter.sip.protocol.addresses import is_unspecified, may_send
from callrouter.sip.protocol.agent import Agent
from callrouter.sip.protocol.hop import WEB_SOCKETS, Hop, Listener, Packet, family_of, is_response
from callrouter.sip.protocol.incoming import NewCall, Replaced
from callrouter.sip.protocol.message import Request, Response, Unframeable, parse
from callrouter.sip.protocol.session import Session
from callrouter.sip.resolver import Resolver, Unresolvable
from callrouter.sip.settings import Listen, Settings
from callrouter.sip.trace import Trace
from callrouter.sip.traffic import Traffic
from callrouter.sip.transport_udp import UdpTransport

log = structlog.get_logger(__name__)
_STREAMS = frozenset({"tcp", "tls", "ws", "wss"})
Deliver = Callable[[Session, SignalEvent | NewCall | Replaced], None]


class Endpoint:
    """Sockets and connections of one core, and its clock."""

    def __init__(
        self, settings: Settings, agent: Agent, clock: Clock, metrics: Metrics, deliver: Deliver
    ) -> None:
        self._settings = settings
        self._agent = agent
        self._clock = clock
        self._metrics = metrics
        self._traffic = Traffic(agent, metrics)
        self._deliver = deliver
        self.trace = Trace(settings.trace_calls, settings.trace_bytes, settings.trace_call_bytes)
        self.resolver = Resolver(clock, agent.token, settings.dns_servers, self._transports)
        self._certificates = Certificates(settings.tls)
        self._connections = Connections(settings.limits, self._certificates, clock, metrics, self)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.udp = UdpTransport(settings, self.datagram)
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0
        self._is_pumping = False
        self._forgotten: list[Session] = []
        agent.on_forgotten = self._forgotten.append
        agent.layer.sign = self.udp.sign

    # -- opening and closing

    async def open(self) -> None:
        """Bind everything.  Raises `StartupError` naming the address or file that cannot be had."""
        self._loop = asyncio.get_running_loop()
        self._certificates.load()
        for index, listen in enumerate(self._settings.listen):
            try:
                port = self._bind(index, listen)
            except OSError as failure:
                await self.close()
                error = failure.__cause__ if isinstance(failure.__cause__, OSError) else failure
                raise StartupError(
                    f"cannot listen for SIP on {listen.transport} {listen.host} port {listen.port}: "
                    f"{error.strerror or error}; see who has it with `ss -lnp '( sport = :{listen.port} )'`, "
                    "or change `sip.listen`"
                ) from failure
            self._agent.listeners.append(
                Listener(
                    listen.transport,
                    listen.advertise or listen.host,
                    listen.advertise_port or port,
                    family_of(listen.host),
                    is_dual=listen.transport == "udp" and is_unspecified(listen.host) and ":" in listen.host,
                )
            )
        self.udp.start()

    def _bind(self, index: int, listen: Listen) -> int:
        if listen.transport == "udp":
            return self.udp.bind(index, listen.host, listen.port, listen.advertise)
        return self._connections.listen(index, listen)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._connections.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.udp.close()

    def reload(self) -> None:
        """Read the certificates again; open connections keep what they have."""
        self._certificates.reload()

    def _transports(self) -> frozenset[str]:
        return frozenset(listener.transport for listener in self._agent.listeners)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in the background; `close` cancels what is left of it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("sip_background_failed", exc_info=task.exception())

    # -- feeding

    def datagram(self, data: bytes, hop: Hop) -> None:
        try:
            message = parse(data.lstrip(b"\r\n"))
        except Unframeable as error:
            self._no_message(data, hop, error)
            return
        self.received(message, hop)

    def _no_message(self, data: bytes, hop: Hop, error: Unframeable) -> None:
        """Keep-alives are no errors: empty lines, zeros, and STUN, which is answered."""
        if stun.is_stun(data):
            answer = stun.answer(data, hop.host, hop.port)
            if answer:
                with contextlib.suppress(OSError):  # it will ask again
                    self.udp.send(hop.listener, answer, hop.host, hop.port)
                return
        if data.strip(b"\r\n\0"):
            self.malformed(error, hop)

    def received(self, message: Request | Response, hop: Hop) -> None:
        self._traffic.received(message, hop)
        now_ns = self._clock.monotonic_ns()
        try:
            self._agent.receive(message, hop, now_ns)
            self._note(message, hop, now_ns)
        except Exception:
            # The one boundary per message: whatever a peer sends, the others' calls go on.
            self._metrics.count("sip_errors", kind="internal")
            log.exception("sip_message_failed", source=f"{hop.host}:{hop.port}", transport=hop.transport)
        self.pump()

    def _note(self, message: Request | Response, hop: Hop, now_ns: int) -> None:
        """Into the trace, an INVITE only if it has become a transaction: what is shed is no call."""
        if self.trace.is_on:
            opens = (
                isinstance(message, Request)
                and message.method == "INVITE"
                and (self.trace.knows(message.call_id) or self._agent.layer.serves(message))
            )
            self.trace.received(message, hop, now_ns, is_accepted=opens)

    def malformed(self, error: Unframeable, hop: Hop) -> None:
        self._metrics.count("sip_errors", kind="malformed")
        log.debug("sip_message_malformed", source=f"{hop.host}:{hop.port}", error=str(error))

    # -- draining

    def pump(self) -> None:
        """Send and deliver until there is nothing left, then look at the clock once."""
        if self._is_pumping:
            return
        self._is_pumping = True
        agent, layer = self._agent, self._agent.layer
        try:
            while layer.out or agent.events:
                if layer.out:
                    packets, layer.out = layer.out, []
                    for packet in packets:
                        self._send(packet)
                if agent.events:
                    events, agent.events = agent.events, []
                    for session, event in events:
                        self._deliver_one(session, event)
        finally:
            self._is_pumping = False
        for session in self._forgotten:
            session.owner = None  # who knows its owner and is known by it would wait for the collector
        self._forgotten.clear()
        self._arm()

    def _deliver_one(self, session: Session, event: SignalEvent | NewCall | Replaced) -> None:
        try:
            self._deliver(session, event)
        except Exception:
            # A call's own handler failed: its call ends, the loop and everybody else's go on.
            self._metrics.count("sip_errors", kind="handler")
            log.exception("sip_event_failed", call_id=session.call_id, event_type=type(event).__name__)
            session.hangup("", self._clock.monotonic_ns())

    def _arm(self) -> None:
        due = self._agent.timers.next_ns
        if due is None or self._loop is None or (self._timer is not None and self._timer_ns <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        delay = max(0, due - self._clock.monotonic_ns()) / 1e9
        self._timer_ns = due
        self._timer = self._loop.call_later(delay, self._fire)

    def _fire(self) -> None:
        self._timer = None
        try:
            self._agent.timers.run(self._clock.monotonic_ns())
        except Exception:
            # A timer belongs to one transaction or session; the rest must still have theirs.
            self._metrics.count("sip_errors", kind="internal")
            log.exception("sip_timer_failed")
        self.pump()

    # -- sending

    def _send(self, packet: Packet) -> None:
        hop = packet.hop
        is_settled = self._connections.has(hop) or hop.transport in WEB_SOCKETS
        address = hop.host if is_settled else self.resolver.remembered(hop.host)
        if address is None:
            self.spawn(self._resolve_and_send(packet))
            return
        if hop.mentioned_by and not may_send(address, hop.mentioned_by, self._agent.settings.mentionable):
            self._misled(packet, f"{hop.mentioned_by} may not point us to {address}")
            return
        try:
            if hop.transport == "udp":
                self.udp.send(self._udp_listener(hop, address), packet.data, address, hop.port)
                self.sent(packet)
            elif hop.transport in _STREAMS:
                self._connections.send(packet, address)
            else:
                raise OSError(f"nothing is known of the transport {hop.transport}")
        except (OSError, ValueError, OverflowError) as error:
            self.undeliverable(packet, str(error))

    async def _resolve_and_send(self, packet: Packet) -> None:
        families = self._agent.listeners.families
        try:
            await self.resolver.resolve(packet.hop.host, families)
        except Unresolvable as error:
            self._misled(packet, str(error))
        else:
            self._send(packet)
        self.pump()

    def _misled(self, packet: Packet, error: str) -> None:
        """A name in Contact or Record-Route means nothing here, as that of a telephone on its own
        network: who wrote it is where it was seen."""
        seen = packet.hop.where_seen
        if seen is None:
            self.undeliverable(packet, error)
        else:
            self._send(packet._replace(hop=seen))

    def _udp_listener(self, hop: Hop, address: str) -> int:
        """The one the hop knows, else one that can reach the address."""
        family = family_of(address)
        listeners = self._agent.listeners
        if hop.listener in self.udp.listeners and listeners[hop.listener].reaches(family):
            return hop.listener
        for index in self.udp.listeners:
            if listeners[index].reaches(family):
                return index
        raise OSError(f"no UDP listener of IPv{family}")

    def undeliverable(self, packet: Packet, error: str) -> None:
        self._metrics.count("sip_errors", kind="send")
        # Who asks and is gone before the answer could fill the log with that.
        tell = log.debug if packet.transaction is None or is_response(packet.data) else log.warning
        tell("sip_send_failed", host=packet.hop.host, port=packet.hop.port, error=error)
        self._agent.undeliverable(packet, self._clock.monotonic_ns())

    def sent(self, packet: Packet) -> None:
        """The packet has been handed to its socket."""
        self._traffic.sent(packet.data, packet.hop)
        if self.trace.is_on:
            self.trace.sent(packet.data, packet.hop, self._clock.monotonic_ns())

    # -- connections (Shell)

    def lost(self, hop: Hop) -> None:
        self._agent.connection_lost(hop, self._clock.monotonic_ns())
        self.pump()

    def depends_on(self, hop: Hop) -> bool:
        return self._agent.depends_on(hop)

    def owes(self, hop: Hop) -> bool:
        return self._agent.layer.owes(hop)
