"""A callee that is heard before it answers, by a caller who is not answered either (RFC 3960)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callrouter.identity.addresses import Address
from callrouter.ports import Answered, EarlyEnded, Play, PlayTone, Ringing, SetRemote
from callrouter.testing.world import AUDIO, Callee
from metering.interval import Mode
from tests.unit.calls.conftest import ACCOUNT

SIP = "sip:agent@host"
OTHER = "+15550101"
ON_BRIDGE = "<Dial answerOnBridge='true' action='/over'><Sip>sip:agent@host</Sip></Dial>"
OVER = {"http://app.test/over": "<Response><Hangup/></Response>"}
HEARD = Callee(rings_after=0.5, early=True, answers_after=4, hangs_up_after=2)


def dialling(house: Any, callee: Callee, document: str = ON_BRIDGE, **more: Any) -> Any:
    return house({"http://app.test/voice": f"<Response>{document}</Response>", **OVER}, {SIP: callee}, **more)


def joined(h: Any) -> bool:
    return any(leg.partner for leg in h.media.legs.values())


def tones(h: Any) -> list[Play]:
    return [c for c in h.media.commands if isinstance(c, Play) and isinstance(c.items[0], PlayTone)]


def now() -> int:
    return round(asyncio.get_running_loop().time() * 1e9)


async def test_the_caller_hears_it_and_is_answered_when_the_callee_answers(house: Any) -> None:
    h = dialling(house, HEARD)
    caller = await h.call()
    await asyncio.sleep(0.3)
    assert caller.actions == ["ring"]
    await asyncio.sleep(1.7)
    assert caller.actions == ["ring", "progress PCMU"]
    assert joined(h)
    assert not h.call_of(caller).is_answered
    await h.idle()
    assert caller.actions == ["ring", "progress PCMU", "answer", "hangup"]
    assert not tones(h)


async def test_nothing_is_counted_as_talked_before_the_answer(house: Any) -> None:
    h = dialling(house, HEARD)
    caller = await h.call()
    call = h.call_of(caller)
    await asyncio.sleep(3)
    assert [holder.mode for _, holder, _ in h.meter.tracks[call.sid].rows] == [Mode.SETUP]
    await h.idle()
    began = next(at for at, holder, _ in h.meter.tracks[call.sid].rows if holder.mode is not Mode.SETUP)
    assert began == call.answered_ns
    assert h.told_at("/over")["DialCallDuration"] == "2"


async def test_silence_of_who_waits_is_not_taken_for_a_dead_line(house: Any) -> None:
    """Telephones may send nothing before they are answered."""
    h = dialling(house, HEARD)
    await h.call()
    await h.idle()
    agreed: dict[int, list[bool]] = {}
    for command in h.media.commands:
        if isinstance(command, SetRemote):
            agreed.setdefault(command.leg, []).append(command.is_early)
    assert list(agreed.values()) == [[True, False], [True, False]]


async def test_a_callee_that_only_rings_is_left_to_the_callers_own_telephone(house: Any) -> None:
    h = dialling(house, Callee(answers_after=2, hangs_up_after=1))
    caller = await h.call()
    await h.idle()
    assert caller.actions == ["ring", "answer", "hangup"]


@pytest.mark.parametrize("attributes", ["answerOnBridge='true' ringTone='pl'", "ringTone='pl'"])
async def test_while_the_next_gateway_rings_the_caller_hears_ringback(house: Any, attributes: str) -> None:
    """The first one was heard and failed; the caller's telephone no longer rings by itself."""
    document = f"<Dial {attributes}><Sip>{SIP}</Sip></Dial>"
    h = dialling(house, Callee(rings_after=0.5, early=True, answers_after=None), document)
    caller = await h.call()
    await asyncio.sleep(1)
    before = len(tones(h))
    ((_, callee),) = h.signalling.placed
    assert joined(h)
    callee.say(EarlyEnded(now()))
    await asyncio.sleep(0.1)
    assert not joined(h)
    assert [play.items for play in tones(h)[before:]] == [(PlayTone("ringback-pl"),)]
    callee.say(Ringing(now(), 180, None))
    await asyncio.sleep(0.1)
    assert h.media.legs[h.media_leg_of(caller)].playing
    callee.say(Ringing(now(), 183, AUDIO))
    await asyncio.sleep(0.1)
    assert joined(h)
    assert not h.media.legs[h.media_leg_of(caller)].playing
    callee.say(Ringing(now(), 180, None))
    await asyncio.sleep(0.1)
    assert joined(h), "a ringing without a description takes nothing away"
    callee.say(Answered(now(), AUDIO, {}))
    await asyncio.sleep(0.1)
    assert h.call_of(caller).is_answered
    assert caller.actions.count("progress PCMU") == ("answerOnBridge" in attributes)
    callee.bye()
    await h.idle()


