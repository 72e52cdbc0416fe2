"""Money in answers: exact decimal strings."""

from __future__ import annotations

from collections.abc import Mapping


def decimal(micro: int) -> str:
    """Micro-units as a decimal with three to six places: `-0.200`, `12.345678`."""
    sign = "-" if micro < 0 else ""
    whole, fraction = divmod(abs(micro), 1_000_000)
    digits = f"{fraction:06d}"
    return f"{sign}{whole}.{digits[:3]}{digits[3:].rstrip('0')}"


def amounts(costs: Mapping[str, int]) -> list[dict[str, str]]:
    """Costs in micro-units by currency: `[{"amount": "0.120", "currency": "USD"}]`.  Currencies are
    never added up."""
    return [{"amount": decimal(micro), "currency": currency} for currency, micro in sorted(costs.items())]
