"""kill -9 in the middle of calls: what was metered stays, what was open is closed once, and nobody
is left talking to nobody."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.e2e.books import killed_between_heartbeats
from tests.e2e.documents import Documents
from tests.e2e.server import Server
from tests.e2e.sipp import SIPP, Sipp
from tests.e2e.tracks import assert_partitioned, instant_ms
from tests.patience import PATIENCE_SECONDS

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(SIPP is None, reason="SIPp is not installed (Debian: sip-tester)"),
]
CALLS = 50
CLOCKS_MS = 20
"""By which the two clocks of a machine may drift apart during a test."""


async def test_fifty_calls_survive_a_kill_as_facts(
    server: Server, documents: Documents, tmp_path: Path
) -> None:
    """The restarted server says BYE to every orphan, which is what lets SIPp's scenario succeed."""
    documents.on("/answer", '<Say loop="0">You will be cut off.</Say>')
    sipp = Sipp("hears_out", server.sip, tmp_path / "sipp", calls=CALLS, rate=25)
    running = await sipp.start()
    await documents.request("/answer", number=CALLS)
    known_ms = await killed_between_heartbeats(server)
    before = len(documents.requests("/answer"))
    await asyncio.sleep(1)
    await server.start()
    await sipp.finish(running)
    assert before == CALLS
    calls = await server.calls()
    assert len(calls) == CALLS
    for call in calls:
        session = await server.session(call["sid"])
        assert_partitioned(session)
        (root,) = session["calls"]
        last = root["intervals"][-1]
        assert (last["end_cause"], last["estimated"]) == ("recovery", True)
        known = max(known_ms, instant_ms(last["started_at"]))
        assert abs(instant_ms(last["ended_at"]) - known) <= CLOCKS_MS


async def test_a_second_start_changes_nothing_that_the_first_has_closed(
    server: Server, documents: Documents, tmp_path: Path
) -> None:
    documents.on("/answer", '<Say loop="0">You will be cut off.</Say>')
    running = await Sipp("hears_out", server.sip, tmp_path / "sipp").start()
    await documents.request("/answer")
    await asyncio.sleep(1.5)
    await server.kill()
    await server.start()
    first = await server.last_session()
    await server.kill()
    await server.start()
    second = await server.last_session()
    assert first == second
    assert instant_ms(first["ended_at"]) > instant_ms(first["started_at"])
    await running.finish(PATIENCE_SECONDS)
