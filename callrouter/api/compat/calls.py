"""The Calls resource: create, fetch, list, change, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import structlog
from aiohttp import web
from sqlalchemy import Select, bindparam, delete

from callrouter.api.compat import render
from callrouter.api.compat.call_order import UNDERSTOOD, call_order, instructions
from callrouter.api.compat.call_resource import CALLS, call_fields, shown_status, stored_statuses
from callrouter.api.compat.errors import (
    ACCOUNT_NOT_ACTIVE,
    BAD_CALL_STATE,
    BAD_PARAMETER,
    NOT_COMPLETE,
    RestError,
    bad,
    not_found,
)
from callrouter.api.compat.form import Form
from callrouter.api.compat.paging import Order, read_page
from callrouter.api.compat.times import period
from callrouter.api.context import Context
from callrouter.calls.tables import call_events, calls
from callrouter.ports import CallStatus, Hangup, Replace, Side

log = structlog.get_logger(__name__)

_ONE: Final = CALLS.where(calls.c.sid == bindparam("wanted"), calls.c.account_sid == bindparam("account"))
_ORDER: Final = Order(calls.c.created_ms, calls.c.sid)
_FINAL: Final = frozenset(status.value for status in CallStatus if status.final)
_IN_PROGRESS: Final = CallStatus.IN_PROGRESS.value
_DELETE: Final = (
    delete(calls).where(calls.c.sid == bindparam("wanted")),
    delete(call_events).where(call_events.c.call_sid == bindparam("wanted")),
)
_UPDATE_UNDERSTOOD: Final = frozenset({"Url", "Twiml", "Method", "FallbackUrl", "FallbackMethod", "Status"})


class Calls:
    """Handlers; every one works on the account of the path."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def create(self, request: web.Request) -> web.Response:
        sid = request.match_info["account"]
        account = self._context.accounts.get(sid)
        if account is None or not account.active:
            raise RestError(403, ACCOUNT_NOT_ACTIVE, "The account is not active")
        form = await read_form(request)
        order = call_order(form, sid)
        _note_ignored(request, form.names - UNDERSTOOD)
        call_sid = await self._context.control.create(order)
        return render.resource(request, "Call", await self._fields(sid, call_sid, request), status=201)

    async def fetch(self, request: web.Request) -> web.Response:
        return render.resource(request, "Call", await self._own(request))

    async def list(self, request: web.Request) -> web.Response:
        account = request.match_info["account"]
        statement = _filtered(CALLS.where(calls.c.account_sid == account), Form(request.query.items()))
        currency = self._currency(account)
        envelope = await read_page(
            request,
            self._context.database,
            statement,
            _ORDER,
            "calls",
            lambda row: call_fields(row, currency),
        )
        return render.page(request, "calls", "Call", envelope)

    async def update(self, request: web.Request) -> web.Response:
        """New instructions for a live call, or its end."""
        form = await read_form(request)
        call = await self._own(request)
        status = form.text("Status").lower()
        if status not in {"", "canceled", "completed"}:
            raise bad(BAD_PARAMETER, "Status has to be canceled or completed")
        target, twiml = instructions(form)
        _note_ignored(request, form.names - _UPDATE_UNDERSTOOD)
        if status:
            await self._end(call, status)
        elif target or twiml:
            replacement = Replace(
                target=target, method=form.method("Method"), twiml=twiml, fallback=form.target("FallbackUrl")
            )
            await self._replace(call, replacement)
        # What the call has posted about itself is in the table once this empty write is done.
        await self._context.database.write()
        return render.resource(request, "Call", await self._own(request))

    async def delete(self, request: web.Request) -> web.Response:
        call = await self._own(request)
        if self._status(call) not in _FINAL:
            raise bad(NOT_COMPLETE, "Only a call that is over can be deleted")
        await self._context.database.write(*((statement, {"wanted": call["sid"]}) for statement in _DELETE))
        return web.Response(status=204)

    # ------------------------------------------------------------------ changing a live call

    async def _end(self, call: Mapping[str, Any], status: str) -> None:
        if self._status(call) in _FINAL:
            raise _wrong_state(call["sid"], "is over already")
        if status == "canceled":
            # Answered calls stay untouched, as documented; that is no error.
            await self._context.control.cancel(call["sid"])
        elif not await self._context.control.interrupt(call["sid"], Hangup(Side.US, "ended through the API")):
            raise _wrong_state(call["sid"], "is over already")

    async def _replace(self, call: Mapping[str, Any], replacement: Replace) -> None:
        if self._status(call) != _IN_PROGRESS:
            raise _wrong_state(call["sid"], "is not in-progress, so it cannot be redirected")
        if not await self._context.control.interrupt(call["sid"], replacement):
            raise _wrong_state(call["sid"], "is over already")

    def _status(self, call: Mapping[str, Any]) -> str:
        """The call's status this instant: the table may be a commit behind."""
        live = self._context.control.live(call["sid"])
        return str(live["status"]) if live is not None else str(call["status"])

    # ------------------------------------------------------------------ reading

    async def _own(self, request: web.Request) -> dict[str, Any]:
        return await self._fields(request.match_info["account"], request.match_info["sid"], request)

    async def _fields(self, account: str, sid: str, request: web.Request) -> dict[str, Any]:
        rows = await self._context.database.read(_ONE, {"wanted": sid, "account": account})
        if not rows:
            raise not_found(request.path)
        return call_fields(rows[0], self._currency(account))

    def _currency(self, sid: str) -> str:
        account = self._context.accounts.get(sid)
        return account.currency if account else ""


async def read_form(request: web.Request) -> Form:
    """The form of a body, with the parameters of the query behind it."""
    try:
        posted = await request.post()
    except (ValueError, LookupError):  # not in the character set it claims, or in one nobody knows
        raise bad(BAD_PARAMETER, "The body cannot be read as a form; send it URL-encoded, in UTF-8") from None
    pairs = [(name, value) for name, value in posted.items() if isinstance(value, str)]
    return Form([*pairs, *request.query.items()])


def _filtered(statement: Select[Any], form: Form) -> Select[Any]:
    for name, column in (("To", calls.c.to), ("From", calls.c.from_), ("ParentCallSid", calls.c.parent_sid)):
        if form.text(name):
            statement = statement.where(column == form.text(name))
    status = form.text("Status")
    if status:
        known = {shown_status(one.value) for one in CallStatus}
        if status not in known:
            raise bad(BAD_PARAMETER, f"Status has to be one of {', '.join(sorted(known))}")
        statement = statement.where(calls.c.status.in_(stored_statuses(status)))
    for name, column in (("StartTime", calls.c.start_ms), ("EndTime", calls.c.end_ms)):
        if form.text(name):
            first, until = period(name, form.text(name))
            statement = statement.where(column >= first, column < until)
        if form.text(f"{name}<"):
            statement = statement.where(column <= period(name, form.text(f"{name}<"))[0])
        if form.text(f"{name}>"):
            statement = statement.where(column >= period(name, form.text(f"{name}>"))[0])
    return statement


def _wrong_state(sid: str, what: str) -> RestError:
    return bad(BAD_CALL_STATE, f"Call {sid} {what}")


def _note_ignored(request: web.Request, names: frozenset[str]) -> None:
    if names:
        log.info("api_parameters_ignored", path=request.path, names=sorted(names)[:20])
