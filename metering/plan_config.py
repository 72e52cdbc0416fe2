"""Usage plans as configuration writes them.

    currency: USD
    rounding_scope: call
    prices:
      application: {price: "0.02", unit_s: 60, increment_s: 1}
      service: {price: "0.06", increments: 60/6, connect_fee: "0.01"}
      bridge:
        bands:
          - {weekdays: [mon, tue, wed, thu, fri], from: "08:00", to: "19:00", weight: 10, price: "0.05"}
          - {slots: [{from_s: 0, price: "1", unit_s: 600}, {from_s: 600, price: "0.10"}]}

A price without anything else holds at all times, per minute, counted in seconds.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from fractions import Fraction
from itertools import pairwise
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from callrouter.errors import ConfigurationError
from metering.interval import Mode
from metering.plans import DAY_S, Band, Cap, Plan, PlanVersion, Rounding, Scope, Slot

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_DECIMAL = re.compile(r"\d{1,12}(\.\d{1,12})?", re.ASCII)
_TIME = re.compile(r"([01]\d|2[0-4]):([0-5]\d)(?::([0-5]\d))?", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_CODE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.ASCII)

_ROUNDING_MEMBERS = {"decimals", "rounding", "rounding_scope"}
_PLAN_MEMBERS = _ROUNDING_MEMBERS | {"currency", "zone", "prices_legs", "max_cost", "at_max_cost", "prices"}
_RATE_MEMBERS = {"price", "unit_s", "increment_s", "increments", "slots", "connect_fee"}
_BAND_MEMBERS = _RATE_MEMBERS | {"weekdays", "months", "days", "from", "to", "weight"}
_SLOT_MEMBERS = {"from_s", "price", "unit_s", "increment_s"}

_Choice = TypeVar("_Choice", bound=Enum)


def parse_plan(
    code: str,
    data: Mapping[str, Any],
    *,
    currency: str = "USD",
    number: int = 1,
    valid_from_ms: int = 0,
    where: str = "plans",
) -> Plan:
    """A plan with one version.  Raises `ConfigurationError` that says where and what is expected."""
    where = f"{where}.{code}"
    if not _CODE.fullmatch(code):
        raise _wrong(where, "a plan's code is at most 64 of a-z 0-9 _ . -")
    _members(data, _PLAN_MEMBERS, where)
    prices = data.get("prices")
    if not isinstance(prices, Mapping) or not prices:
        raise _wrong(f"{where}.prices", "expected a price for at least one mode")
    modes = {
        _choice(Mode, mode, f"{where}.prices"): _bands(rates, f"{where}.prices.{mode}")
        for mode, rates in prices.items()
    }
    max_cost = data.get("max_cost")
    return Plan(
        code,
        _matching(data.get("currency", currency), _CURRENCY, f"{where}.currency", "a currency like USD"),
        (PlanVersion(number, valid_from_ms, modes),),
        _zone(data.get("zone", "UTC"), f"{where}.zone"),
        _whole(data.get("decimals", 6), f"{where}.decimals", 0, 6),
        _choice(Rounding, data.get("rounding", "half_up"), f"{where}.rounding"),
        _choice(Scope, data.get("rounding_scope", "call"), f"{where}.rounding_scope"),
        _flag(data.get("prices_legs", False), f"{where}.prices_legs"),
        None if max_cost is None else _decimal(max_cost, f"{where}.max_cost"),
        _choice(Cap, data.get("at_max_cost", "free"), f"{where}.at_max_cost"),
    )


def _bands(data: Any, where: str) -> tuple[Band, ...]:
    if isinstance(data, str):
        data = {"price": data}
    if not isinstance(data, Mapping):
        raise _wrong(where, f'expected a price in quotes like "0.02", or a mapping, not {data!r}')
    if "bands" not in data:
        _members(data, _RATE_MEMBERS, where)
        return (_band(data, where),)
    _members(data, {"bands"}, where)
    entries = data["bands"]
    if not isinstance(entries, Sequence) or isinstance(entries, str) or not entries:
        raise _wrong(f"{where}.bands", "expected a list of bands")
    bands = tuple(_band(entry, f"{where}.bands[{index}]") for index, entry in enumerate(entries))
    if not any(band.always for band in bands):
        raise _wrong(
            f"{where}.bands", "one band must hold at all times: without weekdays, months, days, from and to"
        )
    return bands


def _band(data: Any, where: str) -> Band:
    if not isinstance(data, Mapping):
        raise _wrong(where, "expected a mapping")
    _members(data, _BAND_MEMBERS, where)
    from_s = _time(data.get("from", "00:00"), f"{where}.from")
    to_s = _time(data.get("to", "24:00"), f"{where}.to")
    if from_s >= to_s:
        raise _wrong(
            where, "`from` must be before `to`: a night is two bands, one to 24:00 and one from 00:00"
        )
    return Band(
        _slots(data, where),
        _decimal(data.get("connect_fee", "0"), f"{where}.connect_fee"),
        _whole(data.get("weight", 0), f"{where}.weight", 0, 1_000_000),
        frozenset(_weekday(name, f"{where}.weekdays") for name in _list(data, "weekdays", where)),
        frozenset(_whole(month, f"{where}.months", 1, 12) for month in _list(data, "months", where)),
        frozenset(_whole(day, f"{where}.days", 1, 31) for day in _list(data, "days", where)),
        from_s,
        to_s,
    )


def _slots(data: Mapping[str, Any], where: str) -> tuple[Slot, ...]:
    if "slots" not in data:
        return _short_slots(data, where)
    if others := sorted({"price", "unit_s", "increment_s", "increments"} & data.keys()):
        raise _wrong(where, f"`slots` and `{others[0]}` exclude each other")
    entries = _list(data, "slots", where)
    if not entries:
        raise _wrong(f"{where}.slots", "expected a list of slots")
    slots = tuple(_slot(entry, f"{where}.slots[{index}]") for index, entry in enumerate(entries))
    starts = [slot.from_ms for slot in slots]
    if starts[0] != 0 or any(later <= earlier for earlier, later in pairwise(starts)):
        raise _wrong(
            f"{where}.slots",
            "the first slot starts with `from_s: 0`, each other one later than the one before",
        )
    return slots


def _slot(data: Any, where: str) -> Slot:
    if not isinstance(data, Mapping):
        raise _wrong(where, "expected a mapping")
    _members(data, _SLOT_MEMBERS, where)
    return Slot(
        _whole(data.get("from_s", 0), f"{where}.from_s", 0, DAY_S) * 1000,
        _price(data, where),
        _whole(data.get("unit_s", 60), f"{where}.unit_s", 1, DAY_S) * 1000,
        _whole(data.get("increment_s", 1), f"{where}.increment_s", 1, DAY_S) * 1000,
    )


def _short_slots(data: Mapping[str, Any], where: str) -> tuple[Slot, ...]:
    """One price with steps: `increment_s`, or `increments: minimum/further`."""
    price = _price(data, where)
    unit_ms = _whole(data.get("unit_s", 60), f"{where}.unit_s", 1, DAY_S) * 1000
    if "increments" not in data:
        increment = _whole(data.get("increment_s", 1), f"{where}.increment_s", 1, DAY_S)
        return (Slot(0, price, unit_ms, increment * 1000),)
    if "increment_s" in data:
        raise _wrong(where, "`increments` and `increment_s` exclude each other")
    steps = re.fullmatch(r"(\d{1,5})/(\d{1,5})", str(data["increments"]), re.ASCII)
    if steps is None or "0" in (steps[1].lstrip("0") or "0", steps[2].lstrip("0") or "0"):
        raise _wrong(f"{where}.increments", "expected seconds like 60/6: the minimum, then the step")
    minimum, further = int(steps[1]) * 1000, int(steps[2]) * 1000
    if minimum == further:
        return (Slot(0, price, unit_ms, minimum),)
    return (Slot(0, price, unit_ms, minimum), Slot(minimum, price, unit_ms, further))


def _price(data: Mapping[str, Any], where: str) -> Fraction:
    if "price" not in data:
        raise _wrong(where, "`price` is missing")
    return _decimal(data["price"], f"{where}.price")


def _decimal(value: Any, where: str) -> Fraction:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return Fraction(value)
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return Fraction(value)
    raise _wrong(where, f'expected a decimal in quotes like "0.02", not {value!r}')


def _whole(value: Any, where: str, low: int, high: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return value
    raise _wrong(where, f"expected a whole number from {low} to {high}, not {value!r}")


def _flag(value: Any, where: str) -> bool:
    if isinstance(value, bool):
        return value
    raise _wrong(where, f"expected true or false, not {value!r}")


def _time(value: Any, where: str) -> int:
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found:
        seconds = int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3] or 0)
        if seconds <= DAY_S:
            return seconds
    raise _wrong(where, f'expected a time in quotes like "08:00", not {value!r}')


def _weekday(value: Any, where: str) -> int:
    if value in WEEKDAYS:
        return WEEKDAYS.index(value) + 1
    raise _wrong(where, f"expected one of {', '.join(WEEKDAYS)}, not {value!r}")


def _zone(value: Any, where: str) -> str:
    try:
        return ZoneInfo(str(value)).key
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise _wrong(where, f"expected an IANA time zone like Europe/Berlin, not {value!r}") from error


def _matching(value: Any, pattern: re.Pattern[str], where: str, expected: str) -> str:
    if isinstance(value, str) and pattern.fullmatch(value):
        return value
    raise _wrong(where, f"expected {expected}, not {value!r}")


def _choice(kind: type[_Choice], value: Any, where: str) -> _Choice:
    for member in kind:
        if member.value == value:
            return member
    raise _wrong(where, f"expected one of {', '.join(member.value for member in kind)}, not {value!r}")


def _list(data: Mapping[str, Any], name: str, where: str) -> Sequence[Any]:
    value = data.get(name, ())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return value
    raise _wrong(f"{where}.{name}", f"expected a list, not {value!r}")


def _members(data: Mapping[str, Any], known: Collection[str], where: str) -> None:
    for name in data:
        if name not in known:
            raise _wrong(f"{where}.{name}", f"unknown; known are {', '.join(sorted(known))}")


def _wrong(where: str, message: str) -> ConfigurationError:
    return ConfigurationError(f"{where}: {message}")
