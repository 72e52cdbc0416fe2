"""Paths of the native API."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from callrouter.api.context import Context
from callrouter.api.v1.openapi import description
from callrouter.api.v1.sessions import Sessions
from callrouter.api.v1.sip_trace import SipTrace
from callrouter.api.v1.transfer_tokens import TransferTokens
from callrouter.api.v1.trunks import Trunks
from callrouter.api.v1.usage import Usage

PREFIX: Final = "/v1"
DOCUMENT: Final = "openapi"
"""Name of the route that serves the description of this API."""


def routes(context: Context) -> list[web.RouteDef]:
    return [
        web.get(f"{PREFIX}/openapi.json", _openapi, name=DOCUMENT),
        web.get(f"{PREFIX}/sessions/{{sid:CA[0-9a-fA-F]{{32}}}}", Sessions(context).fetch),
        web.get(f"{PREFIX}/sessions/{{sid:CA[0-9a-fA-F]{{32}}}}/sip", SipTrace(context).fetch),
        web.post(
            f"{PREFIX}/calls/{{sid:CA[0-9a-fA-F]{{32}}}}/transfer-tokens", TransferTokens(context).create
        ),
        web.get(f"{PREFIX}/trunks", Trunks(context).fetch),
        web.get(f"{PREFIX}/usage", Usage(context).fetch),
    ]


async def _openapi(_: web.Request) -> web.Response:
    """What is described is no secret: it needs no credentials."""
    return web.json_response(description())
