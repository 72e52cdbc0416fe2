"""Paths of the compatible API."""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from callrouter.api.compat.accounts import AccountsResource
from callrouter.api.compat.calls import Calls
from callrouter.api.compat.notifications import Notifications
from callrouter.api.compat.recordings import Recordings
from callrouter.api.context import Context

PREFIX: Final = "/2010-04-01"
RECORDING_AUDIO: Final = "recording-audio"
"""Name of the route that serves recorded audio."""

_ACCOUNT: Final = f"{PREFIX}/Accounts/{{account:AC[0-9a-fA-F]{{32}}}}"
_CALL: Final = f"{_ACCOUNT}/Calls/{{call:CA[0-9a-fA-F]{{32}}}}"
_FORMAT: Final = r"{format:(?:\.json|\.xml)?}"


def _sid(prefix: str) -> str:
    return f"{{sid:{prefix}[0-9a-fA-F]{{32}}}}"


def routes(context: Context) -> list[web.RouteDef]:
    calls = Calls(context)
    recordings = Recordings(context)
    notifications = Notifications(context)
    accounts = AccountsResource(context)
    defined = [
        _route(hdrs.METH_GET, f"{PREFIX}/Accounts{_FORMAT}", accounts.list),
        _route(hdrs.METH_GET, f"{_ACCOUNT}{_FORMAT}", accounts.fetch),
        _route(hdrs.METH_POST, f"{_ACCOUNT}/Calls{_FORMAT}", calls.create),
        _route(hdrs.METH_GET, f"{_ACCOUNT}/Calls{_FORMAT}", calls.list),
        _route(hdrs.METH_GET, f"{_ACCOUNT}/Calls/{_sid('CA')}{_FORMAT}", calls.fetch),
        _route(hdrs.METH_POST, f"{_ACCOUNT}/Calls/{_sid('CA')}{_FORMAT}", calls.update),
        _route(hdrs.METH_DELETE, f"{_ACCOUNT}/Calls/{_sid('CA')}{_FORMAT}", calls.delete),
        _route(hdrs.METH_GET, f"{_CALL}/Events{_FORMAT}", notifications.events),
    ]
    for base in (_ACCOUNT, _CALL):
        recording = f"{base}/Recordings/{_sid('RE')}"
        notification = f"{base}/Notifications/{_sid('NO')}"
        defined += [
            _route(hdrs.METH_GET, f"{base}/Recordings{_FORMAT}", recordings.list),
            _route(hdrs.METH_GET, f"{recording}{{format:\\.json|\\.xml}}", recordings.fetch),
            _route(hdrs.METH_DELETE, f"{recording}{_FORMAT}", recordings.delete),
            _route(hdrs.METH_GET, f"{base}/Notifications{_FORMAT}", notifications.list),
            _route(hdrs.METH_GET, f"{notification}{_FORMAT}", notifications.fetch),
        ]
    audio = f"{_ACCOUNT}/Recordings/{_sid('RE')}{{format:(?:\\.wav|\\.mp3)?}}"
    defined.append(web.get(audio, recordings.audio, name=RECORDING_AUDIO))
    return defined


def _route(method: str, path: str, handler: Handler) -> web.RouteDef:
    return web.route(method, path, handler)
