"""Connection overrides in the fragment of a URL: `https://host/voice#ct=2000&rc=2&rp=5xx,ct`.

They are configuration for the client, never sent and never signed.  Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import parse_qsl

_CONDITIONS: Final = frozenset({"4xx", "5xx", "ct", "rt"})


class BadRetryPolicy(ValueError):
    """`rp` names a condition that does not exist (11243)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait for one request and when to try it again."""

    connect_ms: int = 5000
    read_ms: int = 15000
    total_ms: int = 15000
    """Of everything: all attempts and all redirects."""
    retries: int = 1
    retry_on: frozenset[str] = frozenset({"ct"})
    """Conditions of `rp`: `4xx`, `5xx`, `ct` (connecting, TLS included, failed), `rt` (no answer)."""


def with_overrides(limits: Limits, fragment: str) -> Limits:
    """`limits` changed by a URL's fragment.

    Numbers outside of their range are moved to its edge, unreadable ones and unknown keys (`sni`
    and `e` of other hosting among them) are ignored.
    """
    if not fragment:
        return limits
    for key, value in parse_qsl(fragment):
        match key:
            case "ct":
                limits = replace(limits, connect_ms=_number(value, 100, 10000, limits.connect_ms))
            case "rt":
                limits = replace(limits, read_ms=_number(value, 100, 15000, limits.read_ms))
            case "tt":
                limits = replace(limits, total_ms=_number(value, 100, 15000, limits.total_ms))
            case "rc":
                limits = replace(limits, retries=_number(value, 0, 5, limits.retries))
            case "rp":
                limits = replace(limits, retry_on=_retry_policy(value))
    return limits


def _number(value: str, low: int, high: int, default: int) -> int:
    if not (value.isascii() and value.isdigit()):
        return default
    return high if len(value) > len(str(high)) + 1 else min(max(int(value), low), high)


def _retry_policy(value: str) -> frozenset[str]:
    names = {name.strip().lower() for name in value.split(",") if name.strip()}
    if "all" in names:
        names = (names - {"all"}) | _CONDITIONS
    unknown = names - _CONDITIONS
    if unknown:
        raise BadRetryPolicy(
            f"retry policy rp={value} names {', '.join(sorted(unknown))}; use 4xx, 5xx, ct, rt or all"
        )
    return frozenset(names)
