"""How much fruitless asking an address may do before nobody listens to it any more.

One token bucket for each source, kept as the time when it will be full again (the generic cell rate
algorithm), in a table of bounded size whose least recently heard entry makes room.
"""

from __future__ import annotations

import functools
import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

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


class _Ban(NamedTuple):
    until_ns: int
    is_certain: bool
    """It was for what came by connections."""


class Sources:
    """What came by datagrams and by connections is counted apart, for who sends datagrams may say to be
    somebody else.  Who is banned for either is so for both."""

    __slots__ = ("_allowance", "_banned", "_full_at", "_period", "_span", "bans")

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._period = int(_SECOND / allowance.per_second)
        self._span = self._period * allowance.burst
        self._full_at: OrderedDict[tuple[str, bool], int] = OrderedDict()
        self._banned: OrderedDict[str, _Ban] = OrderedDict()
        self.bans: list[str] = []
        """Who was banned since somebody last looked; the looker clears it."""

    def is_banned(self, source: str, now_ns: int, *, for_certain: bool = False) -> bool:
        """`for_certain`: by no word of datagrams alone."""
        if not self._banned:
            return False
        ban = self._banned.get(source)
        if ban is None:
            return False
        if ban.until_ns > now_ns:
            return ban.is_certain or not for_certain
        del self._banned[source]
        return False

    def spend(self, source: str, now_ns: int, tokens: int = 1, *, is_certain: bool = False) -> bool:
        """Take `tokens` out of its bucket; False when that was too much, and it is banned now.
        `is_certain`: by a connection."""
        table, key = self._full_at, (source, is_certain)
        full_at = max(table.get(key, 0), now_ns) + tokens * self._period
        if full_at - now_ns > self._span:
            table.pop(key, None)
            self._ban(source, now_ns, is_certain=is_certain)
            return False
        table[key] = full_at
        table.move_to_end(key)
        if len(table) > self._allowance.sources:
            table.popitem(last=False)
        return True

    def _ban(self, source: str, now_ns: int, *, is_certain: bool) -> None:
        before = self._banned.get(source)
        if before is None:
            self.bans.append(source)
        until_ns = now_ns + self._allowance.ban_seconds * _SECOND
        self._banned[source] = _Ban(until_ns, is_certain or (before is not None and before.is_certain))
        self._banned.move_to_end(source)
        if len(self._banned) > self._allowance.sources:
            self._banned.popitem(last=False)

    def __len__(self) -> int:
        """Sources remembered, banned ones included."""
        return len(self._full_at) + len(self._banned)


@functools.lru_cache(maxsize=4096)
def source_of(host: str) -> str:
    """What counts as one source: an IPv4 address, an IPv6 network of 64 bits."""
    address = address_of(host)
    if isinstance(address, ipaddress.IPv6Address):
        network = ipaddress.IPv6Network((address.packed, 64), strict=False)
        return f"{network.network_address}/64"
    return f"{address or host}"
