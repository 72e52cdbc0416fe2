"""A telephone line: the SIP and media rooms, started for one caller or one who answers."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from callrouter.clock import SystemClock
from callrouter.errors import StartupError
from callrouter.ids import RandomIds
from callrouter.media.rtp import RtpMedia
from callrouter.media.settings import Settings as MediaSettings
from callrouter.sip.settings import Listen
from callrouter.sip.settings import Settings as SipSettings
from callrouter.sip.signalling import Signalling

FIRST_PORT = 30_000
LAST_PORT = 32_000
"""Apart from the server's, which may run on the same machine."""
LINGER_SECONDS = 0.6
"""A BYE that got lost is sent again after half a second (RFC 3261 §17.1.2.2); stay for it."""


class _Uncounted:
    """A telephone has no figures to show."""

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        return

    def counter(self, name: str, **labels: str) -> Callable[[], None]:
        return lambda: None

    def observe(self, name: str, value: float, **labels: str) -> None:
        return

    def gauge(self, name: str, value: float, **labels: str) -> None:
        return


@dataclass(frozen=True, slots=True)
class Line:
    signalling: Signalling
    media: RtpMedia
    clock: SystemClock


@asynccontextmanager
async def open_line(host: str = "127.0.0.1", port: int = 0, *, threads: int = 1) -> AsyncIterator[Line]:
    """Listen for SIP at `host` (an IP literal), UDP and TCP, any free port unless one is given."""
    clock = SystemClock()
    listeners = tuple(Listen(host=host, port=port, transport=transport) for transport in ("udp", "tcp"))
    signalling = Signalling(SipSettings(listen=listeners), clock, RandomIds(), _Uncounted())
    media = RtpMedia(_media_settings(host, threads))
    await media.start()
    try:
        await signalling.start()
        try:
            yield Line(signalling, media, clock)
            await asyncio.sleep(LINGER_SECONDS)
        finally:
            await signalling.stop()
    finally:
        await media.stop()


def facing(server: str) -> str:
    """The address of this machine that `server` (`host:port`) sees; raises `StartupError`."""
    host, _, port = server.rpartition(":")
    host = host.strip("[]")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    except (OSError, ValueError) as error:
        raise StartupError(f"{server!r} cannot be reached: {error}; expected HOST:PORT") from error


def _media_settings(host: str, threads: int) -> MediaSettings:
    address = ipaddress.ip_address(host)
    is_v4 = isinstance(address, ipaddress.IPv4Address)
    return MediaSettings(
        bind_v4=address if is_v4 else None,
        bind_v6=None if is_v4 else address,
        first_port=FIRST_PORT,
        last_port=LAST_PORT,
        port_quarantine_seconds=0,
        threads=threads,
    )
