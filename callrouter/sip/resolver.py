"""Names to addresses: NAPTR, SRV and addresses (RFC 3263), remembered as long as the DNS allows.

IP literals are not looked up, names with a port only for their addresses.  Names of one word, and
those that the DNS does not know, are left to the system, which also reads `/etc/hosts`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.resolver
import structlog

from callrouter.ports import Clock
from callrouter.sip.protocol.hop import Hop, default_port, family_of
from callrouter.sip.protocol.selection import in_order

log = structlog.get_logger(__name__)

_SECOND = 10**9
_SYSTEM_TTL = 30
"""Seconds to remember what the system said, which does not say for how long it holds."""
_MIN_TTL, _MAX_TTL = 1, 3600
_FAILURE_TTL = 5
_MAX_NAMES = 1000
_LOOKUP_SECONDS = 4.0
_SILENCE_SECONDS = 10
"""How long not to ask again after servers that did not answer."""
_NAPTR_SERVICES = {b"sip+d2u": "udp", b"sip+d2t": "tcp", b"sips+d2t": "tls"}
_SRV_NAMES = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}


class Unresolvable(Exception):
    """The name has no address that we could reach."""


class Place(NamedTuple):
    """A server as a URI or the configuration names it."""

    host: str
    port: int = 0
    """0 = none named."""
    transport: str = ""
    """"" = none named."""


@dataclass(frozen=True, slots=True)
class _Server:
    """An SRV record."""

    host: str
    port: int
    priority: int
    weight: int


class _Found(NamedTuple):
    """The addresses of one server, and its share among those of equal priority."""

    hops: tuple[Hop, ...]
    priority: int = 0
    weight: int = 0


class Resolver:
    def __init__(
        self,
        clock: Clock,
        token: Callable[[int], str] = lambda size: "0" * size,
        servers: Sequence[str] = (),
        transports: Callable[[], frozenset[str]] = lambda: frozenset({"udp"}),
    ) -> None:
        self._clock = clock
        self._token = token
        self._transports = transports
        """Transports that we can use."""
        self._servers = servers
        self._addresses: dict[str, tuple[int, str]] = {}
        self._places: dict[Place, tuple[int, tuple[_Found, ...]]] = {}
        self._dns: dns.asyncresolver.Resolver | None = None
        self._silent_until_ns: dict[str, int] = {}
        """Domains that nobody answered for."""
        self._failures = 0
        """Questions that the DNS did not answer, neither with records nor that there are none."""

    # -- addresses of a name

    def remembered(self, host: str) -> str | None:
        """The address of `host` without asking anybody."""
        if family_of(host):
            return host
        until, address = self._addresses.get(host, (0, ""))
        return address if until > self._clock.monotonic_ns() else None

    async def resolve(self, host: str, families: frozenset[int]) -> str:
        """The first address of one of `families` (4, 6).  Raises `Unresolvable`."""
        known = self.remembered(host)
        if known is not None:
            return known
        found, ttl = await self._lookup_addresses(host, families)
        if len(self._addresses) >= _MAX_NAMES:
            self._addresses.clear()
        self._addresses[host] = (self._until(ttl), found[0])
        return found[0]

    # -- servers of a place

    def known(self, place: Place) -> tuple[Hop, ...] | None:
        """What `locate` would answer, without asking anybody; None when it would have to."""
        if family_of(place.host):
            transport = place.transport or "udp"
            return (Hop(transport, place.host, place.port or default_port(transport)),)
        until, found = self._places.get(place, (0, ()))
        return self._drawn(found) if until > self._clock.monotonic_ns() else None

    def _drawn(self, found: tuple[_Found, ...]) -> tuple[Hop, ...]:
        """Anew for each call, which is what weights are the shares of (RFC 2782)."""
        if len(found) == 1:
            return found[0].hops
        return tuple(hop for server in in_order(found, self._token) for hop in server.hops)

    async def locate(self, place: Place, families: frozenset[int]) -> tuple[Hop, ...]:
        """Where to try `place`, best first.  Raises `Unresolvable`."""
        known = self.known(place)
        if known is not None:
            return known
        _, before = self._places.get(place, (0, ()))
        failures = self._failures
        found, ttl = before, _SILENCE_SECONDS
        try:
            found, ttl = await self._servers_of(place, families)
        except Unresolvable:
            if not before or self._failures == failures:  # the DNS says that there is no such name
                self._places.pop(place, None)
                raise
        if before and self._failures > failures:
            # A server does not move because nobody says where it is (RFC 8767).
            found, ttl = before, _SILENCE_SECONDS
            kept = [hop.host for server in found for hop in server.hops]
            log.warning("sip_dns_failed", name=place.host, kept=kept)
        if len(self._places) >= _MAX_NAMES:
            self._places.clear()
        self._places[place] = (self._until(ttl), found)
        return self._drawn(found)

    async def _servers_of(self, place: Place, families: frozenset[int]) -> tuple[tuple[_Found, ...], int]:
        if not place.port and "." in place.host:
            for transport, name, ttl in await self._services(place):
                servers, srv_ttl = await self._srv(name)
                found, found_ttl = await self._reached(place, servers, transport, families)
                if found:
                    return found, min(ttl, srv_ttl, found_ttl)
        transport = place.transport or "udp"
        addresses, ttl = await self._lookup_addresses(place.host, families)
        port = place.port or default_port(transport)
        hops = tuple(Hop(transport, address, port, name=place.host) for address in addresses)
        return (_Found(hops),), ttl

    async def _reached(
        self, place: Place, servers: Sequence[_Server], transport: str, families: frozenset[int]
    ) -> tuple[tuple[_Found, ...], int]:
        """The addresses of SRV's servers, and for how many seconds all of them hold; certificates are
        those of the name that was asked for (RFC 5922 §4)."""
        found: list[_Found] = []
        ttl = _MAX_TTL
        for server in servers:
            try:
                addresses, seconds = await self._lookup_addresses(server.host, families)
            except Unresolvable:
                ttl = min(ttl, _SYSTEM_TTL)  # it may be there again
                continue
            ttl = min(ttl, seconds)
            hops = tuple(Hop(transport, address, server.port, name=place.host) for address in addresses)
            found.append(_Found(hops, server.priority, server.weight))
        return tuple(found), ttl

    async def _services(self, place: Place) -> list[tuple[str, str, int]]:
        """(transport, SRV name, TTL) in the order to try them (RFC 3263 §4.1)."""
        usable = self._transports()
        if not place.transport:
            records, ttl = await self._query(place.host, "NAPTR")
            services = [
                (_NAPTR_SERVICES[r.service.lower()], r.replacement.to_text(omit_final_dot=True), ttl)
                for r in sorted(records, key=lambda r: (r.order, r.preference))
                if r.service.lower() in _NAPTR_SERVICES and r.flags.lower() == b"s"
            ]
            services = [s for s in services if s[0] in usable]
            if services:
                return services
        wanted = [place.transport] if place.transport else ["udp", "tcp"]
        return [
            (t, f"{_SRV_NAMES[t]}.{place.host}", _MAX_TTL) for t in wanted if t in usable and t in _SRV_NAMES
        ]

    async def _srv(self, name: str) -> tuple[list[_Server], int]:
        records, ttl = await self._query(name, "SRV")
        servers = [
            _Server(r.target.to_text(omit_final_dot=True), r.port, r.priority, r.weight) for r in records
        ]
        # "." says that there is no such service (RFC 2782).
        return [server for server in servers if server.host not in ("", ".") and server.port], ttl

    # -- questions

    async def _lookup_addresses(self, host: str, families: frozenset[int]) -> tuple[list[str], int]:
        """Raises `Unresolvable`."""
        if family_of(host):
            return [host], _MAX_TTL
        if host.endswith(".invalid"):  # nobody has such a name (RFC 6761 §6.4)
            raise Unresolvable(f"{host} names nobody")
        found: list[str] = []
        ttl = _MAX_TTL
        if "." in host:
            for family, kind in ((4, "A"), (6, "AAAA")):
                if family in families:
                    records, seconds = await self._query(host, kind)
                    found += [record.address for record in records]
                    ttl = min(ttl, seconds) if records else ttl
        if found:
            return found, ttl
        return await self._ask_system(host, families), _SYSTEM_TTL

    async def _ask_system(self, host: str, families: frozenset[int]) -> list[str]:
        try:
            answers = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as error:
            if "." not in host and getattr(error, "errno", 0) == socket.EAI_AGAIN:
                self._failures += 1
            raise Unresolvable(f"{host}: {error}") from error
        found = [str(answer[4][0]) for answer in answers]
        reachable = [address for address in dict.fromkeys(found) if family_of(address) in families]
        if not reachable:
            raise Unresolvable(f"{host} has no address of a family that is listened on")
        return reachable

    async def _query(self, name: str, kind: str) -> tuple[list[Any], int]:
        """The records, and for how many seconds they hold; none for whatever reason there are none."""
        if name.endswith((".invalid", ".localhost")):
            return [], _MAX_TTL
        now_ns, domain = self._clock.monotonic_ns(), _domain_of(name)
        if now_ns < self._silent_until_ns.get(domain, 0):
            self._failures += 1
            return [], _FAILURE_TTL
        try:
            if self._dns is None:
                self._dns = _resolver(self._servers)
            answer = await self._dns.resolve(name, kind, search=False)
        except dns.exception.Timeout:
            # The questions that would follow would each wait as long.  Only those of this domain are
            # spared: others must not do without DNS because somebody named one whose servers are silent.
            if len(self._silent_until_ns) >= _MAX_NAMES:
                self._silent_until_ns.clear()
            self._silent_until_ns[domain] = self._clock.monotonic_ns() + _SILENCE_SECONDS * _SECOND
            self._failures += 1
            return [], _FAILURE_TTL
        except dns.resolver.NoNameservers:
            self._failures += 1
            return [], _FAILURE_TTL
        except (dns.exception.DNSException, OSError, UnicodeError):
            return [], _FAILURE_TTL
        ttl = answer.rrset.ttl if answer.rrset is not None else _FAILURE_TTL
        return list(answer), ttl

    def _until(self, ttl: int) -> int:
        return self._clock.monotonic_ns() + max(_MIN_TTL, min(ttl, _MAX_TTL)) * _SECOND


def _domain_of(name: str) -> str:
    """`_sip._udp.example.com` is asked about for the sake of `example.com`."""
    while name.startswith("_"):
        name = name.partition(".")[2]
    return name.lower()


def _resolver(servers: Sequence[str]) -> dns.asyncresolver.Resolver:
    """Raises `dns.resolver.NoResolverConfiguration` where the system names no server."""
    resolver = dns.asyncresolver.Resolver(configure=not servers)
    resolver.lifetime = _LOOKUP_SECONDS
    resolver.timeout = _LOOKUP_SECONDS / 2
    if servers:
        resolver.nameservers = [dns.nameserver.Do53Nameserver(*split_server(s)) for s in servers]
    return resolver


def split_server(text: str) -> tuple[str, int]:
    """`192.0.2.53`, `192.0.2.53:5353`, `2001:db8::53`, `[2001:db8::53]:5353`.  Raises `ValueError`."""
    if family_of(text) == 4 or (":" in text and not text.startswith("[") and text.count(":") > 1):
        return text, 53
    host, _, port = text.rpartition(":") if not text.endswith("]") else (text, "", "53")
    host = host.strip("[]")
    if not family_of(host) or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is no DNS server: write address, or address:port")
    return host, int(port)
