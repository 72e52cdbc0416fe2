"""Usage plans: what a module costs per mode, and how its seconds are counted.

A plan has versions, a version prices modes, a mode has bands (when does which rate hold), a band
has slots (what do the seconds from here on cost).  "60/6" increments are two slots: from 0 s in
steps of 60 s, from 60 s in steps of 6 s.  Prices are exact: fractions made from decimal strings.

Worked examples: tests/data/rating/examples.yaml.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from metering.interval import Mode

MICRO = 1_000_000
"""Micro-units of money in one unit."""
DAY_S = 24 * 60 * 60


class Rounding(enum.Enum):
    HALF_UP = "half_up"
    UP = "up"
    DOWN = "down"
    HALF_EVEN = "half_even"


class Scope(enum.Enum):
    """What is rounded up as one."""

    CALL = "call"
    """All intervals of one module and mode on a call."""
    INTERVAL = "interval"
    """Each interval on its own."""


class Cap(enum.Enum):
    """What happens when a charge reaches the plan's `max_cost`."""

    FREE = "free"
    """The rest costs nothing."""
    DISCONNECT = "disconnect"
    """No more time is granted; what was used is charged all the same."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The rate from `from_ms` of a charge scope on."""

    from_ms: int
    price: Fraction
    """Of one unit."""
    unit_ms: int
    increment_ms: int
    increment_price: Fraction = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "increment_price", self.price * self.increment_ms / self.unit_ms)


@dataclass(frozen=True, slots=True)
class Band:
    """When a set of slots holds, in the plan's time zone; empty sets mean "any"."""

    slots: tuple[Slot, ...]
    connect_fee: Fraction = Fraction(0)
    weight: int = 0
    """The heaviest band that is active wins, among equals the one that starts later in the day."""
    weekdays: frozenset[int] = frozenset()
    """ISO: 1 is Monday."""
    months: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    """Of the month."""
    from_s: int = 0
    to_s: int = DAY_S
    """Seconds of the local day, from the first to before the second."""

    @property
    def always(self) -> bool:
        limited = self.weekdays or self.months or self.days
        return not limited and self.from_s == 0 and self.to_s == DAY_S


@dataclass(frozen=True, slots=True)
class PlanVersion:
    """Prices in force from `valid_from_ms` (UTC) until the next version's."""

    number: int
    valid_from_ms: int
    modes: Mapping[Mode, tuple[Band, ...]]
    """A mode that is missing is free."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a module is priced.  Everything but the prices holds for all versions."""

    code: str
    currency: str
    versions: tuple[PlanVersion, ...]
    """Oldest first; the first also holds before its time."""
    zone: str = "UTC"
    """IANA name, for the bands."""
    decimals: int = 6
    rounding: Rounding = Rounding.HALF_UP
    scope: Scope = Scope.CALL
    prices_legs: bool = False
    """Calls driven by their parent cost as well."""
    max_cost: Fraction | None = None
    cap: Cap = Cap.FREE
    priced_modes: frozenset[Mode] = field(init=False, compare=False)
    """Those that cost something in any version."""

    def __post_init__(self) -> None:
        priced = {mode for version in self.versions for mode, bands in version.modes.items() if bands}
        object.__setattr__(self, "priced_modes", frozenset(priced))

    def version_at(self, at_ms: int) -> PlanVersion:
        """The version in force at a UTC time."""
        current = self.versions[0]
        for version in self.versions[1:]:
            if version.valid_from_ms > at_ms:
                break
            current = version
        return current

    def rate_text(self, mode: Mode, at_ms: int) -> str:
        """How a timeline prints the rate of a mode: `0.02 USD/min`, `free`."""
        bands = self.version_at(at_ms).modes.get(mode)
        if not bands:
            return "free"
        slots = max(bands, key=lambda band: band.weight).slots
        steps = "/".join(_seconds(slot.increment_ms) for slot in slots)
        prices = [f"{decimal_text(slot.price)} {self.currency}/{_unit(slot.unit_ms)}" for slot in slots]
        text = ", then ".join(dict.fromkeys(prices))
        by_second = all(slot.increment_ms == 1000 for slot in slots)
        several = " (varies by time)" if len(bands) > 1 else ""
        return text + ("" if by_second else f" in steps of {steps} s") + several


def decimal_text(amount: Fraction) -> str:
    """An exact decimal as people write it: no exponent, no trailing zeros (two digits at least
    behind a point).  Raises ValueError for a fraction that no decimal equals."""
    digits = 0
    scaled, below = abs(amount.numerator), amount.denominator
    while scaled % below:
        if digits == 30:
            raise ValueError(f"{amount} is no decimal")
        scaled *= 10
        digits += 1
    if digits == 1:
        scaled, digits = scaled * 10, 2
    text = str(scaled // below).rjust(digits + 1, "0")
    sign = "-" if amount < 0 else ""
    return sign + (f"{text[:-digits]}.{text[-digits:]}" if digits else text)


def _seconds(ms: int) -> str:
    return decimal_text(Fraction(ms, 1000))


def _unit(ms: int) -> str:
    return {60_000: "min", 1000: "s", 3_600_000: "h"}.get(ms) or f"{_seconds(ms)} s"
