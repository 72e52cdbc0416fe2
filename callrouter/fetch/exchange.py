"""One request and all it takes to have its answer: log in, follow redirects, try again, give up.

Redirects are followed by hand, so that every hop is checked like the first one; they are followed
with GET and nothing of the parameters or extra headers goes to another origin.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, TypeVar
from urllib.parse import urljoin

import aiohttp

from callrouter.fetch import failures
from callrouter.fetch.address import Address, BadUrl, parse_address, without_credentials
from callrouter.fetch.cookies import CallJar
from callrouter.fetch.form import encoded
from callrouter.fetch.guard import Guard
from callrouter.fetch.overrides import Limits
from callrouter.fetch.signature import HEADER, signature

if TYPE_CHECKING:
    from callrouter.errors import FetchFailed

Answer = TypeVar("Answer")
Read = Callable[[aiohttp.ClientResponse, Address], Awaitable[Answer]]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_STALE_CONNECTIONS: Final = 3
_RETRY_PAUSE_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request ready to be sent."""

    address: Address
    method: Literal["GET", "POST"]
    form: tuple[tuple[str, str], ...]
    """Body of a POST."""
    headers: Mapping[str, str]
    """Sent on every hop (the body's Content-Type only with the body)."""
    private_headers: Mapping[str, str] = field(default_factory=dict)
    """Sent to the first origin only: control tokens."""
    secret: str = ""
    """Signs each hop; "" = unsigned."""


@dataclass(slots=True)
class _Connection:
    """What one request is sent over."""

    is_reused: bool = True
    """Until a socket is opened for it."""


_connection: ContextVar[_Connection | None] = ContextVar("connection", default=None)


def note_new_connection() -> None:
    """To be called, in the request's context, where a socket is opened for it."""
    connection = _connection.get()
    if connection is not None:
        connection.is_reused = False


class Exchange:
    """Carries out `Outgoing` requests over a shared session."""

    def __init__(self, session: aiohttp.ClientSession, guard: Guard, redirects: int) -> None:
        self._session = session
        self._guard = guard
        self._redirects = redirects

    async def run(self, outgoing: Outgoing, jar: CallJar, limits: Limits, read: Read[Answer]) -> Answer:
        """Send, and pass the final answer (2xx to 5xx, no redirect) to `read`.

        Tries again as `limits` say, never after `read` has begun on a good answer.
        Raises `FetchFailed`; an answer of 4xx or 5xx is for `read` to judge.
        """
        try:
            async with asyncio.timeout(limits.total_ms / 1000):
                return await self._attempts(outgoing, jar, limits, read)
        except TimeoutError:
            url = outgoing.address.sent
            message = f"No complete answer within {limits.total_ms} ms ({url})"
            raise failures.failed(failures.TOTAL_TIMEOUT, message, url=url) from None

    async def _attempts(self, outgoing: Outgoing, jar: CallJar, limits: Limits, read: Read[Answer]) -> Answer:
        for _ in range(limits.retries):
            try:
                return await self._attempt(outgoing, jar, limits, read)
            except _Retry:
                await asyncio.sleep(_RETRY_PAUSE_SECONDS)
        return await self._attempt(outgoing, jar, limits, read, last=True)

    async def _attempt(
        self, outgoing: Outgoing, jar: CallJar, limits: Limits, read: Read[Answer], *, last: bool = False
    ) -> Answer:
        retry_on = frozenset[str]() if last else limits.retry_on
        hop = outgoing
        for _ in range(self._redirects + 1):
            try:
                response = await self._answer(hop, jar, limits)
            except _Unanswered as unanswered:
                if unanswered.condition in retry_on:
                    raise _Retry from None
                raise unanswered.failure from None
            try:
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or not location:
                    if f"{response.status // 100}xx" in retry_on:
                        raise _Retry
                    return await _guarded(read, response, hop.address)
            finally:
                # Does nothing after a body that was read to its end: that connection is kept.
                response.close()
            hop = _next_hop(hop, location)
        url = outgoing.address.sent
        message = f"More than {self._redirects} redirects ({url})"
        raise failures.failed(failures.REDIRECTS, message, url=url)

    async def _answer(self, hop: Outgoing, jar: CallJar, limits: Limits) -> aiohttp.ClientResponse:
        """The answer to one hop, after a login if one was asked for and could be given."""
        response = await self._send(hop, jar, limits)
        address = hop.address
        challenge = response.headers.get("WWW-Authenticate", "").lstrip().lower()
        if response.status == 401 and address.username and challenge.startswith("basic"):
            before = jar.authorization(address)
            jar.log_in(address)
            if jar.authorization(address) != before:
                response.close()
                response = await self._send(hop, jar, limits)
        return response

    async def _send(self, hop: Outgoing, jar: CallJar, limits: Limits) -> aiohttp.ClientResponse:
        for remaining in reversed(range(_STALE_CONNECTIONS)):
            connection = _Connection()
            _connection.set(connection)
            try:
                return await self._send_once(hop, jar, limits)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                # A kept connection that the server closed while it was idle says nothing about the
                # server: use another one.  The idempotency token makes this safe.
                if isinstance(error, aiohttp.ClientConnectorError) or not (
                    connection.is_reused and remaining
                ):
                    raise _Unanswered(error, hop.address) from error
            except (aiohttp.ClientError, OSError, ValueError) as error:
                raise _Unanswered(error, hop.address) from error
        raise AssertionError("the last round returns or raises")

    async def _send_once(self, hop: Outgoing, jar: CallJar, limits: Limits) -> aiohttp.ClientResponse:
        self._guard.check_host(hop.address.host, hop.address.port)
        response = await self._session.request(
            hop.method,
            hop.address.url,
            data=encoded(hop.form).encode() if hop.method == "POST" else None,
            headers=_headers(hop, jar),
            allow_redirects=False,
            timeout=_timeout(limits.connect_ms, limits.read_ms),
        )
        jar.store(hop.address, response.headers.getall("Set-Cookie", ()))
        return response


