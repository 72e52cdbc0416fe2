"""Dates as the compatible API writes and reads them."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from email.utils import format_datetime

from callrouter.api.compat.errors import BAD_PARAMETER, bad


def rfc2822(ms: int | None) -> str | None:
    """`Fri, 20 Aug 2010 01:13:42 +0000`."""
    return (
        None if ms is None else format_datetime(datetime.fromtimestamp(ms / 1000, UTC).replace(microsecond=0))
    )


def period(name: str, text: str) -> tuple[int, int]:
    """The instants a date filter means, [from, until) in UTC milliseconds: the whole day of
    `YYYY-MM-DD`, and of midnight, which is how clients send a date; else the one second."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        until = moment + (timedelta(days=1) if moment.time() == time.min else timedelta(seconds=1))
        return _ms(moment), _ms(until)
    except (ValueError, OverflowError):
        raise bad(BAD_PARAMETER, f"{name} has to be a date like 2020-01-02 or 2020-01-02T03:04:05Z") from None


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
