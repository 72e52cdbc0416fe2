"""How long an answer may be believed: Cache-Control and Expires (RFC 9111).  Pure."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Final

_MAX_FRESH_SECONDS: Final = 7 * 86400


def fresh_seconds(cache_control: str, expires: str, now: float) -> float:
    """How long an answer may be used without asking again (RFC 9111 §4.2.1), a week at most.

    `now` is in seconds since the epoch.  Without word from the server: not at all.
    """
    directives = {
        name.strip().lower(): value.strip(' "')
        for name, _, value in (part.partition("=") for part in cache_control.split(","))
    }
    if "no-store" in directives or "no-cache" in directives:
        return 0.0
    age = directives.get("s-maxage") or directives.get("max-age")
    if age is not None:
        return float(min(int(age[:9]), _MAX_FRESH_SECONDS)) if age.isascii() and age.isdigit() else 0.0
    try:
        until = parsedate_to_datetime(expires).timestamp()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(until - now, 0.0), _MAX_FRESH_SECONDS)
