"""SIP over UDP: one datagram, one message."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from socket import SO_RCVBUF, SOL_SOCKET
from typing import Any, cast

from callrouter.sip.protocol.hop import Hop

_SO_MEMINFO = 55
"""Of Linux 4.12 and later."""
_RECEIVE_BUFFER = 2 << 20
"""Bytes: a burst must not cost a BYE; the kernel gives what it allows."""


class UdpTransport(asyncio.DatagramProtocol):
    def __init__(self, listener: int, receive: Callable[[bytes, Hop], None]) -> None:
        self._listener = listener
        self._receive = receive
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self._transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_RCVBUF, _RECEIVE_BUFFER)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._receive(data, Hop("udp", addr[0], addr[1], self._listener))

    def error_received(self, exc: Exception) -> None:
        """ICMP is anybody's word: retransmission and time-out decide, not this."""

    def send(self, data: bytes, host: str, port: int) -> None:
        """Raises `OSError` or `ValueError` when it cannot even be tried."""
        if self._transport is None or self._transport.is_closing():
            raise OSError("the socket is closed")
        self._transport.sendto(data, (host, port))

    @property
    def queued(self) -> int:
        """Bytes that wait to be read, the kernel's own included; 0 where the system does not say."""
        socket = None if self._transport is None else self._transport.get_extra_info("socket")
        if socket is None:
            return 0
        try:
            (used,) = struct.unpack("I", socket.getsockopt(SOL_SOCKET, _SO_MEMINFO, 4))
        except OSError:
            return 0
        return int(used)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
