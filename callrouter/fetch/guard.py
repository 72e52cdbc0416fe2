"""Keeps fetches away from private networks, however the address is spelled.

A URL comes from whoever wrote a document, so it must not become a way into the operator's network.
Names are resolved once; every address found has to be public, and the connection goes to one of the
addresses that were checked, so a second answer of a hostile name server is never asked for.  The
check is repeated on the very address a socket is made for.  Exceptions are exact `host:port` pairs
of the configuration; the server's own listeners are never among them unless the program itself
admits one (the private listener of its built-in modules).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

IpAddress = IPv4Address | IPv6Address

_CLOSED_V4: Final = tuple(
    ip_network(block)
    for block in (
        # IANA IPv4 Special-Purpose Address Registry, plus multicast and class E.
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
)
_OPEN_V6: Final = IPv6Network("2000::/3")
_CLOSED_V6: Final = tuple(
    IPv6Network(block)
    for block in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)
_NAT64: Final = IPv6Network("64:ff9b::/96")


def is_public(address: IpAddress) -> bool:
    """Whether `address` is reachable on the public internet and is what it seems to be.

    The standard library's `is_global` lets several tunnels and metadata addresses through, so the
    blocks are listed here.  RFC 6890; RFC 6052 for the NAT64 prefix, judged by the IPv4 inside.
    """
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _CLOSED_V4)
    if address in _NAT64:
        return is_public(IPv4Address(address.packed[-4:]))
    if address.scope_id is not None or address not in _OPEN_V6:
        return False
    return not any(address in block for block in _CLOSED_V6)


class AddressRefused(OSError):
    """The address is private, or belongs to this server."""


@dataclass(frozen=True, slots=True)
class HostPort:
    """A host as URLs spell it, lower case and without brackets, and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> HostPort:
        """`host:port` or `[v6]:port`.  Raises `ValueError` with what was expected."""
        host, colon, port = text.strip().rpartition(":")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if (
            not colon
            or not bare
            or not port.isdigit()
            or not 0 < int(port) < 65536
            or "/" in bare
            or "*" in bare
        ):
            raise ValueError(f"{text!r} is not an exact host and port; write it like 127.0.0.1:8080")
        if ":" in bare and bare == host:
            raise ValueError(f"{text!r}: put an IPv6 address in brackets, like [::1]:8080")
        literal = _literal(bare)
        return cls(str(literal) if literal else bare.lower(), int(port))


class Guard:
    """Decides which hosts and addresses may be connected to.

    `allow` are exceptions from "public only".  `own` are (host, port) pairs this server listens on,
    refused even where `allow` names them; `admit` lifts that for one of them.
    """

    def __init__(self, allow: Iterable[str] = (), own: Collection[tuple[str, int]] = ()) -> None:
        self._allow = {HostPort.parse(text) for text in allow}
        self._own = set(own)
        self._admitted: set[HostPort] = set()
        self._resolved: dict[tuple[str, int], HostPort] = {}

    def admit(self, host: str, port: int) -> None:
        """Allow fetching from a listener of this server: the one of its built-in modules."""
        self._admitted.add(HostPort(host.lower(), port))

    def own(self, host: str, port: int) -> None:
        """Declare a listener of this server (`host` as bound, wildcard addresses included)."""
        self._own.add((host, port))

    def check_host(self, host: str, port: int) -> None:
        """Refuse an address literal that may not be fetched from; names pass, they are judged when
        resolved.  Raises `AddressRefused`."""
        literal = _literal(host)
        if literal is not None:
            self.check(literal, HostPort(str(literal), port))
        elif _looks_numeric(host):
            raise AddressRefused(f"{host} is an unusual spelling of an IP address")

    def check(self, address: IpAddress, wanted: HostPort) -> None:
        """Refuse `address`, to which `wanted` resolved, unless it is public or `wanted` is an
        exception.  Raises `AddressRefused`."""
        if wanted in self._admitted:
            self._remember(address, wanted)
            return
        if self._is_own(address, wanted.port):
            raise AddressRefused(f"{wanted.host}:{wanted.port} is a listener of this server")
        if wanted in self._allow:
            self._remember(address, wanted)
        elif not is_public(_unmapped(address)):
            raise AddressRefused(
                f"{wanted.host} is at the private address {address}; if that is meant, list "
                f"{wanted.host}:{wanted.port} under fetch.allow_private"
            )

    def open_socket(self, info: tuple[Any, ...]) -> socket.socket:
        """Make the socket for one address that aiohttp is about to connect to, checked once more
        on its own: a last line of defence that does not rely on how the address was found."""
        family, kind, protocol, _, where = info
        address = ip_address(where[0])
        wanted = self._resolved.get((str(address), where[1]))
        if wanted is None and not is_public(_unmapped(address)):
            raise AddressRefused(f"{address} is a private address")
        return socket.socket(family=family, type=kind, proto=protocol)

    def _remember(self, address: IpAddress, wanted: HostPort) -> None:
        self._resolved[str(address), wanted.port] = wanted

    def _is_own(self, address: IpAddress, port: int) -> bool:
        address = _unmapped(address)
        for host, own_port in self._own:
            if own_port != port:
                continue
            bound = _literal(host)
            if bound == address or address.is_unspecified:
                return True
            if (bound is None or bound.is_unspecified) and _is_local(address):
                return True
        return False


class GuardedResolver(AbstractResolver):
    """Looks names up on threads of its own and hands out only addresses the guard has passed.

    One forbidden address among several refuses the name: mixed answers are how rebinding is done.
    """

    def __init__(self, guard: Guard, threads: int) -> None:
        self._guard = guard
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="resolve")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises `AddressRefused`, or `OSError` for a name that has no address."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._pool, _look_up, host, port, family)
        results: list[ResolveResult] = []
        wanted = HostPort(host.lower(), port)
        for found_family, protocol, address in found:
            self._guard.check(ip_address(address), wanted)
            results.append(
                ResolveResult(
                    hostname=host,
                    host=address,
                    port=port,
                    family=found_family,
                    proto=protocol,
                    flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                )
            )
        return results

    async def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int, family: int) -> list[tuple[int, int, str]]:
    answers = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    return [(found, protocol, str(where[0])) for found, _, protocol, _, where in answers]


@lru_cache(maxsize=1024)
def _literal(host: str) -> IpAddress | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _looks_numeric(host: str) -> bool:
    """`127.1`, `0x7f.1`, `2130706433`, `0177.0.0.1`: whatever inet_aton reads as an address, and
    IPv6 literals with a zone."""
    if ":" in host:
        return True
    try:
        socket.inet_aton(host)
    except (OSError, UnicodeEncodeError):
        return False
    return True


def _unmapped(address: IpAddress) -> IpAddress:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_local(address: IpAddress) -> bool:
    """Whether `address` belongs to this machine: only then can a socket be bound to it."""
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
