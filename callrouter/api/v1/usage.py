"""`GET /v1/usage?number=+1555…&from=…&to=…`: seconds and money by number, module and mode."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from callrouter.api.context import CALLER, Context
from callrouter.api.money import amounts
from callrouter.api.v1.problems import Problem
from callrouter.api.v1.times import month_start_ms, parse_ms, rfc3339
from metering import usage as metered

_MAX_ROWS: Final = 1000


class Usage:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def fetch(self, request: web.Request) -> web.Response:
        """Time within the period counts, running calls to this instant, and what they cost by now.
        Money belongs to the period in which what it is for began."""
        context, query = self._context, request.query
        now_ms = context.clock.utc_ms()
        from_ms = parse_ms("from", query["from"]) if "from" in query else month_start_ms(now_ms)
        to_ms = parse_ms("to", query["to"]) if "to" in query else None
        if (now_ms if to_ms is None else to_ms) <= from_ms:
            raise Problem(400, "to has to be later than from")
        number = _number(query.get("number", ""))
        rows = await metered.usage(
            context.database,
            context.meter,
            context.clock,
            from_ms=from_ms,
            to_ms=to_ms,
            key_number=number,
            accounts=self._accounts(request),
            limit=_MAX_ROWS + 1,
        )
        if len(rows) > _MAX_ROWS:
            raise Problem(400, f"More than {_MAX_ROWS} rows; ask for one number")
        return web.json_response(
            {
                "from": rfc3339(from_ms),
                "to": rfc3339(now_ms if to_ms is None else to_ms),
                "number": number or None,
                "usage": [_row(row) for row in rows],
            }
        )

    def _accounts(self, request: web.Request) -> list[str]:
        """The caller's own and those below it."""
        accounts = self._context.accounts
        return [one.sid for one in accounts if accounts.may_act_for(request[CALLER], one.sid)]


def _row(row: metered.Usage) -> dict[str, Any]:
    return {
        "number": row.key_number,
        "module": row.module,
        "owner": row.owner,
        "mode": row.mode.value,
        "calls": row.calls,
        "intervals": row.intervals,
        "duration_ms": row.duration_ms,
        "costs": amounts(row.costs_micro),
    }


def _number(text: str) -> str:
    """A plus sign that was not encoded arrives as a space."""
    return f"+{text.strip()}" if text.startswith(" ") else text.strip()
