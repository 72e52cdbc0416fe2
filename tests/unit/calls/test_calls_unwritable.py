"""The journal refuses: no call begins, live ones end cleanly and leave nothing behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callrouter.ports import CallStatus, Hangup, NewCall, Side
from callrouter.storage.journal import JournalUnwritable

ACCOUNT = "AC" + "1" * 32


def refuse(house: Any) -> None:
    """From now on whoever waits for the disk is told that it is full; facts are taken all the same."""

    async def refused(*_: Any, **__: Any) -> None:
        raise JournalUnwritable("No space left on device")

    meter, begin = house.meter, house.meter.begin

    async def begun(*facts: Any, **more: Any) -> None:
        await begin(*facts, **more)
        raise JournalUnwritable("No space left on device")

    meter.writable = False
    meter.begin, meter.transfer, meter.end, meter.save_dialog = begun, refused, refused, refused


async def test_a_call_that_comes_in_is_refused_with_503(house: Any) -> None:
    h = house("<Response><Say>Hello</Say></Response>")
    refuse(h)
    leg = await h.call()
    await h.idle()
    assert leg.actions == ["reject 503"]
    assert h.speech.said == []


async def test_a_call_whose_first_fact_is_refused_gets_503_too(house: Any) -> None:
    h = house("<Response><Say>Hello</Say></Response>")
    refuse(h)
    h.meter.writable = True
    leg = await h.call()
    await h.idle()
    assert leg.actions == ["reject 503"]
    assert h.speech.said == []
    assert not h.media.legs


async def test_the_api_places_no_call(house: Any) -> None:
    h = house({}, {})
    refuse(h)
    with pytest.raises(JournalUnwritable) as refused:
        await h.orders.create(NewCall(ACCOUNT, "+15557777", "+15550100", twiml="<Response/>"))
    assert (refused.value.retryable, refused.value.sip_status) == (True, 503)
    assert h.log.statuses == []


async def test_a_live_call_ends_when_its_control_cannot_pass_and_is_told_as_ended(house: Any) -> None:
    h = house(
        "<Response><Say>Hello</Say><Pause length='5'/><Redirect>http://app.test/next</Redirect></Response>"
    )
    leg = await h.call()
    await asyncio.sleep(2)
    refuse(h)
    (sid,) = h.meter.tracks
    async with asyncio.timeout(5):
        assert await h.orders.interrupt(sid, Hangup(Side.US, "ended through the API"))
    await h.idle()
    assert leg.actions == ["answer", "hangup"]
    assert h.log.statuses[-1] == (sid, CallStatus.COMPLETED.value)
    assert h.meter.tracks[sid].end_ns is not None
    assert not h.media.legs


async def test_a_live_call_that_cannot_go_on_ends_and_is_not_refused(house: Any) -> None:
    pages = "<Response><Say>Hello</Say><Redirect>http://app.test/next</Redirect></Response>"
    h = house(pages)
    leg = await h.call()
    await asyncio.sleep(0.5)
    refuse(h)
    await h.idle()
    assert leg.actions == ["answer", "hangup"]
    assert h.log.statuses[-1][1] == CallStatus.COMPLETED.value
