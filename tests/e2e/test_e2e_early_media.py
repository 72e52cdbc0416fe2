"""Callees that are heard before they answer, by callers who are not answered yet: SIPp behind baresip and
behind SIPp."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.e2e.baresip import BARESIP, Baresip
from tests.e2e.sipp import SIPP, Sipp
from tests.e2e.stage import open_stage
from tests.e2e.test_e2e_carriers import announcing
from tests.e2e.tracks import assert_partitioned

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(SIPP is None, reason="SIPp is not installed (Debian: sip-tester)"),
    pytest.mark.skipif(BARESIP is None, reason="baresip is not installed (Debian: baresip)"),
]
ELSEWHERE = "+15550777"
ON_BRIDGE = '<Dial answerOnBridge="true" action="/over">{}</Dial>'


async def test_a_caller_hears_announcements_of_two_gateways_and_is_never_answered(tmp_path: Path) -> None:
    """What is heard is what baresip says itself, which the gateways return."""
    first, second = announcing(tmp_path / "first", 503, 500), announcing(tmp_path / "second", 486, 1000)
    gateways = [{"host": "127.0.0.1", "port": g.port, "priority": n} for n, g in enumerate((first, second))]
    trunks = [{"name": "carrier", "gateways": gateways}]
    async with open_stage(tmp_path, sip={"trunks": trunks}) as stage, Baresip(tmp_path / "phone") as phone:
        running = [await gateway.start() for gateway in (first, second)]
        stage.documents.on("/over", '<Reject reason="busy"/>')
        number = stage.number(ON_BRIDGE.format(ELSEWHERE))
        await asyncio.sleep(0.5)  # SIPp does not say when it is ready
        await phone.dial(f"sip:{number}@{stage.server.sip}")
        await phone.event("CALL_PROGRESS")
        over = await stage.documents.request("/over")
        await phone.event("CALL_CLOSED")
        for gateway, program in zip((first, second), running, strict=True):
            await gateway.finish(program)
        session = await stage.server.last_session()
    assert not phone.saw("CALL_ESTABLISHED")
    assert sum(sound.to_ms - sound.from_ms for sound in phone.heard()) > 600
    assert over.form["DialCallStatus"] == "busy"
    assert [call["status"] for call in session["calls"]] == ["busy", "busy"]
    assert_partitioned(session)
    modes = {interval["mode"] for call in session["calls"] for interval in call["intervals"]}
    assert modes == {"setup"}, "nothing was answered"


async def test_what_has_to_be_acknowledged_is_on_both_sides(tmp_path: Path) -> None:
    """RFC 3262: the callee's 183 and ours, in the codec that the callee has chosen; its 200 has none."""
    callee = Sipp("heard_reliably", "127.0.0.1:9", tmp_path / "callee")
    async with open_stage(tmp_path) as stage:
        number = stage.number(ON_BRIDGE.format(f"<Sip>sip:callee@127.0.0.1:{callee.port}</Sip>"))
        stage.documents.on("/over", "<Hangup/>")
        taking = await callee.start()
        await asyncio.sleep(0.5)
        await Sipp("hears_reliably", stage.server.sip, tmp_path / "caller", number=number).run()
        await callee.finish(taking)
        over = await stage.documents.request("/over")
        session = await stage.server.last_session()
    assert over.form["DialCallStatus"] == "completed"
    assert_partitioned(session)
