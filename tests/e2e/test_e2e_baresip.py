"""baresip, a telephone in everyday use, as caller and as callee."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.e2e.baresip import BARESIP, Baresip
from tests.e2e.baresip_calls import assert_heard, press_at_the_menu, ring_through_a_dial, talking
from tests.e2e.documents import Documents
from tests.e2e.server import Server
from tests.e2e.tracks import assert_partitioned, modules

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(BARESIP is None, reason="baresip is not installed (Debian: baresip)"),
]


async def test_it_hears_the_menu_presses_a_key_and_hears_the_answer(
    server: Server, documents: Documents, tmp_path: Path
) -> None:
    async with Baresip(tmp_path / "phone") as phone:
        assert await press_at_the_menu(server, documents, phone) == "7"
    assert_heard(phone)
    assert_partitioned(await server.last_session())


async def test_it_is_called_by_a_dial_and_talks_with_the_caller(
    server: Server, documents: Documents, tmp_path: Path
) -> None:
    async with Baresip(tmp_path / "a", user="a") as caller, Baresip(tmp_path / "b", user="b") as callee:
        async with talking(server, documents, caller, callee):
            pass
        over = await documents.request("/over")
    assert over.form["DialCallStatus"] == "completed"
    assert over.form["DialBridged"] == "true"
    assert_heard(caller, callee)
    session = await server.last_session()
    assert_partitioned(session)
    assert ("platform.bridge", "bridge") in modules(session["calls"][0])
    assert len(session["calls"]) == 2


async def test_hold_and_resume_leave_the_call_up(
    server: Server, documents: Documents, tmp_path: Path
) -> None:
    documents.on("/answer", '<Say loop="0">Hello there.</Say>')
    async with Baresip(tmp_path / "phone") as phone:
        await phone.dial(f"sip:+15550100@{server.sip}")
        await phone.event("CALL_ESTABLISHED")
        await asyncio.sleep(0.7)
        await phone.command("hold")
        await asyncio.sleep(1)
        await phone.command("resume")
        await phone.is_sent_audio()
        assert not phone.saw("CALL_CLOSED"), phone.words()
        await phone.command("hangup")
        await documents.request("/status")
    assert_partitioned(await server.last_session())


async def test_a_busy_callee_is_reported_as_busy(
    server: Server, documents: Documents, tmp_path: Path
) -> None:
    async with Baresip(tmp_path / "a", user="a") as caller, Baresip(tmp_path / "b", user="b") as callee:
        await ring_through_a_dial(server, documents, caller, callee)
        await callee.command("hangup")
        over = await documents.request("/over")
        await caller.event("CALL_CLOSED")
    assert over.form["DialCallStatus"] in {"busy", "no-answer"}
    assert over.form.get("DialBridged") != "true"
    assert_partitioned(await server.last_session())
