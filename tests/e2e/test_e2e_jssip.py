"""JsSIP as the telephone of two web pages, one over WebSocket and one over the secure one: registrations,
calls both ways with libwebrtc's audio, and connections that go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from tests.e2e.addresses import free_port
from tests.e2e.documents import Answer, Documents
from tests.e2e.jssip_phone import IS_INSTALLED, JsSipPhone
from tests.e2e.server import Server, one_application
from tests.e2e.tracks import assert_partitioned
from tests.integration.sip_authority import Authority
from tests.unit.media.sound import sine, write_wav

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not IS_INSTALLED, reason="Node with JsSIP is not installed (.ci/toolchain phones)"),
]
NUMBER = "+15550100"
CALLEES = "+15550101"
USERS = [{"name": name, "password": f"{name}-secret"} for name in ("carol", "dave")]


@dataclass
class Pages:
    """Carol's page came by `wss`, Dave's by `ws`."""

    server: Server
    documents: Documents
    carol: JsSipPhone
    dave: JsSipPhone


@asynccontextmanager
async def pages(folder: Path, documents: Documents) -> AsyncIterator[Pages]:
    authority = Authority(folder / "authority")
    certificate = str(authority.issue("server.pem", "127.0.0.1").certificate)
    plain, secure = free_port(), free_port()
    sip = {
        "listen": [
            {"host": "127.0.0.1", "port": free_port(), "transport": "udp"},
            {"host": "127.0.0.1", "port": plain, "transport": "ws"},
            {"host": "127.0.0.1", "port": secure, "transport": "wss"},
        ],
        "tls": {"certificates": [{"certificate": certificate, "key": certificate}]},
        "registrar": {"users": USERS},
        "codecs": ["OPUS", "PCMU"],
    }
    state = one_application(documents.url("/answer"), number=NUMBER)
    state["addresses"][CALLEES] = {"account": "tester", "target": documents.url("/callee")}
    allowed = {"allow_private": [f"127.0.0.1:{documents.port}"]}
    secret = "carol-secret"
    async with (
        Server(folder / "server", state, fetch=allowed, sip=sip) as server,
        JsSipPhone(
            f"wss://127.0.0.1:{secure}", "carol", secret, folder / "carol.log", trusted=authority.file
        ) as carol,
        JsSipPhone(f"ws://127.0.0.1:{plain}", "dave", "dave-secret", folder / "dave.log") as dave,
    ):
        yield Pages(server, documents, carol, dave)


async def test_pages_register_call_lose_their_connections_and_are_called_again(
    tmp_path: Path, documents: Documents
) -> None:
    async with pages(tmp_path, documents) as here:
        for page, transport in ((here.carol, "wss"), (here.dave, "ws")):
            await page.event("registered")
            await page.order("register")
            await registrations(here.server, transport, times=2)
        await asyncio.gather(page_calls_a_number(here, here.carol), page_calls_a_number(here, here.dave))
        await page_calls_page(here, here.carol, here.dave, "dave", ended_by=here.dave)
        await page_refuses(here)
        await here.carol.order("cut")
        await here.carol.event("disconnected")
        await here.carol.event("registered")
        await page_calls_page(here, here.dave, here.carol, "carol", ended_by=here.dave)
        await the_server_starts_again(here)
        await page_calls_page(here, here.carol, here.dave, "dave", ended_by=here.carol)
        await here.carol.order("unregister")
        await here.carol.event("unregistered")
        await nobody_is_there(here)


async def registrations(server: Server, transport: str, *, times: int) -> None:
    """Wait for so many, each with a challenge: JsSIP tells of the first alone."""
    labels = f'direction="out",method="REGISTER",transport="{transport}",trunk=""'
    wanted = {
        f'callrouter_sip_responses_total{{class="4xx",{labels}}} {times:.1f}',
        f'callrouter_sip_responses_total{{class="2xx",{labels}}} {times:.1f}',
    }
    async with asyncio.timeout(20):
        while not wanted <= {*(await server.text("/metrics")).splitlines()}:
            await asyncio.sleep(0.1)


def sounding(tone: bytes) -> Answer:
    return lambda _: web.Response(body=tone, content_type="audio/wav")


async def page_calls_a_number(here: Pages, page: JsSipPhone) -> None:
    """A tone, a hold, a key by INFO, another tone; the server says goodbye."""
    for path, hertz, seconds in (("/low.wav", 600, 20), ("/high.wav", 1000, 1)):
        tone = write_wav(here.server.folder / path[1:], sine(hertz, seconds)).read_bytes()
        here.documents.on(path, sounding(tone))
    here.documents.on("/answer", '<Gather numDigits="1" action="/key"><Play>/low.wav</Play></Gather>')
    here.documents.on("/key", "<Play>/high.wav</Play>")
    await page.order("call", target=NUMBER)
    await page.event("confirmed")
    await page.hears(600)
    await page.order("hold")
    await page.event("held")
    await page.order("unhold")
    await page.event("resumed")
    await page.order("press", key="5")
    await page.hears(1000)
    assert (await page.event("ended"))["by"] == "remote"
    assert {asked.form["Digits"] for asked in here.documents.requests("/key")} == {"5"}


async def page_calls_page(
    here: Pages, caller: JsSipPhone, callee: JsSipPhone, name: str, *, ended_by: JsSipPhone
) -> None:
    here.documents.on("/callee", f'<Dial timeout="15"><Client>{name}</Client></Dial>')
    await caller.order("call", target=CALLEES)
    assert name not in (await callee.event("rings"))["from"]
    await callee.order("answer")
    await callee.event("confirmed")
    for speaker, listener, hertz in ((caller, callee, 700), (callee, caller, 900)):
        await speaker.order("sing", hertz=hertz)
        await listener.hears(hertz)
        await speaker.order("sing", hertz=0)
    await ended_by.order("hangup")
    for page in (caller, callee):
        assert (await page.event("ended"))["by"] == ("local" if page is ended_by else "remote")
    session = await here.server.last_session()
    assert_partitioned(session)
    assert [call["status"] for call in session["calls"]] == ["completed", "completed"]


async def page_refuses(here: Pages) -> None:
    here.documents.on("/callee", '<Dial action="/over"><Client>carol</Client></Dial>')
    here.documents.on("/over", "<Hangup/>")
    await here.dave.order("call", target=CALLEES)
    await here.carol.event("rings")
    await here.carol.order("refuse", status=486)
    assert (await here.documents.request("/over")).form["DialCallStatus"] == "busy"
    await here.dave.event("ended")


async def nobody_is_there(here: Pages) -> None:
    here.documents.on("/callee", '<Dial action="/nobody"><Client>carol</Client></Dial>')
    here.documents.on("/nobody", "<Hangup/>")
    await here.dave.order("call", target=CALLEES)
    assert (await here.documents.request("/nobody")).form["DialCallStatus"] == "no-answer"
    await here.dave.event("ended")


async def the_server_starts_again(here: Pages) -> None:
    await here.server.stop()
    for page in (here.carol, here.dave):
        await page.event("disconnected")
    await here.server.start()
    for page in (here.carol, here.dave):
        await page.event("registered")
