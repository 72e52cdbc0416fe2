"""How much of what was used: milliseconds by number, module and mode over a period."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, or_, select

from callrouter.ports import Clock
from callrouter.storage.database import Database
from metering.interval import Interval, Mode
from metering.meter import Meter
from metering.tables import intervals as table
from metering.timeline import tracks_of_rows

_OVERLAPPING = (
    select(table)
    .where(table.c.start_ms < bindparam("to_ms"))
    .where(or_(table.c.end_ms.is_(None), table.c.end_ms > bindparam("from_ms")))
    .order_by(table.c.call_sid, table.c.sequence)
)


@dataclass(frozen=True, slots=True)
class Usage:
    """Use of one module in one mode, metered to one number."""

    key_number: str
    module: str
    owner: str
    mode: Mode
    duration_ms: int
    intervals: int
    calls: int


async def usage(
    database: Database,
    meter: Meter,
    clock: Clock,
    *,
    from_ms: int,
    to_ms: int,
    key_number: str = "",
    account_sid: str = "",
) -> list[Usage]:
    """Use in [from_ms, to_ms), running calls to this moment; narrowed to a number or an account.
    Sorted by number, module and mode."""
    statement = _OVERLAPPING
    parameters: dict[str, Any] = {"from_ms": from_ms, "to_ms": to_ms}
    if key_number:
        statement = statement.where(table.c.key_number == bindparam("key_number"))
        parameters["key_number"] = key_number
    if account_sid:
        statement = statement.where(table.c.account_sid == bindparam("account_sid"))
        parameters["account_sid"] = account_sid
    remembered = {
        sid: track
        for sid, track in meter.in_memory().items()
        if key_number in {"", track[0].call.key_number} and account_sid in {"", track[0].call.account_sid}
    }
    stored = tracks_of_rows(await database.read(statement, parameters))
    return summed(stored | remembered, from_ms=from_ms, to_ms=to_ms, now_ms=clock.utc_ms())


def summed(tracks: Mapping[str, Iterable[Interval]], *, from_ms: int, to_ms: int, now_ms: int) -> list[Usage]:
    """Add up what of each interval lies in the period."""
    durations: dict[tuple[str, str, str, str], list[int]] = {}
    calls: dict[tuple[str, str, str, str], set[str]] = {}
    for sid, track in tracks.items():
        for interval in track:
            end_ms = now_ms if interval.end_ms is None else interval.end_ms
            start_ms, end_ms = max(interval.start_ms, from_ms), min(end_ms, to_ms)
            if end_ms <= start_ms:
                continue
            holder = interval.holder
            key = (interval.call.key_number, holder.module, holder.mode.value, holder.owner)
            durations.setdefault(key, []).append(end_ms - start_ms)
            calls.setdefault(key, set()).add(sid)
    return [
        Usage(
            number, module, owner, Mode(mode), sum(parts), len(parts), len(calls[number, module, mode, owner])
        )
        for (number, module, mode, owner), parts in sorted(durations.items())
    ]
