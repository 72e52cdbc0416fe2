"""Money as decimal strings."""

from __future__ import annotations

import pytest

from callrouter.api.money import amounts, decimal


@pytest.mark.parametrize(
    ("micro", "text"),
    [
        (0, "0.000"),
        (-200_000, "-0.200"),
        (1, "0.000001"),
        (12_345_678, "12.345678"),
        (-1_500_000, "-1.500"),
        (10**15 + 10, "1000000000.00001"),
    ],
)
def test_micro_units_are_written_exactly_with_three_places_at_least(micro: int, text: str) -> None:
    assert decimal(micro) == text


def test_currencies_are_kept_apart() -> None:
    assert amounts({"USD": 1000, "EUR": 2000}) == [
        {"amount": "0.002", "currency": "EUR"},
        {"amount": "0.001", "currency": "USD"},
    ]
