"""Many calls at once: each is served as if it were alone, and each is metered.

How much one machine carries is the benchmarks' question; here nothing may get lost or mixed up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.benchmarks.hearing import Spacing, listeners
from tests.e2e.books import Books
from tests.e2e.server import ACCOUNT, TOKEN
from tests.e2e.sipp import SIPP, Sipp
from tests.e2e.stage import Stage, open_stage
from tests.e2e.tune import write_tune

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(SIPP is None, reason="SIPp is not installed (Debian: sip-tester)"),
]
CALLS = 150
RATE = 20
TALK_MS = 8000
MONEY: dict[str, Any] = {
    "accounts": {
        "tester": {
            "sid": ACCOUNT,
            "token": TOKEN,
            "funds": "prepaid",
            "billing_number": "+15550200",
            "plan": "own",
        }
    },
    "credits": [{"account": "tester", "amount": "1000", "key": "opening"}],
    "plans": {"own": {"prices": {"application": "0.60"}}},
}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with open_stage(tmp_path, **MONEY) as opened:
        yield opened


def port_list(path: Path, ports: list[int]) -> Path:
    """An injection file for SIPp: a port a call."""
    path.write_text("SEQUENTIAL\n" + "".join(f"{port}\n" for port in ports))
    return path


async def test_each_of_many_callers_hears_every_packet_and_is_metered_to_the_millisecond(
    stage: Stage, tmp_path: Path
) -> None:
    voice = write_tune(tmp_path / "voice.wav", 81, 4000).read_bytes()
    stage.documents.on("/voice.wav", lambda _: web.Response(body=voice, content_type="audio/wav"))
    number = stage.number('<Play loop="0">/voice.wav</Play>')
    async with listeners(CALLS) as ears:
        options = ("-inf", str(port_list(tmp_path / "ports.csv", ears.ports)))
        sipp = Sipp(
            "listens_at",
            stage.server.sip,
            tmp_path / "sipp",
            number=number,
            calls=CALLS,
            rate=RATE,
            at_once=CALLS,
            values={"talk_ms": TALK_MS},
            options=options,
        )
        await sipp.run()
        legs = await ears.report()
    spacing = Spacing.of(legs)
    assert spacing.legs == CALLS
    assert spacing.lost == 0, spacing
    for leg in legs:
        assert leg.packets >= 0.9 * TALK_MS / 20, leg.packets
        assert leg.loud_ns
    books = Books(stage.server.folder / "data")
    sids = {call["sid"] for call in await stage.server.calls(To=number)}
    assert len(sids) == CALLS
    sessions = await asyncio.gather(*map(stage.server.session, sids))
    assert all(session["calls"][0]["complete"] for session in sessions)
    books.assert_closed()
    books.assert_balanced()
    books.assert_charged_as_metered()
    talked = [row["duration_ms"] for row in books.rows("SELECT * FROM charges")]
    assert len(talked) == CALLS
    assert min(talked) >= TALK_MS - 100
    assert 20 * sum(leg.packets for leg in legs) <= sum(talked) + CALLS * 20, "none more than was metered"
