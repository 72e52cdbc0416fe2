"""`POST /v1/calls/{sid}/transfer-tokens`: permission to move a call by a SIP message."""

from __future__ import annotations

import json
from typing import Any, Final

from aiohttp import web
from sqlalchemy import bindparam, select

from callrouter.api.context import CALLER, Context
from callrouter.api.v1.problems import Problem
from callrouter.api.v1.times import rfc3339
from callrouter.calls.tables import calls

DEFAULT_SECONDS: Final = 300
MOST_SECONDS: Final = 14_400
LONGEST_TARGET: Final = 2048
_OWNER: Final = select(calls.c.account_sid).where(calls.c.sid == bindparam("wanted"))


class TransferTokens:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def create(self, request: web.Request) -> web.Response:
        """A token for the call of the path, from `{"target": …, "seconds": …}`."""
        sid = request.match_info["sid"]
        await self._check_owner(request, sid)
        target, seconds = _order(await request.read())
        token = self._context.control.transfer_token(sid, target, seconds)
        if token is None:
            raise Problem(409, f"Call {sid} is over: only a call that is live can be moved")
        expires_ms = self._context.clock.utc_ms() + seconds * 1000
        return web.json_response(
            {"call_sid": sid, "target": target, "token": token, "expires_at": rfc3339(expires_ms)},
            status=201,
            headers={"Cache-Control": "no-store"},
        )

    async def _check_owner(self, request: web.Request, sid: str) -> None:
        rows = await self._context.database.read(_OWNER, {"wanted": sid})
        accounts = self._context.accounts
        if not rows or not accounts.may_act_for(request[CALLER], rows[0]["account_sid"]):
            raise Problem(404, f"There is no call {sid}")


def _order(body: bytes) -> tuple[str, int]:
    """Target and seconds.  Raises `Problem` naming what is wrong."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise Problem(400, 'The body is not JSON; expected {"target": "module:owner.name"}') from None
    if not isinstance(asked, dict):
        raise Problem(400, 'The body is not a JSON object; expected {"target": "module:owner.name"}')
    if unknown := sorted(set(asked) - {"target", "seconds"}):
        raise Problem(400, f"{unknown[0][:64]!r} means nothing here; expected target and seconds")
    return _target(asked.get("target")), _seconds(asked.get("seconds", DEFAULT_SECONDS))


def _target(value: Any) -> str:
    is_text = isinstance(value, str) and 0 < len(value) <= LONGEST_TARGET and value.isprintable()
    if not is_text or " " in value or ":" not in value:
        raise Problem(
            400,
            "target has to be a URI that control can pass to, such as module:owner.name or "
            f"https://example.com/next, of at most {LONGEST_TARGET} characters",
        )
    return str(value)


def _seconds(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_SECONDS:
        raise Problem(400, f"seconds has to be a whole number from 1 to {MOST_SECONDS}")
    return value
