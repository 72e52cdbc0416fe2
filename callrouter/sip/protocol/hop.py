"""Where messages come from and go to."""

from __future__ import annotations

import functools
import ipaddress
from typing import NamedTuple

from callrouter.sip.protocol.addresses import address_of

_SECURE = frozenset({"tls", "wss"})
TRANSPORTS = frozenset({"udp", "tcp", "tls", "ws", "wss"})
"""What messages can be carried by here."""
WEB_SOCKETS = frozenset({"ws", "wss"})
"""Transports that only the other end can open (RFC 7118)."""


def default_port(transport: str) -> int:
    """Where a transport is found when nobody names a port (RFC 3261 §19.1.2)."""
    return 5061 if transport in _SECURE else 5060


@functools.lru_cache(maxsize=4096)
def family_of(host: str) -> int:
    """4 or 6 for an IP literal, 0 for a name."""
    if ":" in host:
        return 6
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return 0
    return 4


def is_same_address(named: str, seen: str) -> bool:
    """Whether `named` is another spelling of the IP literal `seen`; a name is not."""
    return named == seen or address_of(named.strip("[]")) == address_of(seen) is not None


class Hop(NamedTuple):
    """The other end of one step of the way, and our end of it.  A named tuple, because one is made
    for every datagram."""

    transport: str
    """`udp`, `tcp` … in lower case."""
    host: str
    """IP literal without brackets, or a host name that is still to be resolved."""
    port: int
    listener: int = 0
    """Which of our addresses it used, or should use."""
    connection: int = 0
    """Connection it came by, to be preferred as long as it is open; 0 = none, or a datagram."""
    name: str = ""
    """Whose certificate a TLS connection has to show; "" = that of `host`."""
    mentioned_by: str = ""
    """Whose message named `host`: it may lead only where that one may point (`addresses`)."""
    seen_port: int = 0
    """Port that `mentioned_by` sent from, where what we send gets there as well; 0 = it does not."""

    @property
    def where_seen(self) -> Hop | None:
        """Where whoever named `host` is, if that may be used in its stead."""
        if not self.seen_port:
            return None
        return Hop(self.transport, self.mentioned_by, self.seen_port, self.listener)

    @property
    def is_reliable(self) -> bool:
        return self.transport != "udp"

    @property
    def is_secret(self) -> bool:
        """Nobody on the way can read what passes."""
        return self.transport in ("tls", "wss")


class Listener(NamedTuple):
    """One of our addresses, as the others are told it."""

    transport: str
    host: str
    """Advertised: IP literal without brackets, or a name."""
    port: int
    family: int = 4
    """Of the bound socket: 4 or 6."""
    is_dual: bool = False
    """IPv4 comes and goes by its IPv6 socket as well."""

    @property
    def families(self) -> frozenset[int]:
        return frozenset((4, 6) if self.is_dual else (self.family,))

    def reaches(self, family: int) -> bool:
        """0: that of a name, which may be any."""
        return family in (0, self.family) or (family == 4 and self.is_dual)


class Packet(NamedTuple):
    """Bytes that have to go out."""

    data: bytes
    hop: Hop
    transaction: object = None
    """Whom to tell when they could not be sent; None = nobody."""


def is_response(data: bytes) -> bool:
    """A message of ours that answers another one."""
    return data.startswith(b"SIP/2.0 ")
