"""A telephone hands on whom it talks to while the other call that this needs still rings."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Any

import pytest

from callrouter.identity.addresses import Address
from callrouter.ports import Replace, TransferRequested
from callrouter.testing.world import Callee
from tests.unit.calls.conftest import ACCOUNT
from tests.unit.calls.test_calls_referral import CAROL, PAGES, joined

SECOND, MENU = "+15550101", "+15550102"
PAGES = {
    **PAGES,
    "http://app.test/second": "<Response><Dial action='/missed'><Client>carol</Client></Dial></Response>",
    "http://app.test/missed": "<Response><Pause length='20'/></Response>",
    "http://app.test/menu": "<Response><Say>Menu</Say><Pause length='60'/></Response>",
}
BOTH = TransferRequested(
    0, 7, CAROL, "", may=True, asker=("client:bob",), replaces="consultation;to-tag=a;from-tag=b"
)
BLIND = replace(BOTH, replaces="")
SLOW = Callee(answers_after=10)
BUSY = Callee(answers_after=5, status=486)


async def consulting(
    house: Any, carol: Callee, *, number: str = SECOND, by_callee: bool = True
) -> tuple[Any, Any, Any, Any]:
    """The house, bob's telephone and whom it talks to, and its second call, two seconds old."""
    h = house(
        PAGES,
        {"client:bob": Callee(), CAROL: carol},
        more_addresses=[
            Address(SECOND, ACCOUNT, SECOND, "http://app.test/second"),
            Address(MENU, ACCOUNT, MENU, "http://app.test/menu"),
        ],
    )
    caller = await h.call()
    await asyncio.sleep(3)
    callee = h.signalling.placed[0][1]
    phone, party = (callee, caller) if by_callee else (caller, callee)
    second = await h.call(to=number)
    second.call_id = "consultation"
    phone.identity = second.identity = "user:bob"
    await asyncio.sleep(2)
    return h, phone, party, second


def carols(h: Any) -> list[Any]:
    return [leg for order, leg in h.signalling.placed if order.target == CAROL]


def pair(h: Any, *legs: Any) -> set[frozenset[int]]:
    return {frozenset(h.media_leg_of(leg) for leg in legs)}


async def over(h: Any, *legs: Any) -> None:
    for leg in legs:
        leg.bye()
    await h.idle()


@pytest.mark.parametrize("by_callee", [True, False])
async def test_who_is_handed_on_hears_it_ring_and_is_there_when_it_is_answered(
    house: Any, by_callee: bool
) -> None:
    h, phone, party, second = await consulting(house, SLOW, by_callee=by_callee)
    phone.say(BOTH)
    await asyncio.sleep(2)
    assert phone.actions[-2:] == ["settle 7 202", "told 7 180"]
    assert not joined(h)
    assert h.media.legs[h.media_leg_of(party)].playing
    await asyncio.sleep(8)
    (carol,) = carols(h)
    assert phone.actions[-1] == "told 7 200"
    assert joined(h) == pair(h, party, carol)
    await asyncio.sleep(4)
    assert phone.is_over, "it is hung up"
    assert second.is_over, "and so is its other call"
    assert joined(h) == pair(h, party, carol)
    assert h.call_of(party).linked_sid == h.call_of(carol).sid
    assert h.call_of(carol).facts.session_sid != h.call_of(party).facts.session_sid
    await over(h, party)
    assert carol.is_over


@pytest.mark.parametrize("by_callee", [True, False])
@pytest.mark.parametrize("both", [True, False])
async def test_a_telephone_that_hangs_up_its_second_call_has_the_target_called_anew(
    house: Any, both: bool, by_callee: bool
) -> None:
    h, phone, party, second = await consulting(house, SLOW, by_callee=by_callee)
    phone.say(BOTH)
    await asyncio.sleep(0.1)
    second.bye()
    if both:
        phone.bye()
    await asyncio.sleep(1)
    first, anew = carols(h)
    assert first.is_over
    assert ("Replaces", BOTH.replaces) not in h.signalling.placed[-1][0].headers
    await asyncio.sleep(11)
    assert phone.actions[-1] == "told 7 200"
    assert joined(h) == pair(h, party, anew)
    await over(h, anew)


