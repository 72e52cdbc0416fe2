"""Every transfer of control: who is next, as whom and with what."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callrouter.identity.accounts import AccountStatus
from callrouter.identity.addresses import Address
from dispatcher.grant import (
    BridgeGrant,
    Control,
    DocumentGrant,
    InlineGrant,
    NoOutlet,
    Refusal,
    ResumeGrant,
)
from metering.interval import Cause, Holder, Mode
from tests.unit.dispatcher.world import (
    AC,
    ACCOUNT,
    AP,
    FOREIGN_AP,
    MENU_URL,
    NUMBER,
    OTHER,
    SURVEY_URL,
    dispatcher,
    documents,
    in_bridge,
    in_menu,
    refused,
    request,
    world,
)


async def test_a_number_is_mapped_in_any_spelling() -> None:
    mapping = await dispatcher().number("sip:15550100@10.0.0.1")
    assert mapping is not None
    assert (mapping.target, mapping.key_number, mapping.account_sid) == (f"app:{AP}", NUMBER, AC)
    assert await dispatcher().number("+15550199") is None


async def test_an_application_begins_at_the_inlet_of_its_start() -> None:
    grant = await documents(f"app:{AP}", Cause.ARRIVAL)
    assert grant.url == MENU_URL
    assert grant.control.secret == "menu-secret"
    assert grant.control.inlet_url == MENU_URL
    assert grant.control.holder == Holder(
        "acme.menu", "acme", Mode.APPLICATION, instance="menu", application=AP, plan="menu"
    )
    assert dict(grant.parameters) == {"language": "en", "greeting": "Hello"}


async def test_an_outlet_leads_to_the_wired_instance_with_its_plan_by_subscription() -> None:
    grant = await documents("outlet:score?from=menu", current=await in_menu())
    assert grant.url == SURVEY_URL
    assert grant.control.holder.mode is Mode.SERVICE
    assert grant.control.holder.instance == "survey"
    assert grant.control.holder.plan == "survey-gold"
    assert grant.parameters == (("from", "menu"),)


async def test_an_outlet_to_the_bridge_grants_it_with_the_instance_parameters() -> None:
    answer = await dispatcher().dispatch(request("outlet:agent?callerId=+1", current=await in_menu()))
    assert isinstance(answer, BridgeGrant)
    assert answer.uri == "sip:agent@127.0.0.1:5082"
    assert answer.parameters == (("timeout", "20"), ("callerId", " 1"))
    holder = answer.control.holder
    assert (holder.module, holder.owner, holder.mode) == ("platform.bridge", "platform", Mode.BRIDGE)
    assert (holder.instance, holder.via) == ("bridge", "acme.menu")


async def test_an_unwired_outlet_is_no_refusal() -> None:
    answer = await dispatcher().dispatch(request("outlet:nowhere", current=await in_menu()))
    assert isinstance(answer, NoOutlet)
    assert "wired outlets: agent, mine, score" in answer.message
    assert isinstance(await dispatcher().dispatch(request("outlet:agent")), NoOutlet)


async def test_parameters_of_outlet_and_request_are_laid_over_those_of_the_instance() -> None:
    grant = await documents(
        f"app:{AP}/menu?greeting=Hi&tries=3", parameters=(("Digits", "1"), ("tries", "4"))
    )
    assert dict(grant.parameters) == {"language": "en", "greeting": "Hi", "Digits": "1", "tries": "4"}
    assert dict(grant.control.parameters) == {"language": "en", "greeting": "Hi", "tries": "3"}


async def test_a_module_is_reached_by_its_code_and_stays_in_the_running_application() -> None:
    grant = await documents("module:beta.survey?a=b", current=await in_menu())
    assert grant.url == SURVEY_URL
    assert (grant.control.holder.application, grant.control.holder.instance) == (AP, "")
    again = await documents("module:acme.menu", current=await in_menu())
    assert again.control.holder.instance == "menu"


async def test_a_module_with_a_sip_inlet_is_bridged_to_and_holds_the_call_itself() -> None:
    answer = await dispatcher().dispatch(request("module:acme.pbx"))
    assert isinstance(answer, BridgeGrant)
    assert answer.uri == "sip:pbx@10.0.0.1"
    assert (answer.control.holder.module, answer.control.holder.mode) == ("acme.pbx", Mode.SERVICE)


async def test_an_instance_of_self_begins_at_its_own_url() -> None:
    grant = await documents("outlet:mine", current=await in_menu())
    assert grant.url == "https://demo.example/own"
    assert grant.control.holder.module == "demo.self"
    assert grant.control.secret == "account-token"


@pytest.mark.parametrize(
    "uri", ["tel:+15550122", "sip:bob@example.com", "sips:bob@example.com", "client:bob"]
)
async def test_a_dial_is_a_bridge_of_the_platform_via_the_module_that_dialled(uri: str) -> None:
    answer = await dispatcher().dispatch(request(uri, current=await in_menu()))
    assert isinstance(answer, BridgeGrant)
    assert answer.uri == uri
    holder = answer.control.holder
    assert (holder.module, holder.via, holder.instance) == ("platform.bridge", "acme.menu", "menu")


async def test_a_number_mapped_to_a_bridge_has_the_accounts_own_module_as_its_via() -> None:
    answer = await dispatcher().dispatch(request("sip:bob@example.com", Cause.ARRIVAL))
    assert isinstance(answer, BridgeGrant)
    assert answer.control.holder.via == "demo.self"


async def test_resume_gives_control_back_to_the_module_that_dialled() -> None:
    menu = await in_menu()
    answer = await dispatcher().dispatch(
        request("resume:", Cause.RESUME, current=await in_bridge(), suspended=True)
    )
    assert isinstance(answer, ResumeGrant)
    assert answer.control == menu


async def test_resume_with_nothing_suspended_is_refused() -> None:
    answer = await dispatcher().dispatch(request("resume:", current=await in_menu()))
    assert isinstance(answer, Refusal)
    assert answer.rule == "target"
    assert "nothing" in answer.reason or "there is none" in answer.reason


async def test_an_inline_document_is_the_accounts_own_and_comes_only_from_the_api() -> None:
    answer = await dispatcher().dispatch(request("inline:", Cause.API, current=await in_menu()))
    assert isinstance(answer, InlineGrant)
    assert answer.control.holder.module == "demo.self"
    assert isinstance(await dispatcher().dispatch(request("inline:", current=await in_menu())), Refusal)


@pytest.mark.parametrize(
    "target",
    [
        "",
        "gopher://x",
        "module:nobody.nothing",
        "module:demo.self",
        f"app:{FOREIGN_AP}",
        f"app:{AP}/nobody",
        "app:AP" + "c" * 32,
        f"app:{AP}/menu?tries=many",
        "module:platform.bridge",
        "module:platform.bridge?target=https://x/",
    ],
)
async def test_a_target_that_leads_nowhere_is_refused_by_rule_target(target: str) -> None:
    answer = await dispatcher().dispatch(request(target, current=await in_menu()))
    assert isinstance(answer, Refusal)
    assert (answer.rule, answer.sip_status, answer.code) == ("target", 404, 11100)
    assert answer.holder is not None
    assert answer.holder.module == "acme.menu"


# ---------------------------------------------------------------------- whose a URL is


@pytest.mark.parametrize(
    ("url", "module"),
    [
        (SURVEY_URL, "beta.survey"),
        (SURVEY_URL + "/2?x=1", "beta.survey"),
        ("HTTP://127.0.0.1:8082//survey/../%73urvey", "beta.survey"),
        ("http://127.0.0.1:8082/surveyor", "acme.menu"),
        ("http://127.0.0.1:8081/menu/agent", "acme.menu"),
        ("https://elsewhere.example/", "acme.menu"),
    ],
)
async def test_a_url_named_by_a_document_belongs_by_prefix_or_stays(url: str, module: str) -> None:
    grant = await documents(url, current=await in_menu(), parameters=(("Digits", "1"),))
    assert grant.control.holder.module == module
    assert grant.parameters == (("Digits", "1"),)


async def test_in_the_same_module_the_interval_simply_goes_on() -> None:
    menu = await in_menu()
    assert (await documents(MENU_URL + "/2", current=menu)).control == menu
    assert (await documents("https://elsewhere.example/", current=menu)).control == menu


async def test_a_number_mapped_to_a_bare_url_runs_the_accounts_self() -> None:
    grant = await documents("https://demo.example/voice", Cause.ARRIVAL)
    assert grant.control.holder == Holder("demo.self", "demo", Mode.APPLICATION, plan="own")
    assert grant.control.secret == "account-token"


@pytest.mark.parametrize("cause", [Cause.API, Cause.EVENT, Cause.FALLBACK, Cause.SIP])
async def test_a_url_ordered_by_the_account_is_its_own(cause: Cause) -> None:
    grant = await documents("https://demo.example/voice", cause, current=await in_menu())
    assert grant.control.holder.module == "demo.self"
    assert grant.control.secret == "account-token"


async def test_after_a_bridge_a_url_belongs_to_the_module_that_dialled() -> None:
    menu = await in_menu()
    grant = await documents("https://elsewhere.example/after", current=await in_bridge())
    assert grant.control == menu


async def test_delegated_control_is_judged_and_marked_for_who_ordered_it() -> None:
    grant = await documents("https://other.example/", Cause.API, on_behalf_of=OTHER, driven_by="CA0")
    assert grant.control.holder.module == "other.self"
    assert (grant.control.holder.on_behalf_of, grant.control.holder.driven_by) == (OTHER, "CA0")


async def test_a_driven_call_stays_driven_until_somebody_else_gives_it_a_document() -> None:
    menu = await in_menu()
    driven = replace(menu, holder=replace(menu.holder, driven_by="CA0"))
    assert (await documents(MENU_URL + "/2", current=driven)).control.holder.driven_by == "CA0"
    freed = await documents("https://demo.example/", Cause.API, current=driven)
    assert freed.control.holder.driven_by == ""


# ---------------------------------------------------------------------- events, snapshots, anything


async def test_the_end_of_a_bridge_is_mapped_to_the_next_instance() -> None:
    made = dispatcher()
    bridge = await made.dispatch(request("outlet:agent", current=await in_menu()))
    assert isinstance(bridge, BridgeGrant)
    target = made.event(bridge.control, "ended")
    assert target == f"app:{AP}/survey"
    grant = await documents(target, Cause.EVENT, current=bridge.control)
    assert grant.control.holder.instance == "survey"
    assert made.event(bridge.control, "failed") is None
    assert made.event(Control(Holder("demo.self", "demo", Mode.APPLICATION)), "ended") is None


async def test_the_key_number_of_a_placed_call_is_the_accounts_own_or_its_billing_number() -> None:
    made = dispatcher(
        addresses=(
            Address("sip:desk@demo.example", AC, "+15550105", "resume:"),
            Address("+15550177", OTHER, "+15550177", "resume:"),
        )
    )
    assert await made.key_number(AC, "sip:desk@demo.example") == "+15550105"
    assert await made.key_number(AC, "+15550177") == NUMBER
    assert await made.key_number(AC, "anonymous") == NUMBER


async def test_a_reloaded_snapshot_counts_from_the_next_transfer_on() -> None:
    made = dispatcher()
    made.reload(world(accounts=(replace(ACCOUNT, status=AccountStatus.CLOSED),)))
    assert (await refused(made, request("https://x.example/"))).rule == "account"


@settings(max_examples=200, deadline=None)
@given(
    target=st.one_of(
        st.text(max_size=40),
        st.builds(
            "{}:{}".format,
            st.sampled_from(
                ["https", "http", "module", "outlet", "app", "tel", "sip", "client", "resume", "inline"]
            ),
            st.text(max_size=40),
        ),
        st.builds(
            f"app:{AP}/{{}}?{{}}".format, st.sampled_from(["menu", "bridge", ""]), st.text(max_size=20)
        ),
        st.builds("module:platform.bridge?target={}".format, st.text(max_size=30)),
    ),
    cause=st.sampled_from(Cause),
    running=st.booleans(),
)
async def test_dispatch_never_raises_whatever_the_target_says(
    target: str, cause: Cause, running: bool
) -> None:
    current = await in_menu() if running else None
    answer = await dispatcher().dispatch(request(target, cause, current=current))
    assert isinstance(answer, DocumentGrant | BridgeGrant | InlineGrant | ResumeGrant | NoOutlet | Refusal)
