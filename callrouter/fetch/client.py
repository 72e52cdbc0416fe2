"""The fetcher: documents, callbacks and audio files over HTTP."""

from __future__ import annotations

import itertools
import socket
import ssl
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, TypeVar

import aiohttp

from callrouter.errors import FetchFailed
from callrouter.fetch import failures
from callrouter.fetch.address import Address, BadUrl, parse_address, without_credentials
from callrouter.fetch.body import read_whole
from callrouter.fetch.cookies import CallJar
from callrouter.fetch.exchange import Exchange, Outgoing, note_new_connection
from callrouter.fetch.guard import Guard, GuardedResolver
from callrouter.fetch.media import MediaCache
from callrouter.fetch.overrides import BadRetryPolicy, Limits, with_overrides
from callrouter.fetch.settings import Settings
from callrouter.ports import AudioFile, CookieJar, FetchedDocument, FetchOrder, Metrics

Result = TypeVar("Result")

_ACCEPT_DOCUMENT: Final = "text/xml, application/xml, text/html, text/plain;q=0.5, audio/*;q=0.5, */*;q=0.1"
_FORM: Final = "application/x-www-form-urlencoded; charset=utf-8"
_IDEMPOTENCY: Final = "I-Twilio-Idempotency-Token"
_HEADER_BYTES: Final = 8190


class HttpFetcher:
    """Fits `ports.Fetcher`.  One session with kept connections for all calls; a slow host uses up
    only its own connections.  Call `start` on the event loop before anything else, `stop` once."""

    def __init__(self, settings: Settings, guard: Guard, metrics: Metrics) -> None:
        self._settings = settings
        self._guard = guard
        self._metrics = metrics
        self._limits = Limits(
            connect_ms=settings.connect_timeout_ms,
            read_ms=settings.read_timeout_ms,
            total_ms=settings.total_timeout_ms,
        )
        self._session: aiohttp.ClientSession | None = None
        self._unique = str(uuid.uuid4())[:-13]
        """Of this process; a number for each request makes it a UUID again."""
        self._numbers = itertools.count()
        self._cache = MediaCache(settings, self._download)

    async def start(self) -> None:
        """Raises `StartupError` when the cache folder cannot be used."""
        await self._cache.start()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=_tls_context(self._settings),
                limit=0,
                limit_per_host=self._settings.connections_per_host,
                keepalive_timeout=self._settings.keepalive_seconds,
                resolver=GuardedResolver(self._guard, self._settings.resolver_threads),
                socket_factory=self._open_socket,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": self._settings.user_agent},
            trust_env=False,
            max_line_size=_HEADER_BYTES,
            max_field_size=_HEADER_BYTES,
        )
        self._exchange = Exchange(self._session, self._guard, self._settings.redirects)

    async def stop(self) -> None:
        await self._cache.stop()
        if self._session is not None:
            await self._session.close()

    def jar(self) -> CookieJar:
        return CallJar()

    async def document(self, order: FetchOrder, jar: CookieJar) -> FetchedDocument:
        """Fetch a document.  Raises `FetchFailed` for everything but a 2xx answer with a body of at
        most `document_bytes`.  The result's `url` may hold the user and password of the order's."""
        if not isinstance(jar, CallJar):
            raise TypeError("the jar has to come from HttpFetcher.jar()")
        began = time.monotonic()

        async def read(response: aiohttp.ClientResponse, address: Address) -> FetchedDocument:
            _require_success(response, address)
            body = await read_whole(response, self._settings.document_bytes)
            if not body:
                raise failures.failed(
                    failures.EMPTY, f"The answer is empty ({address.sent})", url=address.sent
                )
            return FetchedDocument(
                url=address.signed,
                status=response.status,
                content_type=response.headers.get("Content-Type", ""),
                body=body,
                duration_ms=round((time.monotonic() - began) * 1000),
            )

        outgoing, limits = self._prepare(order)
        return await self._measured(lambda: self._exchange.run(outgoing, jar, limits, read))

    async def callback(self, order: FetchOrder) -> int:
        """Deliver a status callback; its answer's status, whatever it is.  The body is ignored."""

        async def read(response: aiohttp.ClientResponse, _: Address) -> int:
            return response.status

        outgoing, limits = self._prepare(order)
        return await self._measured(lambda: self._exchange.run(outgoing, CallJar(), limits, read))

    async def media(self, url: str) -> AudioFile:
        """An audio file, from the cache where the server allows it."""
        return await self._cache.get(url)

    def _open_socket(self, info: tuple[Any, ...]) -> socket.socket:
        note_new_connection()
        return self._guard.open_socket(info)

    def _prepare(self, order: FetchOrder) -> tuple[Outgoing, Limits]:
        address, limits = _parse(order.url, self._limits)
        headers = {
            "Accept": _ACCEPT_DOCUMENT,
            "Cache-Control": "max-age=259200",
            _IDEMPOTENCY: f"{self._unique}-{next(self._numbers):012x}",
        }
        if order.method == "POST":
            headers["Content-Type"] = _FORM
        private = dict(order.headers)
        if _IDEMPOTENCY in private:
            headers[_IDEMPOTENCY] = private.pop(_IDEMPOTENCY)
        outgoing = Outgoing(
            address=address if order.method == "POST" else address.with_query(order.parameters),
            method=order.method,
            form=order.parameters if order.method == "POST" else (),
            headers=headers,
            private_headers=private,
            secret=order.secret,
        )
        return outgoing, limits

    async def _download(
        self,
        url: str,
        headers: dict[str, str],
        read: Callable[[aiohttp.ClientResponse, Address], Awaitable[AudioFile]],
    ) -> AudioFile:
        total_ms = round(self._settings.media_timeout_seconds * 1000)
        address, limits = _parse(url, Limits(self._limits.connect_ms, self._limits.read_ms, total_ms))
        outgoing = Outgoing(address, "GET", (), {"Accept": "audio/*, */*;q=0.1", **headers})
        return await self._measured(lambda: self._exchange.run(outgoing, CallJar(), limits, read))

    async def _measured(self, run: Callable[[], Awaitable[Result]]) -> Result:
        began = time.monotonic()
        outcome: failures.Outcome = "ok"
        try:
            result = await run()
            if isinstance(result, int) and result >= 400:
                outcome = "http_4xx" if result < 500 else "http_5xx"
        except FetchFailed as failure:
            outcome = failures.outcome(failure)
            raise
        finally:
            self._metrics.observe("fetch_seconds", time.monotonic() - began, outcome=outcome)
        return result


def _parse(url: str, limits: Limits) -> tuple[Address, Limits]:
    try:
        address = parse_address(url)
        return address, with_overrides(limits, address.fragment)
    except BadUrl as error:
        message = f"Cannot fetch: {error}"
        raise failures.failed(failures.BAD_URL, message, url=without_credentials(url)) from None
    except BadRetryPolicy as error:
        shown = without_credentials(url)
        raise failures.failed(failures.BAD_RETRY_POLICY, f"{error} ({shown})", url=shown) from None


def _require_success(response: aiohttp.ClientResponse, address: Address) -> None:
    if not 200 <= response.status < 300:
        message = f"The server answered {response.status} {response.reason or ''}".rstrip()
        raise failures.failed(
            failures.HTTP_STATUS, f"{message} ({address.sent})", url=address.sent, status=response.status
        )


def _tls_context(settings: Settings) -> ssl.SSLContext | Literal[False]:
    if not settings.verify_tls:
        return False
    context = ssl.create_default_context()
    if settings.ca_file is not None:
        context.load_verify_locations(settings.ca_file)
    return context
