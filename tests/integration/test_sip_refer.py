"""Telephones of somebody else's making that we ask to call somebody else: SIPp, and baresip, which does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from callrouter.ports import Answered, Failed, OutgoingCall, ReferProgress, SipLeg
from tests.e2e.addresses import free_port, taken
from tests.e2e.baresip import BARESIP, Baresip
from tests.integration.sip_peer import MEDIA, Peer, peer
from tests.integration.test_sip_sipp import SIPP, sipp
from tests.integration.test_sip_trunks_registrar import filled_in

pytestmark = [pytest.mark.e2e]
needs_sipp = pytest.mark.skipif(SIPP is None, reason="SIPp is not installed")
CAROL = "sip:carol@127.0.0.1"


@asynccontextmanager
async def connected(
    folder: Path, scenario: str, *, password: str = "", **values: str
) -> AsyncIterator[tuple[Peer, SipLeg]]:
    """A call to SIPp that is up; SIPp must have followed its scenario to the end."""
    port = free_port()
    filled = filled_in(scenario, folder, **values)
    async with peer() as ours, sipp(folder, *filled, "-p", str(port), "-m", "1"):
        await taken(port)
        order = OutgoingCall(
            f"sip:sipp@127.0.0.1:{port}",
            "+15550100",
            "",
            MEDIA,
            username="alice" if password else "",
            password=password,
        )
        leg = ours.signalling.place(order, ours.sink)
        await ours.wait(lambda: bool(ours.told(Answered)))
        yield ours, leg
        leg.hangup()


def told(ours: Peer) -> list[tuple[int, bool, bool]]:
    return [(e.status, e.is_final, e.by_notify) for e in ours.told(ReferProgress)]


@needs_sipp
@pytest.mark.parametrize("outcome", ["200 OK", "603 Decline"])
async def test_who_does_it_tells_how_far_it_gets(tmp_path: Path, outcome: str) -> None:
    async with connected(tmp_path, "tells_of_refer", outcome=outcome) as (ours, leg):
        leg.refer(CAROL)
        await ours.wait(lambda: any(e.is_final for e in ours.told(ReferProgress)))
        assert told(ours) == [(202, False, False), (100, False, True), (int(outcome[:3]), True, True)]


@needs_sipp
async def test_who_asks_for_a_password_gets_it(tmp_path: Path) -> None:
    async with connected(tmp_path, "checks_refer", password="secret") as (ours, leg):
        leg.refer(CAROL)
        await ours.wait(lambda: any(e.is_final for e in ours.told(ReferProgress)))
        assert told(ours) == [(202, False, False), (200, True, True)]


@needs_sipp
@pytest.mark.parametrize("answer", ["403 Forbidden", "501 Not Implemented"])
async def test_who_does_not_refuses(tmp_path: Path, answer: str) -> None:
    async with connected(tmp_path, "takes_refer", answer=answer) as (ours, leg):
        leg.refer(CAROL)
        await ours.wait(lambda: bool(ours.told(ReferProgress)))
        assert told(ours) == [(int(answer[:3]), True, False)]


@needs_sipp
async def test_who_never_tells_leaves_the_call_as_it_is(tmp_path: Path) -> None:
    async with connected(tmp_path, "takes_refer", answer="202 Accepted") as (ours, leg):
        leg.refer(CAROL)
        await ours.wait(lambda: bool(ours.told(ReferProgress)))
        leg.refer(CAROL)
        await ours.wait(lambda: len(ours.told(ReferProgress)) == 2)
        assert told(ours) == [(202, False, False), (491, True, False)]


@pytest.mark.skipif(BARESIP is None, reason="baresip is not installed")
async def test_baresip_calls_whom_it_is_asked_to(tmp_path: Path) -> None:
    async with peer() as ours, peer() as carol, Baresip(tmp_path / "phone", mode="auto") as phone:
        leg = ours.signalling.place(OutgoingCall(phone.uri, "+15550100", "", MEDIA), ours.sink)
        await ours.wait(lambda: bool(ours.told(Answered) or ours.told(Failed)))
        leg.refer(f"sip:carol@127.0.0.1:{carol.port()}")
        await carol.wait(lambda: bool(carol.legs))
        await ours.wait(lambda: any(e.is_final for e in ours.told(ReferProgress)))
        assert told(ours)[0] == (202, False, False)
        assert told(ours)[-1] == (200, True, True)
        leg.hangup()
        carol.legs[0].hangup()
