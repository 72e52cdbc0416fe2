"""A Dial to a number of this server: a session of its own, linked, without a trunk."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callrouter.identity.accounts import Account
from callrouter.identity.addresses import Address
from callrouter.ports import Hangup, SetRemote, Side
from callrouter.testing.world import Callee
from dispatcher.dispatch import Dispatcher
from dispatcher.snapshot import Snapshot
from tests.unit.calls.conftest import ACCOUNT, NUMBER, Plenty

OTHER = "AC" + "2" * 32
SECOND = "+15550200"
DIAL = {"http://app.test/voice": f"<Response><Dial>{SECOND}</Dial><Say>Back</Say></Response>"}
TALK = {"http://other.test/": "<Response><Say>Hello</Say><Pause length='5'/></Response>"}


def hosting(
    house: Any, pages: dict[str, Any], target: str = "http://other.test/", *, key: str = SECOND
) -> Any:
    """A house with a second number, of another account."""
    built = house(pages)
    built.services.dispatcher = Dispatcher(
        Snapshot(
            accounts=[
                Account(ACCOUNT, "demo", "Demo", token="t" * 32),
                Account(OTHER, "other", "Other", token="o" * 32),
            ],
            addresses=[
                Address(NUMBER, ACCOUNT, NUMBER, "http://app.test/voice"),
                Address(key, OTHER, SECOND, target),
            ],
        ),
        Plenty(),
    )
    return built


def calls(built: Any) -> dict[str, Any]:
    found = {}
    for controller in built.services.exchange:
        call = controller.call
        found["leg" if call.facts.parent_sid else call.to] = controller
    return found


async def test_the_number_answers_in_a_session_of_its_own_that_is_linked(house: Any) -> None:
    built = hosting(house, DIAL | TALK)
    caller = await built.call(caller="+15557777")
    await asyncio.sleep(0.5)
    live = calls(built)
    leg, second = live["leg"].call, live[SECOND].call
    assert not built.signalling.placed
    assert (leg.facts.account_sid, leg.facts.key_number) == (ACCOUNT, NUMBER)
    assert (second.facts.account_sid, second.facts.key_number) == (OTHER, SECOND)
    assert (second.facts.session_sid, second.facts.parent_sid) == (second.sid, "")
    assert (leg.linked_sid, second.linked_sid) == (second.sid, leg.sid)
    assert (second.from_, second.direction) == ("+15557777", "inbound")
    assert leg.is_answered
    assert second.is_answered
    remotes = {c.leg: c.audio.remote for c in built.media.commands if isinstance(c, SetRemote)}
    assert remotes[leg.leg.id] == second.leg.local
    assert remotes[second.leg.id] == leg.leg.local
    caller.bye()
    await built.idle()
    assert [row.split(":")[0] for row in built.meter.tracks[second.sid].names()] == ["other.self"] * 2


@pytest.mark.parametrize(
    ("noun", "key"),
    [
        (f"<Sip>sip:{SECOND}@sip.test;transport=tcp?X-Why=because</Sip>", SECOND),
        ("<Sip>sip:support@sip.test</Sip>", "sip:support@sip.test"),
        ("<Client>support</Client>", "client:support"),
    ],
)
async def test_an_address_of_the_server_is_reached_as_a_number_is(house: Any, noun: str, key: str) -> None:
    pages = TALK | {"http://app.test/voice": f"<Response><Dial>{noun}</Dial></Response>"}
    built = hosting(house, pages, key=key)
    caller = await built.call()
    await asyncio.sleep(0.5)
    assert not built.signalling.placed
    asked = dict(built.fetcher.requests[1].parameters)
    assert (asked["To"], asked["ForwardedFrom"], asked["CalledVia"]) == (key, NUMBER, NUMBER)
    assert asked.get("SipHeader_X-Why") == ("because" if "?" in noun else None)
    caller.bye()
    await built.idle()


async def test_a_telephone_goes_before_a_number_of_the_same_name(house: Any) -> None:
    pages = {"http://app.test/voice": "<Response><Dial><Client>support</Client></Dial></Response>"}
    built = hosting(house, pages, key="client:support")
    built.signalling.callees["client:support"] = Callee(hangs_up_after=1)
    await built.call()
    await built.idle()
    assert [order.target for order, _ in built.signalling.placed] == ["client:support"]


async def test_when_it_hangs_up_the_dialling_document_goes_on(house: Any) -> None:
    built = hosting(house, DIAL | {"http://other.test/": "<Response><Say>Hi</Say></Response>"})
    await built.call()
    await built.idle()
    assert built.speech.said == ["Hi", "Back"]
    statuses = dict(built.log.statuses)
    assert set(statuses.values()) == {"completed"}
    assert len(statuses) == 3


async def test_a_refusal_is_the_dials_result(house: Any) -> None:
    built = hosting(house, DIAL | {"http://other.test/": "<Response><Reject reason='busy'/></Response>"})
    await built.call()
    await built.idle()
    assert sorted(dict(built.log.statuses).values()) == ["busy", "busy", "completed"]


async def test_a_caller_that_hangs_up_before_the_answer_takes_the_arriving_call_along(house: Any) -> None:
    slow = {
        "http://other.test/": "<Response><Dial answerOnBridge='true'><Client>slow</Client></Dial></Response>"
    }
    built = hosting(house, DIAL | slow)
    built.signalling.callees["client:slow"] = Callee(answers_after=60)
    caller = await built.call()
    await asyncio.sleep(1)
    leg, second = calls(built)["leg"].call, calls(built)[SECOND].call
    assert not second.is_answered
    caller.bye()
    await built.idle()
    assert leg.status.value == "canceled"
    assert (second.status.value, second.sip_status) == ("no-answer", 487)


async def test_a_number_that_dials_itself_is_told_so_and_goes_on(house: Any) -> None:
    built = house({"http://app.test/voice": f"<Response><Dial>{NUMBER}</Dial><Say>Back</Say></Response>"})
    await built.call()
    await built.idle()
    assert len(built.meter.tracks) == 2
    assert built.log.warnings == [(13224, f"{NUMBER} calls itself: this call went from {NUMBER} to {NUMBER}")]


async def test_numbers_that_dial_each_other_end_where_the_circle_closes(house: Any) -> None:
    built = hosting(house, DIAL | {"http://other.test/": f"<Response><Dial>{NUMBER}</Dial></Response>"})
    await built.call()
    await built.idle()
    assert len(built.meter.tracks) == 4  # two sessions of two calls each
    assert "calls itself" in built.log.warnings[0][1]


@pytest.mark.parametrize("side", ["caller", "callee"])
async def test_either_end_hangs_up_for_both(house: Any, side: str) -> None:
    built = hosting(house, DIAL | TALK)
    await built.call()
    await asyncio.sleep(0.5)
    ended = calls(built)["leg" if side == "caller" else SECOND]
    other = calls(built)[SECOND if side == "caller" else "leg"]
    ended.interrupt(Hangup(Side.US, "enough"))
    await asyncio.sleep(0.1)
    assert other.over.is_set()
    assert other.call.end_detail == "enough"
    await built.idle()
