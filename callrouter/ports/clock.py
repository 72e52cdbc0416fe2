"""Time, chance and figures: what a room is given instead of asking the machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """The only source of time of the rooms that measure or bill it."""

    def monotonic_ns(self) -> int: ...
    def utc_ms(self) -> int: ...


class Ids(Protocol):
    """The only source of identifiers and secrets; tests inject a counting one."""

    def sid(self, prefix: str) -> str:
        """`prefix` (two letters) and 32 lower-case hex digits, as the compatible API has them."""

    def token(self, size: int = 16) -> str:
        """`size` random bytes in lower-case hex: branches, tags, control tokens."""


class Metrics(Protocol):
    """Counters for Prometheus.  Names and label names are declared once, in
    `metering/prometheus.py`; an undeclared one is a programming error and raises."""

    def count(self, name: str, amount: float = 1, **labels: str) -> None: ...
    def counter(self, name: str, **labels: str) -> Callable[[], None]:
        """What adds one whenever it is called: for whatever happens so often that looking up its
        labels each time would cost more than counting it."""

    def observe(self, name: str, value: float, **labels: str) -> None: ...
    def gauge(self, name: str, value: float, **labels: str) -> None: ...
