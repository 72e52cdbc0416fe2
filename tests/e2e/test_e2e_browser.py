"""Phones in browsers: a menu that is heard and answered, a recording, and a call to one of them."""

from __future__ import annotations

import array
import asyncio
import io
import itertools
import struct
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.e2e.addresses import free_port
from tests.e2e.documents import Documents
from tests.e2e.plain_phone import PlainPhone
from tests.e2e.server import ACCOUNT, Server, one_application
from tests.e2e.tracks import assert_partitioned
from tests.e2e.web_phone import web_phone
from tests.integration.browser_end import EVENTS, KeyPad
from tests.integration.sip_authority import Authority
from tests.unit.media.sound import chatter, sine, to_mulaw, tone_level, write_wav

pytestmark = pytest.mark.e2e
NUMBER = "+15550100"
USERS = [{"name": name, "password": f"{name}-secret"} for name in ("carol", "dave")]


@asynccontextmanager
async def serving(
    folder: Path, documents: Documents, transport: str = "ws", **sip: object
) -> AsyncIterator[tuple[Server, int]]:
    """A server that browsers reach, and the port they do it at."""
    port = free_port()
    listen = [
        {"host": "127.0.0.1", "port": free_port(), "transport": "udp"},
        {"host": "127.0.0.1", "port": port, "transport": transport},
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
    more: dict[str, Any] = {"registrar": {"users": USERS}, "codecs": ["OPUS", "PCMU"]}
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


FRAME = 160
TELEPHONE = "m=audio {port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n"


class Talk:
    """The audio of a plain telephone: says words over and over, and keeps what it hears."""

    def __init__(self, phone: PlainPhone, to: int, words: bytes) -> None:
        self.heard: list[tuple[int, bytes]] = []
        """Payloads by their types."""
        self.key: tuple[int, int] = (0, 0)
        """A key, and how many packets of it are still to be sent."""
        self._phone, self._to, self._words = phone, to, words

    async def __aenter__(self) -> Talk:
        self._tasks = [asyncio.ensure_future(self._speak()), asyncio.ensure_future(self._listen())]
        return self

    async def __aexit__(self, *_error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _speak(self) -> None:
        begun = asyncio.get_running_loop().time()
        for number in itertools.count():
            code, left = self.key
            at = number * FRAME % len(self._words)
            kind, stamp, payload = 0, number * FRAME, self._words[at : at + FRAME]
            if left:
                self.key = (code, left - 1)
                passed = max(0, 11 - left)
                kind, stamp = 101, (number - passed) * FRAME
                payload = struct.pack("!BBH", code, 138 if left <= 3 else 10, FRAME * min(8, passed + 1))
            head = struct.pack("!BBHII", 0x80, kind, number & 0xFFFF, stamp, 5)
            self._phone.send("audio", self._to, head + payload)
            await asyncio.sleep(begun + (number + 1) * 0.02 - asyncio.get_running_loop().time())

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            packet = await loop.sock_recv(self._phone.media["audio"], 2048)
            self.heard.append((packet[1] & 127, packet[12:]))

    def press(self, code: int) -> None:
        self.key = (code, 11)


def audio(payloads: list[tuple[int, bytes]], last: int) -> bytes:
    return b"".join(payload for kind, payload in payloads[-last:] if kind == 0)


def keys(payloads: list[tuple[int, bytes]], kind: int) -> set[int]:
    """Those whose end was told."""
    return {payload[0] for of, payload in payloads if of == kind and payload[1] & 0x80}


async def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.02)


async def test_by_secure_websocket_it_talks_with_a_telephone(tmp_path: Path, documents: Documents) -> None:
    """The words of each arrive at the other octet by octet, keys as events, and a hold is one."""
    authority = Authority(tmp_path / "authority")
    issued = authority.issue("server.pem", "localhost")
    tls = {"certificates": [{"certificate": str(issued.certificate), "key": str(issued.key)}]}
    more = {"tls": tls, "registrar": {"users": USERS}}
    async with (
        PlainPhone() as phone,
        serving(tmp_path, documents, "wss", **more) as (server, port),
        web_phone(port, "carol", authority.client()) as page,
    ):
        documents.on("/answer", f'<Dial answerOnBridge="true"><Sip>sip:bob@{phone.at}</Sip></Dial>')
        await page.register("carol-secret")
        calling = asyncio.ensure_future(page.call(NUMBER, events=True))
        asked = await phone.asked()
        phone.answer(asked, 200, phone.describe(TELEPHONE.format(port=phone.port("audio"))))
        assert "m=audio" in await calling
        await page.audio.until("connected")
        pad = KeyPad(page.audio.connection)
        words = to_mulaw(chatter(2, seed=2))
        async with Talk(phone, asked.port("audio"), words) as talk:
            page.audio.voice.say(chatter(4))
            await until(lambda: len(set(talk.heard)) > 40 and len(pad.received) > 60)
            assert audio(talk.heard, 50) in audio(pad.sent, 1000)
            assert audio(pad.received, 50) in words * 2
            pad.press("5")
            await until(lambda: keys(talk.heard, 101) == {5})
            talk.press(7)
            await until(lambda: keys(pad.received, EVENTS) == {7})
            assert "a=recvonly" in await page.renew("sendonly", events=True)
            await asyncio.sleep(0.2)
            held, spoken = len(pad.received), len(talk.heard)
            await asyncio.sleep(0.3)
            assert len(pad.received) == held, "nothing is sent to who holds"
            assert len(talk.heard) > spoken
            assert "a=sendrecv" in await page.renew("sendrecv", events=True)
            await until(lambda: len(pad.received) > held + 30)
            assert audio(pad.received, 25) in words * 2
        await page.hang_up()
        await phone.asked("BYE")
        assert_partitioned(await server.last_session())
