"""Telephones somebody else wrote, which show each other pictures through the server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.e2e.baresip import BARESIP, Baresip
from tests.e2e.documents import Documents
from tests.e2e.server import Server

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(BARESIP is None, reason="baresip is not installed (Debian: baresip)"),
]
PHONE = "<sip:{user}@127.0.0.1>;regint=0;answermode=manual;audio_codecs=pcmu;video_codecs=vp8\n"
VIDEO = (
    "module fakevideo.so",
    "module vp8.so",
    "video_source fakevideo,nil",
    "video_display fakevideo,nil",
    "video_size 176x144",
    "video_fps 10",
)


def phone(folder: Path, user: str) -> Baresip:
    return Baresip(folder, user=user, account=PHONE.format(user=user), extra=VIDEO)


async def test_pictures_pass_between_two_telephones(
    server: Server, documents: Documents, tmp_path: Path
) -> None:
    async with phone(tmp_path / "a", "a") as caller, phone(tmp_path / "b", "b") as callee:
        documents.on("/answer", f'<Dial timeout="15" action="/over"><Sip>{callee.uri}</Sip></Dial>')
        documents.on("/over", "<Hangup/>")
        await caller.dial(f"sip:+15550100@{server.sip}")
        await callee.event("CALL_INCOMING")
        await callee.command("accept")
        await callee.event("CALL_ESTABLISHED")
        await asyncio.gather(caller.sees(176, 144), callee.sees(176, 144))
        async with asyncio.timeout(10):
            while await server.figure("callrouter_rtp_passed_total") < 20:
                await asyncio.sleep(0.2)
        await callee.command("hangup")
        await documents.request("/over")
        await caller.event("CALL_CLOSED")
