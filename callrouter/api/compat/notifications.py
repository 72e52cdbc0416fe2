"""What went wrong on calls, and every request that was made for them: Notifications and Events."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web
from sqlalchemy import Select, bindparam, select

from callrouter.api.compat import render
from callrouter.api.compat.call_resource import API_VERSION, ROOT
from callrouter.api.compat.errors import not_found
from callrouter.api.compat.form import Form
from callrouter.api.compat.paging import Order, read_page
from callrouter.api.compat.times import period, rfc2822
from callrouter.api.context import Context
from callrouter.calls.tables import call_events, calls

_TROUBLE: Final = select(call_events).where(call_events.c.level.in_(("error", "warning")))
_ONE: Final = _TROUBLE.where(
    call_events.c.id == bindparam("wanted"), call_events.c.account_sid == bindparam("account")
)
_CALL: Final = select(calls.c.sid).where(
    calls.c.sid == bindparam("wanted"), calls.c.account_sid == bindparam("account")
)
_ORDER: Final = Order(call_events.c.at_ms, call_events.c.id)
_LOG_LEVELS: Final = {"0": "error", "1": "warning"}


class Notifications:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def list(self, request: web.Request) -> web.Response:
        """Those of the account, or of one call if the path names one."""
        form = Form(request.query.items())
        statement = await self._of(request, _TROUBLE)
        level = _LOG_LEVELS.get(form.text("Log"))
        if level:
            statement = statement.where(call_events.c.level == level)
        if form.text("MessageDate"):
            first, until = period("MessageDate", form.text("MessageDate"))
            statement = statement.where(call_events.c.at_ms >= first, call_events.c.at_ms < until)
        envelope = await read_page(
            request, self._context.database, statement, _ORDER, "notifications", _notification
        )
        return render.page(request, "notifications", "Notification", envelope)

    async def fetch(self, request: web.Request) -> web.Response:
        wanted = {"wanted": request.match_info["sid"], "account": request.match_info["account"]}
        rows = await self._context.database.read(_ONE, wanted)
        call = request.match_info.get("call")
        if not rows or (call is not None and rows[0]["call_sid"] != call):
            raise not_found(request.path)
        return render.resource(request, "Notification", _notification(rows[0], whole=True))

    async def events(self, request: web.Request) -> web.Response:
        """Requests made for a call, each with its answer."""
        statement = await self._of(request, select(call_events).where(call_events.c.kind == "request"))
        envelope = await read_page(request, self._context.database, statement, _ORDER, "events", _event)
        return render.page(request, "events", "Event", envelope)

    async def _of(self, request: web.Request, statement: Select[Any]) -> Select[Any]:
        account, call = request.match_info["account"], request.match_info.get("call", "")
        statement = statement.where(call_events.c.account_sid == account)
        if not call:
            return statement
        if not await self._context.database.read(_CALL, {"wanted": call, "account": account}):
            raise not_found(request.path)
        return statement.where(call_events.c.call_sid == call)


def _notification(row: Mapping[str, Any], *, whole: bool = False) -> dict[str, Any]:
    """In a list without the variables and the response, which can be long."""
    at = rfc2822(row["at_ms"])
    fields = {
        "sid": row["id"],
        "account_sid": row["account_sid"],
        "call_sid": row["call_sid"],
        "api_version": API_VERSION,
        "log": "0" if row["level"] == "error" else "1",
        "error_code": str(row["code"]) if row["code"] else None,
        "more_info": f"https://www.twilio.com/docs/errors/{row['code']}" if row["code"] else None,
        "message_text": row["message"] + (f" (line {row['line']})" if row["line"] else ""),
        "message_date": at,
        "request_method": row["method"] or None,
        "request_url": row["url"] or None,
        "date_created": at,
        "date_updated": at,
        "uri": f"{ROOT}/{row['account_sid']}/Notifications/{row['id']}.json",
    }
    if whole:
        fields |= {
            "request_variables": urlencode(_parameters(row)),
            "response_headers": None,
            "response_body": row["response"] or None,
        }
    return fields


def _event(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "request": {"method": row["method"], "url": row["url"], "parameters": dict(_parameters(row))},
        "response": {
            "response_code": row["status"] or None,
            "request_duration": row["duration_ms"],
            "date_created": rfc2822(row["at_ms"]),
            "response_body": row["response"],
        },
    }


def _parameters(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(str(name), str(value)) for name, value in json.loads(row["request"] or "[]")]
