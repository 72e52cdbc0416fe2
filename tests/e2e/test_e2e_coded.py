"""Calls in G.722 and Opus, with baresip at the other end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.baresip import BARESIP, Baresip
from tests.e2e.documents import Documents
from tests.e2e.server import Server, one_application

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(BARESIP is None, reason="baresip is not installed (Debian: baresip)"),
]

PHONE = "<sip:{user}@127.0.0.1>;regint=0;answermode=manual;audio_codecs={codec}\n"
MODULES = ("module g722.so", "module opus.so")


def phone(folder: Path, codec: str, user: str = "100") -> Baresip:
    return Baresip(folder, user=user, account=PHONE.format(user=user, codec=codec), extra=MODULES)


@pytest.fixture
async def wide(tmp_path: Path, documents: Documents) -> AsyncIterator[Server]:
    """A server that agrees on every codec."""
    state = one_application(documents.url("/answer"))
    allowed = {"allow_private": [f"127.0.0.1:{documents.port}"]}
    codecs = {"codecs": ["OPUS", "G722", "PCMU", "PCMA"]}
    async with Server(tmp_path / "server", state, fetch=allowed, sip=codecs) as running:
        yield running


@pytest.mark.parametrize("codec", ["g722/16000/1", "opus/48000/2"])
async def test_it_hears_the_menu_and_its_keys_are_heard(
    wide: Server, documents: Documents, tmp_path: Path, codec: str
) -> None:
    documents.on(
        "/answer", '<Gather numDigits="1" action="/key" timeout="15"><Say>Press a key.</Say></Gather>'
    )
    documents.on("/key", "<Say>Thank you, that was your choice.</Say>")
    async with phone(tmp_path / "phone", codec) as caller:
        await caller.dial(f"sip:+15550100@{wide.sip}")
        await caller.event("CALL_ESTABLISHED")
        await asyncio.sleep(2.5)
        await caller.press("7")
        asked = await documents.request("/key")
        await caller.event("CALL_CLOSED")
    assert asked.form["Digits"] == "7"
    heard = sum(sound.to_ms - sound.from_ms for sound in caller.heard())
    assert heard > 1500, caller.heard()


@pytest.mark.parametrize("codec", ["g722/16000/1", "opus/48000/2", "pcma"])
async def test_telephones_of_any_two_codecs_talk_with_each_other(
    wide: Server, documents: Documents, tmp_path: Path, codec: str
) -> None:
    async with (
        phone(tmp_path / "a", "opus/48000/2", "a") as caller,
        phone(tmp_path / "b", codec, "b") as callee,
    ):
        documents.on("/answer", f'<Dial timeout="15" action="/over"><Sip>{callee.uri}</Sip></Dial>')
        documents.on("/over", "<Hangup/>")
        await caller.dial(f"sip:+15550100@{wide.sip}")
        await callee.event("CALL_INCOMING")
        await callee.command("accept")
        await callee.event("CALL_ESTABLISHED")
        await asyncio.sleep(2.5)
        await callee.command("hangup")
        await documents.request("/over")
        await caller.event("CALL_CLOSED")
        figures = await wide.text("/metrics")
    for end in (caller, callee):
        heard = sum(sound.to_ms - sound.from_ms for sound in end.heard())
        assert heard > 1500, (end.uri, end.heard())
    assert "callrouter_legs_transcoding" in figures
