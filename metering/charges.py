"""From a track to what it costs: intervals that are rated as one, and their charges.

PURE like the rating below it.  A scope is (payer, module, mode, plan) of one call; who pays is the
call's account, or the one on whose behalf a document ran on somebody else's leg.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from metering.interval import Holder, Interval, Mode
from metering.plans import Plan, Scope
from metering.rating import NOTHING, Rated, Stretch, rate

MINIMUM_MS = 1000
"""An answered call lasts a second at least, once per call."""


class Prices(Protocol):
    def plan(self, holder: Holder) -> Plan | None:
        """The plan that prices `holder`'s time, None if nothing does."""

    def known(self, holder: Holder) -> bool:
        """False if the holder names a plan that does not exist."""


@dataclass(slots=True)
class ChargeScope:
    """Intervals of one call that are charged together."""

    key: str
    payer: str
    holder: Holder
    plan: Plan | None
    """None: the holder names a plan that nobody knows."""
    indexes: list[int] = field(default_factory=list)
    """Which intervals of the track."""
    stretches: list[Stretch] = field(default_factory=list)

    @property
    def duration_ms(self) -> int:
        return sum(stretch.duration_ms for stretch in self.stretches)

    def rated(self, count: int | None = None) -> Rated:
        """The first `count` stretches rated, or all."""
        if self.plan is None:
            return NOTHING
        return rate(self.plan, self.holder.mode, self.stretches[:count])


@dataclass(frozen=True, slots=True)
class Charge:
    """Rated usage of one scope of a finished call."""

    scope: ChargeScope
    first: Interval
    last_ms: int
    """When the call ended."""
    rated: Rated


def scopes(intervals: Sequence[Interval], prices: Prices, until_ms: int) -> list[ChargeScope]:
    """The priced scopes of a track, in order of first use; a running interval counts to `until_ms`."""
    priced = [
        (index, interval, plan)
        for index, interval in enumerate(intervals)
        if _counts(plan := prices.plan(interval.holder), interval.holder, prices)
    ]
    if not priced:
        return []
    found: dict[str, ChargeScope] = {}
    padding = _padding(intervals)
    for index, interval, plan in priced:
        key = _key(interval, plan)
        if key not in found:
            payer = interval.holder.on_behalf_of or interval.call.account_sid
            found[key] = ChargeScope(key, payer, interval.holder, plan)
        end_ms = until_ms if interval.end_ms is None else interval.end_ms
        duration = max(end_ms - interval.start_ms, 0) + padding.get(index, 0)
        found[key].indexes.append(index)
        found[key].stretches.append(Stretch(interval.start_ms, duration))
    return list(found.values())


def charges(intervals: Sequence[Interval], prices: Prices) -> list[Charge]:
    """What a finished track costs: nothing where no plan applies."""
    end_ms = intervals[-1].end_ms
    if end_ms is None:
        raise ValueError("a running call has no charges yet")
    return [
        Charge(scope, intervals[scope.indexes[0]], end_ms, scope.rated())
        for scope in scopes(intervals, prices, end_ms)
        if scope.duration_ms > 0
    ]


def costs(intervals: Sequence[Interval], prices: Prices, until_ms: int) -> dict[tuple[str, str], int]:
    """Micro-units that a track costs by then, by payer and currency."""
    total: dict[tuple[str, str], int] = {}
    for scope in scopes(intervals, prices, until_ms):
        if scope.plan is not None:
            key = (scope.payer, scope.plan.currency)
            total[key] = total.get(key, 0) + scope.rated().amount_micro
    return total


def _counts(plan: Plan | None, holder: Holder, prices: Prices) -> bool:
    """Whether the holder's time is for a charge: it has a price, or should have one."""
    if plan is None:
        return not prices.known(holder)
    if holder.driven_by and not plan.prices_legs:
        return False
    return holder.mode in plan.priced_modes


def _key(interval: Interval, plan: Plan | None) -> str:
    holder = interval.holder
    parts = [interval.call.call_sid, holder.module, holder.mode.value]
    parts += [holder.on_behalf_of, plan.code if plan else holder.plan]
    if plan is not None and plan.scope is Scope.INTERVAL:
        parts.append(str(interval.sequence))
    return "|".join(parts)


def _padding(intervals: Sequence[Interval]) -> dict[int, int]:
    """Milliseconds to add, by index: a finished answered call of less than a second is rounded up
    to one, in its last answered interval."""
    answered = [index for index, interval in enumerate(intervals) if interval.holder.mode is not Mode.SETUP]
    durations = [intervals[index].duration_ms for index in answered]
    total = sum(duration for duration in durations if duration is not None)
    if None in durations or not 0 < total < MINIMUM_MS:
        return {}
    return {answered[-1]: MINIMUM_MS - total}
