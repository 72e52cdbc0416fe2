"""What a joined far end does that the other one has to know: hold, and keys that media do not carry."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from callrouter.ports import Held, InfoDigit, KeysRefused, SendDigits
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


@pytest.mark.parametrize("by", [AUDIO, DEAF])
async def test_an_end_without_events_that_takes_info_is_told_keys_so_however_they_came(
    house: Any, by: Any
) -> None:
    built, caller, callee = await connected(house)
    caller.audio, callee.audio, callee.takes_keys = by, DEAF, True
    built.media.press(built.media_leg_of(caller), "5")
    caller.say(InfoDigit(0, "7", 100))
    await asyncio.sleep(0.1)
    assert [action for action in callee.actions if action.startswith("press")] == ["press 5", "press 7"]
    assert keys(built) == []
    caller.bye()
    await built.idle()


async def test_an_end_that_agreed_on_events_gets_no_info(house: Any) -> None:
    built, caller, callee = await connected(house)
    callee.takes_keys = True
    caller.say(InfoDigit(0, "7", 100))
    await asyncio.sleep(0.1)
    assert keys(built) == [(built.media_leg_of(callee), "7")]
    assert "press 7" not in callee.actions
    caller.bye()
    await built.idle()


async def test_what_an_end_refuses_by_info_it_gets_as_tones_and_all_that_follows_too(house: Any) -> None:
    built, caller, callee = await connected(house)
    callee.audio, callee.takes_keys = DEAF, True
    built.media.press(built.media_leg_of(caller), "5")
    await asyncio.sleep(0.1)
    callee.takes_keys = False
    callee.say(KeysRefused(0, "5"))
    built.media.press(built.media_leg_of(caller), "6")
    await asyncio.sleep(0.1)
    assert [digits for _, digits in keys(built)] == ["5", "6"]
    assert {leg for leg, _ in keys(built)} == {built.media_leg_of(callee)}
    caller.bye()
    await built.idle()
