"""The connections of all stream transports: who may have one, which one a message takes.

A message goes by the connection its hop names as long as that is open, else by one to the same
place, else by a new one.  A request never takes a TLS connection whose other end has not proved the
name that was called (RFC 5922); one that somebody else opened is only taken for more than its own
dialogs when its certificate says whose it is and its owner asked for that (`alias`, RFC 5923).
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, Protocol

import structlog

from callrouter.ports import Clock, Metrics
from callrouter.sip.acceptor import Acceptor
from callrouter.sip.certificates import Certificates
from callrouter.sip.connection import Connection, Fate
from callrouter.sip.limits import Limits
from callrouter.sip.protocol.headers.via import Via
from callrouter.sip.protocol.hop import WEB_SOCKETS, Hop, Packet, default_port, is_response
from callrouter.sip.protocol.message import Request, Response, Unframeable
from callrouter.sip.settings import Listen
from callrouter.sip.transport_stream import Stream
from callrouter.sip.transport_websocket import WebSocket

log = structlog.get_logger(__name__)

_SHUTDOWN_SECONDS = 1.0
"""For the last octets of connections that are being closed."""
_FIRST_LOOK_SECONDS, _LAST_LOOK_SECONDS = 0.02, 5.0
"""Whether the last words were heard: about a round trip, at most as long as the kernel says them again."""
_SECURE = frozenset({"tls", "wss"})
_WARN_NS = 60 * 10**9


class Shell(Protocol):
    """Whom connections serve."""

    def received(self, message: Request | Response, hop: Hop) -> None: ...
    def malformed(self, error: Unframeable, hop: Hop) -> None: ...
    def sent(self, packet: Packet) -> None: ...
    def undeliverable(self, packet: Packet, error: str) -> None: ...
    def lost(self, hop: Hop) -> None: ...
    def depends_on(self, hop: Hop) -> bool:
        """A call would lose its far end without this connection."""

    def owes(self, hop: Hop) -> bool:
        """A request that came by this connection has had no final answer yet."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> None: ...
    def pump(self) -> None: ...


class _Way(NamedTuple):
    """Where a connection leads."""

    transport: str
    address: str
    port: int
    name: str
    """That the other end has proved; "" without TLS."""


