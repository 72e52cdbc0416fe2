"""The policy chain: its order, each rule, and that the first refusal wins."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from dispatcher.policy.chain import RULES, judge
from dispatcher.policy.facts import Ban, Facts, NumberState, Party
from modules.subscriptions import Entitlement, Scope, Subscription, SubscriptionState

NOW_MS = 1_700_000_000_000
SUBSCRIBED = Subscription("beta.survey", Scope.NUMBER, "+15550100")
GOOD = Facts(
    key_number="+15550100",
    number=NumberState.ACTIVE,
    parties={
        Party.CALLER: ("+15550111",),
        Party.CALLEE: ("+15550100", "+15550122"),
        Party.OWNER: ("beta",),
        Party.MODULE: ("beta.survey",),
    },
    bans=(),
    account_sid="AC",
    account_status="active",
    module="beta.survey",
    module_active=True,
    module_open=False,
    entitlement=Entitlement(SUBSCRIBED),
    now_ms=NOW_MS,
    prepaid=True,
    available=1,
)
OFFENCES: dict[str, dict[str, Any]] = {
    "number": {"number": NumberState.UNKNOWN},
    "banned": {"bans": (Ban(Party.CALLER, "+15550111"),)},
    "account": {"account_status": "suspended"},
    "subscription": {"entitlement": Entitlement(None)},
    "prepaid": {"available": 0},
}


def test_who_offends_no_rule_is_granted_control() -> None:
    assert judge(GOOD) is None


def test_the_order_is_number_banned_account_subscription_prepaid() -> None:
    assert [rule.__name__ for rule in RULES] == list(OFFENCES)


@pytest.mark.parametrize("offended", [c for n in range(1, 6) for c in combinations(OFFENCES, n)])
def test_the_first_rule_offended_is_the_one_named(offended: tuple[str, ...]) -> None:
    facts = GOOD
    for name in offended:
        facts = replace(facts, **OFFENCES[name])
    denial = judge(facts)
    assert denial is not None
    assert denial.rule == offended[0]
    assert denial.reason
    assert denial.spoken
    assert 400 <= denial.sip_status < 700


def test_emergency_numbers_pass_every_rule() -> None:
    facts = replace(GOOD, emergency=True)
    for offence in OFFENCES.values():
        facts = replace(facts, **offence)
    assert judge(facts) is None


@pytest.mark.parametrize(
    ("changes", "rule", "status", "hint"),
    [
        ({"number": NumberState.UNKNOWN}, "number", 404, "does not belong to account AC"),
        ({"number": NumberState.INACTIVE}, "number", 480, "is not active"),
        ({"key_number": "", "number": NumberState.UNKNOWN}, "number", 404, "(none)"),
        ({"bans": (Ban(Party.CALLER, "+1555011*"),)}, "banned", 403, "caller +15550111"),
        ({"bans": (Ban(Party.CALLEE, "+15550122", reason="fraud"),)}, "banned", 403, "fraud"),
        ({"bans": (Ban(Party.OWNER, "beta"),)}, "banned", 403, "owner beta"),
        ({"bans": (Ban(Party.MODULE, "beta.*"),)}, "banned", 403, "module beta.survey"),
        ({"account_status": "closed"}, "account", 403, "is closed"),
        ({"account_status": ""}, "account", 403, "not known"),
        ({"module_active": False}, "subscription", 403, "is not active"),
        (
            {"entitlement": Entitlement(replace(SUBSCRIBED, state=SubscriptionState.OFF))},
            "subscription",
            403,
            "switched off for number +15550100",
        ),
        (
            {"entitlement": Entitlement(None, replace(SUBSCRIBED, starts_ms=NOW_MS + 1))},
            "subscription",
            403,
            "begins on 2023-11-14",
        ),
        (
            {"entitlement": Entitlement(None, replace(SUBSCRIBED, ends_ms=NOW_MS))},
            "subscription",
            403,
            "ended on 2023-11-14",
        ),
        ({"available": -5}, "prepaid", 402, "nothing left"),
    ],
)
def test_each_refusal_names_rule_status_and_reason(
    changes: dict[str, Any], rule: str, status: int, hint: str
) -> None:
    denial = judge(replace(GOOD, **changes))
    assert denial is not None
    assert (denial.rule, denial.sip_status) == (rule, status)
    assert hint in denial.reason


@pytest.mark.parametrize(
    "changes",
    [
        {"bans": (Ban(Party.CALLER, "+1555"), Ban(Party.CALLEE, "+15550111"))},
        {"module_open": True, "entitlement": Entitlement(None)},
        {"prepaid": False, "available": 0},
    ],
)
def test_what_only_resembles_an_offence_is_granted(changes: dict[str, Any]) -> None:
    assert judge(replace(GOOD, **changes)) is None
