"""A party of a call asks by SIP for the call to go elsewhere; its token decides."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callrouter.ports import TransferRequested
from callrouter.testing.world import Callee
from metering.interval import Cause

PAGES = {
    "http://app.test/voice": "<Response><Dial><Sip>sip:agent@host</Sip></Dial></Response>",
    "http://app.test/next": "<Response><Say>Elsewhere</Say></Response>",
}
TARGET = "http://app.test/next"


async def bridged(house: Any) -> tuple[Any, Any, Any]:
    h = house(PAGES, {"sip:agent@host": Callee(answers_after=1)})
    leg = await h.call()
    await asyncio.sleep(5)
    ((_, agent),) = h.signalling.placed
    return h, leg, agent


def asked(token: str, target: str = TARGET) -> TransferRequested:
    return TransferRequested(0, 7, target, token)


@pytest.mark.parametrize("by_callee", [False, True])
async def test_either_party_may_move_the_call_with_its_token(house: Any, by_callee: bool) -> None:
    h, leg, agent = await bridged(house)
    token = h.orders.transfer_token(h.root.call.sid, TARGET)
    party = agent if by_callee else leg
    party.say(asked(token))
    await h.idle()
    assert h.speech.said == ["Elsewhere"]
    root = next(iter(h.meter.tracks.values()))
    assert root.rows[-1][2] is Cause.SIP
    assert "settle 7 202" in party.actions


async def test_a_caller_by_refer_is_told_how_it_went(house: Any) -> None:
    h, leg, _ = await bridged(house)
    leg.say(asked(h.orders.transfer_token(h.root.call.sid, TARGET)))
    await h.idle()
    assert "told 7 200" in leg.actions


@pytest.mark.parametrize("wrong", ["forged", "target", "expired", "replayed", "foreign", "empty"])
async def test_a_token_that_is_not_for_this_changes_nothing(house: Any, wrong: str) -> None:
    h, leg, agent = await bridged(house)
    good = h.orders.transfer_token(h.root.call.sid, TARGET, 60)
    token, target = good, TARGET
    match wrong:
        case "forged":
            token = good[:-1] + ("A" if good[-1] != "A" else "B")
        case "target":
            target = "http://app.test/voice"
        case "expired":
            await asyncio.sleep(61)
        case "replayed":
            h.services.transfers.redeem(good, TARGET, [h.root.call.sid], 0)
        case "foreign":
            token = h.services.transfers.issue("CA" + "f" * 32, TARGET, 10**12)
        case "empty":
            token = ""
    before = [list(track.rows) for track in h.meter.tracks.values()]
    leg.say(asked(token, target))
    await asyncio.sleep(1)
    assert leg.actions[-1] == "settle 7 403"
    assert [list(track.rows) for track in h.meter.tracks.values()] == before
    assert not agent.is_over
    leg.bye()
    await h.idle()
    assert not h.speech.said


async def test_no_token_is_given_out_for_a_call_that_is_not_there(house: Any) -> None:
    h = house(PAGES)
    assert h.orders.transfer_token("CA" + "0" * 32, TARGET) is None
