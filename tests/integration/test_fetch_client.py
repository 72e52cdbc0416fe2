"""The fetcher against real servers on loopback: good ones, broken ones and hostile ones."""

from __future__ import annotations

import asyncio
import base64
import gzip
import re
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from aiohttp import web
from twilio.request_validator import RequestValidator

from callrouter.errors import FetchFailed
from callrouter.fetch.client import HttpFetcher
from callrouter.fetch.guard import Guard
from callrouter.fetch.settings import Settings
from callrouter.ports import FetchOrder
from tests.e2e.addresses import free_port
from tests.narrowing import as_a

SECRET = "a-token"
DOCUMENT = b"<Response><Say>hello</Say></Response>"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Observed:
    """A `Metrics` that remembers the outcomes."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        raise AssertionError(name)

    def counter(self, name: str, **labels: str) -> Callable[[], None]:
        raise AssertionError(name)

    def observe(self, name: str, value: float, **labels: str) -> None:
        assert name == "fetch_seconds"
        assert value >= 0
        self.outcomes.append(labels["outcome"])

    def gauge(self, name: str, value: float, **labels: str) -> None:
        raise AssertionError(name)


class Site:
    """A web server for one test; `requests` holds what it was asked."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.forms: list[dict[str, str]] = []
        self.base = ""
        self.handler: Handler | None = None

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, web.Request)
        self.forms.append({key: str(value) for key, value in (await request.post()).items()})
        self.requests.append(request)
        assert self.handler is not None
        return await self.handler(request)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", site.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener).start()
    site.base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    yield site
    await runner.cleanup()


@asynccontextmanager
async def fetching(tmp_path: Path, *bases: str, **settings: object) -> AsyncIterator[HttpFetcher]:
    allow = tuple(base.removeprefix("http://").removeprefix("https://") for base in bases)
    chosen = Settings.model_validate(
        {"media_cache_dir": tmp_path / "media", "allow_private": allow, **settings}
    )
    fetcher = HttpFetcher(chosen, Guard(allow), Observed())
    await fetcher.start()
    try:
        yield fetcher
    finally:
        await fetcher.stop()


def outcomes(fetcher: HttpFetcher) -> list[str]:
    return as_a(Observed, fetcher._metrics).outcomes


def order(url: str, method: Literal["GET", "POST"] = "POST", **parameters: str) -> FetchOrder:
    return FetchOrder(url, method, tuple(parameters.items()), SECRET)


def answering(body: bytes = DOCUMENT, content_type: str = "text/xml", **more: Any) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type, **more)

    return handler


async def fail(fetcher: HttpFetcher, url: str, method: Literal["GET", "POST"] = "POST") -> FetchFailed:
    with pytest.raises(FetchFailed) as raised:
        await fetcher.document(order(url, method, CallSid="CA1"), fetcher.jar())
    return raised.value