@pytest.mark.parametrize("by_callee", [True, False])
async def test_when_the_target_cannot_be_had_they_talk_again(house: Any, by_callee: bool) -> None:
    h, phone, party, second = await consulting(house, BUSY, by_callee=by_callee)
    phone.say(BOTH)
    await asyncio.sleep(4)
    assert phone.actions[-1] == "told 7 486"
    assert joined(h) == pair(h, party, phone)
    assert not second.is_over, "its document goes on"
    assert len(carols(h)) == 1
    await over(h, second, phone, party)


@pytest.mark.parametrize("by_callee", [True, False])
async def test_a_telephone_may_leave_the_conversation_at_once(house: Any, by_callee: bool) -> None:
    h, phone, party, second = await consulting(house, SLOW, by_callee=by_callee)
    phone.say(BOTH)
    await asyncio.sleep(0.1)
    phone.bye()
    await asyncio.sleep(9)
    (carol,) = carols(h)
    assert phone.actions[-1] == "told 7 200"
    assert joined(h) == pair(h, party, carol)
    await over(h, second, carol)


async def test_whoever_is_handed_on_may_not_wait(house: Any) -> None:
    h, phone, party, second = await consulting(house, SLOW)
    phone.say(BOTH)
    await asyncio.sleep(1)
    party.bye()
    await asyncio.sleep(1)
    assert phone.actions[-1] == "told 7 487" or phone.is_over
    assert "told 7 487" in phone.actions
    await asyncio.sleep(10)
    assert joined(h) == pair(h, second, carols(h)[0]), "the second call is its own"
    await over(h, second)


async def test_new_instructions_for_the_second_call_end_it(house: Any) -> None:
    h, phone, party, second = await consulting(house, SLOW)
    phone.say(BOTH)
    await asyncio.sleep(1)
    controller = next(c for c in h.services.exchange if c.call is h.call_of(second))
    controller.interrupt(Replace(target="http://app.test/menu"))
    await asyncio.sleep(1)
    assert phone.actions[-1] == "told 7 487"
    assert joined(h) == pair(h, party, phone)
    await over(h, second, phone)


async def test_a_document_that_was_called_is_called_anew_for_who_is_handed_on(house: Any) -> None:
    h, phone, party, second = await consulting(house, Callee(), number=MENU)
    phone.say(replace(BOTH, target=f"tel:{MENU}"))
    await asyncio.sleep(2)
    assert phone.actions[-1] == "told 7 200"
    await asyncio.sleep(4)
    assert phone.is_over
    assert second.is_over
    await over(h, party)


async def test_nobody_takes_a_ringing_call_of_somebody_else(house: Any) -> None:
    h, phone, _, second = await consulting(house, SLOW)
    second.identity = "user:mallory"
    before = joined(h)
    phone.say(BOTH)
    await asyncio.sleep(1)
    assert phone.actions[-1] == "settle 7 403"
    assert joined(h) == before
    await over(h, second, phone)


async def test_who_wants_a_call_that_rings_gets_no_other(house: Any) -> None:
    """`early-only`: on time while it rings, too late when it is answered, or a document has answered."""
    early = replace(BOTH, early_only=True)
    h, phone, party, second = await consulting(house, Callee(answers_after=3))
    await asyncio.sleep(2)
    before = joined(h)
    phone.say(early)
    await asyncio.sleep(1)
    assert phone.actions[-1] == "settle 7 486"
    assert joined(h) == before
    second.bye()
    menu, slow = await h.call(to=MENU), await h.call(to=SECOND)
    menu.identity = slow.identity = "user:bob"
    menu.call_id, slow.call_id = "menu", "slow"
    await asyncio.sleep(2)
    phone.say(replace(early, request=8, replaces="menu;to-tag=a;from-tag=b"))
    phone.say(replace(early, request=9, replaces="slow;to-tag=a;from-tag=b"))
    await asyncio.sleep(3)
    assert "settle 8 486" in phone.actions
    assert phone.actions[-1] == "told 9 200"
    assert joined(h) == pair(h, party, carols(h)[1])
    await over(h, party, menu)


async def test_a_ringing_call_takes_part_in_one_transfer_at_a_time(house: Any) -> None:
    h, phone, party, second = await consulting(house, SLOW)
    phone.say(BOTH)
    await asyncio.sleep(0.5)
    second.say(replace(BLIND, request=8))
    phone.say(replace(BOTH, request=9))
    await asyncio.sleep(0.5)
    assert second.actions[-1] == "settle 8 491"
    assert "settle 9 491" in phone.actions
    await over(h, phone, second, party)


