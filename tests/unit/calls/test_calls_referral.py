"""A telephone hands whom it talks to on to somebody else, or brings two of its parties together."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from callrouter.identity.accounts import Account
from callrouter.identity.addresses import Address
from callrouter.ports import Join, Replace, TransferRequested
from callrouter.testing.world import Callee
from dispatcher.policy.facts import Ban, Party
from metering.interval import Cause, Mode
from tests.unit.calls.conftest import ACCOUNT, NUMBER

CAROL = "client:carol"
DIAL = "<Response><Dial action='/over' callerId='+15550100'><Client>bob</Client></Dial></Response>"
PAGES = {
    "http://app.test/voice": DIAL,
    "http://app.test/over": "<Response><Say>Over</Say></Response>",
    "http://app.test/next": "<Response><Say>Elsewhere</Say></Response>",
}
ASKED = TransferRequested(
    0, 7, CAROL, "", may=True, asker=("client:bob",), referred_by="<sip:bob@here>", mentioned_by="127.0.0.1"
)


async def bridged(house: Any, carol: Callee | None = None, **rest: Any) -> tuple[Any, Any, Any]:
    """The house, the caller, and bob, who is connected with the caller."""
    h = house(PAGES, {"client:bob": Callee(), CAROL: carol or Callee()}, **rest)
    caller = await h.call()
    caller.identity = "user:alice"
    await asyncio.sleep(3)
    ((_, bob),) = h.signalling.placed
    bob.identity = "user:bob"
    return h, caller, bob


def joined(h: Any) -> set[frozenset[int]]:
    """Who hears whom now."""
    return {frozenset((leg, state.partner)) for leg, state in h.media.legs.items() if state.partner}


# -- by the callee


async def test_a_callee_hands_the_caller_on_and_the_document_goes_on_after_that(house: Any) -> None:
    h, caller, bob = await bridged(house)
    bob.say(ASKED)
    await asyncio.sleep(0.5)
    assert bob.actions[-2:] == ["settle 7 202", "told 7 180"]
    assert not joined(h)
    assert h.media.legs[h.media_leg_of(caller)].playing, "the caller hears it ring"
    await asyncio.sleep(1)
    order, carol = h.signalling.placed[1]
    assert joined(h) == {frozenset((h.media_leg_of(caller), h.media_leg_of(carol)))}
    assert bob.actions[-1] == "told 7 200"
    assert (order.target, order.caller, order.headers) == (
        CAROL,
        "+15550100",
        (("Referred-By", "<sip:bob@here>"),),
    )
    assert order.mentioned_by == "127.0.0.1"
    await asyncio.sleep(4)
    assert bob.is_over, "a telephone that does not hang up is hung up"
    assert not carol.is_over
    carol.bye()
    await h.idle()
    told = h.told_at("/over")
    assert (told["DialCallStatus"], told["DialBridged"], told["DialCallDuration"]) == (
        "completed",
        "true",
        "7",
    )
    assert h.speech.said == ["Over"]


async def test_the_caller_stays_with_the_bridge_and_everybody_else_is_driven_by_it(house: Any) -> None:
    h, caller, bob = await bridged(house)
    root = h.call_of(caller).sid
    bob.say(ASKED)
    await asyncio.sleep(2)
    bob.bye()
    caller.bye()
    await h.idle()
    tracks = h.meter.tracks
    assert tracks[root].names()[-1] == "platform.bridge:bridge"
    driven = [track for sid, track in tracks.items() if sid != root]
    assert len(driven) == 2
    assert all(holder.driven_by == root for track in driven for _, holder, _ in track.rows)


@pytest.mark.parametrize(
    ("carol", "status"),
    [
        (Callee(answers_after=1, status=486), 486),
        (Callee(answers_after=1, status=603), 603),
        (Callee(answers_after=None), 480),
    ],
)
async def test_when_the_target_cannot_be_had_they_talk_again(house: Any, carol: Callee, status: int) -> None:
    h, caller, bob = await bridged(house, carol)
    bob.say(ASKED)
    await asyncio.sleep(40)
    assert bob.actions[-1] == f"told 7 {status}"
    assert joined(h) == {frozenset((h.media_leg_of(caller), h.media_leg_of(bob)))}
    assert not bob.is_over
    bob.say(replace(ASKED, request=8))
    await asyncio.sleep(0.5)
    assert "settle 8 202" in bob.actions, "another try is as good as the first"
    bob.bye()
    await asyncio.sleep(40)
    assert h.told_at("/over")["DialCallStatus"] == "completed"
    await h.idle()


async def test_a_telephone_that_hangs_up_at_once_has_transferred_all_the_same(house: Any) -> None:
    h, caller, bob = await bridged(house)
    bob.say(ASKED)
    await asyncio.sleep(0.2)
    bob.bye()
    await asyncio.sleep(2)
    _, carol = h.signalling.placed[1]
    assert joined(h) == {frozenset((h.media_leg_of(caller), h.media_leg_of(carol)))}
    caller.bye()
    await h.idle()


async def test_a_caller_who_does_not_wait_ends_it(house: Any) -> None:
    h, caller, bob = await bridged(house, Callee(answers_after=30))
    bob.say(ASKED)
    await asyncio.sleep(1)
    caller.bye()
    await h.idle()
    assert "told 7 487" in bob.actions
    assert h.told_at("/over")["DialCallStatus"] == "completed"


@pytest.mark.parametrize("by_callee", [True, False])
@pytest.mark.parametrize("ticks", range(12))
async def test_a_transfer_that_crosses_a_hang_up_is_answered_for(
    house: Any, by_callee: bool, ticks: int
) -> None:
    h, caller, bob = await bridged(house)
    phone, party = (bob, caller) if by_callee else (caller, bob)
    phone.say(ASKED)
    for _ in range(ticks):
        await asyncio.sleep(0)
    party.bye()
    await asyncio.sleep(1)
    if "settle 7 202" in phone.actions:
        assert "told 7 487" in phone.actions or phone.is_over
    assert all(c.referral is None for c in h.services.exchange)
    caller.bye()
    bob.bye()
    await h.idle()


async def test_instructions_by_the_api_call_a_transfer_off(house: Any) -> None:
    h, _, bob = await bridged(house, Callee(answers_after=30))
    root = h.root
    bob.say(ASKED)
    await asyncio.sleep(1)
    root.interrupt(Replace(target="http://app.test/next"))
    await h.idle()
    assert "told 7 487" in bob.actions
    assert h.speech.said == ["Elsewhere"]


async def test_policy_is_asked_before_anybody_is_called(house: Any) -> None:
    bans = [Ban(Party.CALLEE, CAROL)]
    h, caller, bob = await bridged(house, snapshot={"bans": bans})
    bob.say(ASKED)
    await asyncio.sleep(1)
    assert bob.actions[-1] == "told 7 403"
    assert len(h.signalling.placed) == 1
    assert joined(h) == {frozenset((h.media_leg_of(caller), h.media_leg_of(bob)))}
    caller.bye()
    await h.idle()


async def test_the_number_that_the_call_is_for_does_not_call_itself(house: Any) -> None:
    h, caller, bob = await bridged(house)
    bob.say(replace(ASKED, target=f"tel:{NUMBER}"))
    await asyncio.sleep(1)
    assert bob.actions[-1] == "told 7 482"
    caller.bye()
    await h.idle()


# -- by the caller


async def test_a_caller_hands_the_callee_on_which_becomes_a_session_of_its_own(house: Any) -> None:
    h, caller, bob = await bridged(house)
    caller.say(replace(ASKED, asker=("client:alice",)))
    await asyncio.sleep(0.5)
    assert h.media.legs[h.media_leg_of(bob)].playing, "the callee hears it ring"
    await asyncio.sleep(1.5)
    _, carol = h.signalling.placed[1]
    assert joined(h) == {frozenset((h.media_leg_of(bob), h.media_leg_of(carol)))}
    assert caller.actions[-1] == "told 7 200"
    mine, theirs = h.call_of(bob), h.call_of(carol)
    assert mine.split_from == h.call_of(caller).sid
    assert mine.facts.session_sid == theirs.facts.session_sid == mine.sid
    assert theirs.facts.parent_sid == mine.sid
    caller.bye()
    await asyncio.sleep(5)
    assert h.told_at("/over")["DialCallStatus"] == "completed"
    assert joined(h) == {frozenset((h.media_leg_of(bob), h.media_leg_of(carol)))}
    last = h.meter.tracks[mine.sid].rows[-1]
    assert (last[1].module, last[1].mode, last[1].driven_by, last[2]) == (
        "platform.bridge",
        Mode.BRIDGE,
        "",
        Cause.SIP,
    )
    assert h.meter.tracks[theirs.sid].rows[-1][1].driven_by == mine.sid
    carol.bye()
    await h.idle()
    assert bob.is_over
    assert not h.speech.said


async def test_a_callee_that_could_not_be_handed_on_talks_to_the_caller_again(house: Any) -> None:
    h, caller, bob = await bridged(house, Callee(answers_after=1, status=486))
    caller.say(ASKED)
    await asyncio.sleep(2)
    assert caller.actions[-1] == "told 7 486"
    assert joined(h) == {frozenset((h.media_leg_of(caller), h.media_leg_of(bob)))}
    assert h.call_of(bob).split_from == ""
    bob.bye()
    await h.idle()
    assert h.speech.said == ["Over"]


@pytest.mark.parametrize("carol", [Callee(answers_after=5), Callee(answers_after=5, status=486)])
async def test_a_caller_who_hangs_up_at_once_leaves_the_callee_to_the_target(
    house: Any, carol: Callee
) -> None:
    h, caller, bob = await bridged(house, carol)
    caller.say(ASKED)
    await asyncio.sleep(1)
    mine = h.call_of(bob)
    caller.bye()
    await asyncio.sleep(1)
    assert mine.facts.session_sid == mine.sid, "nobody drives it any more"
    assert h.meter.tracks[mine.sid].rows[-1][1].driven_by == ""
    await asyncio.sleep(5)
    if carol.status:
        assert bob.is_over
    else:
        _, other = h.signalling.placed[1]
        assert joined(h) == {frozenset((h.media_leg_of(bob), h.media_leg_of(other)))}
        bob.bye()
    await h.idle()


async def test_a_callee_who_hangs_up_while_it_is_handed_on_ends_it(house: Any) -> None:
    h, caller, bob = await bridged(house, Callee(answers_after=30))
    caller.say(ASKED)
    await asyncio.sleep(1)
    bob.bye()
    await h.idle()
    assert "told 7 487" in caller.actions
    assert h.speech.said == ["Over"]


# -- with a consultation


@pytest.mark.parametrize("by_callee", [True, False])
@pytest.mark.parametrize("consulted_by_caller", [True, False])
async def test_two_parties_of_one_telephone_are_brought_together(
    house: Any, by_callee: bool, consulted_by_caller: bool
) -> None:
    h = house(PAGES, {"client:bob": Callee()})
    first = await h.call()
    await asyncio.sleep(3)
    second = await h.call()
    second.call_id = "call-2"
    await asyncio.sleep(3)
    (_, first_callee), (_, second_callee) = h.signalling.placed
    phone, party = (first_callee, first) if by_callee else (first, first_callee)
    other, target = (second, second_callee) if consulted_by_caller else (second_callee, second)
    other.call_id = "the-consultation"
    phone.identity = other.identity = "user:bob"
    phone.say(replace(ASKED, replaces="the-consultation;to-tag=a;from-tag=b"))
    await asyncio.sleep(1)
    assert "told 7 200" in phone.actions
    assert joined(h) == {frozenset((h.media_leg_of(party), h.media_leg_of(target)))}
    assert h.call_of(party).linked_sid == h.call_of(target).sid
    await asyncio.sleep(5)
    assert phone.is_over
    assert other.is_over
    assert joined(h) == {frozenset((h.media_leg_of(party), h.media_leg_of(target)))}
    party.bye()
    await h.idle()
    # Each root that was left, or that left, has its document go on or be told.
    assert len([r for r in h.fetcher.requests if r.url.endswith("/over")]) == 2
    for track in h.meter.tracks.values():
        assert all(one[0] <= two[0] for one, two in pairwise(track.rows))


async def test_nobody_takes_the_call_of_somebody_else_by_naming_it(house: Any) -> None:
    h, caller, bob = await bridged(house)
    foreign = await h.call()
    foreign.call_id, foreign.identity = "foreign", "user:mallory"
    await asyncio.sleep(3)
    before = joined(h)
    bob.say(replace(ASKED, replaces="foreign;to-tag=a;from-tag=b"))
    await asyncio.sleep(1)
    assert bob.actions[-1] == "settle 7 403"
    assert joined(h) == before
    for leg in (caller, foreign):
        leg.bye()
    await h.idle()


async def test_a_dialog_that_is_not_ours_is_named_to_the_target(house: Any) -> None:
    h, caller, bob = await bridged(house)
    bob.say(replace(ASKED, replaces="elsewhere;to-tag=a;from-tag=b"))
    await asyncio.sleep(1)
    assert ("Replaces", "elsewhere;to-tag=a;from-tag=b") in h.signalling.placed[1][0].headers
    caller.bye()
    await h.idle()


# -- who may


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (replace(ASKED, may=False), 403),
        (replace(ASKED, asker=("+15550777",)), 403),
        (replace(ASKED, target=""), 404),
        (replace(ASKED, replaces="call-1;to-tag=a;from-tag=b"), 488),
    ],
)
async def test_what_may_not_be_changes_nothing(house: Any, asked: TransferRequested, status: int) -> None:
    other = "AC" + "2" * 32
    snapshot: dict[str, Any] = {
        "more_accounts": [Account(other, "other", "Other", token="o" * 32)],
        "more_addresses": [Address("+15550777", other, "+15550777", "http://app.test/voice")],
    }
    h, caller, bob = await bridged(house, **snapshot)
    before = joined(h)
    bob.say(asked)
    await asyncio.sleep(1)
    assert bob.actions[-1] == f"settle 7 {status}"
    assert joined(h) == before
    assert len(h.signalling.placed) == 1
    caller.bye()
    await h.idle()


async def test_a_telephone_of_the_account_may(house: Any) -> None:
    h, caller, bob = await bridged(house)
    assert await h.services.dispatcher.number(NUMBER)
    assert h.root.call.facts.account_sid == ACCOUNT
    bob.say(replace(ASKED, asker=(NUMBER, "client:bob")))
    await asyncio.sleep(1)
    assert "settle 7 202" in bob.actions
    caller.bye()
    await h.idle()


async def test_one_transfer_at_a_time_whoever_asks(house: Any) -> None:
    h, caller, bob = await bridged(house, Callee(answers_after=5))
    bob.say(ASKED)
    bob.say(replace(ASKED, request=8))
    await asyncio.sleep(1)
    caller.say(replace(ASKED, request=9))
    await asyncio.sleep(1)
    assert "settle 8 491" in bob.actions
    assert caller.actions[-1] == "settle 9 491"
    await asyncio.sleep(6)
    assert "told 7 200" in bob.actions
    assert sum(isinstance(c, Join) for c in h.media.commands) == 2
    caller.bye()
    await h.idle()


async def test_a_telephone_that_talks_to_a_document_has_nobody_to_hand_on(house: Any) -> None:
    h = house("<Response><Say>Hello</Say></Response>")
    caller = await h.call()
    await asyncio.sleep(1)
    caller.say(ASKED)
    await asyncio.sleep(0.1)
    assert caller.actions[-1] == "settle 7 480"
    await h.idle()
