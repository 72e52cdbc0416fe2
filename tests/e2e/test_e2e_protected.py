"""Calls whose audio is protected, with baresip at the other end."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.baresip import BARESIP, Baresip
from tests.e2e.baresip_calls import assert_heard, press_at_the_menu, talking
from tests.e2e.documents import Documents
from tests.e2e.server import Server, one_application
from tests.e2e.tracks import assert_partitioned

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(BARESIP is None, reason="baresip is not installed (Debian: baresip)"),
]

PHONE = "<sip:{user}@127.0.0.1>;regint=0;answermode=manual;audio_codecs=pcmu;mediaenc={encryption}\n"
SRTP = ("module srtp.so",)


def phone(folder: Path, encryption: str, user: str = "100") -> Baresip:
    account = PHONE.format(user=user, encryption=encryption)
    return Baresip(folder, user=user, account=account, extra=SRTP)


@pytest.mark.parametrize("encryption", ["srtp", "srtp-mand"])
async def test_it_hears_the_menu_and_its_keys_are_heard(
    server: Server, documents: Documents, tmp_path: Path, encryption: str
) -> None:
    async with phone(tmp_path / "phone", encryption) as caller:
        assert await press_at_the_menu(server, documents, caller) == "7"
    assert_heard(caller)
    assert "SRTP is Enabled" in (caller.folder / "baresip.log").read_text("utf-8", "replace")
    assert_partitioned(await server.last_session())


async def test_protected_and_clear_telephones_talk_with_each_other(
    server: Server, documents: Documents, tmp_path: Path
) -> None:
    async with (
        phone(tmp_path / "a", "srtp-mand", "a") as caller,
        Baresip(tmp_path / "b", user="b") as callee,
        talking(server, documents, caller, callee),
    ):
        await caller.command("hold")
        await asyncio.sleep(0.5)
        await caller.command("resume")
        await asyncio.sleep(1)
    assert_heard(caller, callee)


async def test_where_it_is_required_both_ends_are_protected_or_there_is_no_call(
    documents: Documents, tmp_path: Path
) -> None:
    state = one_application(documents.url("/answer"))
    allowed = {"allow_private": [f"127.0.0.1:{documents.port}"]}
    async with (
        Server(tmp_path / "server", state, fetch=allowed, sip={"srtp": "required"}) as server,
        phone(tmp_path / "a", "srtp-mand", "a") as caller,
        phone(tmp_path / "b", "srtp", "b") as callee,
        Baresip(tmp_path / "c", user="c") as clear,
    ):
        documents.on("/answer", f'<Dial timeout="60" action="/over"><Sip>{callee.uri}</Sip></Dial>')
        documents.on("/over", "<Hangup/>")
        await clear.dial(f"sip:+15550100@{server.sip}")
        await clear.event("CALL_CLOSED")
        assert not clear.saw("CALL_ESTABLISHED")
        await caller.dial(f"sip:+15550100@{server.sip}")
        await callee.event("CALL_INCOMING")
        await callee.command("accept")
        await callee.event("CALL_ESTABLISHED")
        await asyncio.sleep(3)
        await callee.command("hangup")
        await documents.request("/over")
        await caller.event("CALL_CLOSED")
        assert_partitioned(await server.last_session())
        ratings = await asyncio.to_thread(quality, tmp_path / "server" / "data")
    for end in (caller, callee):
        heard = sum(sound.to_ms - sound.from_ms for sound in end.heard())
        assert heard > 1500, (end.uri, end.heard())
    assert len(ratings) == 2
    for packets, lost, mos in ratings:
        assert packets > 100
        assert lost == 0
        assert mos > 100, "it was rated"


def quality(data: Path) -> list[tuple[int, int, int]]:
    """What is kept of the answered calls' audio."""
    (path,) = data.glob("*.db")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT packets_in, packets_lost, mos_x100 FROM calls WHERE answered_ms IS NOT NULL"
        )
        return list(rows)
