"""What of a track is charged together, to whom, and how charges become ledger transactions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering import ledger
from metering.charges import charges, costs
from metering.interval import CallFacts, Cause, Holder, Interval, Mode
from metering.ledger import Entry, LedgerAccount, Transaction
from metering.plan_book import PlanBook
from metering.plan_config import parse_plan
from metering.timeline import timeline

CALL = CallFacts("CA1", "CA1", "AC1", "+15550100")
SETUP = Holder("acme.menu", "acme", Mode.SETUP)
MENU = Holder("acme.menu", "acme", Mode.APPLICATION)
BRIDGE = Holder("platform.bridge", "platform", Mode.BRIDGE, via="acme.menu")


def book(**terms: Any) -> PlanBook:
    plans = [
        parse_plan("menu", {"prices": {"application": {"price": "0.60", "increment_s": 60}}, **terms}),
        parse_plan("bridge", {"prices": {"bridge": "0.06"}, **terms}),
        parse_plan("gold", {"prices": {"application": "6"}}),
    ]
    return PlanBook(plans, {"acme.menu": "menu", "platform.bridge": "bridge"})


def track(*parts: tuple[Holder, int], call: CallFacts = CALL) -> list[Interval]:
    """Intervals of so many milliseconds, one after the other."""
    intervals, at_ms = [], 1_700_000_000_000
    for sequence, (holder, duration) in enumerate(parts):
        end_ms = at_ms + duration
        intervals.append(Interval(call, sequence, holder, at_ms, Cause.VERB, end_ms, Cause.HANGUP))
        at_ms = end_ms
    return intervals


def amounts(intervals: list[Interval], prices: PlanBook) -> list[tuple[str, int]]:
    return [(charge.scope.holder.module, charge.rated.amount_micro) for charge in charges(intervals, prices)]


def test_turns_of_one_module_and_mode_are_rounded_up_together() -> None:
    intervals = track((SETUP, 900), (MENU, 20_000), (BRIDGE, 30_000), (MENU, 25_000))
    assert amounts(intervals, book()) == [("acme.menu", 600_000), ("platform.bridge", 30_000)]


def test_a_plan_may_round_up_each_turn() -> None:
    intervals = track((MENU, 20_000), (BRIDGE, 30_000), (MENU, 25_000))
    assert amounts(intervals, book(rounding_scope="interval")) == [
        ("acme.menu", 600_000),
        ("platform.bridge", 30_000),
        ("acme.menu", 600_000),
    ]


def test_an_answered_call_lasts_a_second_once() -> None:
    """0.4 s completed is billed as 1 s, so as a minute with full minutes; not each of its modules."""
    assert amounts(track((SETUP, 5000), (MENU, 400)), book()) == [("acme.menu", 600_000)]
    assert amounts(track((MENU, 300), (BRIDGE, 100)), book()) == [
        ("acme.menu", 600_000),
        ("platform.bridge", 1000),
    ]
    (menu, bridge) = charges(track((MENU, 300), (BRIDGE, 100)), book())
    assert (menu.scope.duration_ms, bridge.scope.duration_ms) == (300, 700)


def test_a_call_that_was_never_answered_costs_nothing() -> None:
    assert charges(track((SETUP, 5000)), book()) == []
    assert charges(track((SETUP, 5000), (MENU, 0)), book()) == []


def test_driven_legs_are_free_unless_the_plan_prices_them() -> None:
    leg = track(
        (replace(BRIDGE, driven_by="CA1"), 80_000), call=CallFacts("CA2", "CA1", "AC1", "+15550100", "CA1")
    )
    assert amounts(leg, book()) == []
    assert amounts(leg, book(prices_legs=True)) == [("platform.bridge", 80_000)]


def test_two_legs_of_80_seconds_in_full_minutes_are_two_times_two_minutes() -> None:
    plan = parse_plan(
        "legs", {"prices_legs": True, "prices": {"bridge": {"price": "1", "increments": "60/60"}}}
    )
    prices = PlanBook([plan], {"platform.bridge": "legs"})
    legs = [track((replace(BRIDGE, driven_by=driven), 80_000)) for driven in ("", "CA1")]
    assert [charges(leg, prices)[0].rated.billed_ms for leg in legs] == [120_000, 120_000]


def test_a_document_ordered_by_another_account_is_paid_by_it() -> None:
    intervals = track((MENU, 60_000), (replace(MENU, on_behalf_of="AC2"), 60_000))
    assert [(charge.scope.payer, charge.rated.amount_micro) for charge in charges(intervals, book())] == [
        ("AC1", 600_000),
        ("AC2", 600_000),
    ]
    assert costs(intervals, book(), 0) == {("AC1", "USD"): 600_000, ("AC2", "USD"): 600_000}


def test_the_plan_of_the_subscription_goes_before_the_module_s_own() -> None:
    assert amounts(track((replace(MENU, plan="gold"), 60_000)), book()) == [("acme.menu", 6_000_000)]


def test_time_under_a_plan_nobody_knows_is_not_taken_for_free() -> None:
    (charge,) = charges(track((replace(MENU, plan="lost"), 60_000)), book())
    assert charge.scope.plan is None
    assert charge.scope.duration_ms == 60_000


def test_a_module_without_a_plan_is_free() -> None:
    assert charges(track((Holder("self.AC1", "AC1", Mode.APPLICATION), 60_000)), book()) == []


def test_a_running_call_has_costs_but_no_charges_yet() -> None:
    intervals = track((MENU, 30_000), (BRIDGE, 60_000))
    intervals[-1] = replace(intervals[-1], end_ms=None, end_cause=None)
    until_ms = intervals[-1].start_ms + 10_000
    assert costs(intervals, book(), until_ms) == {("AC1", "USD"): 610_000}
    with pytest.raises(ValueError, match="running"):
        charges(intervals, book())


PARTS = st.lists(
    st.tuples(st.sampled_from([SETUP, MENU, BRIDGE]), st.integers(0, 100_000)), min_size=1, max_size=8
)


@given(PARTS, st.sampled_from(["call", "interval"]))
def test_the_shares_of_a_timeline_add_up_to_the_charges(parts: list[tuple[Holder, int]], scope: str) -> None:
    intervals, prices = track(*parts), book(rounding_scope=scope)
    entries = timeline(intervals, prices, 0)
    assert [entry.interval for entry in entries] == intervals
    assert sum(entry.cost_micro for entry in entries) == sum(
        amount for _, amount in amounts(intervals, prices)
    )


@given(PARTS, st.integers(0, 10_000), st.booleans())
def test_every_charge_s_transaction_sums_to_zero(
    parts: list[tuple[Holder, int]], basis_points: int, prepaid: bool
) -> None:
    payer = LedgerAccount("prepaid" if prepaid else "receivable", "AC1")
    for charge in charges(track(*parts), book()):
        transaction = ledger.charge_transaction(
            charge, payer, currency="USD", at_ms=charge.last_ms, platform_basis_points=basis_points
        )
        assert transaction is not None
        assert sum(entry.amount_micro for entry in transaction.entries) == 0
        assert transaction.entries[0] == Entry(payer, -charge.rated.amount_micro)


def test_the_owner_gets_the_charge_less_the_platform_s_share_and_its_rounding() -> None:
    (charge,) = charges(track((MENU, 60_000)), book())
    odd = replace(charge, rated=replace(charge.rated, amount_micro=7))
    transaction = ledger.charge_transaction(
        odd, LedgerAccount("prepaid", "AC1"), currency="USD", at_ms=0, platform_basis_points=1000
    )
    assert transaction is not None
    assert [(entry.account.code, entry.amount_micro) for entry in transaction.entries] == [
        ("prepaid:AC1", -7),
        ("owner_payable:acme", 6),
        ("platform_revenue", 1),
    ]


def test_a_transaction_that_does_not_sum_to_zero_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="sum to zero"):
        Transaction("x", "USD", 0, (Entry(ledger.CASH, 1),))
