"""Why calls end, in the numbers of the telephone network: those that come, and those we give."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callrouter.calls.signals import Signals
from callrouter.ports import EndCause, Ended, Hangup, Shutdown, Side
from callrouter.ports.causes import cause_of, is_final, refined
from callrouter.testing.world import Callee

BOB = "client:bob"
PAGES = {
    "http://app.test/voice": "<Response><Dial action='/over' timeout='10'><Client>bob</Client></Dial>"
    "</Response>",
    "http://app.test/over": "<Response><Hangup/></Response>",
}


@pytest.mark.parametrize(
    ("status", "q850", "told"),
    [
        (503, 17, "busy"),
        (480, 17, "busy"),
        (500, 19, "no-answer"),
        (503, 18, "no-answer"),
        (480, 1, "failed"),
        (480, 34, "failed"),
        # Nothing is gained by these.
        (603, 21, "busy"),
        (486, 16, "busy"),
        (480, 31, "no-answer"),
        (486, 0, "busy"),
        (486, 99, "busy"),
    ],
)
async def test_the_cause_says_more_than_a_vague_status(house: Any, status: int, q850: int, told: str) -> None:
    h = house(PAGES, {BOB: Callee(status=status, q850=q850)})
    await h.call()
    await h.idle()
    parameters = h.told_at("/over")
    assert (parameters["DialCallStatus"], parameters["DialSipResponseCode"]) == (told, str(status))


async def test_the_cause_of_a_bye_is_kept_and_passed_on(house: Any) -> None:
    h = house(PAGES, {BOB: Callee()})
    caller = await h.call()
    await asyncio.sleep(3)
    ((_, bob),) = h.signalling.placed
    call = h.call_of(caller)
    caller.say(Ended(3_000_000_000, EndCause.BYE, "network out of order (Q.850 38)", 38))
    await h.idle()
    assert (call.q850, call.end_detail) == (38, "network out of order (Q.850 38)")
    assert bob.causes == [38]


async def test_the_cause_of_a_refusal_is_kept(house: Any) -> None:
    h = house(PAGES, {BOB: Callee(answers_after=2, status=503, q850=34)})
    await h.call()
    await asyncio.sleep(1)
    ((_, bob),) = h.signalling.placed
    call = h.call_of(bob)
    await h.idle()
    assert (call.q850, call.sip_status) == (34, 503)


@pytest.mark.parametrize(("rings_after", "cause"), [(0.1, 19), (None, 18)])
async def test_who_does_not_answer_is_told_so(house: Any, rings_after: float | None, cause: int) -> None:
    h = house(PAGES, {BOB: Callee(rings_after=rings_after, answers_after=None)})
    await h.call()
    await h.idle()
    ((_, bob),) = h.signalling.placed
    assert bob.causes[0] == cause


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        (Hangup(Side.US, "ended through the API"), 16),
        (Shutdown("the server is shutting down"), 41),
        (None, 102),
    ],
)
async def test_our_own_ends_have_causes_that_fit(
    house: Any, end: Hangup | Shutdown | None, cause: int
) -> None:
    h = house("<Response><Pause length='60'/></Response>")
    caller = await h.call()
    await asyncio.sleep(1)
    if end is None:
        Signals(h.root).on_audio_lost(60_000)
    else:
        h.root.interrupt(end)
    await h.idle()
    assert caller.causes[0] == cause


def test_the_tables_agree_where_both_know() -> None:
    """Statuses of callees survive the way to the telephone network and back (RFC 3398)."""
    for status in (404, 410, 484, 486, 504):
        assert refined(0, cause_of(status)) == status
    assert cause_of(499) == 127
    assert [q for q in range(1, 128) if is_final(q)] == [1, 17, 18, 19, 20, 21, 22, 28]
