"""Counts requests for the metrics: by the template of their path, so that no sid becomes a label."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from callrouter.ports import Metrics

_NO_ROUTE = "none"


def middleware(figures: Metrics) -> Middleware:
    """The outermost: it sees the answer that is sent, errors included."""

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        status = 500
        try:
            answer = await handler(request)
            status = answer.status
            return answer
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            labels = {"route": _route(request), "class": f"{status // 100}xx"}
            figures.count("rest_requests", 1, **labels)

    return count


def _route(request: web.Request) -> str:
    """`/v1/sessions/{sid}`; "none" for a path that no route has."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else _NO_ROUTE
