"""What connections of every transport have in common: a number, patience that ends, bounded writing."""

from __future__ import annotations

import asyncio
import enum
import fcntl
import socket
import struct
import termios
from abc import abstractmethod
from typing import Protocol, cast

from callrouter.sip.certificates import identities
from callrouter.sip.limits import Limits
from callrouter.sip.protocol.hop import Hop
from callrouter.sip.protocol.message import Request, Response, Unframeable

_TCP_CLOSE = 7
"""In `struct tcp_info`: the other end has reset it."""


class Fate(enum.Enum):
    """Of what was written."""

    UNKNOWN = "unknown"
    HEARD = "heard"
    """The other end's kernel has acknowledged it."""
    LOST = "lost"
    """Nobody is there to hear it."""


class ConnectionOwner(Protocol):
    """Whoever keeps the connections."""

    limits: Limits

    def opened(self, connection: Connection) -> int:
        """The number of this connection; 0 when it must close at once."""

    def received(self, message: Request | Response, connection: Connection) -> None: ...
    def malformed(self, error: Unframeable, connection: Connection) -> None: ...
    def dropped(self, connection: Connection, reason: str) -> None:
        """It is being closed because of what the other end did, or did not do."""

    def in_use(self, connection: Connection) -> bool:
        """Something still depends on it, however quiet it is."""

    def ended(self, connection: Connection) -> bool:
        """The other end has said its last word; whether it is owed answers."""

    def closed(self, connection: Connection) -> None: ...


class Connection(asyncio.Protocol):
    """One connection, whoever opened it."""

    def __init__(self, owner: ConnectionOwner, hop: Hop, *, is_ours: bool) -> None:
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._heard = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self.hop = hop
        self.is_ours = is_ours
        self.is_proven = is_ours
        """It has carried a message."""
        self.is_ending = False
        """The other end says nothing more, but is owed answers."""
        self.identities: frozenset[str] = frozenset()
        """Names in the certificate that the other end has proved to be its own."""
        self.seat = ""
        """Address that this connection counts against; "" = none, or not any more."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        if not peer:  # reset before it was accepted
            self._transport.abort()
            return
        secured = transport.get_extra_info("ssl_object")
        if secured is not None:
            self.identities = identities(secured.getpeercert())
        self.hop = self.hop._replace(host=peer[0], port=peer[1])
        number = self._owner.opened(self)
        if not number:
            self._transport.abort()
            return
        self.hop = self.hop._replace(connection=number)
        self._heard = self._loop.time()
        self._set_alarm(self._patience())

    @property
    def was_made(self) -> bool:
        return self._transport is not None

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    @property
    def fate(self) -> Fate:
        """What became of all that was written (tcp(7) of Linux)."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return Fate.LOST
        plain = transport.get_extra_info("socket")
        (state,) = plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
        if state == _TCP_CLOSE:
            return Fate.LOST
        (unheard,) = struct.unpack("i", fcntl.ioctl(plain.fileno(), termios.TIOCOUTQ, bytes(4)))
        return Fate.UNKNOWN if unheard or transport.get_write_buffer_size() else Fate.HEARD

    # -- what arrives

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        self.feed(data)

    @abstractmethod
    def feed(self, data: bytes) -> None:
        """Octets of the other end."""

    def deliver(self, message: Request | Response) -> None:
        self.prove()
        self._owner.received(message, self)

    def prove(self) -> None:
        """Something of SIP has come: from now on patience is that with an acquaintance."""
        if not self.is_proven:
            self.is_proven = True
            self._set_alarm(self._patience())

    # -- what leaves

    def send(self, data: bytes) -> None:
        """One message.  Raises `OSError` when the connection is closed, or the other end has left
        too much unread."""
        transport = self._transport
        if transport is None or transport.is_closing():
            raise OSError("the connection is closed")
        if transport.get_write_buffer_size() > self._owner.limits.write_bytes:
            self.drop("slow_reader")
            raise OSError("the other end does not read what it is sent")
        self.write(data)

    def write(self, data: bytes) -> None:
        """Octets, or a message in whatever the transport wraps it."""
        if self._transport is not None:
            self._transport.write(data)

    # -- patience

    def _patience(self) -> float:
        limits = self._owner.limits
        return limits.idle_seconds if self.is_proven else limits.first_seconds

    def _set_alarm(self, seconds: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_later(seconds, self._ring)

    def _ring(self) -> None:
        """Nothing was set back when something arrived, which is often; what is left is waited for."""
        left = self._heard + self._patience() - self._loop.time()
        if left > 0 and self.is_proven:
            self._set_alarm(left)
        elif self.is_proven and self._owner.in_use(self):
            self._set_alarm(self._patience())
        else:
            self.drop("idle" if self.is_proven else "silent")

    def watch(self, *, is_partial: bool) -> None:
        """A message that was begun has to be completed in time, however slowly it drips."""
        if not is_partial:
            self.stop_watching()
        elif self._deadline is None:
            self._deadline = self._loop.call_later(self._owner.limits.head_seconds, self._too_slow)

    def _too_slow(self) -> None:
        self._owner.malformed(Unframeable("a message was not completed in time"), self)
        self.drop("slow_writer")

    def stop_watching(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    # -- the end

    def drop(self, reason: str) -> None:
        """Close without another word."""
        self._owner.dropped(self, reason)
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """What was written still goes out."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self.stop_watching()
        self._owner.closed(self)
