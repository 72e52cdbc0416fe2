"""SIP over UDP: one datagram, one message."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from socket import SO_RCVBUF, SOL_SOCKET
from typing import Any, cast

from callrouter.sip.protocol.hop import Hop

_SO_RCVBUFFORCE = 33
_SO_MEMINFO = 55
"""Of Linux 4.12 and later."""
_MEMINFO = struct.Struct("2I")
"""Bytes in the receive buffer as the kernel counts them, and how many it takes."""
_RECEIVE_BUFFER = 2 << 20
"""Bytes: a burst must not cost a BYE.  Without CAP_NET_ADMIN the kernel gives what it allows everybody
(net.core.rmem_max)."""
_LONGEST = 65_536
_AT_ONCE = 300
"""Datagrams read in one go under a flood."""


class UdpTransport(asyncio.DatagramProtocol):
    def __init__(self, listener: int, receive: Callable[[bytes, Hop], None]) -> None:
        self._listener = listener
        self._receive = receive
        self._transport: asyncio.DatagramTransport | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._second: socket.socket | None = None
        """The same socket, to read from it past the event loop."""
        self._drains = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self._loop = asyncio.get_running_loop()
        own = self._transport.get_extra_info("socket")
        try:
            own.setsockopt(SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        except OSError:
            own.setsockopt(SOL_SOCKET, SO_RCVBUF, _RECEIVE_BUFFER)
        self._second = socket.socket(fileno=os.dup(own.fileno()))
        self._second.setblocking(False)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._receive(data, Hop("udp", addr[0], addr[1], self._listener))

    def drain_soon(self) -> None:
        """Read what else waits in this round of the event loop, which itself takes a few dozen
        datagrams in each: under a flood the rest would wait for rounds, a BYE among it."""
        if not self._drains and self._loop is not None:
            self._drains = True
            self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        try:
            for _ in range(_AT_ONCE):
                if self._second is None:
                    return
                data, address = self._second.recvfrom(_LONGEST)
                self._receive(data, Hop("udp", address[0], address[1], self._listener))
        except OSError:
            return  # nothing waits, or ICMP had something to say
        finally:
            self._drains = False

    def error_received(self, exc: Exception) -> None:
        """ICMP is anybody's word: retransmission and time-out decide, not this."""

    def send(self, data: bytes, host: str, port: int) -> None:
        """Raises `OSError` or `ValueError` when it cannot even be tried."""
        if self._transport is None or self._transport.is_closing():
            raise OSError("the socket is closed")
        self._transport.sendto(data, (host, port))

    @property
    def queued(self) -> float:
        """How full the receive buffer is, from 0 to 1; 0 where the system does not say."""
        if self._second is None:
            return 0.0
        try:
            used, most = _MEMINFO.unpack(self._second.getsockopt(SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))
        except (OSError, struct.error):
            return 0.0
        return int(used) / max(1, int(most))

    def close(self) -> None:
        if self._second is not None:
            self._second.close()
            self._second = None
        if self._transport is not None:
            self._transport.close()
