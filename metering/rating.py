"""What a stretch of time costs: exact, in fractions, rounded once.

Time is rated in increments.  Each is priced wholly by the band and slot in force at its first
instant; one that runs over an edge delays what follows, so that no second is billed twice.  `used`
counts through the whole charge scope, across bands and across its stretches.

Worked examples: tests/data/rating/examples.yaml.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

from metering.interval import Mode
from metering.plans import DAY_S, MICRO, Band, Cap, Plan, Rounding, Slot


@dataclass(frozen=True, slots=True)
class Stretch:
    """Time during which the module was in control; UTC."""

    start_ms: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Segment:
    """Increments at one rate."""

    version: int
    band: int
    """Index in the version's bands of the mode."""
    slot: int
    from_ms: int
    """What had been used before."""
    increments: int
    rate: Slot

    @property
    def billed_ms(self) -> int:
        return self.increments * self.rate.increment_ms

    @property
    def cost(self) -> Fraction:
        return self.increments * self.rate.increment_price


@dataclass(frozen=True, slots=True)
class Rated:
    """A charge, with all that is needed to derive it again."""

    exact: Fraction
    amount_micro: int
    billed_ms: int
    connect_fee: Fraction
    segments: tuple[Segment, ...]


NOTHING = Rated(Fraction(0), 0, 0, Fraction(0), ())


def rate(plan: Plan, mode: Mode, stretches: Sequence[Stretch]) -> Rated:
    """Rate one charge scope; `stretches` are in order and do not overlap."""
    segments = tuple(_segments(plan, mode, stretches))
    if not segments:
        return NOTHING
    first = next(stretch.start_ms for stretch in stretches if stretch.duration_ms)
    fee = _connect_fee(plan, mode, first)
    exact = sum((segment.cost for segment in segments), fee)
    if plan.max_cost is not None and plan.cap is Cap.FREE:
        exact = min(exact, plan.max_cost)
    billed = sum(segment.billed_ms for segment in segments)
    return Rated(exact, round_micro(exact, plan.decimals, plan.rounding), billed, fee, segments)


def granted_ms(plan: Plan, mode: Mode, start_ms: int, budget: Fraction, wanted_ms: int) -> int:
    """How much of `wanted_ms` the budget pays for, in whole increments."""
    if plan.max_cost is not None and plan.cap is Cap.DISCONNECT:
        budget = min(budget, plan.max_cost)
    budget -= _connect_fee(plan, mode, start_ms)
    if budget < 0:
        return 0
    granted = 0
    for segment in _segments(plan, mode, [Stretch(start_ms, wanted_ms)]):
        if segment.cost > budget:
            affordable = math.floor(budget / segment.rate.increment_price)
            return min(wanted_ms, granted + affordable * segment.rate.increment_ms)
        budget -= segment.cost
        granted += segment.billed_ms
    return wanted_ms


def round_micro(amount: Fraction, decimals: int, rounding: Rounding) -> int:
    """Round to `decimals` digits; the result in micro-units."""
    unit: int = 10**decimals
    # In whole numbers: the same with fractions costs several times as much, for each call and charge.
    above, below = abs(amount.numerator) * unit, amount.denominator
    whole: int
    match rounding:
        case Rounding.UP:
            whole = -(-above // below)
        case Rounding.DOWN:
            whole = above // below
        case Rounding.HALF_EVEN:
            whole = round(Fraction(above, below))
        case Rounding.HALF_UP:
            whole = (2 * above + below) // (2 * below)
    if amount < 0:
        whole = -whole
    return whole * MICRO // unit


def _connect_fee(plan: Plan, mode: Mode, start_ms: int) -> Fraction:
    if not plan.version_at(start_ms).modes.get(mode):
        return Fraction(0)
    return _band_at(plan, mode, start_ms)[0].connect_fee


_FREE = Slot(0, Fraction(0), 1000, 1)


def _segments(plan: Plan, mode: Mode, stretches: Sequence[Stretch]) -> Iterator[Segment]:
    used = 0
    offset = 0
    for stretch in stretches:
        end = offset + stretch.duration_ms
        while used < end:
            at = stretch.start_ms + used - offset
            segment = _segment(plan, mode, at, used, end)
            yield segment
            used += segment.billed_ms
        offset = end


def _segment(plan: Plan, mode: Mode, at_ms: int, used: int, end: int) -> Segment:
    """The increments that start at one rate, `at_ms` being the instant of `used`."""
    version = plan.version_at(at_ms)
    edge = end
    for other in plan.versions:
        if other.valid_from_ms > at_ms and other is not plan.versions[0]:
            edge = min(edge, used + other.valid_from_ms - at_ms)
            break
    bands = version.modes.get(mode)
    if not bands:
        return Segment(version.number, -1, 0, used, edge - used, _FREE)
    band, until_ms = _band_at(plan, mode, at_ms)
    if until_ms is not None:
        edge = min(edge, used + until_ms - at_ms)
    index = max(number for number, slot in enumerate(band.slots) if slot.from_ms <= used)
    if index + 1 < len(band.slots):
        edge = min(edge, band.slots[index + 1].from_ms)
    slot = band.slots[index]
    increments = -((used - edge) // slot.increment_ms)
    return Segment(version.number, bands.index(band), index, used, increments, slot)


def _band_at(plan: Plan, mode: Mode, at_ms: int) -> tuple[Band, int | None]:
    """The band in force, and until when that need not be looked at again (None: for ever)."""
    bands = plan.version_at(at_ms).modes[mode]
    if len(bands) == 1:
        return bands[0], None
    zone = ZoneInfo(plan.zone)
    today = datetime.fromtimestamp(at_ms // 1000, zone).date()
    edges = {_instant_ms(today, DAY_S, zone)}
    active: list[Band] = []
    for band in bands:
        start, end = _instant_ms(today, band.from_s, zone), _instant_ms(today, band.to_s, zone)
        edges.update((start, end))
        if _holds_on(band, today) and start <= at_ms < end:
            active.append(band)
    chosen = max(active, key=lambda band: (band.weight, band.from_s))
    return chosen, min(edge for edge in edges if edge > at_ms)


def _holds_on(band: Band, day: date) -> bool:
    return (
        (not band.weekdays or day.isoweekday() in band.weekdays)
        and (not band.months or day.month in band.months)
        and (not band.days or day.day in band.days)
    )


def _instant_ms(day: date, second: int, zone: ZoneInfo) -> int:
    """UTC of a local time; one that is repeated is the first, one that is skipped counts as if the
    clock had not been moved."""
    if second == DAY_S:
        day, second = day + timedelta(days=1), 0
    hour, rest = divmod(second, 3600)
    local = datetime(day.year, day.month, day.day, hour, rest // 60, rest % 60, tzinfo=zone)
    return int(local.timestamp()) * 1000
