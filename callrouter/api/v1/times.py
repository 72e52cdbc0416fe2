"""Dates of the native API: RFC 3339 in UTC with milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime

from callrouter.api.v1.problems import Problem


def rfc3339(ms: int | None) -> str | None:
    """`2026-01-31T12:34:56.789Z`."""
    if ms is None:
        return None
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def parse_ms(name: str, text: str) -> int:
    """Milliseconds of a date or a date and time; UTC where no offset is given.  Raises `Problem`."""
    try:
        moment = datetime.fromisoformat(text.strip().replace(" ", "+"))
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        return round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise Problem(400, f"{name} is no date; write it like 2026-01-31 or 2026-01-31T12:34:56Z") from None


def month_start_ms(now_ms: int) -> int:
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    return round(datetime(now.year, now.month, 1, tzinfo=UTC).timestamp() * 1000)
