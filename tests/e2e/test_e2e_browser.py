"""Phones in browsers: a menu that is heard and answered, a recording, and a call to one of them."""

from __future__ import annotations

import array
import asyncio
import io
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tests.e2e.addresses import free_port
from tests.e2e.documents import Documents
from tests.e2e.server import ACCOUNT, Server, one_application
from tests.e2e.tracks import assert_partitioned
from tests.e2e.web_phone import web_phone
from tests.unit.media.sound import sine, tone_level, write_wav

pytestmark = pytest.mark.e2e
NUMBER = "+15550100"
USERS = [{"name": name, "password": f"{name}-secret"} for name in ("carol", "dave")]


@asynccontextmanager
async def serving(folder: Path, documents: Documents, **sip: object) -> AsyncIterator[tuple[Server, int]]:
    """A server that browsers reach, and the port they do it at."""
    port = free_port()
    listen = [
        {"host": "127.0.0.1", "port": free_port(), "transport": "udp"},
        {"host": "127.0.0.1", "port": port, "transport": "ws"},
    ]
    state = one_application(documents.url("/answer"), number=NUMBER)
    allowed = {"allow_private": [f"127.0.0.1:{documents.port}"]}
    async with Server(folder / "server", state, fetch=allowed, sip={"listen": listen, **sip}) as server:
        yield server, port


async def test_it_hears_a_file_presses_a_key_and_is_recorded(tmp_path: Path, documents: Documents) -> None:
    write_wav(tmp_path / "tone.wav", sine(1000, 8))
    audio = (tmp_path / "tone.wav").read_bytes()
    documents.on("/tone.wav", lambda _: web.Response(body=audio, content_type="audio/wav"))
    documents.on(
        "/answer", '<Gather numDigits="1" action="/key" timeout="15"><Play>/tone.wav</Play></Gather>'
    )
    documents.on("/key", '<Record maxLength="2" playBeep="false" action="/recorded"/>')
    documents.on("/recorded", "<Hangup/>")
    async with serving(tmp_path, documents) as (server, port), web_phone(port, "page") as phone:
        await phone.call(NUMBER)
        await phone.audio.until_hears(1000)
        phone.audio.press("4")
        assert (await documents.request("/key")).form["Digits"] == "4"
        phone.audio.sing(600, 3)
        recorded = await documents.request("/recorded")
        await phone.until_bye()
        sid = recorded.form["RecordingUrl"].rpartition("/")[2]
        wav = await server.bytes(f"/2010-04-01/Accounts/{ACCOUNT}/Recordings/{sid}.wav")
        assert_partitioned(await server.last_session())
    with wave.open(io.BytesIO(wav)) as reader:
        samples = array.array("h", reader.readframes(reader.getnframes()))
    assert tone_level(list(samples[-4000:]), 600) > 2000


async def test_one_browser_calls_another_that_has_registered(tmp_path: Path, documents: Documents) -> None:
    """Opus to and fro; the call to the other is offered what browsers need."""
    documents.on("/answer", '<Dial timeout="15"><Client>dave</Client></Dial>')
    more = {"registrar": {"users": USERS}, "codecs": ["OPUS", "PCMU"]}
    async with (
        serving(tmp_path, documents, **more) as (server, port),
        web_phone(port, "page") as caller,
        web_phone(port, "dave") as callee,
    ):
        await callee.register("dave-secret")
        caller_answered = asyncio.ensure_future(caller.call(NUMBER))
        offer = await callee.take()
        assert "m=audio" in offer
        assert "UDP/TLS/RTP/SAVPF 107 " in offer
        await caller_answered
        caller.audio.sing(700, 3)
        await callee.audio.until_hears(700)
        callee.audio.sing(900, 3)
        await caller.audio.until_hears(900)
        assert "callrouter_legs_transcoding" in await server.text("/metrics")