class Connections:
    def __init__(
        self, limits: Limits, certificates: Certificates, clock: Clock, metrics: Metrics, shell: Shell
    ) -> None:
        self.limits = limits
        self._certificates = certificates
        self._clock = clock
        self._metrics = metrics
        self._shell = shell
        self._acceptors: list[Acceptor] = []
        self._open: dict[int, Connection] = {}
        self._by_way: dict[_Way, Connection] = {}
        self._ways: dict[Connection, set[_Way]] = {}
        """What leads to each, so that thousands that close at once are not each looked for among all."""
        self._connecting: dict[_Way, list[Packet]] = {}
        self._farewells: dict[Connection, list[tuple[Packet, str]]] = {}
        """What was said to other ends that say nothing more, and may not have heard it."""
        self._seats: Counter[str] = Counter()
        self._seated = 0
        self._ours = 0
        self._warned_ns: dict[str, int] = {}
        self._numbers = 0
        self._by_transport: Counter[str] = Counter()
        self._all_closed = asyncio.Event()

    def listen(self, index: int, listen: Listen) -> int:
        """Accept connections; the port bound.  Raises `OSError`."""

        def take(accepted: socket.socket, peer: tuple[Any, ...]) -> None:
            self._take(accepted, str(peer[0]), index, listen)

        acceptor = Acceptor(listen.host, listen.port, take)
        self._acceptors.append(acceptor)
        return acceptor.port

    async def close(self) -> None:
        """Say good-bye on every connection, and wait a moment for that to arrive."""
        for acceptor in self._acceptors:
            acceptor.close()
        for connection in list(self._open.values()):
            connection.close()
        try:
            async with asyncio.timeout(_SHUTDOWN_SECONDS):
                while self._open:
                    self._all_closed.clear()
                    await self._all_closed.wait()
        except TimeoutError:
            for connection in list(self._open.values()):
                connection.abort()

    # -- connections that come in

    def _take(self, accepted: socket.socket, host: str, index: int, listen: Listen) -> None:
        reason = self._full(host)
        if reason:
            self._refuse(reason, listen.transport, host)
            self._warn(reason, listen.transport, host)
            accepted.close()
            return
        hop = Hop(listen.transport, host, 0, index)
        connection: Connection = (
            WebSocket(self, hop, listen.origins)
            if listen.transport in WEB_SOCKETS
            else Stream(self, hop, is_ours=False)
        )
        connection.seat = host
        self._seats[host] += 1
        self._seated += 1
        self._shell.spawn(self._serve(connection, accepted, listen))

    def _full(self, host: str) -> str:
        """Why an address gets no further connection; "" when it does."""
        if self._seated + self._ours >= self.limits.total:
            return "too_many"
        return "too_many_from_address" if self._seats[host] >= self.limits.per_address else ""

    async def _serve(self, connection: Connection, accepted: socket.socket, listen: Listen) -> None:
        loop = asyncio.get_running_loop()
        is_secure = listen.transport in _SECURE
        seconds = self.limits.head_seconds
        try:
            if is_secure:
                self._certificates.renew(self._clock.monotonic_ns())
                await loop.connect_accepted_socket(
                    lambda: connection,
                    accepted,
                    ssl=self._certificates.server(listen.client_certificates),
                    ssl_handshake_timeout=seconds,
                    ssl_shutdown_timeout=_SHUTDOWN_SECONDS,
                )
            else:
                await loop.connect_accepted_socket(lambda: connection, accepted)
        except (OSError, TimeoutError) as error:
            if not connection.was_made:
                self._refuse("handshake", listen.transport, connection.hop.host, str(error))
        finally:
            if not connection.was_made:
                self._leave(connection)

    def _leave(self, connection: Connection) -> None:
        if connection.seat:
            self._seated -= 1
            self._seats[connection.seat] -= 1
            if not self._seats[connection.seat]:
                del self._seats[connection.seat]
            connection.seat = ""

    def _refuse(self, reason: str, transport: str, host: str, detail: str = "") -> None:
        self._metrics.count("sip_connections_refused", transport=transport, reason=reason)
        log.debug("sip_connection_refused", reason=reason, transport=transport, source=host, detail=detail)

    def _warn(self, reason: str, transport: str, host: str) -> None:
        """The limits are the operator's: say so, but not for every one of a flood."""
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._warned_ns.get(reason, -_WARN_NS) < _WARN_NS:
            return
        self._warned_ns[reason] = now_ns
        setting, limit = {
            "too_many": ("sip.max_connections", self.limits.total),
            "too_many_from_address": ("sip.max_connections_per_address", self.limits.per_address),
        }[reason]
        log.warning("sip_connections_full", source=host, transport=transport, setting=setting, limit=limit)

    # -- what connections tell (ConnectionOwner)

    def opened(self, connection: Connection) -> int:
        self._numbers += 1
        self._open[self._numbers] = connection
        self._ours += connection.is_ours
        hop = connection.hop
        if connection.is_ours or hop.transport == "tcp":
            self._lead(_Way(hop.transport, hop.host, hop.port, hop.name), connection)
        self._tally(hop.transport, 1)
        return self._numbers

    def _lead(self, way: _Way, connection: Connection) -> None:
        self._by_way[way] = connection
        self._ways.setdefault(connection, set()).add(way)

    def _tally(self, transport: str, change: int) -> None:
        self._by_transport[transport] += change
        self._metrics.gauge("sip_connections", self._by_transport[transport], transport=transport)

    def received(self, message: Request | Response, connection: Connection) -> None:
        if connection.identities and not connection.is_ours and isinstance(message, Request):
            self._note_alias(message, connection)
        self._shell.received(message, connection.hop)

    def _note_alias(self, request: Request, connection: Connection) -> None:
        """`alias` asks for requests to the sender's own port to come back this way; only the names
        in its certificate get that (RFC 5923 §7)."""
        try:
            via = request.via
        except ValueError:
            return
        if via.get("alias") is None:
            return
        hop = connection.hop
        for name in connection.identities:
            way = _Way(hop.transport, hop.host, via.port or default_port(hop.transport), name)
            known = self._by_way.get(way)
            if known is None or not known.is_open:
                self._lead(way, connection)

    def malformed(self, error: Unframeable, connection: Connection) -> None:
        self._shell.malformed(error, connection.hop)

    def dropped(self, connection: Connection, reason: str) -> None:
        self._refuse(reason, connection.hop.transport, connection.hop.host)

    def in_use(self, connection: Connection) -> bool:
        return self._shell.depends_on(connection.hop) or self._shell.owes(connection.hop)

    def ended(self, connection: Connection) -> bool:
        self._forget_ways(connection)
        self._shell.lost(connection.hop)
        return self._shell.owes(connection.hop)

    def _forget_ways(self, connection: Connection) -> None:
        for way in self._ways.pop(connection, ()):
            if self._by_way.get(way) is connection:
                del self._by_way[way]

    def closed(self, connection: Connection) -> None:
        self._leave(connection)
        hop = connection.hop
        if self._open.pop(hop.connection, None) is None:
            return
        self._ours -= connection.is_ours
        self._forget_ways(connection)
        self._tally(hop.transport, -1)
        self._all_closed.set()
        self._shell.lost(hop)

    # -- sending

    def has(self, hop: Hop) -> bool:
        """The connection that the hop names is open."""
        connection = self._open.get(hop.connection)
        return connection is not None and connection.is_open

    def send(self, packet: Packet, address: str) -> None:
        """`address`: the IP literal of the packet's host.  Raises `OSError` when it cannot even be
        tried; what fails later is told to the shell."""
        hop = packet.hop
        connection = self._open.get(hop.connection)
        if connection is None or not connection.is_open:
            if hop.transport in WEB_SOCKETS:
                raise OSError("the WebSocket is closed, and only the browser can open another one")
            way = _way_of(packet, address)
            if way in self._connecting:
                self._connecting[way].append(packet)
                return
            connection = self._by_way.get(way)
            if connection is None or not connection.is_open:
                self._connecting[way] = [packet]
                self._shell.spawn(self._connect(way, hop.listener))
                return
        connection.send(packet.data)
        self._shell.sent(packet)
        if connection.is_ending:
            self._see_off(connection, packet, address)

    def _see_off(self, connection: Connection, packet: Packet, address: str) -> None:
        said = self._farewells.setdefault(connection, [])
        said.append((packet, address))
        if len(said) == 1:
            self._shell.spawn(self._await_fate(connection, said))

    async def _await_fate(self, connection: Connection, said: list[tuple[Packet, str]]) -> None:
        """Close a connection whose other end has closed its half once it has heard all it is owed.  If
        it is gone altogether, which looks the same until something is said to it, what was said goes
        another way (RFC 3261 §18.2.2).  No event tells: asyncio watches no half that has been read."""
        pause = _FIRST_LOOK_SECONDS
        while (fate := connection.fate) is Fate.UNKNOWN:
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LAST_LOOK_SECONDS)
        del self._farewells[connection]
        if fate is Fate.HEARD:
            if not self._shell.owes(connection.hop):
                connection.close()
            return
        connection.abort()
        for packet, address in said:
            try:
                self.send(packet, address)
            except OSError as error:
                self._shell.undeliverable(packet, str(error))

    async def _connect(self, way: _Way, listener: int) -> None:
        error = ""
        connection = Stream(
            self, Hop(way.transport, way.address, way.port, listener, 0, way.name), is_ours=True
        )
        try:
            if len(self._open) >= self.limits.total:
                raise OSError("there are too many connections (`sip.max_connections`)")
            await self._dial(way, lambda: connection)
        except (OSError, TimeoutError) as failure:
            error = str(failure) or "nobody answered in time"
        for packet in self._connecting.pop(way, []):
            try:
                if error:
                    raise OSError(error)
                connection.send(packet.data)
                self._shell.sent(packet)
            except OSError as failure:
                self._shell.undeliverable(packet, str(failure))
        self._shell.pump()

    async def _dial(self, way: _Way, factory: Callable[[], Connection]) -> None:
        loop = asyncio.get_running_loop()
        if way.transport not in _SECURE:
            async with asyncio.timeout(self.limits.connect_seconds):
                await loop.create_connection(factory, way.address, way.port)
            return
        self._certificates.renew(self._clock.monotonic_ns())
        async with asyncio.timeout(self.limits.connect_seconds + self.limits.head_seconds):
            await loop.create_connection(
                factory,
                way.address,
                way.port,
                ssl=self._certificates.client(),
                server_hostname=way.name,
                ssl_handshake_timeout=self.limits.head_seconds,
                ssl_shutdown_timeout=_SHUTDOWN_SECONDS,
            )


def _way_of(packet: Packet, address: str) -> _Way:
    hop = packet.hop
    port, name = hop.port, hop.name or hop.host
    if is_response(packet.data):
        port, name = _return_port(packet)
    return _Way(hop.transport, address, port, name if hop.transport in _SECURE else "")


def _return_port(packet: Packet) -> tuple[int, str]:
    """Where the sender of a request can be reached when the connection it came by is gone: at the
    address it was seen at, but on the port it listens on (RFC 3261 §18.2.2); and its name."""
    start = packet.data.find(b"\r\nVia: ") + 7
    line = packet.data[start : packet.data.find(b"\r\n", start)].decode("utf-8", "surrogateescape")
    try:
        via = Via.parse(line.partition(",")[0])
    except ValueError as error:
        raise OSError("the connection is closed, and Via does not say where else to go") from error
    return via.port or default_port(packet.hop.transport), via.host
