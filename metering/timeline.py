"""What a session did, interval by interval, and what each cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlalchemy import bindparam, select

from metering.charges import Prices, scopes
from metering.interval import CallFacts, Cause, Holder, Interval, Mode
from metering.tables import intervals as table

SESSION_INTERVALS = (
    select(table)
    .where(
        table.c.call_sid.in_(select(table.c.call_sid).where(table.c.session_sid == bindparam("session_sid")))
    )
    .order_by(table.c.call_sid, table.c.sequence)
)


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One interval with its share of its charge: shares of a charge add up to it exactly."""

    interval: Interval
    duration_ms: int
    """So far, if it still runs."""
    rate: str
    cost_micro: int
    currency: str
    """"" where nothing is priced."""

    @property
    def running(self) -> bool:
        return self.interval.end_ms is None


@dataclass(frozen=True, slots=True)
class CallTimeline:
    """What a call did within one session."""

    call: CallFacts
    """As they were in this session: a call that detached has another session now."""
    entries: tuple[TimelineEntry, ...]
    whole: bool
    """Its track, of which `entries` may be a part, partitions the call."""

    @property
    def running(self) -> bool:
        return self.entries[-1].running


def timeline(track: Sequence[Interval], prices: Prices, now_ms: int) -> list[TimelineEntry]:
    """A call's intervals in order; `now_ms` stands for the end of a running one."""
    shares: dict[int, tuple[int, str, str]] = {}
    for scope in scopes(track, prices, now_ms):
        if scope.plan is None:
            continue
        before = 0
        for count, index in enumerate(scope.indexes, start=1):
            total = scope.rated(count).amount_micro
            rate_text = scope.plan.rate_text(scope.holder.mode, track[index].start_ms)
            shares[index] = (total - before, scope.plan.currency, rate_text)
            before = total
    entries = []
    for index, interval in enumerate(track):
        cost, currency, rate_text = shares.get(index, (0, "", "free"))
        end_ms = now_ms if interval.end_ms is None else interval.end_ms
        duration = max(end_ms - interval.start_ms, 0)
        entries.append(TimelineEntry(interval, duration, rate_text, cost, currency))
    return entries


def of_session(
    track: Sequence[Interval], session_sid: str, prices: Prices, now_ms: int
) -> CallTimeline | None:
    """The part of a track that lies in a session, None if nothing does."""
    entries = tuple(
        entry for entry in timeline(track, prices, now_ms) if entry.interval.call.session_sid == session_sid
    )
    return CallTimeline(entries[-1].interval.call, entries, partitions(track)) if entries else None


def totals(entries: Iterable[TimelineEntry]) -> dict[str, int]:
    """Micro-units by currency."""
    total: dict[str, int] = {}
    for entry in entries:
        if entry.currency:
            total[entry.currency] = total.get(entry.currency, 0) + entry.cost_micro
    return total


def partitions(track: Sequence[Interval]) -> bool:
    """Whether intervals partition a call: numbered without a hole, none before the one it follows
    ends and none after, only the last may run."""
    if not track or [interval.sequence for interval in track] != list(range(len(track))):
        return False
    if any(earlier.end_ms != later.start_ms for earlier, later in pairwise(track)):
        return False
    return all(interval.end_ms is None or interval.end_ms >= interval.start_ms for interval in track)


def tracks_of_rows(rows: Iterable[dict[str, Any]]) -> dict[str, list[Interval]]:
    """Rows of the table, ordered by call and sequence, as tracks by call sid."""
    tracks: dict[str, list[Interval]] = {}
    for row in rows:
        tracks.setdefault(row["call_sid"], []).append(_interval_of_row(row))
    return tracks


def _interval_of_row(row: dict[str, Any]) -> Interval:
    call = CallFacts(
        row["call_sid"], row["session_sid"], row["account_sid"], row["key_number"], row["parent_sid"]
    )
    holder = Holder(
        row["module"],
        row["owner"],
        Mode(row["mode"]),
        row["instance"],
        row["application"],
        row["via"],
        row["on_behalf_of"],
        row["driven_by"],
        row["plan"],
    )
    end_cause = row["end_cause"]
    return Interval(
        call,
        row["sequence"],
        holder,
        row["start_ms"],
        Cause(row["cause"]),
        row["end_ms"],
        Cause(end_cause) if end_cause else None,
        row["estimated"],
    )
