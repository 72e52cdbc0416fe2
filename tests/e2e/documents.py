"""A module server for tests: answers with given documents, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from tests.e2e.addresses import free_port
from tests.patience import PATIENCE_SECONDS

RESPONSE = '<?xml version="1.0" encoding="UTF-8"?><Response>{}</Response>'


@dataclass(frozen=True, slots=True)
class Asked:
    path: str
    method: str
    url: str
    form: dict[str, str]
    headers: dict[str, str]
    at: float
    """Loop time."""


Answer = str | Callable[[Asked], str | web.Response | Awaitable[str | web.Response]]


class Documents:
    """`on("/a", "<Say>hello</Say>")` serves a document; anything else is 404."""

    def __init__(self, port: int | None = None) -> None:
        self.port = port or free_port()
        self.asked: list[Asked] = []
        self._answers: dict[str, Answer] = {}
        self._news = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Documents:
        app = web.Application(client_max_size=2**20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def on(self, path: str, answer: Answer) -> None:
        self._answers[path] = answer

    def requests(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == path]

    async def request(self, path: str, *, number: int = 1, seconds: float = PATIENCE_SECONDS) -> Asked:
        """Wait for the `number`-th request to `path`."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: len(self.requests(path)) >= number)
        return self.requests(path)[number - 1]

    async def _handle(self, request: web.Request) -> web.Response:
        form = await request.post() if request.method == "POST" else request.query
        asked = Asked(
            path=request.path,
            method=request.method,
            url=str(request.url),
            form={key: str(value) for key, value in form.items()},
            headers=dict(request.headers),
            at=asyncio.get_running_loop().time(),
        )
        async with self._news:
            self.asked.append(asked)
            self._news.notify_all()
        answer = self._answers.get(request.path)
        if answer is None:
            return web.Response(status=404)
        if callable(answer):
            given = answer(asked)
            said = given if isinstance(given, str | web.Response) else await given
        else:
            said = answer
        if isinstance(said, web.Response):
            return said
        return web.Response(text=RESPONSE.format(said), content_type="text/xml")
