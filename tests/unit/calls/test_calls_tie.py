"""What a joined far end does that the other one has to know: hold, and keys that media do not carry."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from callrouter.ports import Held, InfoDigit, SendDigits
from callrouter.testing.world import AUDIO, Callee, ScriptedLeg

BOB = "sip:bob@192.0.2.7"
DIAL = f"<Response><Dial><Sip>{BOB}</Sip></Dial><Pause length='30'/></Response>"
DEAF = replace(AUDIO, dtmf_payload_type=None)
"""It did not agree on telephone events."""


async def connected(house: Any) -> tuple[Any, ScriptedLeg, ScriptedLeg]:
    built = house(DIAL, {BOB: Callee()})
    caller = await built.call()
    await asyncio.sleep(2)
    return built, caller, built.signalling.placed[0][1]


def holds(leg: ScriptedLeg) -> list[str]:
    return [action for action in leg.actions if action.startswith("hold")]


def keys(built: Any) -> list[tuple[int, str]]:
    return [(c.leg, c.digits) for c in built.media.commands if isinstance(c, SendDigits)]


async def test_who_is_put_on_hold_by_one_end_is_told_so_and_told_when_it_is_over(house: Any) -> None:
    built, caller, callee = await connected(house)
    caller.say(Held(0, True))
    caller.say(Held(0, True))
    assert holds(callee) == ["hold True"]
    callee.say(Held(0, True))
    assert holds(caller) == ["hold True"]
    caller.say(Held(0, False))
    assert holds(callee) == ["hold True", "hold False"]
    assert holds(caller) == ["hold True"], "the callee still holds"
    caller.bye()
    await built.idle()


async def test_who_goes_on_after_the_bridge_is_not_on_hold_any_more(house: Any) -> None:
    built, caller, callee = await connected(house)
    callee.say(Held(0, True))
    callee.bye()
    await asyncio.sleep(1)
    assert holds(caller) == ["hold True", "hold False"]
    caller.say(Held(0, True))
    assert holds(callee) == [], "nobody is left to be told"
    caller.bye()
    await built.idle()


async def test_a_caller_who_holds_before_the_callee_answers_still_holds_then(house: Any) -> None:
    built = house(DIAL, {BOB: Callee()})
    caller = await built.call()
    caller.is_held = True
    await asyncio.sleep(2)
    assert holds(built.signalling.placed[0][1]) == ["hold True"]
    caller.bye()
    await built.idle()


async def test_keys_by_signalling_go_out_in_order_each_after_the_one_before(house: Any) -> None:
    built, caller, callee = await connected(house)
    for digit in "12#":
        caller.say(InfoDigit(0, digit, 100))
    sent = keys(built)
    assert [digits for _, digits in sent] == ["1"]
    await asyncio.sleep(0.1)
    assert [digits for _, digits in keys(built)] == ["1", "2#"]
    assert {leg for leg, _ in keys(built)} == {built.media_leg_of(callee)}
    caller.bye()
    await built.idle()


@pytest.mark.parametrize(("to", "told"), [(DEAF, ["5"]), (AUDIO, [])])
async def test_events_are_retold_to_an_end_that_did_not_agree_on_any(
    house: Any, to: Any, told: list[str]
) -> None:
    built, caller, callee = await connected(house)
    callee.audio = to
    built.media.press(built.media_leg_of(caller), "5")
    await asyncio.sleep(0.1)
    assert [digits for _, digits in keys(built)] == told, "else the engine has passed them on"
    caller.bye()
    await built.idle()
