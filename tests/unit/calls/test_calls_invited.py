"""What the INVITE of a call we place says beside its address: tokens, who calls, whom the call was for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callrouter.identity.accounts import Account
from callrouter.identity.addresses import Address
from callrouter.ports import TransferRequested
from callrouter.testing.world import Callee
from dispatcher.dispatch import Dispatcher
from dispatcher.snapshot import Snapshot
from metering.interval import Cause
from tests.unit.calls.conftest import ACCOUNT, NUMBER, Plenty

ASKING = "sip:agent@host;callrouter-transfer=http%3A%2F%2Fapp.test%2Fnext;user=phone"
NEXT = "http://app.test/next"
PAGES = {
    "http://app.test/voice": f"<Response><Dial><Sip>{ASKING}</Sip></Dial></Response>",
    NEXT: "<Response><Say>Elsewhere</Say></Response>",
}
CALLEES = {"sip:agent@host;user=phone": Callee(answers_after=1)}


async def talking(house: Any) -> tuple[Any, Any, dict[str, str]]:
    built = house(PAGES, CALLEES)
    caller = await built.call()
    await asyncio.sleep(2)
    ((order, leg),) = built.signalling.placed
    return built, (caller, leg), dict(order.headers)


async def test_who_is_called_gets_a_token_that_moves_the_caller(house: Any) -> None:
    built, (_, leg), headers = await talking(house)
    assert headers["Callrouter-Target"] == f"<{NEXT}>"
    root = built.root.call.sid
    leg.say(TransferRequested(0, 7, NEXT, headers["Callrouter-Token"]))
    await built.idle()
    assert leg.actions[0] == "settle 7 202"
    assert built.speech.said == ["Elsewhere"]
    assert Cause.SIP in [cause for _, _, cause in built.meter.tracks[root].rows]


async def test_the_caller_may_use_it_on_its_own_leg_and_only_once(house: Any) -> None:
    built, (caller, leg), headers = await talking(house)
    token = headers["Callrouter-Token"]
    caller.say(TransferRequested(0, 1, NEXT, token))
    leg.say(TransferRequested(0, 2, NEXT, token))
    assert "settle 1 202" in caller.actions
    assert "settle 2 403" in leg.actions
    await built.idle()


@pytest.mark.parametrize("wrong", ["target", "token", "other call"])
async def test_what_does_not_fit_changes_nothing(house: Any, wrong: str) -> None:
    built, (caller, leg), headers = await talking(house)
    token, target = headers["Callrouter-Token"], NEXT
    if wrong == "target":
        target = "http://app.test/voice"
    elif wrong == "token":
        token = token[:-1] + ("A" if token[-1] != "A" else "B")
    else:
        stranger = house(PAGES, CALLEES)
        foreign = await stranger.call()
        await asyncio.sleep(2)
        foreign.say(TransferRequested(0, 3, target, token))
        assert "settle 3 403" in foreign.actions
        foreign.bye()
        await stranger.idle()
    before = built.meter.tracks[built.root.call.sid].rows[:]
    if wrong != "other call":
        leg.say(TransferRequested(0, 3, target, token))
        assert "settle 3 403" in leg.actions
    await asyncio.sleep(0.5)
    assert built.meter.tracks[built.root.call.sid].rows == before
    caller.bye()
    await built.idle()


async def test_an_address_that_does_not_ask_gets_none(house: Any) -> None:
    built = house(
        {"http://app.test/voice": "<Response><Dial><Sip>sip:a@host</Sip></Dial></Response>"},
        {"sip:a@host": Callee(hangs_up_after=1)},
    )
    await built.call()
    await built.idle()
    ((order, _),) = built.signalling.placed
    assert order.headers == ()
    assert (order.diverted_from, order.responsible) == ("+15550100", "+15550100")


async def test_an_anonymous_caller_may_be_put_through_to_a_number(house: Any) -> None:
    built = house(
        {"http://app.test/voice": "<Response><Dial>+15551111</Dial></Response>"},
        {"+15551111": Callee(hangs_up_after=1)},
    )
    leg = built.ring()
    leg.from_uri = "sip:anonymous@anonymous.invalid"
    await built.idle()
    ((order, _),) = built.signalling.placed
    assert order.caller == "anonymous"


@pytest.mark.parametrize(
    ("registered_as", "key_number"),
    [
        (("+15550300", "client:alice"), "+15550300"),
        (("client:alice",), "+15550300"),
        (("+15559999", "client:bob"), "+15550100"),
        (("+15550400",), "+15550100"),
        ((), "+15550100"),
    ],
)
async def test_a_users_call_is_metered_to_the_number_it_is_registered_under(
    house: Any, registered_as: tuple[str, ...], key_number: str
) -> None:
    """If the account called has it; the address called decides the document all the same."""
    built = house({"http://app.test/voice": "<Response><Say>Hello</Say></Response>"})
    other = "AC" + "2" * 32
    built.services.dispatcher = Dispatcher(
        Snapshot(
            accounts=[
                Account(ACCOUNT, "demo", "Demo", token="t" * 32),
                Account(other, "o", "O", token="o" * 32),
            ],
            addresses=[
                Address(NUMBER, ACCOUNT, NUMBER, "http://app.test/voice"),
                Address("+15550300", ACCOUNT, "+15550300", "http://app.test/none"),
                Address("client:alice", ACCOUNT, "+15550300", "http://app.test/none"),
                Address("+15550400", other, "+15550400", "http://app.test/none"),
            ],
        ),
        Plenty(),
    )
    leg = built.ring()
    leg.registered_as = registered_as
    await built.begun()
    assert built.root.call.facts.key_number == key_number
    await built.idle()
    assert built.speech.said == ["Hello"]
