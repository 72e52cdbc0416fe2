"""Calls in G.722 and Opus, with baresip at the other end."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.e2e.baresip import BARESIP, Baresip
from tests.e2e.baresip_calls import assert_heard, press_at_the_menu, talking
from tests.e2e.documents import Documents
from tests.e2e.plain_phone import PlainPhone
from tests.e2e.server import ACCOUNT, TOKEN, Server, one_application

pytestmark = [pytest.mark.e2e]
needs_baresip = pytest.mark.skipif(BARESIP is None, reason="baresip is not installed (Debian: baresip)")

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


@needs_baresip
@pytest.mark.parametrize("codec", ["g722/16000/1", "opus/48000/2"])
async def test_it_hears_the_menu_and_its_keys_are_heard(
    wide: Server, documents: Documents, tmp_path: Path, codec: str
) -> None:
    async with phone(tmp_path / "phone", codec) as caller:
        assert await press_at_the_menu(wide, documents, caller) == "7"
    assert_heard(caller)


@needs_baresip
@pytest.mark.parametrize("codec", ["g722/16000/1", "opus/48000/2", "pcma"])
async def test_telephones_of_any_two_codecs_talk_with_each_other(
    wide: Server, documents: Documents, tmp_path: Path, codec: str
) -> None:
    async with (
        phone(tmp_path / "a", "opus/48000/2", "a") as caller,
        phone(tmp_path / "b", codec, "b") as callee,
    ):
        async with talking(wide, documents, caller, callee):
            pass
        figures = await wide.text("/metrics")
    assert_heard(caller, callee)
    assert "callrouter_legs_transcoding" in figures


async def test_beyond_the_limit_of_transcoding_a_call_is_agreed_on_in_g711_or_not_at_all(
    tmp_path: Path, documents: Documents
) -> None:
    state = one_application(documents.url("/answer"))
    documents.on("/answer", "<Pause length='1'/>")
    allowed = {"allow_private": [f"127.0.0.1:{documents.port}"]}
    codecs = {"codecs": ["OPUS", "G722", "PCMU"]}
    none = {"max_transcoding": 0}
    async with Server(tmp_path / "server", state, fetch=allowed, sip=codecs, media=none) as running:
        for offered, status in ((("OPUS", "G722"), 488), (("G722", "PCMU"), 200)):
            async with PlainPhone() as caller:
                caller.invite(f"sip:+15550100@{running.sip}", caller.describe(caller.audio(codecs=offered)))
                answer = await caller.final()
                assert answer.status == status, offered
                if status == 200:
                    assert " 0" in answer.line("audio").splitlines()[0]
                    assert "G722" not in answer.line("audio")
                    caller.request("BYE")
                    await caller.final("BYE")
                else:
                    assert "304" in answer.get("Warning") or "305" in answer.get("Warning")
        figures = await running.text("/metrics")
        refusals = re.findall(
            r'sip_responses_total\{class="4xx",direction="out",method="INVITE".*\} (.*)', figures
        )
        # At least: until the ACK has come it is said again.
        assert sum(map(float, refusals)) >= 1
        assert "callrouter_legs_transcoding 0" in figures


async def test_where_every_codec_is_transcoded_the_limit_refuses_calls_in_and_out(
    tmp_path: Path, documents: Documents
) -> None:
    documents.on("/answer", "<Pause length='1'/>")
    state = one_application(documents.url("/answer"))
    more: dict[str, Any] = {"sip": {"codecs": ["OPUS", "G722"]}, "media": {"max_transcoding": 0}}
    async with Server(tmp_path / "server", state, **more) as running:
        async with PlainPhone() as caller:
            offer = caller.describe(caller.audio(codecs=("G722", "PCMU")))
            caller.invite(f"sip:+15550100@{running.sip}", offer)
            answer = await caller.final()
        assert (answer.status, answer.get("Retry-After")) == (503, "30")
        assert "limit of transcoding" in answer.get("Warning")
        login = {"Authorization": aiohttp.encode_basic_auth(ACCOUNT, TOKEN)}
        form = {"To": "sip:bob@127.0.0.1:9", "From": "+15550100", "Twiml": "<Response><Hangup/></Response>"}
        url = f"{running.api}/2010-04-01/Accounts/{ACCOUNT}/Calls.json"
        async with aiohttp.ClientSession(headers=login) as session, session.post(url, data=form) as response:
            sid = (await response.json())["sid"]
        [placed] = (await running.session(sid))["calls"]
        assert (placed["status"], placed["sip_status"]) == ("failed", 503)
        assert "transcoding_at_limit" in running.words()
