"""Control refused: by which rule, and who takes over."""

from __future__ import annotations

from dataclasses import replace

from callrouter.identity.accounts import AccountStatus, Funds
from callrouter.identity.addresses import Address
from dispatcher.dispatch import Dispatcher
from dispatcher.grant import (
    BridgeGrant,
    DocumentGrant,
    Refusal,
)
from dispatcher.policy.facts import Ban, Party
from metering.interval import Cause
from tests.unit.dispatcher.world import (
    AC,
    ACCOUNT,
    AP,
    APPLICATION,
    MENU_URL,
    NUMBER,
    OTHER,
    SURVEY,
    dispatcher,
    in_bridge,
    in_menu,
    refused,
    request,
)


async def test_each_rule_refuses_through_dispatch() -> None:
    menu = await in_menu()
    score = request("outlet:score", current=menu)
    cases: list[tuple[str, Dispatcher]] = [
        ("number", dispatcher(addresses=(), accounts=(replace(ACCOUNT, billing_number=""),))),
        ("number", dispatcher(addresses=(Address(NUMBER, AC, NUMBER, "x:", active=False),))),
        ("banned", dispatcher(bans=(Ban(Party.OWNER, "beta"),))),
        ("account", dispatcher(accounts=(replace(ACCOUNT, status=AccountStatus.SUSPENDED),))),
        ("subscription", dispatcher(subscriptions=())),
        ("prepaid", dispatcher(funds=0)),
    ]
    for rule, made in cases:
        refusal = await refused(made, score)
        assert refusal.rule == rule
        assert refusal.holder is not None
        assert refusal.holder.module == "beta.survey"
        assert refusal.denied is None


async def test_bans_see_every_spelling_of_caller_and_destination() -> None:
    made = dispatcher(bans=(Ban(Party.CALLEE, "+1900*"), Ban(Party.CALLER, "+15550666")))
    assert (await refused(made, request("tel:0019005551234"))).rule == "banned"
    assert (await refused(made, request("sip:+19005551234@gateway.example"))).rule == "banned"
    assert (await refused(made, request("https://x.example/", caller="sip:15550666@y"))).rule == "banned"


async def test_bans_of_another_account_do_not_count() -> None:
    made = dispatcher(bans=(Ban(Party.CALLEE, NUMBER, account_sid=OTHER),))
    assert isinstance(await made.dispatch(request("https://x.example/")), DocumentGrant)


async def test_a_postpaid_account_needs_no_funds() -> None:
    made = dispatcher(funds=0, accounts=(replace(ACCOUNT, funds=Funds.POSTPAID),))
    assert isinstance(await made.dispatch(request("https://x.example/")), DocumentGrant)


async def test_emergency_numbers_can_be_dialled_without_funds_or_number() -> None:
    made = dispatcher(funds=0, addresses=(), accounts=())
    assert isinstance(await made.dispatch(request("tel:112")), BridgeGrant)
    assert isinstance(await made.dispatch(request("sip:112@premium.example")), Refusal)


async def test_a_call_to_an_emergency_number_is_carried_out_and_no_excuse_for_other_calls() -> None:
    made = dispatcher(funds=0)
    joined = await made.dispatch(request("sip:rescue@example.com", Cause.ARRIVAL, callee="112"))
    assert isinstance(joined, BridgeGrant)
    again = request("sip:rescue@example.com", callee="112", current=joined.control)
    assert isinstance(await made.dispatch(again), BridgeGrant)
    menu = await in_menu()
    assert isinstance(await made.dispatch(request(MENU_URL, callee="112", current=menu)), DocumentGrant)
    assert (await refused(made, request("tel:+19005551234", callee="112", current=menu))).rule == "prepaid"


async def test_refused_control_takes_the_denied_outlet_of_whose_turn_it_was() -> None:
    application = replace(
        APPLICATION, edges={**APPLICATION.edges, ("survey", "denied"): "own", ("menu", "denied"): "bridge"}
    )
    made = dispatcher(subscriptions=(), applications=(application,))
    refusal = await refused(made, request("outlet:score", current=await in_menu()))
    assert isinstance(refusal.denied, DocumentGrant)
    assert refusal.denied.control.holder.instance == "own"
    assert dict(refusal.denied.parameters) == {"DeniedRule": "subscription", "DeniedModule": "beta.survey"}


async def test_a_fallback_that_was_refused_itself_is_not_tried_again() -> None:
    account = replace(ACCOUNT, fallback="module:beta.survey")
    made = dispatcher(subscriptions=(), accounts=(account,))
    assert (await refused(made, request("module:beta.survey"))).denied is None


async def test_an_application_that_is_switched_off_or_lost_a_module_is_refused_by_rule_target() -> None:
    off = await refused(dispatcher(applications=(replace(APPLICATION, active=False),)), request(f"app:{AP}"))
    assert (off.rule, "is not active" in off.reason) == ("target", True)
    lost = await refused(dispatcher(modules=()), request(f"app:{AP}"))
    assert (lost.rule, "which does not exist" in lost.reason) == ("target", True)


async def test_a_bridge_whose_module_is_gone_leaves_a_url_to_the_account() -> None:
    bridge = await in_bridge()
    answer = await dispatcher(modules=(SURVEY,)).dispatch(request("https://x.example/", current=bridge))
    assert isinstance(answer, DocumentGrant)
    assert answer.control.holder.module == "demo.self"


async def test_else_the_denied_outlet_of_the_one_it_would_have_come_from() -> None:
    application = replace(APPLICATION, edges={**APPLICATION.edges, ("menu", "denied"): "own"})
    made = dispatcher(subscriptions=(), applications=(application,))
    refusal = await refused(made, request("outlet:score", current=await in_menu()))
    assert isinstance(refusal.denied, DocumentGrant)
    assert refusal.denied.control.holder.instance == "own"


async def test_else_the_accounts_fallback_which_is_judged_as_well() -> None:
    account = replace(ACCOUNT, fallback="https://demo.example/denied")
    refusal = await refused(
        dispatcher(subscriptions=(), accounts=(account,)), request("outlet:score", current=await in_menu())
    )
    assert isinstance(refusal.denied, DocumentGrant)
    assert refusal.denied.url == "https://demo.example/denied"
    assert refusal.denied.control.holder.module == "demo.self"
    penniless = await refused(dispatcher(funds=0, accounts=(account,)), request("https://x.example/"))
    assert penniless.denied is None


async def test_a_denied_outlet_that_is_refused_itself_gives_way_to_the_fallback() -> None:
    account = replace(ACCOUNT, fallback="https://demo.example/denied")
    application = replace(APPLICATION, edges={**APPLICATION.edges, ("survey", "denied"): "menu"})
    made = dispatcher(subscriptions=(), accounts=(account,), applications=(application,))
    refusal = await refused(made, request("outlet:score", current=await in_menu()))
    assert isinstance(refusal.denied, DocumentGrant)
    assert refusal.denied.url == "https://demo.example/denied"
