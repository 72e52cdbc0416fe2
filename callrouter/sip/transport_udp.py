"""SIP over UDP: one datagram, one message."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from socket import SOL_SOCKET
from typing import Any, cast

from callrouter.sip.protocol.hop import Hop

_SO_MEMINFO = 55
"""Of Linux 4.12 and later: bytes waiting to be read, and room for them."""


class UdpTransport(asyncio.DatagramProtocol):
    def __init__(self, listener: int, receive: Callable[[bytes, Hop], None]) -> None:
        self._listener = listener
        self._receive = receive
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

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
    def queued(self) -> float:
        """How full the receive buffer is, 0 to 1; 0 where the system does not say."""
        socket = None if self._transport is None else self._transport.get_extra_info("socket")
        if socket is None:
            return 0.0
        try:
            used, size = struct.unpack_from("II", socket.getsockopt(SOL_SOCKET, _SO_MEMINFO, 8))
        except OSError:
            return 0.0
        return float(used) / float(size or 1)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