async def test_when_nobody_answers_the_document_goes_on_with_the_caller(house: Any) -> None:
    document = "<Dial answerOnBridge='true'><Sip>sip:agent@host</Sip></Dial><Say>Nobody</Say>"
    h = dialling(house, Callee(rings_after=0.5, early=True, answers_after=3, status=486), document)
    caller = await h.call()
    await h.idle()
    assert caller.actions == ["ring", "progress PCMU", "answer", "hangup"]
    assert h.speech.said == ["Nobody"]


async def test_the_next_of_several_dials_rings_for_a_caller_who_has_heard_something(house: Any) -> None:
    """Their telephone makes no ringing of its own any more; no second 180 is sent for it."""
    again = "<Dial answerOnBridge='true'><Number>+15550123</Number></Dial>"
    h = house(
        {"http://app.test/voice": f"<Response>{ON_BRIDGE.replace(' action=', ' x=')}{again}</Response>"},
        {
            SIP: Callee(rings_after=0.5, early=True, answers_after=2, status=486),
            "+15550123": Callee(answers_after=3, hangs_up_after=1),
        },
    )
    caller = await h.call()
    await asyncio.sleep(3)
    assert h.media.legs[h.media_leg_of(caller)].playing
    assert not h.call_of(caller).is_answered
    await h.idle()
    assert caller.actions == ["ring", "progress PCMU", "answer", "hangup"]


async def test_a_caller_who_gives_up_ends_it_all(house: Any) -> None:
    h = dialling(house, HEARD)
    caller = await h.call()
    await asyncio.sleep(2)
    caller.bye()
    await h.idle()
    assert h.signalling.placed[0][1].actions == ["hangup"]
    assert h.told_at("/over")["DialCallStatus"] == "canceled"


async def test_of_several_that_ring_none_is_heard_alone(house: Any) -> None:
    document = f"<Dial answerOnBridge='true'><Sip>{SIP}</Sip><Number>+15550123</Number></Dial>"
    h = house(
        {"http://app.test/voice": f"<Response>{document}</Response>"},
        {SIP: HEARD, "+15550123": Callee(answers_after=None)},
    )
    caller = await h.call()
    await h.idle()
    assert caller.actions == ["ring", "answer", "hangup"]


async def test_it_is_heard_through_numbers_that_dial_each_other(house: Any) -> None:
    h = house(
        {
            "http://app.test/voice": f"<Response><Dial answerOnBridge='true'>{OTHER}</Dial></Response>",
            "http://app.test/other": f"<Response>{ON_BRIDGE}</Response>",
            **OVER,
        },
        {SIP: HEARD},
        more_addresses=[Address(OTHER, ACCOUNT, OTHER, "http://app.test/other")],
    )
    caller = await h.call()
    await asyncio.sleep(2)
    assert caller.actions == ["ring", "progress PCMU"]
    assert sum(bool(leg.partner) for leg in h.media.legs.values()) == 4
    assert not any(controller.call.is_answered for controller in h.services.exchange)
    await h.idle()
    assert caller.actions[-2:] == ["answer", "hangup"]