@pytest.mark.parametrize("ms", range(46, 58, 2))
async def test_a_transfer_that_crosses_the_answer_is_done_all_the_same(house: Any, ms: int) -> None:
    h, phone, party, _ = await consulting(house, Callee(answers_after=3))
    await asyncio.sleep(1 + ms / 1000)
    phone.say(BOTH)
    await asyncio.sleep(2)
    assert phone.actions[-1] == "told 7 200"
    assert joined(h) == pair(h, party, carols(h)[0])
    await over(h, party)


@pytest.mark.parametrize("ms", range(46, 58, 2))
async def test_a_second_call_given_up_as_it_is_answered_leaves_nobody_behind(house: Any, ms: int) -> None:
    h, phone, party, second = await consulting(house, Callee(answers_after=3))
    phone.say(BOTH)
    await asyncio.sleep(1 + ms / 1000)
    second.bye()
    await asyncio.sleep(5)
    assert "told 7 200" in phone.actions
    assert joined(h) == pair(h, party, carols(h)[-1])
    await over(h, party)


@pytest.mark.parametrize("seed", range(100))
async def test_whatever_happens_meanwhile_it_comes_to_one_end(house: Any, seed: int) -> None:
    """Somebody hangs up, asks for something else or has new instructions, at any moment: who was told that
    it is being done is told once how that ended, and nobody takes part in it any more."""
    chance = random.Random(seed)
    carol = chance.choice([Callee(answers_after=3), BUSY, Callee(answers_after=3, hangs_up_after=0.3)])
    h, phone, party, second = await consulting(house, carol, by_callee=chance.random() < 0.5)
    phone.call_id = "conversation"
    legs = [phone, party, second]

    def moves() -> None:
        leg = chance.choice(legs)
        for controller in h.services.exchange:
            if controller.call.leg is not None and controller.call.leg.sip is leg:
                controller.interrupt(Replace(target="http://app.test/menu"))

    def asks() -> None:
        chance.choice(legs).say(replace(BLIND, request=8))

    def leaves() -> None:
        chance.choice(legs).bye()

    phone.say(BOTH)
    for event in chance.sample([moves, asks, leaves, leaves], 2):
        await asyncio.sleep(chance.choice([0, 0.001, 0.3, 1, 1.05, 1.055]))
        event()
    await asyncio.sleep(90)
    for leg in legs:
        for number in [action.split()[1] for action in leg.actions if action.endswith(" 202")]:
            ends = [a for a in leg.actions if a.startswith((f"told {number} 2", f"told {number} 4"))]
            assert len(ends) == 1, leg.actions
    assert not [c for c in h.services.exchange if c.referral is not None]
    await over(h, *(leg for leg in (*legs, *carols(h)) if not leg.is_over))


# -- the first call still rings


async def ringing(house: Any, bob: Callee, carol: Callee) -> tuple[Any, Any]:
    """The house, and a caller who hears bob ring."""
    h = house(PAGES, {"client:bob": bob, CAROL: carol})
    caller = await h.call()
    caller.identity = "user:alice"
    await asyncio.sleep(1)
    caller.say(replace(BLIND, asker=("client:alice",)))
    await asyncio.sleep(0.5)
    assert caller.actions[-1] == "settle 7 202"
    return h, caller


async def test_who_answers_a_call_that_is_to_be_handed_on_is_handed_on_at_once(house: Any) -> None:
    h, caller = await ringing(house, Callee(answers_after=3), Callee(answers_after=2))
    await asyncio.sleep(2.5)
    assert not joined(h)
    await asyncio.sleep(2)
    ((_, bob), (_, carol)) = h.signalling.placed
    assert caller.actions[-1] == "told 7 200"
    assert joined(h) == pair(h, bob, carol)
    await over(h, carol)


async def test_a_call_that_is_not_answered_is_not_handed_on(house: Any) -> None:
    h, caller = await ringing(house, Callee(answers_after=3, status=486), Callee())
    await asyncio.sleep(3)
    assert caller.actions[-1] == "told 7 486"
    assert len(h.signalling.placed) == 1
    caller.say(replace(BLIND, request=8))
    await asyncio.sleep(0.1)
    assert caller.actions[-1] == "settle 8 480", "a document talks"
    await over(h, caller)


async def test_a_call_that_is_given_up_is_not_handed_on(house: Any) -> None:
    h, caller = await ringing(house, SLOW, Callee())
    await over(h, caller)
    assert caller.actions[-1] == "told 7 487"
