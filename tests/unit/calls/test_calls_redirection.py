"""A callee that says where it is to be had instead."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from callrouter.identity.accounts import Account
from callrouter.identity.addresses import Address
from callrouter.ports import Redirect
from callrouter.testing.world import Callee
from dispatcher.policy.facts import Ban, Party
from tests.unit.calls.conftest import NUMBER

A, B, C = ("sip:a@gw.example", "client:b", "sip:c@gw.example")
PAGES = {
    "http://app.test/voice": "<Response><Dial action='/over' timeout='20'><Client>bob</Client></Dial>"
    "</Response>",
    "http://app.test/over": "<Response><Hangup/></Response>",
}


def moved(*targets: str, **more: Any) -> Callee:
    return Callee(status=302, redirects=tuple(Redirect(target, **more) for target in targets))


async def after(house: Any, callees: dict[str, Callee], **rest: Any) -> tuple[dict[str, str], list[str]]:
    """What the Dial's action was told, and who was called."""
    h = house(PAGES, callees, **rest)
    caller = await h.call()
    await asyncio.sleep(10)
    caller.bye()
    await h.idle()
    return h.told_at("/over"), [order.target for order, _ in h.signalling.placed]


async def test_the_first_address_that_answers_has_the_call(house: Any) -> None:
    callees = {"client:bob": moved(A, B, C), A: Callee(status=486), B: Callee(), C: Callee()}
    told, called = await after(house, callees)
    assert called == ["client:bob", A, B]
    assert (told["DialCallStatus"], told["DialSipResponseCode"]) == ("completed", "200")


async def test_a_carriers_address_is_called_through_the_carrier_without_what_was_for_the_first(
    house: Any,
) -> None:
    h = house(PAGES, {"client:bob": moved(A, trunk="carrier", mentioned_by="192.0.2.1"), A: Callee()})
    caller = await h.call()
    await asyncio.sleep(5)
    order = h.signalling.placed[-1][0]
    assert (order.target, order.trunk, order.mentioned_by) == (A, "carrier", "192.0.2.1")
    caller.bye()
    await h.idle()


async def test_circles_and_long_ways_come_to_an_end(house: Any) -> None:
    told, called = await after(house, {"client:bob": moved(A), A: moved("client:bob", A)})
    assert called == ["client:bob", A]
    assert (told["DialCallStatus"], told["DialSipResponseCode"]) == ("failed", "302")
    chain = {f"sip:{n}@gw.example": moved(f"sip:{n + 1}@gw.example") for n in range(20)}
    _, called = await after(house, {"client:bob": moved("sip:0@gw.example"), **chain})
    assert len(called) == 6


async def test_nearer_addresses_go_before_those_that_are_left(house: Any) -> None:
    callees = {"client:bob": moved(A, C), A: moved(B), B: Callee(status=404), C: Callee(status=486)}
    told, called = await after(house, callees)
    assert called == ["client:bob", A, B, C]
    assert told["DialCallStatus"] == "busy"


async def test_policy_is_asked_of_each(house: Any) -> None:
    snapshot = {"bans": [Ban(Party.CALLEE, A)]}
    callees = {"client:bob": moved(A, B), A: Callee(), B: Callee()}
    _, called = await after(house, callees, snapshot=snapshot)
    assert called == ["client:bob", B]


async def test_all_of_them_share_the_time_of_one(house: Any) -> None:
    callees = {"client:bob": replace(moved(A), answers_after=15), A: Callee(answers_after=None)}
    h = house(PAGES, callees)
    await h.call()
    await h.idle()
    assert h.told_at("/over")["DialCallStatus"] == "no-answer"
    starts = [track.rows[0][0] for track in h.meter.tracks.values()]
    ends = [track.end_ns for track in h.meter.tracks.values()]
    assert max(ends) - min(starts) < 27e9


async def test_a_user_of_another_account_spends_nothing_here(house: Any) -> None:
    other = "AC" + "2" * 32
    there = {
        "more_accounts": [Account(other, "other", "Other", token="o" * 32)],
        "more_addresses": [Address("client:bob", other, NUMBER, "http://app.test/voice")],
    }
    bob = replace(moved(B), redirected_by=("client:bob",))
    told, called = await after(house, {"client:bob": bob, B: Callee()}, **there)
    assert called == ["client:bob"]
    assert told["DialCallStatus"] == "failed"
