"""`Via` (RFC 3261 §20.42): where a response goes back to."""

from __future__ import annotations

import functools
from typing import NamedTuple

from callrouter.sip.protocol.grammar import (
    Parameters,
    is_token,
    parameter,
    parse_host_port,
    parse_parameters,
    write_host,
    write_parameters,
)

COOKIE = "z9hG4bK"
"""Starts the branch of every element that makes it unique (RFC 3261 §8.1.1.7)."""
_CACHED_LENGTH = 200


class Via(NamedTuple):
    """A named tuple, because one is made for every message."""

    transport: str
    """In upper case; unknown ones are fine."""
    host: str
    port: int | None = None
    parameters: Parameters = ()

    @classmethod
    def parse(cls, text: str) -> Via:
        """One value, not a comma-separated list.  Raises `ValueError`."""
        way, semicolon, parameters = text.partition(";")
        transport, host, port = _way_cached(way) if len(way) <= _CACHED_LENGTH else _way(way)
        return cls(transport, host, port, parse_parameters(parameters) if semicolon else ())

    @property
    def branch(self) -> str:
        return parameter(self.parameters, "branch") or ""

    def get(self, name: str) -> str | None:
        return parameter(self.parameters, name)

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"SIP/2.0/{self.transport} {write_host(self.host)}{port}{write_parameters(self.parameters)}"


def _way(text: str) -> tuple[str, str, int | None]:
    """What stands ahead of the parameters: transport, host and port, of a peer always the same."""
    parts = text.split("/", 2)
    if len(parts) != 3 or parts[0].strip().upper() != "SIP" or parts[1].strip() != "2.0":
        raise ValueError(f"malformed Via: {text[:50]!r}")
    words = parts[2].split(None, 1)
    if len(words) != 2 or not is_token(words[0]):
        raise ValueError(f"malformed Via: {text[:50]!r}")
    host, port = parse_host_port(words[1].strip())
    return words[0].upper(), host, port


_way_cached = functools.lru_cache(maxsize=4096)(_way)


def has_cookie(branch: str) -> bool:
    """The branch is one that matches transactions; without it RFC 2543's rules apply."""
    return len(branch) > 7 and (branch.startswith(COOKIE) or branch[:7].lower() == COOKIE.lower())


def stamp(value: str, via: Via, host: str, port: int) -> str:
    """The topmost Via `value` as it goes back: `received` where the sender's address is not what it
    says, `rport` filled in where it asked for it (RFC 3581 §4)."""
    names = [name for name, _ in via.parameters]
    wants_port = "rport" in names
    if value.endswith(";rport") and names.count("rport") == 1 and "received" not in names:
        return f"{value}={port};received={host}"
    if not wants_port and via.host == host and "received" not in names:
        return value
    kept = tuple(p for p in via.parameters if p[0] not in ("received", "rport"))
    stamped = f"{Via(via.transport, via.host, via.port, kept)};received={host}"
    return f"{stamped};rport={port}" if wants_port else stamped
