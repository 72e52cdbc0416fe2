"""Say, Play and Pause behind one another: each is ready before the one before it ends, and nothing else of
them is different."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callrouter.errors import FetchFailed
from callrouter.ports import Hangup, Play, PlayDigits, PlayPrompt, PlaySilence, Side, StopPlay
from callrouter.testing import virtual_time

ROW = "<Say>One</Say><Pause length='2'/><Play>/a.wav</Play><Play digits='12'/><Say loop='2'>Two</Say>"


def plays(house: Any) -> list[Play]:
    return [command for command in house.media.commands if isinstance(command, Play)]


async def test_each_joins_the_one_before_it(house: Any) -> None:
    h = house(f"<Response>{ROW}</Response>")
    leg = await h.call()
    began = virtual_time.now()
    await h.idle()
    one, pause, file, keys, two = plays(h)
    assert not one.follows
    assert all(play.follows for play in (pause, file, keys, two))
    assert pause.items == (PlaySilence(2000),)
    assert keys.items == (PlayDigits("12"),)
    assert [type(play.items[0]) for play in (one, file, two)] == [PlayPrompt] * 3
    assert [play.loops for play in (one, pause, file, keys, two)] == [1, 1, 1, 1, 2]
    assert leg.actions == ["answer", "hangup"]
    # Four prompts of 2 s, one of them twice, a pause of 2 s, and the fetch of the document.
    assert virtual_time.now() - began == pytest.approx(12, abs=0.3)


async def test_no_more_than_the_next_is_fetched_ahead(house: Any) -> None:
    h = house(f"<Response>{ROW}</Response>")
    leg = await h.call()
    for second, count in ((1, 2), (3, 3), (5, 4), (7, 5)):
        await asyncio.sleep(second - virtual_time.now())
        assert len(plays(h)) == count, second
    leg.bye()
    await h.idle()


async def test_what_cannot_be_fetched_fails_in_its_turn(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    h = house("<Response><Say>One</Say>\n<Play>/gone.wav</Play><Say>Two</Say></Response>")

    async def gone(url: str) -> None:
        raise FetchFailed("404", url=url, code=11200)

    monkeypatch.setattr(h.fetcher, "media", gone)
    await h.call()
    await asyncio.sleep(1.5)
    assert h.log.failed_requests == h.log.warnings == []
    await h.idle()
    assert h.speech.said == ["One", "An application error has occurred. Goodbye."]
    assert not any(isinstance(command, StopPlay) for command in h.media.commands), "one is heard to its end"


@pytest.mark.parametrize("row", ["<Pause length='3'/><Say>One</Say>", "<Say></Say><Pause length='3'/>"])
async def test_a_pause_before_anything_is_heard_delays_the_answer(house: Any, row: str) -> None:
    h = house(f"<Response>{row}</Response>")
    leg = await h.call()
    await asyncio.sleep(2.5)
    assert leg.actions == ["ring"]
    await h.idle()
    assert leg.actions == ["ring", "answer", "hangup"]


@pytest.mark.parametrize("seconds", [0.5, 1.9, 2.5, 4.5, 6.5, 8.5])
async def test_whoever_hangs_up_stops_what_is_heard_and_what_follows(house: Any, seconds: float) -> None:
    h = house(f"<Response>{ROW}</Response>")
    await h.call()
    await asyncio.sleep(seconds)
    h.root.interrupt(Hangup(Side.US, "by the test"))
    await h.idle()
    assert len(plays(h)) <= 5
