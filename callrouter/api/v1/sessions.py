"""`GET /v1/sessions/{sid}`: what a session did, interval by interval, and what each cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiohttp import web
from sqlalchemy import bindparam, select

from callrouter.api.context import CALLER, Context
from callrouter.api.money import amounts, decimal
from callrouter.api.v1.problems import Problem
from callrouter.api.v1.times import rfc3339
from callrouter.calls.tables import calls
from metering.interval import Interval
from metering.timeline import SESSION_INTERVALS, TimelineEntry, partitions, timeline, tracks_of_rows

_SESSION_CALLS: Final = (
    select(calls)
    .where(calls.c.session_sid == bindparam("session_sid"))
    .order_by(calls.c.created_ms, calls.c.sid)
)


class Sessions:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def fetch(self, request: web.Request) -> web.Response:
        """The session of a root call: its calls, the root first, each with its track and cost."""
        sid = request.match_info["sid"]
        rows = await self._context.database.read(_SESSION_CALLS, {"session_sid": sid})
        rows = [row for row in rows if self._visible(request, row["account_sid"])]
        if not any(row["sid"] == sid for row in rows):
            raise Problem(404, f"There is no session {sid}; a session has the sid of its first call")
        rows.sort(key=lambda row: row["sid"] != sid)
        tracks = tracks_of_rows(await self._context.database.read(SESSION_INTERVALS, {"session_sid": sid}))
        now_ms = self._context.clock.utc_ms()
        shown = [self._call(row, tracks.get(row["sid"], []), now_ms) for row in rows]
        total: Counter[str] = Counter()
        for _, costs in shown:
            total.update(costs)
        root = rows[0]
        ended = all(row["end_ms"] is not None for row in rows)
        return web.json_response(
            {
                "sid": sid,
                "account_sid": root["account_sid"],
                "key_number": root["key_number"],
                "status": "ended" if ended else "running",
                "started_at": rfc3339(root["created_ms"]),
                "ended_at": rfc3339(max(row["end_ms"] for row in rows)) if ended else None,
                "costs": amounts(total),
                "calls": [{**call, "costs": amounts(costs)} for call, costs in shown],
            }
        )

    def _visible(self, request: web.Request, account_sid: str) -> bool:
        return self._context.accounts.may_act_for(request[CALLER], account_sid)

    def _call(
        self, row: Mapping[str, Any], track: Sequence[Interval], now_ms: int
    ) -> tuple[dict[str, Any], Counter[str]]:
        """A call's fields, and its costs in micro-units by currency."""
        entries = timeline(track, self._context.prices, now_ms)
        costs: Counter[str] = Counter()
        for entry in entries:
            if entry.currency:
                costs[entry.currency] += entry.cost_micro
        fields = {
            "sid": row["sid"],
            "parent_sid": row["parent_sid"] or None,
            "split_from": row["split_from"] or None,
            "direction": row["direction"],
            "from": row["from_"],
            "to": row["to"],
            "status": row["status"],
            "complete": partitions(track),
            "intervals": [_interval(entry) for entry in entries],
        }
        return fields, costs


def _interval(entry: TimelineEntry) -> dict[str, Any]:
    interval, holder = entry.interval, entry.interval.holder
    return {
        "sequence": interval.sequence,
        "module": holder.module,
        "owner": holder.owner,
        "mode": holder.mode.value,
        "instance": holder.instance or None,
        "application": holder.application or None,
        "via": holder.via or None,
        "on_behalf_of": holder.on_behalf_of or None,
        "driven_by": holder.driven_by or None,
        "started_at": rfc3339(interval.start_ms),
        "ended_at": rfc3339(interval.end_ms),
        "duration_ms": entry.duration_ms,
        "running": entry.running,
        "cause": interval.cause.value,
        "end_cause": interval.end_cause.value if interval.end_cause else None,
        "estimated": interval.estimated,
        "rate": entry.rate,
        "cost": decimal(entry.cost_micro),
        "currency": entry.currency or None,
    }
