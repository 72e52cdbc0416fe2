"""Errors of the native API: `application/problem+json` (RFC 9457)."""

from __future__ import annotations

import json
from http import HTTPStatus

from aiohttp import web


class Problem(Exception):
    """An answer that is an error; `detail` says what was wrong and what to do."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def response(problem: Problem, headers: dict[str, str] | None = None) -> web.Response:
    fields = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
    }
    return web.Response(
        body=json.dumps(fields).encode(),
        status=problem.status,
        content_type="application/problem+json",
        headers=headers,
    )
