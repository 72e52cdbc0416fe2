"""Plans are read from configuration, and what is wrong with one is said with its place."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from callrouter.errors import ConfigurationError
from metering.interval import Mode
from metering.plan_config import parse_plan
from metering.plans import Cap, Rounding, Scope, decimal_text


def test_a_price_alone_is_per_minute_counted_in_seconds() -> None:
    plan = parse_plan("menu", {"prices": {"application": "0.02"}})
    assert plan.currency == "USD"
    assert plan.rate_text(Mode.APPLICATION, 0) == "0.02 USD/min"
    assert plan.rate_text(Mode.BRIDGE, 0) == "free"


def test_every_term_can_be_set() -> None:
    plan = parse_plan(
        "menu",
        {
            "currency": "EUR",
            "zone": "Europe/Berlin",
            "decimals": 2,
            "rounding": "up",
            "rounding_scope": "interval",
            "prices_legs": True,
            "max_cost": "5.50",
            "at_max_cost": "disconnect",
            "prices": {"service": {"price": "0.06", "increments": "60/6", "connect_fee": "0.01"}},
        },
    )
    assert (plan.currency, plan.zone, plan.decimals) == ("EUR", "Europe/Berlin", 2)
    assert (plan.rounding, plan.scope, plan.prices_legs) == (Rounding.UP, Scope.INTERVAL, True)
    assert (plan.max_cost, plan.cap) == (Fraction("5.5"), Cap.DISCONNECT)
    (band,) = plan.versions[0].modes[Mode.SERVICE]
    assert [(slot.from_ms, slot.increment_ms) for slot in band.slots] == [(0, 60_000), (60_000, 6_000)]
    assert plan.rate_text(Mode.SERVICE, 0) == "0.06 EUR/min in steps of 60/6 s"


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        ({"unit_s": 1}, "0.06 USD/s"),
        ({"unit_s": 3600}, "0.06 USD/h"),
        ({"unit_s": 30}, "0.06 USD/30 s"),
        ({"increment_s": 10}, "0.06 USD/min in steps of 10 s"),
        (
            {"price": None, "slots": [{"from_s": 0, "price": "0.06"}, {"from_s": 60, "price": "0.03"}]},
            "0.06 USD/min, then 0.03 USD/min",
        ),
    ],
)
def test_a_rate_is_printed_by_its_unit_and_its_steps(terms: dict[str, Any], text: str) -> None:
    rates = {name: value for name, value in {"price": "0.06", **terms}.items() if value is not None}
    plan = parse_plan("menu", prices(rates))
    assert plan.rate_text(Mode.APPLICATION, 0) == text


def test_a_rate_that_changes_with_the_time_of_day_says_so() -> None:
    bands = [{"price": "0.06"}, {"price": "0.01", "from": "18:00:30", "to": "24:00", "weight": 1}]
    plan = parse_plan("menu", prices({"bands": bands}))
    assert plan.rate_text(Mode.APPLICATION, 0) == "0.01 USD/min (varies by time)"
    evening = plan.versions[0].modes[Mode.APPLICATION][1]
    assert (evening.from_s, evening.to_s) == (18 * 3600 + 30, 24 * 3600)


def prices(rates: Any) -> dict[str, Any]:
    return {"prices": {"application": rates}}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "plans.x.prices: expected a price for at least one mode"),
        (prices(0.02), 'plans.x.prices.application: expected a price in quotes like "0.02"'),
        (prices({"price": 0.02}), "plans.x.prices.application.price: expected a decimal in quotes"),
        (prices("-1"), "expected a decimal"),
        (prices("1e3"), "expected a decimal"),
        (prices({}), "`price` is missing"),
        (prices({"price": "1", "unit": 60}), "plans.x.prices.application.unit: unknown; known are"),
        (prices({"price": "1", "unit_s": 0}), "expected a whole number from 1 to 86400, not 0"),
        (prices({"price": "1", "increments": "60"}), "expected seconds like 60/6"),
        (prices({"price": "1", "increments": "0/6"}), "expected seconds like 60/6"),
        (prices({"price": "1", "increments": "60/6", "increment_s": 1}), "exclude each other"),
        (prices({"price": "1", "slots": []}), "`slots` and `price` exclude each other"),
        (prices({"slots": [{"from_s": 5, "price": "1"}]}), "the first slot starts with `from_s: 0`"),
        (prices({"bands": [{"price": "1", "weekdays": ["mon"]}]}), "one band must hold at all times"),
        (
            prices({"bands": [{"price": "1"}, {"price": "1", "weekdays": ["monday"]}]}),
            "bands[1].weekdays: expected one of",
        ),
        (prices({"bands": [{"price": "1", "from": "19:00", "to": "08:00"}]}), "a night is two bands"),
        (prices({"bands": [{"price": "1", "from": "25:00"}]}), "expected a time in quotes"),
        ({"prices": {"speech": "1"}}, "plans.x.prices: expected one of setup, bridge, application, service"),
        (prices("1") | {"zone": "Mars/Base"}, "plans.x.zone: expected an IANA time zone"),
        (prices("1") | {"currency": "usd"}, "plans.x.currency: expected a currency like USD"),
        (prices("1") | {"decimals": 7}, "expected a whole number from 0 to 6"),
        (prices("1") | {"rounding": "sometimes"}, "expected one of half_up, up, down, half_even"),
        (prices("1") | {"prices_legs": "yes"}, "expected true or false"),
        (prices("1") | {"colour": "red"}, "plans.x.colour: unknown"),
    ],
)
def test_a_wrong_plan_is_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_plan("x", data)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "0"), ("5", "5"), ("0.5", "0.50"), ("1.23", "1.23"), ("0.000001", "0.000001"), ("-0.1", "-0.10")],
)
def test_amounts_are_written_as_decimals(amount: str, text: str) -> None:
    assert decimal_text(Fraction(amount)) == text


def test_a_third_is_no_decimal() -> None:
    with pytest.raises(ValueError, match="1/3 is no decimal"):
        decimal_text(Fraction(1, 3))