@asynccontextmanager
async def raw_server(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """A server that speaks bytes; `answer` is called when the head of a request has been read."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def saying(
    text: bytes, then_wait: float = 0
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await writer.drain()
        await asyncio.sleep(then_wait)

    return answer


async def test_post_carries_form_signature_and_standard_headers(site: Site, tmp_path: Path) -> None:
    site.handler = answering(content_type="application/xml")
    url = f"{site.base}/voice?x=1&y=%20"
    async with fetching(tmp_path, site.base) as fetcher:
        got = await fetcher.document(order(url + "#rc=0", From="+1555", Name="é&="), fetcher.jar())
        assert outcomes(fetcher) == ["ok"]
    request = site.requests[0]
    assert (got.url, got.status, got.body) == (url, 200, DOCUMENT)
    assert got.content_type.startswith("application/xml")
    assert site.forms == [{"From": "+1555", "Name": "é&="}]
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded; charset=utf-8"
    assert request.headers["User-Agent"] == "TwilioProxy/1.1"
    assert request.headers["Cache-Control"] == "max-age=259200"
    assert re.fullmatch(r"[0-9a-f-]{36}", request.headers["I-Twilio-Idempotency-Token"])
    assert "xml" in request.headers["Accept"]
    assert "#" not in request.path_qs
    signed = request.headers["X-Twilio-Signature"]
    assert RequestValidator(SECRET).validate(f"http://{request.host}{request.path_qs}", site.forms[0], signed)


async def test_get_puts_the_parameters_into_the_signed_query(site: Site, tmp_path: Path) -> None:
    site.handler = answering()
    async with fetching(tmp_path, site.base) as fetcher:
        await fetcher.document(order(f"{site.base}/v?x=1", "GET", To="+1 5", N="é"), fetcher.jar())
    request = site.requests[0]
    assert dict(request.query) == {"x": "1", "To": "+1 5", "N": "é"}
    assert "Content-Type" not in request.headers
    url = f"http://{request.host}{request.raw_path}"
    assert RequestValidator(SECRET).validate(url, {}, request.headers["X-Twilio-Signature"])


async def test_cookies_live_as_long_as_the_jar_of_the_call(site: Site, tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.Response:
        response = web.Response(body=DOCUMENT, content_type="text/xml")
        response.headers.add("Set-Cookie", 'session="a=b"; Path=/')
        response.headers.add("Set-Cookie", "deep=1; Path=/deep")
        return response

    site.handler = handler
    async with fetching(tmp_path, site.base) as fetcher:
        jar = fetcher.jar()
        for path in ("/one", "/two", "/deep/three"):
            await fetcher.document(order(site.base + path), jar)
        await fetcher.document(order(f"{site.base}/other"), fetcher.jar())
    sent = [request.headers.get("Cookie", "") for request in site.requests]
    assert sent[0] == sent[3] == ""
    assert sent[1] == 'session="a=b"'
    assert set(sent[2].split("; ")) == {'session="a=b"', "deep=1"}


async def test_credentials_are_given_only_when_asked_for_and_then_for_the_whole_call(
    site: Site, tmp_path: Path
) -> None:
    login = "Basic " + base64.b64encode(b"user:p@ss").decode()

    async def handler(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != login:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
        return web.Response(body=DOCUMENT, content_type="text/xml")

    site.handler = handler
    with_login = site.base.replace("//", "//user:p%40ss@") + "/v"
    async with fetching(tmp_path, site.base) as fetcher:
        jar = fetcher.jar()
        got = await fetcher.document(order(with_login), jar)
        await fetcher.document(order(got.url), jar)
        wrong = await fail(fetcher, with_login.replace("p%40ss", "wrong"))
        open_url = await fail(fetcher, f"{site.base}/v")
    assert [("Authorization" in request.headers) for request in site.requests[:3]] == [False, True, True]
    assert (wrong.code, wrong.status, open_url.code) == (11200, 401, 11200)
    assert "wrong" not in f"{wrong}{wrong.url}"
    signed = site.requests[0].headers["X-Twilio-Signature"]
    assert RequestValidator(SECRET).validate(with_login, {}, signed)


async def test_redirects_are_followed_with_get_and_without_the_parameters(site: Site, tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.path == "/start":
            return web.Response(status=307, headers={"Location": "sub/next?q=1"})
        return web.Response(body=DOCUMENT, content_type="text/xml")

    site.handler = handler
    async with fetching(tmp_path, site.base) as fetcher:
        got = await fetcher.document(order(f"{site.base}/start", Digits="1"), fetcher.jar())
    assert got.url == f"{site.base}/sub/next?q=1"
    second = site.requests[1]
    assert (second.method, second.path_qs, site.forms[1]) == ("GET", "/sub/next?q=1", {})
    assert "Content-Type" not in second.headers
    assert RequestValidator(SECRET).validate(got.url, {}, second.headers["X-Twilio-Signature"])


async def test_extra_headers_stay_with_the_origin_they_were_meant_for(site: Site, tmp_path: Path) -> None:
    other = site.base.replace("127.0.0.1", "localhost")

    async def handler(request: web.Request) -> web.Response:
        hops = {"/a": "/b", "/b": f"{other}/c"}
        if request.path in hops:
            return web.Response(status=302, headers={"Location": hops[request.path]})
        return web.Response(body=DOCUMENT, content_type="text/xml")

    site.handler = handler
    async with fetching(tmp_path, site.base, other) as fetcher:
        asked = FetchOrder(f"{site.base}/a", "POST", (), SECRET, (("X-Control", "token"),))
        await fetcher.document(asked, fetcher.jar())
    assert ["X-Control" in request.headers for request in site.requests] == [True, True, False]


async def test_endless_redirects_are_given_up_after_ten(site: Site, tmp_path: Path) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/again"})

    site.handler = handler
    async with fetching(tmp_path, site.base) as fetcher:
        assert (await fail(fetcher, f"{site.base}/x")).code == 11215
    assert len(site.requests) == 11


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("file:///etc/passwd", 11100),
        ("gopher://h/", 11100),
        ("http://169.254.169.254/latest", 11205),
        ("http://127.0.0.1:1/", 11205),
        ("http://2130706433/", 11205),
        ("//[::1]:22/", 11205),
    ],
)
async def test_redirect_to_a_forbidden_place_is_refused(
    site: Site, tmp_path: Path, location: str, code: int
) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": location})

    site.handler = handler
    async with fetching(tmp_path, site.base) as fetcher:
        assert (await fail(fetcher, f"{site.base}/x")).code == code


@pytest.mark.parametrize(("status", "outcome"), [(404, "http_4xx"), (500, "http_5xx"), (304, "invalid")])
async def test_status_that_is_no_success_fails_with_11200(
    site: Site, tmp_path: Path, status: int, outcome: str
) -> None:
    site.handler = answering(b"", status=status)
    async with fetching(tmp_path, site.base) as fetcher:
        failure = await fail(fetcher, f"{site.base}/x")
        assert outcomes(fetcher) == [outcome]
    assert (failure.code, failure.status) == (11200, status)
    assert len(site.requests) == 1


async def test_empty_document_fails_with_11770(site: Site, tmp_path: Path) -> None:
    site.handler = answering(b"")
    async with fetching(tmp_path, site.base) as fetcher:
        assert (await fail(fetcher, f"{site.base}/x")).code == 11770


@pytest.mark.parametrize(("size", "fits"), [(65536, True), (65537, False)])
async def test_document_may_have_64_kilobytes(site: Site, tmp_path: Path, size: int, fits: bool) -> None:
    site.handler = answering(b"x" * size)
    async with fetching(tmp_path, site.base) as fetcher:
        if fits:
            assert len((await fetcher.document(order(f"{site.base}/x"), fetcher.jar())).body) == size
        else:
            assert (await fail(fetcher, f"{site.base}/x")).code == 11750


async def test_compressed_documents_are_read_and_bombs_are_cut_short(site: Site, tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(200_000_000), 9)
    bodies = {"/good": gzip.compress(DOCUMENT), "/bomb": bomb, "/broken": b"not gzip"}

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=bodies[request.path], headers={"Content-Encoding": "gzip"})

    site.handler = handler
    async with fetching(tmp_path, site.base) as fetcher:
        assert (await fetcher.document(order(f"{site.base}/good"), fetcher.jar())).body == DOCUMENT
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert (await fail(fetcher, f"{site.base}/bomb")).code == 11750
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000
        assert (await fail(fetcher, f"{site.base}/broken")).code == 11206


@pytest.mark.parametrize(
    ("answer", "code", "outcome"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nx", 11750, "invalid"),
        (b"SSH-2.0-OpenSSH\r\n", 11206, "invalid"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20000 + b"\r\n\r\n", 11206, "invalid"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<Resp", 11206, "invalid"),
        (b"", 11205, "connect"),
    ],
)
async def test_nonsense_instead_of_an_answer_is_named(
    tmp_path: Path, answer: bytes, code: int, outcome: str
) -> None:
    async with raw_server(saying(answer)) as base, fetching(tmp_path, base) as fetcher:
        assert (await fail(fetcher, f"{base}/x")).code == code
        assert outcomes(fetcher) == [outcome]


@pytest.mark.parametrize(
    "start", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<"]
)
async def test_server_that_goes_quiet_costs_the_read_timeout(tmp_path: Path, start: bytes) -> None:
    async with raw_server(saying(start, then_wait=30)) as base, fetching(tmp_path, base) as fetcher:
        failure = await fail(fetcher, f"{base}/x#rt=150")
        assert (failure.code, failure.retryable) == (11203, True)
        assert outcomes(fetcher) == ["timeout"]


async def test_server_that_dribbles_costs_the_total_timeout(tmp_path: Path) -> None:
    async def dribble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _round in range(600):
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with raw_server(dribble) as base, fetching(tmp_path, base) as fetcher:
        assert (await fail(fetcher, f"{base}/x#tt=300")).code == 11203


async def test_slow_host_does_not_hold_up_the_others(site: Site, tmp_path: Path) -> None:
    site.handler = answering()
    hurried = asyncio.Event()

    async def held_up(_: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await hurried.wait()

    async with (
        raw_server(held_up) as slow,
        fetching(tmp_path, site.base, slow, connections_per_host=2) as fetcher,
    ):
        stuck = [asyncio.create_task(fail(fetcher, f"{slow}/{n}#tt=15000")) for n in range(50)]
        await asyncio.sleep(0.05)
        await fetcher.document(order(f"{site.base}/v"), fetcher.jar())
        assert not any(one.done() for one in stuck)
        hurried.set()
        assert {failure.code for failure in await asyncio.gather(*stuck)} == {11205}


async def test_waiting_for_a_connection_counts_into_the_total_timeout(tmp_path: Path) -> None:
    async with (
        raw_server(saying(b"", then_wait=30)) as slow,
        fetching(tmp_path, slow, connections_per_host=2) as fetcher,
    ):
        stuck = [asyncio.create_task(fail(fetcher, f"{slow}/{n}#tt=300")) for n in range(6)]
        assert {failure.code for failure in await asyncio.gather(*stuck)} == {11203}


async def test_nothing_listening_is_refused_after_one_retry(tmp_path: Path) -> None:
    base = f"http://127.0.0.1:{free_port()}"
    async with fetching(tmp_path, base) as fetcher:
        failure = await fail(fetcher, f"{base}/x")
        assert (failure.code, failure.retryable) == (11202, True)
        assert outcomes(fetcher) == ["connect"]


@pytest.mark.parametrize(("policy", "requests"), [("rc=2&rp=5xx", 3), ("rc=5", 1), ("rc=1&rp=4xx", 1)])
async def test_retries_follow_the_policy_and_keep_the_idempotency_token(
    site: Site, tmp_path: Path, policy: str, requests: int
) -> None:
    site.handler = answering(b"", status=503)
    async with fetching(tmp_path, site.base) as fetcher:
        assert (await fail(fetcher, f"{site.base}/x#{policy}")).status == 503
    assert len(site.requests) == requests
    assert len({request.headers["I-Twilio-Idempotency-Token"] for request in site.requests}) == 1


async def test_bad_retry_policy_is_reported(site: Site, tmp_path: Path) -> None:
    async with fetching(tmp_path, site.base) as fetcher:
        assert (await fail(fetcher, f"{site.base}/x#rp=never")).code == 11243
    assert site.requests == []


async def test_connection_the_server_closed_while_idle_is_replaced(tmp_path: Path) -> None:
    connections = 0

    async def close_soon(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.read(65536)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 11\r\n\r\n<Response/>")
        await reader.readuntil(b"\r\n\r\n")  # the second request on this connection gets no answer

    async with raw_server(close_soon) as base, fetching(tmp_path, base) as fetcher:
        for _ in range(3):
            await fetcher.document(order(f"{base}/x", a="b"), fetcher.jar())
    assert connections == 3


async def test_unknown_host_name_fails_with_11210(tmp_path: Path) -> None:
    async with fetching(tmp_path) as fetcher:
        failure = await fail(fetcher, "http://no-such-host.invalid/x#rc=0")
        assert failure.code == 11210
        assert outcomes(fetcher) == ["dns"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1", "0x7f.1", "①②⑦.0.0.1"]
)
async def test_loopback_is_not_reached_however_it_is_spelled(site: Site, tmp_path: Path, host: str) -> None:
    site.handler = answering()
    port = site.base.rpartition(":")[2]
    async with fetching(tmp_path) as fetcher:
        failure = await fail(fetcher, f"http://{host}:{port}/x")
        assert (failure.code, failure.retryable) == (11205, False)
    assert site.requests == []


async def test_callback_reports_the_status_and_ignores_the_body(site: Site, tmp_path: Path) -> None:
    async with fetching(tmp_path, site.base) as fetcher:
        site.handler = answering(b"", status=204)
        assert await fetcher.callback(order(f"{site.base}/cb", CallStatus="completed")) == 204
        site.handler = answering(b"x" * 100_000, status=500)
        assert await fetcher.callback(order(f"{site.base}/cb")) == 500
        assert outcomes(fetcher) == ["ok", "http_5xx"]
    assert site.forms[0] == {"CallStatus": "completed"}
