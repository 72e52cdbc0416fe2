"""`GET /v1/sessions/{sid}`: what a session did, interval by interval, and what each cost.

Intervals and money come from the meter, to this very instant; the `calls` table, which follows the
calls a commit behind, only adds who called whom.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web
from sqlalchemy import bindparam, or_, select

from callrouter.api.context import CALLER, Context
from callrouter.api.money import amounts, decimal
from callrouter.api.v1.problems import Problem
from callrouter.api.v1.times import rfc3339
from callrouter.calls.tables import calls
from callrouter.ports import CallStatus
from metering.timeline import CallTimeline, TimelineEntry, totals

_CALLS: Final = select(calls).where(
    or_(
        calls.c.session_sid == bindparam("session_sid"),
        calls.c.split_from == bindparam("session_sid"),
    )
)
_FINAL: Final = frozenset(status.value for status in CallStatus if status.final)
_UNKNOWN: Final[Mapping[str, Any]] = {
    "parent_sid": "",
    "split_from": "",
    "linked_sid": "",
    "direction": "",
    "from_": "",
    "to": "",
    "status": "",
    "sip_status": 0,
    "q850": 0,
}


class Sessions:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def fetch(self, request: web.Request) -> web.Response:
        """The session of a root call: its calls, the root first, each with its track and cost."""
        sid = request.match_info["sid"]
        # The table first: then no call is shown as over whose last interval is not.
        rows = {row["sid"]: row for row in await self._context.database.read(_CALLS, {"session_sid": sid})}
        timelines = await self._context.meter.session(sid)
        timelines = [one for one in timelines if self._visible(request, one.call.account_sid)]
        if not timelines or timelines[0].call.call_sid != sid:
            raise Problem(404, f"There is no session {sid}; a session has the sid of its first call")
        shown = [self._call(one, rows.get(one.call.call_sid, {})) for one in timelines]
        # What is not known any more, or yet, of a call whose track has ended does not keep it alive.
        over = all(one["status"] is None or one["status"] in _FINAL for one in shown)
        ended = over and not any(one.running for one in timelines)
        entries = [entry for one in timelines for entry in one.entries]
        root = timelines[0]
        return web.json_response(
            {
                "sid": sid,
                "account_sid": root.call.account_sid,
                "key_number": root.call.key_number,
                "status": "ended" if ended else "running",
                "started_at": rfc3339(root.entries[0].interval.start_ms),
                "ended_at": rfc3339(max(entry.interval.end_ms or 0 for entry in entries)) if ended else None,
                "costs": amounts(totals(entries)),
                "calls": shown,
            }
        )

    def _visible(self, request: web.Request, account_sid: str) -> bool:
        return self._context.accounts.may_act_for(request[CALLER], account_sid)

    def _call(self, timeline: CallTimeline, row: Mapping[str, Any]) -> dict[str, Any]:
        call = timeline.call
        facts = {**_UNKNOWN, **row, **(self._context.control.live(call.call_sid) or {})}
        return {
            "sid": call.call_sid,
            "parent_sid": call.parent_sid or None,
            "split_from": facts["split_from"] or None,
            "linked_sid": facts["linked_sid"] or None,
            "driven_by": timeline.entries[-1].interval.holder.driven_by or None,
            "account_sid": call.account_sid,
            "key_number": call.key_number,
            "direction": facts["direction"] or None,
            "from": facts["from_"] or None,
            "to": facts["to"] or None,
            "status": facts["status"] or None,
            "sip_status": facts["sip_status"] or None,
            "q850": facts["q850"] or None,
            "complete": timeline.whole,
            "costs": amounts(totals(timeline.entries)),
            "intervals": [_interval(entry) for entry in timeline.entries],
        }


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
