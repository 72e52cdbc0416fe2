"""`GET /v1/usage?number=+1555…&from=…&to=…`: seconds and money by number, module and mode."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web
from sqlalchemy import ColumnElement, Select, bindparam, case, func, select

from callrouter.api.context import CALLER, Context
from callrouter.api.money import amounts
from callrouter.api.v1.problems import Problem
from callrouter.api.v1.times import month_start_ms, parse_ms, rfc3339
from metering.tables import charges, intervals

_MAX_ROWS: Final = 1000
_KEYS: Final = ("key_number", "module", "mode")


class Usage:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def fetch(self, request: web.Request) -> web.Response:
        """Time within the period counts, running calls to this instant; money is what was charged
        for calls that began in it, so it follows when a call has ended."""
        now_ms = self._context.clock.utc_ms()
        query = request.query
        from_ms = parse_ms("from", query["from"]) if "from" in query else month_start_ms(now_ms)
        to_ms = parse_ms("to", query["to"]) if "to" in query else now_ms
        if to_ms <= from_ms:
            raise Problem(400, "to has to be later than from")
        number = _number(query.get("number", ""))
        accounts = [
            account.sid
            for account in self._context.accounts
            if self._context.accounts.may_act_for(request[CALLER], account.sid)
        ]
        values = {"from_ms": from_ms, "to_ms": to_ms, "now_ms": now_ms, "accounts": accounts}
        values |= {"number": number} if number else {}
        times = await self._context.database.read(_times(bool(number)), values)
        if len(times) > _MAX_ROWS:
            raise Problem(400, f"More than {_MAX_ROWS} rows; ask for one number")
        costs = _costs(await self._context.database.read(_charged(bool(number)), values))
        return web.json_response(
            {
                "from": rfc3339(from_ms),
                "to": rfc3339(to_ms),
                "number": number or None,
                "usage": [_row(row, costs.get(_key(row), {})) for row in times],
            }
        )


def _times(of_number: bool) -> Select[Any]:
    table = intervals.c
    end = func.coalesce(table.end_ms, bindparam("now_ms"))
    first = case((table.start_ms < bindparam("from_ms"), bindparam("from_ms")), else_=table.start_ms)
    last: ColumnElement[int] = case((end > bindparam("to_ms"), bindparam("to_ms")), else_=end)
    statement = (
        select(
            *(table[name] for name in _KEYS),
            func.count(table.call_sid.distinct()).label("calls"),
            func.sum(last - first).label("ms"),
        )
        .where(
            table.account_sid.in_(bindparam("accounts", expanding=True)),
            table.start_ms < bindparam("to_ms"),
            end > bindparam("from_ms"),
        )
        .group_by(*(table[name] for name in _KEYS))
        .order_by(*(table[name] for name in _KEYS))
        .limit(_MAX_ROWS + 1)
    )
    return statement.where(table.key_number == bindparam("number")) if of_number else statement


def _charged(of_number: bool) -> Select[Any]:
    table = charges.c
    statement = (
        select(*(table[name] for name in _KEYS), table.currency, func.sum(table.amount_micro).label("micro"))
        .where(
            table.account_sid.in_(bindparam("accounts", expanding=True)),
            table.start_ms >= bindparam("from_ms"),
            table.start_ms < bindparam("to_ms"),
        )
        .group_by(*(table[name] for name in _KEYS), table.currency)
    )
    return statement.where(table.key_number == bindparam("number")) if of_number else statement


def _costs(rows: list[dict[str, Any]]) -> dict[tuple[str, ...], dict[str, int]]:
    costs: dict[tuple[str, ...], dict[str, int]] = {}
    for row in rows:
        costs.setdefault(_key(row), {})[row["currency"]] = int(row["micro"])
    return costs


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(row[name] for name in _KEYS)


def _row(row: Mapping[str, Any], costs: Mapping[str, int]) -> dict[str, Any]:
    return {
        "number": row["key_number"],
        "module": row["module"],
        "mode": row["mode"],
        "calls": row["calls"],
        "duration_ms": int(row["ms"]),
        "costs": amounts(costs),
    }


def _number(text: str) -> str:
    """A plus sign that was not encoded arrives as a space."""
    return f"+{text.strip()}" if text.startswith(" ") else text.strip()
