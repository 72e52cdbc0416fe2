"""Turns whatever a handler raises into the error format of the API it belongs to.

This is the one place where a request's errors are caught broadly: a bug costs its own request an
answer of 500 and a log line, nothing else.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from callrouter.api.auth import ForeignAccount, Gate, TooManyAttempts, Unauthenticated
from callrouter.api.compat import errors as codes
from callrouter.api.compat import render
from callrouter.api.compat import routes as compat
from callrouter.api.compat.errors import RestError
from callrouter.api.health import PATHS
from callrouter.api.v1 import problems
from callrouter.api.v1.problems import Problem
from callrouter.errors import CallError
from callrouter.storage.outage import is_outage

log = structlog.get_logger(__name__)

_CODES: Final = {
    400: codes.BAD_PARAMETER,
    401: codes.PERMISSION_DENIED,
    404: codes.NOT_FOUND,
    405: codes.METHOD_NOT_ALLOWED,
    408: codes.BAD_PARAMETER,
    413: codes.TOO_LARGE,
    429: codes.TOO_MANY,
    500: codes.INTERNAL,
    503: codes.UNAVAILABLE,
}
_LATER: Final = {"Retry-After": "5"}
_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="callrouter", charset="UTF-8"'}


def middleware(gate: Gate, body_seconds: float) -> Middleware:
    """Admits, reads the body within its time, runs the handler, and answers its errors."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if request.path not in PATHS:
                gate.admit(request)
            await _read_body(request, body_seconds)
            return await handler(request)
        except (RestError, Problem, web.HTTPException) as error:
            return _failure(request, error)
        except Unauthenticated:
            return _plain(request, 401, "Authenticate with an account's sid and token", _CHALLENGE)
        except ForeignAccount:
            return _plain(request, 404, f"The requested resource {request.path} was not found")
        except TooManyAttempts as error:
            return _plain(request, 429, str(error), {"Retry-After": str(error.retry_seconds)})
        except CallError as error:
            status = 503 if error.retryable else 400
            return _respond(request, RestError(status, error.code or _CODES[status], str(error)))
        except Exception as error:
            if is_outage(error):
                log.error("api_database_unavailable", path=request.path, error=str(error))
                return _plain(request, 503, "The database cannot be used now; try again", _LATER)
            log.exception("api_request_failed", method=request.method, path=request.path, error=repr(error))
            return _plain(request, 500, "An internal error occurred; the server's log has the details")

    return answer


async def _read_body(request: web.Request, seconds: float) -> None:
    if not request.can_read_body:
        return
    try:
        async with asyncio.timeout(seconds):
            await request.read()
    except TimeoutError:
        raise RestError(408, codes.BAD_PARAMETER, f"The body did not arrive within {seconds:g} s") from None


def _failure(request: web.Request, error: RestError | Problem | web.HTTPException) -> web.StreamResponse:
    if isinstance(error, RestError):
        return _respond(request, error)
    if isinstance(error, Problem):
        return problems.response(error)
    if error.status < 400:
        raise error
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return _plain(request, error.status, _sentence(request, error.status), headers)


def _sentence(request: web.Request, status: int) -> str:
    match status:
        case 404:
            return f"The requested resource {request.path} was not found"
        case 405:
            return f"{request.method} is not possible on {request.path}"
        case 413:
            return "The request body is too large"
        case _:
            return HTTPStatus(status).phrase


def _plain(
    request: web.Request, status: int, message: str, headers: dict[str, str] | None = None
) -> web.Response:
    return _respond(request, RestError(status, _CODES.get(status, codes.BAD_PARAMETER), message), headers)


def _respond(request: web.Request, error: RestError, headers: dict[str, str] | None = None) -> web.Response:
    """In the format of the API that the path belongs to."""
    if not request.path.startswith(compat.PREFIX):
        return problems.response(Problem(error.status, error.message), headers)
    response = render.error(request, error)
    response.headers.update(headers or {})
    return response