@lru_cache(maxsize=64)
def _timeout(connect_ms: int, read_ms: int) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=connect_ms / 1000, sock_read=read_ms / 1000)


class _Retry(Exception):
    """The attempt failed in a way the retry policy covers."""


class _Unanswered(Exception):
    """No answer came to one hop."""

    def __init__(self, error: Exception, address: Address) -> None:
        super().__init__(str(error))
        self.failure: FetchFailed = failures.classify(error, address.sent)
        self.condition = "rt"
        """The condition of `rp` it falls under, "" if trying again is pointless."""
        if isinstance(error, aiohttp.ConnectionTimeoutError | aiohttp.ClientConnectorError):
            self.condition = "ct"
        if failures.is_refused_address(error):
            self.condition = ""


def _headers(hop: Outgoing, jar: CallJar) -> dict[str, str]:
    headers = {**hop.headers, **hop.private_headers}
    if hop.secret:
        headers[HEADER] = signature(hop.secret, hop.address.signed, hop.form)
    cookies = jar.header(hop.address)
    if cookies:
        headers["Cookie"] = cookies
    authorization = jar.authorization(hop.address)
    if authorization:
        headers["Authorization"] = authorization
    return headers


def _next_hop(hop: Outgoing, location: str) -> Outgoing:
    url = hop.address.sent
    try:
        address = parse_address(urljoin(url, location))
    except ValueError as error:
        message = f"Redirected to something that cannot be fetched: {error}"
        code = failures.BAD_URL if isinstance(error, BadUrl) else failures.PROTOCOL
        raise failures.failed(code, message, url=url) from None
    if hop.address.scheme == "https" and address.scheme == "http":
        message = f"{url} redirects from https to http: {without_credentials(address.sent)}"
        raise failures.failed(failures.HTTP_STATUS, message, url=url)
    same = address.origin == hop.address.origin
    return Outgoing(
        address=address,
        method="GET",
        form=(),
        headers={name: value for name, value in hop.headers.items() if name != "Content-Type"},
        private_headers=hop.private_headers if same else {},
        secret=hop.secret,
    )


async def _guarded(read: Read[Answer], response: aiohttp.ClientResponse, address: Address) -> Answer:
    try:
        return await read(response, address)
    except TimeoutError as error:
        if not isinstance(error, aiohttp.ServerTimeoutError):
            raise
        raise failures.classify(error, address.sent) from error
    except (aiohttp.ClientError, ValueError) as error:
        raise failures.classify(error, address.sent) from error
