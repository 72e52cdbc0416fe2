"""`GET /v1/sessions/{sid}/sip`: what was said in SIP on the calls of a session, as data or as a ladder.

The messages are in memory of the server that has, or had, the calls, for as long as there is room.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from aiohttp import web
from sqlalchemy import bindparam, select

from callrouter.api.context import CALLER, Context
from callrouter.api.v1.ladder import Ladder, method_of, peer_of, summary
from callrouter.api.v1.problems import Problem
from callrouter.api.v1.times import rfc3339
from callrouter.calls.tables import calls
from callrouter.ports import CallStatus, TracedMessage

_CALLS: Final = (
    select(calls.c.sid, calls.c.account_sid, calls.c.status, calls.c.sip_call_id)
    .where(calls.c.session_sid == bindparam("session_sid"))
    .order_by(calls.c.created_ms, calls.c.sid)
)
_FINAL: Final = frozenset(status.value for status in CallStatus if status.final)
_TEXT: Final = "text/plain"


class SipTrace:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def fetch(self, request: web.Request) -> web.Response:
        """All messages, or those numbered above `after`."""
        after = _number(request.query.get("after", "0"))
        rows = await self._rows(request)
        traced, dropped = [], 0
        for row in rows:
            messages, gone = self._context.trace(self._call_id(row))
            traced += [(row["sid"], message) for message in messages if message.number > after]
            dropped += gone
        traced.sort(key=lambda one: one[1].number)
        if _wants_text(request):
            text = "\n".join(_ladder([message for _, message in traced], full="full" in request.query))
            return web.Response(text=text + "\n", content_type=_TEXT)
        sid = request.match_info["sid"]
        return web.json_response(
            {
                "sid": sid,
                "status": "ended" if all(self._is_over(row) for row in rows) else "running",
                "messages": [self._message(call_sid, message) for call_sid, message in traced],
                "dropped": dropped,
            }
        )

    async def _rows(self, request: web.Request) -> list[dict[str, Any]]:
        """The session's calls that the caller may look into."""
        sid = request.match_info["sid"]
        rows = await self._context.database.read(_CALLS, {"session_sid": sid})
        accounts = self._context.accounts
        seen = [dict(row) for row in rows if accounts.may_act_for(request[CALLER], row["account_sid"])]
        if not any(row["sid"] == sid for row in seen):
            raise Problem(404, f"There is no session {sid}; a session has the sid of its first call")
        return seen

    def _live(self, row: dict[str, Any]) -> dict[str, Any]:
        """The table follows the calls a commit behind."""
        return {**row, **(self._context.control.live(row["sid"]) or {})}

    def _call_id(self, row: dict[str, Any]) -> str:
        return str(self._live(row)["sip_call_id"])

    def _is_over(self, row: dict[str, Any]) -> bool:
        return self._live(row)["status"] in _FINAL

    def _message(self, call_sid: str, message: TracedMessage) -> dict[str, Any]:
        clock = self._context.clock
        age_ms = (clock.monotonic_ns() - message.at_ns) // 1_000_000
        return {
            "number": message.number,
            "at": rfc3339(clock.utc_ms() - age_ms),
            "at_ns": message.at_ns,
            "call_sid": call_sid,
            "call_id": message.call_id,
            "direction": "sent" if message.is_sent else "received",
            "transport": message.transport,
            "peer": peer_of(message).partition(":")[2],
            "method": method_of(message),
            "summary": summary(message),
            "text": message.text,
        }


def _ladder(messages: list[TracedMessage], *, full: bool) -> Iterator[str]:
    ladder = Ladder()
    for message in messages:
        yield from ladder.lines(message)
    if full:
        for message in messages:
            way = "to" if message.is_sent else "from"
            yield f"\n--- {message.number} {way} {peer_of(message)}\n"
            yield message.text.replace("\r\n", "\n").rstrip("\n")


def _wants_text(request: web.Request) -> bool:
    """What comes first of the two in Accept; JSON if neither does."""
    for wanted in request.headers.get("Accept", "").lower().split(","):
        kind = wanted.partition(";")[0].strip()
        if kind in (_TEXT, "application/json"):
            return kind == _TEXT
    return False


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Problem(400, f"after={text[:20]!r} is not the number of a message")
    return int(text)
