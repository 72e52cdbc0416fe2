"""Host names to addresses, by the system's resolver, remembered for a short while."""

from __future__ import annotations

import asyncio
import socket

from callrouter.ports import Clock
from callrouter.sip.protocol.agent import family_of

_KEEP_NS = 30 * 10**9
_MAX_NAMES = 1000


class Unresolvable(Exception):
    """The name has no address that we could reach."""


class Resolver:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, tuple[int, str]] = {}

    def remembered(self, host: str) -> str | None:
        """The address of `host` without asking anybody."""
        if family_of(host):
            return host
        until, address = self._known.get(host, (0, ""))
        return address if until > self._clock.monotonic_ns() else None

    async def resolve(self, host: str, families: frozenset[int]) -> str:
        """The first address of one of `families` (4, 6).  Raises `Unresolvable`."""
        known = self.remembered(host)
        if known is not None:
            return known
        try:
            answers = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as error:
            raise Unresolvable(f"{host}: {error}") from error
        for _family, _kind, _protocol, _name, address in answers:
            found = str(address[0])
            if family_of(found) in families:
                if len(self._known) >= _MAX_NAMES:
                    self._known.clear()
                self._known[host] = (self._clock.monotonic_ns() + _KEEP_NS, found)
                return found
        raise Unresolvable(f"{host} has no address of a family that is listened on")
