"""What a run cost: processor time of one process, and whether the machine was ours meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.benchmarks.media import VOID_STEAL, Reading, read


@dataclass(slots=True)
class Cost:
    """Filled in when the run is over."""

    cpu_seconds: float = 0.0
    """User and system time of the process, all its threads, without its children."""
    clock_seconds: float = 0.0
    steal: float = 0.0
    """Share of all processors' time that the machine gave to others."""

    @property
    def cores(self) -> float:
        return self.cpu_seconds / self.clock_seconds if self.clock_seconds else 0.0

    @property
    def void(self) -> bool:
        return self.steal > VOID_STEAL

    def verdict(self) -> str:
        return f"  VOID: {self.steal:.0%} of the processor stolen" if self.void else ""


@contextmanager
def cost_of(pid: int) -> Iterator[Cost]:
    cost, before = Cost(), read(pid)
    yield cost
    _fill(cost, before, read(pid))


def _fill(cost: Cost, before: Reading, after: Reading) -> None:
    cost.cpu_seconds = after.process - before.process
    cost.clock_seconds = after.clock - before.clock
    cost.steal = (after.steal - before.steal) / (after.machine - before.machine)
