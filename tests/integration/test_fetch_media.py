"""Audio files: cached as the server asks, fetched once for everybody, bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path

import pytest
from aiohttp import web

from callrouter.errors import FetchFailed, StartupError
from callrouter.fetch.client import HttpFetcher
from callrouter.fetch.guard import Guard
from callrouter.fetch.settings import Settings

AUDIO = b"RIFF" + bytes(range(256)) * 400


class Silent:
    def count(self, name: str, amount: float = 1, **labels: str) -> None: ...
    def counter(self, name: str, **labels: str) -> Callable[[], None]:
        return lambda: None

    def observe(self, name: str, value: float, **labels: str) -> None: ...
    def gauge(self, name: str, value: float, **labels: str) -> None: ...


class AudioServer:
    def __init__(self) -> None:
        self.body = AUDIO
        self.headers: dict[str, str] = {}
        self.status = 200
        self.requests: list[web.BaseRequest] = []
        self.base = ""
        self.delay = 0.0

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.requests.append(request)
        await asyncio.sleep(self.delay)
        etag = self.headers.get("ETag")
        if etag and request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers=self.headers)
        return web.Response(
            body=self.body, status=self.status, content_type="audio/x-wav", headers=self.headers
        )


@pytest.fixture
async def server() -> AsyncIterator[AudioServer]:
    server = AudioServer()
    runner = web.ServerRunner(web.Server(server.answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


@asynccontextmanager
async def fetching(folder: Path, server: AudioServer, **settings: object) -> AsyncIterator[HttpFetcher]:
    allow = (server.base.removeprefix("http://"),)
    chosen = Settings.model_validate({"media_cache_dir": folder, "allow_private": allow, **settings})
    fetcher = HttpFetcher(chosen, Guard(allow), Silent())
    await fetcher.start()
    try:
        yield fetcher
    finally:
        await fetcher.stop()


async def test_file_is_fetched_without_parameters_and_kept_by_its_content(
    server: AudioServer, tmp_path: Path
) -> None:
    async with fetching(tmp_path, server) as fetcher:
        one = await fetcher.media(f"{server.base}/a.wav?x=1")
        two = await fetcher.media(f"{server.base}/b.wav")
    assert one.path.read_bytes() == AUDIO
    assert one.content_type == "audio/x-wav"
    assert one.key == two.key
    assert server.requests[0].method == "GET"
    assert server.requests[0].path_qs == "/a.wav?x=1"
    assert "X-Twilio-Signature" not in server.requests[0].headers


async def test_fresh_file_is_not_asked_for_again_even_after_a_restart(
    server: AudioServer, tmp_path: Path
) -> None:
    server.headers = {"Cache-Control": "max-age=60"}
    for _ in range(2):
        async with fetching(tmp_path, server) as fetcher:
            await fetcher.media(f"{server.base}/a.wav")
            assert (await fetcher.media(f"{server.base}/a.wav")).path.read_bytes() == AUDIO
    assert len(server.requests) == 1


async def test_file_with_an_etag_is_revalidated(server: AudioServer, tmp_path: Path) -> None:
    server.headers = {"ETag": '"one"'}
    async with fetching(tmp_path, server) as fetcher:
        first = await fetcher.media(f"{server.base}/a.wav")
        assert await fetcher.media(f"{server.base}/a.wav") == first
        server.headers, server.body = {"ETag": '"two"'}, AUDIO + b"!"
        changed = await fetcher.media(f"{server.base}/a.wav")
    assert changed.path.read_bytes() == AUDIO + b"!"
    assert changed.key != first.key
    assert [request.headers.get("If-None-Match") for request in server.requests] == [None, '"one"', '"one"']


async def test_modification_date_is_sent_back(server: AudioServer, tmp_path: Path) -> None:
    server.headers = {"Last-Modified": formatdate(1_700_000_000, usegmt=True)}
    async with fetching(tmp_path, server) as fetcher:
        await fetcher.media(f"{server.base}/a.wav")
        await fetcher.media(f"{server.base}/a.wav")
    assert server.requests[1].headers["If-Modified-Since"] == server.headers["Last-Modified"]


async def test_file_wanted_by_many_at_once_is_fetched_once(server: AudioServer, tmp_path: Path) -> None:
    server.delay = 0.05
    async with fetching(tmp_path, server) as fetcher:
        wants = [asyncio.create_task(fetcher.media(f"{server.base}/a.wav")) for _ in range(20)]
        await asyncio.sleep(0.01)
        wants[0].cancel()
        results = await asyncio.gather(*wants[1:])
    assert len({result.key for result in results}) == 1
    assert len(server.requests) == 1


async def test_errors_reach_everybody_and_nothing_is_remembered(server: AudioServer, tmp_path: Path) -> None:
    server.status = 404
    async with fetching(tmp_path, server) as fetcher:
        for _ in range(2):
            with pytest.raises(FetchFailed) as raised:
                await fetcher.media(f"{server.base}/a.wav")
            assert (raised.value.code, raised.value.status) == (11200, 404)
        server.status = 200
        assert (await fetcher.media(f"{server.base}/a.wav")).path.read_bytes() == AUDIO


@pytest.mark.parametrize(("body", "code"), [(b"", 11770), (b"x" * 3000, 11750)])
async def test_empty_and_oversized_files_are_refused_and_leave_nothing_behind(
    server: AudioServer, tmp_path: Path, body: bytes, code: int
) -> None:
    server.body = body
    async with fetching(tmp_path, server, media_file_bytes=2048) as fetcher:
        with pytest.raises(FetchFailed) as raised:
            await fetcher.media(f"{server.base}/a.wav")
    assert raised.value.code == code
    assert list(tmp_path.iterdir()) == []


async def test_longest_unused_files_make_room(server: AudioServer, tmp_path: Path) -> None:
    async with fetching(tmp_path, server, media_cache_bytes=1 << 20) as fetcher:
        kept = []
        for number in range(12):
            server.body = AUDIO + bytes([number])
            kept.append(await fetcher.media(f"{server.base}/{number}.wav"))
    assert not kept[0].path.exists()
    assert kept[-1].path.exists()
    assert sum(path.stat().st_size for path in tmp_path.glob("*.audio")) <= 1 << 20


async def test_damaged_note_only_costs_another_fetch(server: AudioServer, tmp_path: Path) -> None:
    server.headers = {"Cache-Control": "max-age=60"}
    async with fetching(tmp_path, server) as fetcher:
        await fetcher.media(f"{server.base}/a.wav")
        for note in tmp_path.glob("*.json"):
            note.write_text("{")
        await fetcher.media(f"{server.base}/a.wav")
    assert len(server.requests) == 2


async def test_stopping_ends_a_fetch_under_way(server: AudioServer, tmp_path: Path) -> None:
    server.delay = 30
    async with fetching(tmp_path, server) as fetcher:
        want = asyncio.create_task(fetcher.media(f"{server.base}/a.wav"))
        await asyncio.sleep(0.05)
    with pytest.raises(asyncio.CancelledError):
        await want


async def test_unusable_cache_folder_is_named_at_start(server: AudioServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match=r"fetch\.media_cache_dir"):
        async with fetching(tmp_path / "file" / "media", server):
            pass
