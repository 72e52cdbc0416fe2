"""How much fruitless asking an address may do before nobody listens to it any more.

One token bucket for each source, kept as the time when it will be full again (the generic cell rate
algorithm), in a table of bounded size whose least recently heard entry makes room.
"""

from __future__ import annotations

import functools
import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

from callrouter.sip.protocol.addresses import address_of

_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Allowance:
    per_second: float = 100.0
    """How fast an empty bucket fills again."""
    burst: int = 200
    ban_seconds: int = 300
    """For whoever finds it empty."""
    sources: int = 10_000
    """How many are remembered, and how many bans."""


class Sources:
    __slots__ = ("_allowance", "_banned", "_full_at", "_period", "_span", "bans")

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._period = int(_SECOND / allowance.per_second)
        self._span = self._period * allowance.burst
        self._full_at: OrderedDict[str, int] = OrderedDict()
        self._banned: OrderedDict[str, int] = OrderedDict()
        self.bans: list[str] = []
        """Who was banned since somebody last looked; the looker clears it."""

    def is_banned(self, source: str, now_ns: int) -> bool:
        if not self._banned:
            return False
        until = self._banned.get(source)
        if until is None:
            return False
        if until > now_ns:
            return True
        del self._banned[source]
        return False

    def spend(self, source: str, now_ns: int, tokens: int = 1) -> bool:
        """Take `tokens` out of its bucket; False when that was too much, and it is banned now."""
        table = self._full_at
        full_at = max(table.get(source, 0), now_ns) + tokens * self._period
        if full_at - now_ns > self._span:
            table.pop(source, None)
            self._ban(source, now_ns)
            return False
        table[source] = full_at
        table.move_to_end(source)
        if len(table) > self._allowance.sources:
            table.popitem(last=False)
        return True

    def _ban(self, source: str, now_ns: int) -> None:
        if source not in self._banned:
            self.bans.append(source)
        self._banned[source] = now_ns + self._allowance.ban_seconds * _SECOND
        self._banned.move_to_end(source)
        if len(self._banned) > self._allowance.sources:
            self._banned.popitem(last=False)

    def __len__(self) -> int:
        """Sources remembered, banned ones included."""
        return len(self._full_at) + len(self._banned)


@functools.lru_cache(maxsize=4096)
def source_of(host: str, *, is_reliable: bool) -> str:
    """What counts as one source: an IPv4 address, an IPv6 network of 64 bits.  Who only sent
    datagrams may be somebody else, so connections are another matter."""
    kind = "stream" if is_reliable else "datagram"
    address = address_of(host)
    if isinstance(address, ipaddress.IPv6Address):
        network = ipaddress.IPv6Network((address.packed, 64), strict=False)
        return f"{kind} {network.network_address}/64"
    return f"{kind} {address or host}"
