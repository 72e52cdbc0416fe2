"""Rating gives the known answers of other systems, and agrees with a rule spelled out naively."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.interval import Mode
from metering.plan_config import parse_plan
from metering.plans import Plan, Rounding
from metering.rating import Stretch, _band_at, granted_ms, rate, round_micro

EXAMPLES = yaml.safe_load((Path(__file__).parents[2] / "data/rating/examples.yaml").read_text())
Asked = tuple[dict[str, Any], dict[str, Any]]
CASES: list[Asked] = [(example, case) for example in EXAMPLES for case in example["cases"]]
GRANTED = [(example, case) for example, case in CASES if "granted" in case]


def names(cases: list[Asked]) -> list[str]:
    return [f"{example['name']} ({case['seconds']} s)" for example, case in cases]


def plan_of(example: dict[str, Any]) -> Plan:
    return parse_plan("example", {**example.get("terms", {}), "prices": example["prices"]})


def start_ms(case: dict[str, Any]) -> int:
    start = datetime.fromisoformat(case.get("start", "2024-05-15T12:00:00")).replace(tzinfo=UTC)
    return int(start.timestamp()) * 1000


@pytest.mark.parametrize(("example", "case"), CASES, ids=names(CASES))
def test_known_answer(example: dict[str, Any], case: dict[str, Any]) -> None:
    mode = Mode(case.get("mode", "application"))
    rated = rate(plan_of(example), mode, [Stretch(start_ms(case), case["seconds"] * 1000)])
    assert rated.amount_micro == Fraction(case["cost"]) * 1_000_000
    if "billed" in case:
        assert [segment.billed_ms // 1000 for segment in rated.segments] == case["billed"]


@pytest.mark.parametrize(("example", "case"), GRANTED, ids=names(GRANTED))
def test_known_grant(example: dict[str, Any], case: dict[str, Any]) -> None:
    budget = Fraction(case["budget"])
    granted = granted_ms(plan_of(example), Mode.APPLICATION, start_ms(case), budget, case["seconds"] * 1000)
    assert granted == case["granted"] * 1000


def test_a_mode_without_price_is_free() -> None:
    plan = parse_plan("p", {"prices": {"application": "1"}})
    assert rate(plan, Mode.SETUP, [Stretch(0, 60_000)]).amount_micro == 0


def test_intervals_of_one_scope_accumulate_before_they_are_rounded_up() -> None:
    plan = parse_plan("p", {"prices": {"application": {"price": "1", "increments": "60/60"}}})
    stretches = [Stretch(0, 20_000), Stretch(500_000, 20_000), Stretch(900_000, 20_000)]
    assert rate(plan, Mode.APPLICATION, stretches).billed_ms == 60_000


def test_a_new_plan_version_prices_what_begins_after_its_activation() -> None:
    old = parse_plan("p", {"prices": {"application": {"price": "1", "unit_s": 1}}})
    new = parse_plan(
        "p", {"prices": {"application": {"price": "2", "unit_s": 1}}}, number=2, valid_from_ms=10_000
    )
    plan = Plan("p", "USD", (*old.versions, *new.versions))
    rated = rate(plan, Mode.APPLICATION, [Stretch(0, 30_000)])
    assert rated.exact == 10 + 2 * 20
    assert [segment.version for segment in rated.segments] == [1, 2]


def in_berlin(band: dict[str, Any]) -> Plan:
    bands = [{"price": "1", "unit_s": 1}, {**band, "weight": 5, "price": "3", "unit_s": 1}]
    return parse_plan("p", {"zone": "Europe/Berlin", "prices": {"application": {"bands": bands}}})


@pytest.mark.parametrize(("saturday", "hours"), [("2024-03-30", 23), ("2024-10-26", 25), ("2024-06-01", 24)])
def test_a_band_of_a_day_lasts_as_long_as_the_local_day(saturday: str, hours: int) -> None:
    start = int(datetime.fromisoformat(f"{saturday}T10:00:00Z").timestamp()) * 1000
    rated = rate(in_berlin({"weekdays": ["sun"]}), Mode.APPLICATION, [Stretch(start, 3 * 86_400_000)])
    sunday_ms = sum(segment.billed_ms for segment in rated.segments if segment.rate.price == 3)
    assert sunday_ms == hours * 3_600_000


def test_a_band_edge_at_a_repeated_local_time_is_the_first_of_the_two() -> None:
    start = (
        int(datetime(2024, 10, 27, 0, 0, tzinfo=UTC).timestamp()) * 1000
    )  # 02:00, an hour before the shift
    rated = rate(in_berlin({"from": "02:30"}), Mode.APPLICATION, [Stretch(start, 3_600_000)])
    assert [segment.billed_ms for segment in rated.segments] == [1_800_000, 1_800_000]


@pytest.mark.parametrize(
    ("rounding", "amount", "cents"),
    [
        (Rounding.HALF_UP, "0.125", 13),
        (Rounding.HALF_UP, "-0.125", -13),
        (Rounding.HALF_UP, "0.1249", 12),
        (Rounding.HALF_EVEN, "0.125", 12),
        (Rounding.HALF_EVEN, "0.135", 14),
        (Rounding.UP, "0.1201", 13),
        (Rounding.UP, "-0.1201", -13),
        (Rounding.DOWN, "0.1299", 12),
        (Rounding.DOWN, "-0.1299", -12),
    ],
)
def test_rounding(rounding: Rounding, amount: str, cents: int) -> None:
    assert round_micro(Fraction(amount), 2, rounding) == cents * 10_000


SLOTS = st.lists(
    st.tuples(
        st.integers(1, 50), st.integers(0, 9), st.sampled_from([1, 6, 30, 60]), st.sampled_from([1, 60])
    ),
    min_size=1,
    max_size=3,
).map(
    lambda drawn: [
        {
            "from_s": sum(gap for gap, *_ in drawn[1 : index + 1]),
            "price": str(price),
            "increment_s": step,
            "unit_s": unit,
        }
        for index, (_, price, step, unit) in enumerate(drawn)
    ]
)
BANDS = st.lists(
    st.tuples(SLOTS, st.integers(0, 23), st.integers(1, 10), st.sets(st.sampled_from(["mon", "tue", "wed"]))),
    max_size=2,
).map(
    lambda drawn: [
        {"slots": slots, "from": f"{hour:02}:00", "weight": weight, "weekdays": sorted(days)}
        for slots, hour, weight, days in drawn
    ]
)
PLANS = st.builds(
    lambda always, bands: parse_plan(
        "p", {"prices": {"application": {"bands": [{"slots": always}, *bands]}}}
    ),
    SLOTS,
    BANDS,
)
STRETCHES = st.lists(
    st.tuples(st.integers(0, 40_000_000), st.integers(0, 400_000)), min_size=1, max_size=3
).map(
    lambda drawn: [
        Stretch(sum(gap + length for gap, length in drawn[:index]) + gap, length)
        for index, (gap, length) in enumerate(drawn)
    ]
)


def one_by_one(plan: Plan, stretches: list[Stretch]) -> tuple[Fraction, int]:
    """Every increment on its own: the rate at its first instant, and on to where it ends."""
    cost, used = Fraction(0), 0
    while used < sum(stretch.duration_ms for stretch in stretches):
        offset = 0
        for stretch in stretches:
            if used < offset + stretch.duration_ms:
                break
            offset += stretch.duration_ms
        slots = _band_at(plan, Mode.APPLICATION, stretch.start_ms + used - offset)[0].slots
        slot = [slot for slot in slots if slot.from_ms <= used][-1]
        cost += slot.price * slot.increment_ms / slot.unit_ms
        used += slot.increment_ms
    return cost, used


@given(PLANS, STRETCHES)
@settings(max_examples=150, deadline=None)
def test_segments_in_closed_form_are_increments_one_by_one(plan: Plan, stretches: list[Stretch]) -> None:
    rated = rate(plan, Mode.APPLICATION, stretches)
    assert (rated.exact, rated.billed_ms) == one_by_one(plan, stretches)


@given(PLANS, STRETCHES, st.integers(0, 500))
@settings(max_examples=100, deadline=None)
def test_what_is_granted_can_be_paid(plan: Plan, stretches: list[Stretch], budget: int) -> None:
    start, wanted = stretches[0].start_ms, 100_000
    granted = granted_ms(plan, Mode.APPLICATION, start, Fraction(budget), wanted)
    assert rate(plan, Mode.APPLICATION, [Stretch(start, granted)]).exact <= budget
    if granted < wanted:
        assert rate(plan, Mode.APPLICATION, [Stretch(start, granted + 1)]).exact > budget
