"""Recordings and their audio."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from sqlalchemy import bindparam, select, update

from callrouter.api.compat import render
from callrouter.api.compat.call_resource import API_VERSION, ROOT
from callrouter.api.compat.errors import BAD_PARAMETER, MONO_RECORDING, NOT_COMPLETE, bad, not_found
from callrouter.api.compat.form import Form
from callrouter.api.compat.paging import Order, read_page
from callrouter.api.compat.renditions import Renditions, files
from callrouter.api.compat.times import period, rfc2822
from callrouter.api.context import Context
from callrouter.calls.tables import calls, recordings

_LISTED: Final = select(recordings).where(recordings.c.status != "deleted")
_ONE: Final = _LISTED.where(
    recordings.c.sid == bindparam("wanted"), recordings.c.account_sid == bindparam("account")
)
_CALL: Final = select(calls.c.sid).where(
    calls.c.sid == bindparam("wanted"), calls.c.account_sid == bindparam("account")
)
_FORGET: Final = update(recordings).where(recordings.c.sid == bindparam("wanted")).values(status="deleted")
_ORDER: Final = Order(recordings.c.start_ms, recordings.c.sid)
_UNFINISHED: Final = frozenset({"in-progress", "paused", "processing"})


class Recordings:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._renditions = Renditions(context.mix_down)

    async def list(self, request: web.Request) -> web.Response:
        """Those of the account, or of one call if the path names one."""
        account, call = request.match_info["account"], request.match_info.get("call", "")
        form = Form(request.query.items())
        statement = _LISTED.where(recordings.c.account_sid == account)
        if call:
            if not await self._context.database.read(_CALL, {"wanted": call, "account": account}):
                raise not_found(request.path)
            statement = statement.where(recordings.c.call_sid == call)
        if form.text("CallSid"):
            statement = statement.where(recordings.c.call_sid == form.text("CallSid"))
        column = recordings.c.start_ms
        if form.text("DateCreated"):
            first, until = period("DateCreated", form.text("DateCreated"))
            statement = statement.where(column >= first, column < until)
        if form.text("DateCreated<"):
            statement = statement.where(column <= period("DateCreated", form.text("DateCreated<"))[0])
        if form.text("DateCreated>"):
            statement = statement.where(column >= period("DateCreated", form.text("DateCreated>"))[0])
        base = self._context.base_url(request)
        envelope = await read_page(
            request,
            self._context.database,
            statement,
            _ORDER,
            "recordings",
            lambda row: _fields(row, base, of_call=bool(call)),
        )
        return render.page(request, "recordings", "Recording", envelope)

    async def fetch(self, request: web.Request) -> web.Response:
        row = await self._row(request)
        base = self._context.base_url(request)
        return render.resource(request, "Recording", _fields(row, base, of_call="call" in request.match_info))

    async def audio(self, request: web.Request) -> web.StreamResponse:
        """The sound of a completed recording: WAV, or MP3 by its ending, of one channel if that is wanted."""
        row = await self._row(request)
        path = Path(row["path"])
        if row["status"] != "completed" or not await asyncio.to_thread(path.is_file):
            raise not_found(request.path)
        wanted = _channels(request.query.get("RequestedChannels", ""))
        if wanted == 2 and row["channels"] == 1:
            raise bad(MONO_RECORDING, "The recording has one channel only")
        if wanted == 1 and row["channels"] != 1:
            path = await self._renditions.mono(path)
        if request.match_info["format"] != ".mp3":
            return web.FileResponse(path, headers={"Content-Type": "audio/x-wav"})
        return web.FileResponse(await self._renditions.mp3(path), headers={"Content-Type": "audio/mpeg"})

    async def delete(self, request: web.Request) -> web.Response:
        row = await self._row(request)
        if row["status"] in _UNFINISHED:
            raise bad(NOT_COMPLETE, "The recording is still being made")
        await self._context.database.write((_FORGET, {"wanted": row["sid"]}))
        for file in files(Path(row["path"])):
            await asyncio.to_thread(file.unlink, missing_ok=True)
        return web.Response(status=204)

    async def _row(self, request: web.Request) -> dict[str, Any]:
        wanted = {"wanted": request.match_info["sid"], "account": request.match_info["account"]}
        rows = await self._context.database.read(_ONE, wanted)
        call = request.match_info.get("call")
        if not rows or (call is not None and rows[0]["call_sid"] != call):
            raise not_found(request.path)
        return rows[0]


def _channels(wanted: str) -> int | None:
    """None: those the recording has."""
    if wanted not in ("", "1", "2"):
        raise bad(BAD_PARAMETER, f"RequestedChannels is 1 or 2, not {wanted[:40]!r}")
    return int(wanted) if wanted else None


def _fields(row: Mapping[str, Any], base_url: str, *, of_call: bool) -> dict[str, Any]:
    uri = f"{ROOT}/{row['account_sid']}/Recordings/{row['sid']}"
    duration = row["duration_ms"]
    shown = f"{ROOT}/{row['account_sid']}/Calls/{row['call_sid']}/Recordings/{row['sid']}" if of_call else uri
    created = rfc2822(row["start_ms"])
    fields = {
        "sid": row["sid"],
        "account_sid": row["account_sid"],
        "call_sid": row["call_sid"],
        "conference_sid": None,
        "status": "absent" if row["status"] == "failed" else row["status"],
        "channels": row["channels"],
        "source": row["source"],
        "start_time": created,
        "duration": None if duration is None else str((duration + 500) // 1000),
        "price": None,
        "price_unit": None,
        "error_code": row["error_code"] or None,
        "encryption_details": None,
        "api_version": API_VERSION,
        "date_created": created,
        "date_updated": created,
        "media_url": f"{base_url}{uri}",
        "uri": f"{shown}.json",
    }
    return fields if not of_call else fields | {"track": "both"}
