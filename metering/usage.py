"""How much of what was used, and what it cost: by number, module and mode over a period.

What the database has is added up there.  Calls that run, or whose charges are still on their way,
are counted from the meter's memory instead, never twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Select, bindparam, case, func, or_, select

from callrouter.ports import Clock
from callrouter.storage.database import Database
from metering.charges import scopes
from metering.interval import Interval, Mode
from metering.meter import Meter, Unposted
from metering.tables import charges, intervals

NO_LIMIT = 1_000_000
_FOREVER_MS = 1 << 62

_Key = tuple[str, str, str, str]
_COLUMNS = ("key_number", "module", "owner", "mode")


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
    costs_micro: Mapping[str, int]
    """By currency."""


@dataclass(frozen=True, slots=True)
class Question:
    """Whose use of what, in [from_ms, to_ms)."""

    from_ms: int
    to_ms: int
    key_number: str
    accounts: Collection[str] | None
    limit: int

    def takes(self, interval: Interval) -> bool:
        """Whether time of this interval is asked for: of calls of one of the accounts, and of
        documents that one of them ordered on somebody else's."""
        accounts = {interval.call.account_sid, interval.holder.on_behalf_of}
        return self.key_number in {"", interval.call.key_number} and (
            self.accounts is None or not accounts.isdisjoint(self.accounts)
        )

    def pays(self, account_sid: str) -> bool:
        return self.accounts is None or account_sid in self.accounts


@dataclass(slots=True)
class _Sum:
    """Adds up one row."""

    duration_ms: int = 0
    intervals: int = 0
    calls: int = 0
    costs_micro: dict[str, int] = field(default_factory=dict)

    def cost(self, currency: str, amount_micro: int) -> None:
        self.costs_micro[currency] = self.costs_micro.get(currency, 0) + amount_micro


async def usage(
    database: Database,
    meter: Meter,
    clock: Clock,
    *,
    from_ms: int,
    to_ms: int | None = None,
    key_number: str = "",
    accounts: Collection[str] | None = None,
    limit: int = NO_LIMIT,
) -> list[Usage]:
    """Use from `from_ms` on, before `to_ms` or to this moment, narrowed to a number and to accounts.

    Of each interval the part within the period counts.  Money is not split: a charge, or what a
    running call costs by now, belongs to the period in which what it is for began.  Sorted by
    number, module, owner and mode; of more than `limit` rows that many or more."""
    asked = Question(from_ms, _FOREVER_MS if to_ms is None else to_ms, key_number, accounts, limit)
    unposted = meter.unposted(clock.monotonic_ns())
    values: dict[str, Any] = {
        "from_ms": asked.from_ms,
        "to_ms": asked.to_ms,
        "now_ms": clock.utc_ms(),
        "unposted": list(unposted),
        "key_number": key_number,
        "accounts": list(accounts or ()),
    }
    times = await database.read(_times(asked), values)
    costs = await database.read(_charged(asked), values)
    found: dict[_Key, _Sum] = {}
    for row in times:
        total = found.setdefault(_key(row), _Sum())
        total.duration_ms, total.intervals, total.calls = int(row["ms"]), row["intervals"], row["calls"]
    for row in costs:
        found.setdefault(_key(row), _Sum()).cost(row["currency"], int(row["micro"]))
    for call in unposted.values():
        _add_times(found, call, asked)
        _add_costs(found, call, asked, meter)
    return [
        Usage(
            number,
            module,
            owner,
            Mode(mode),
            total.duration_ms,
            total.intervals,
            total.calls,
            total.costs_micro,
        )
        for (number, module, owner, mode), total in sorted(found.items())
    ]


def _add_times(found: dict[_Key, _Sum], call: Unposted, asked: Question) -> None:
    met: set[_Key] = set()
    for interval, duration_ms in _within(call, asked):
        holder = interval.holder
        key = (interval.call.key_number, holder.module, holder.owner, holder.mode.value)
        total = found.setdefault(key, _Sum())
        total.duration_ms += duration_ms
        total.intervals += 1
        total.calls += key not in met
        met.add(key)


def _add_costs(found: dict[_Key, _Sum], call: Unposted, asked: Question, meter: Meter) -> None:
    for scope in scopes(call.intervals, meter.prices, call.until_ms):
        first = call.intervals[scope.indexes[0]]
        number, began = first.call.key_number, asked.from_ms <= first.start_ms < asked.to_ms
        if scope.plan is None or not began or not asked.pays(scope.payer):
            continue
        if asked.key_number in {"", number}:
            holder = scope.holder
            key = (number, holder.module, holder.owner, holder.mode.value)
            found.setdefault(key, _Sum()).cost(scope.plan.currency, scope.rated().amount_micro)


def _within(call: Unposted, asked: Question) -> Iterator[tuple[Interval, int]]:
    """The intervals asked for, with their milliseconds in the period."""
    for interval in call.intervals:
        end_ms = call.until_ms if interval.end_ms is None else interval.end_ms
        duration_ms = min(end_ms, asked.to_ms) - max(interval.start_ms, asked.from_ms)
        if duration_ms > 0 and asked.takes(interval):
            yield interval, duration_ms


def _times(asked: Question) -> Select[Any]:
    table = intervals.c
    end = func.coalesce(table.end_ms, bindparam("now_ms"))
    first = case((table.start_ms < bindparam("from_ms"), bindparam("from_ms")), else_=table.start_ms)
    last: ColumnElement[int] = case((end > bindparam("to_ms"), bindparam("to_ms")), else_=end)
    statement = select(
        *(table[name] for name in _COLUMNS),
        func.count(table.call_sid.distinct()).label("calls"),
        func.count().label("intervals"),
        func.sum(last - first).label("ms"),
    ).where(
        table.start_ms < bindparam("to_ms"),
        end > bindparam("from_ms"),
        end > table.start_ms,
        table.call_sid.not_in(bindparam("unposted", expanding=True)),
    )
    if asked.key_number:
        statement = statement.where(table.key_number == bindparam("key_number"))
    if asked.accounts is not None:
        ours: BindParameter[Any] = bindparam("accounts", expanding=True)
        statement = statement.where(or_(table.account_sid.in_(ours), table.on_behalf_of.in_(ours)))
    keys = [table[name] for name in _COLUMNS]
    return statement.group_by(*keys).order_by(*keys).limit(asked.limit)


def _charged(asked: Question) -> Select[Any]:
    table = charges.c
    keys = [*(table[name] for name in _COLUMNS), table.currency]
    statement = select(*keys, func.sum(table.amount_micro).label("micro")).where(
        table.start_ms >= bindparam("from_ms"),
        table.start_ms < bindparam("to_ms"),
        table.currency != "",
        table.call_sid.not_in(bindparam("unposted", expanding=True)),
    )
    if asked.key_number:
        statement = statement.where(table.key_number == bindparam("key_number"))
    if asked.accounts is not None:
        statement = statement.where(table.account_sid.in_(bindparam("accounts", expanding=True)))
    return statement.group_by(*keys).order_by(*keys).limit(asked.limit)


def _key(row: Mapping[str, Any]) -> _Key:
    return tuple(row[name] for name in _COLUMNS)
