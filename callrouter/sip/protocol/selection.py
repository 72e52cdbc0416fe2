"""Which of several servers is tried first, and after which answers another one is (RFC 2782, RFC 3261
§21.4.9, §21.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

_TIMEOUT = 408
_FOREVER = frozenset({505, 513, 580})
"""5xx about the message rather than the server: the next one would say the same."""


class Weighted(Protocol):
    @property
    def priority(self) -> int: ...
    @property
    def weight(self) -> int: ...


T = TypeVar("T", bound=Weighted)


def in_order(entries: Iterable[T], token: Callable[[int], str]) -> list[T]:
    """By priority, lowest first; of equal priority at random, in proportion to weight.  `token`
    gives random hex digits."""
    ordered: list[T] = []
    groups: dict[int, list[T]] = {}
    for entry in entries:
        groups.setdefault(entry.priority, []).append(entry)
    for priority in sorted(groups):
        group = groups[priority]
        while len(group) > 1:
            ordered.append(group.pop(_drawn(group, token)))
        ordered += group
    return ordered


def _drawn(group: list[T], token: Callable[[int], str]) -> int:
    """Index of one of `group`.  Weight 0 is drawn only where all others are."""
    total = sum(entry.weight for entry in group)
    if not total:
        return 0
    rest = int(token(8), 16) % total
    for index, entry in enumerate(group):
        rest -= entry.weight
        if rest < 0:
            return index
    return 0


def is_worth_another(status: int) -> bool:
    """A call that failed so may succeed by another way; a callee who has answered, busy or
    declining or unknown, is not asked again."""
    return status == _TIMEOUT or (500 <= status < 600 and status not in _FOREVER)
