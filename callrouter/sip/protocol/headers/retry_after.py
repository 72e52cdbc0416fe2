"""`Retry-After` (RFC 3261 §20.33): when to ask again."""

from __future__ import annotations

from callrouter.sip.protocol.grammar import number


def retry_after(value: str | None, longest: int) -> int:
    """Seconds, at most `longest`; 0 where it says nothing that can be read."""
    digits = (value or "").partition(";")[0].partition("(")[0].strip()
    try:
        return min(number(digits), longest)
    except ValueError:
        return 0
