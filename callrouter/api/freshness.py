"""Whoever reads sees what was recorded before they asked.

Calls do not wait for their rows to be written; a reader does, within bounds: with the database away
or far behind, what is there is shown.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from callrouter.api.health import PATHS
from callrouter.storage.database import Database

SECONDS: Final = 1.0
_READING: Final = frozenset({"GET", "HEAD"})


def middleware(database: Database) -> Middleware:
    """Stands behind authentication: strangers cause no writes."""

    @web.middleware
    async def after_writes(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method in _READING and request.path not in PATHS:
            await database.caught_up(SECONDS)
        return await handler(request)

    return after_writes
