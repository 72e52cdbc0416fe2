"""Paths of the native API."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from callrouter.api.context import Context
from callrouter.api.v1.sessions import Sessions
from callrouter.api.v1.usage import Usage

PREFIX: Final = "/v1"


def routes(context: Context) -> list[web.RouteDef]:
    return [
        web.get(f"{PREFIX}/sessions/{{sid:CA[0-9a-fA-F]{{32}}}}", Sessions(context).fetch),
        web.get(f"{PREFIX}/usage", Usage(context).fetch),
    ]
