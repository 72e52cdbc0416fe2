"""SIP over TCP: connections that frame their own messages."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from callrouter.sip.protocol.framer import Framer
from callrouter.sip.protocol.hop import Hop
from callrouter.sip.protocol.message import Request, Response, Unframeable

_PONG = b"\r\n"


class ConnectionOwner(Protocol):
    """Whoever keeps the connections."""

    head_timeout_seconds: float

    def opened(self, connection: TcpConnection, host: str, port: int, *, is_ours: bool) -> int:
        """The number of this connection; 0 when there are too many and it must close."""

    def received(self, message: Request | Response, hop: Hop) -> None: ...
    def malformed(self, error: Unframeable, hop: Hop) -> None: ...
    def closed(self, connection: TcpConnection) -> None: ...


class TcpConnection(asyncio.Protocol):
    """One connection, whoever opened it."""

    def __init__(self, owner: ConnectionOwner, listener: int, *, is_ours: bool) -> None:
        self._owner = owner
        self._listener = listener
        self._is_ours = is_ours
        self._framer = Framer()
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self.hop = Hop("tcp", "", 0, listener)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        if not peer:  # reset before it was accepted
            self._transport.abort()
            return
        number = self._owner.opened(self, peer[0], peer[1], is_ours=self._is_ours)
        self.hop = Hop("tcp", peer[0], peer[1], self._listener, number)
        if not number:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        framer = self._framer
        try:
            messages = framer.feed(data)
        except Unframeable as error:
            self._owner.malformed(error, self.hop)
            self.close()
            return
        if framer.pings:
            framer.pings = 0
            self.send(_PONG)
        for message in messages:
            self._owner.received(message, self.hop)
        if framer.broken:
            self.close()
        else:
            self._watch()

    def _watch(self) -> None:
        """A message that was begun has to be completed in time, however slowly it drips."""
        if not self._framer.is_partial:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None
        elif self._deadline is None:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(self._owner.head_timeout_seconds, self._too_slow)

    def _too_slow(self) -> None:
        self._owner.malformed(Unframeable("a message was not completed in time"), self.hop)
        self.close()

    def send(self, data: bytes) -> None:
        """Raises `OSError` when the connection is closed."""
        if self._transport is None or self._transport.is_closing():
            raise OSError("the connection is closed")
        self._transport.write(data)

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        """What was written still goes out."""
        if self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._owner.closed(self)
