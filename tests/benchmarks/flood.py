"""A flood of INVITE at ten times what the other side carries: what is left of the calls, how soon the
others hear that there is no room, whether calls that are up can end, and how soon it is over.

What it can carry is searched for first: ever more calls a second, until no more are completed.  Then it
is flooded some times, and given as many calls as it carries before and after each: what a machine with
neighbours carries changes within a minute, and the most of many looks is more than any other would find.

It is kept on one core, and who calls it on the others: else the flood would take the processor from it,
not by what it asks but by asking."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.hearing import ROOT
from tests.benchmarks.load import Phase

TIMES = 10
FLOOD_SECONDS = 8
PEAK_SECONDS = 5
STEPS = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5)
"""Rates at which the most is searched for."""
TURNS = 3
"""Floods of one run."""
AFTER_SECONDS = 6
DOOR = "sip-door"


@dataclass(frozen=True, slots=True)
class Look:
    """What came of one phase, and what the server's process had of the processor meanwhile."""

    phase: Phase
    cpu_seconds: float
    door_seconds: float
    """Of these, the thread's that turns calls away."""

    @property
    def per_cpu_second(self) -> float:
        """Calls completed: what neighbours take does not count."""
        return self.phase.completed / self.cpu_seconds if self.cpu_seconds else 0.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One flood between two looks at what is carried without it."""

    before: Look
    flood: Look
    after: Look

    def share(self, figure: Callable[[Look], float]) -> float:
        carried = (figure(self.before) + figure(self.after)) / 2
        return figure(self.flood) / carried if carried else 0.0

    def told(self) -> str:
        before, flood, after = (look.phase for look in (self.before, self.flood, self.after))
        return (
            f"  {flood.rate:.0f} of {flood.offered / flood.seconds:.0f} offered in the flood, "
            f"{before.rate:.0f} before and {after.rate:.0f} after it "
            f"({self.share(lambda look: look.phase.rate):.0%}, "
            f"{self.share(lambda look: look.per_cpu_second):.0%} a second of the processor); "
            f"{flood.failed} failed; 503: {flood.refused}, p99 {p99(flood.refusal_ms):.0f} ms, "
            f"{self.flood.door_seconds / max(1, flood.refused) * 1e6:.1f} us each; "
            f"BYE: {flood.byes}, {flood.byes_lost} lost, p99 {p99(flood.bye_ms):.0f} ms"
        )


@dataclass(frozen=True, slots=True)
class Flooded:
    asked: Phase
    """At the rate asked for."""
    most: float
    turns: Sequence[Turn]
    after: Phase
    """Half of it, after all floods."""

    def told(self, what: str) -> str:
        return "\n".join(
            (
                f"{what}: {self.asked.rate:.0f} calls/s completed as asked "
                f"({self.asked.refused} turned away), {self.most:.0f} at most",
                *(turn.told() for turn in self.turns),
                f"  recovered {self.after.last_trouble:.1f} s after the last",
            )
        )


async def load(port: int, user: str, hold: float, *phases: tuple[float, float]) -> list[Phase]:
    """What came of phases of (calls a second, seconds); each call lasts `hold` seconds."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.benchmarks.load", str(port), user, str(hold)),
        *(f"{rate}:{seconds}" for rate, seconds in phases),
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    told, _ = await process.communicate()
    return [Phase(**json.loads(line)) for line in told.splitlines()]


async def flood(pid: int, port: int, user: str, hold: float, rate: float) -> Flooded:
    """Ten times what `pid` carries, searched for from `rate` on; half of `rate` afterwards."""

    async def look(rate: float, seconds: float) -> Look:
        cpu, door = thread_seconds(pid), thread_seconds(pid, DOOR)
        (phase,) = await load(port, user, hold, (rate, seconds))
        return Look(phase, thread_seconds(pid) - cpu, thread_seconds(pid, DOOR) - door)

    with apart(pid):
        _, *searched = await load(
            port, user, hold, (rate / 2, 2), *((rate * step, PEAK_SECONDS) for step in STEPS)
        )
        most, best = max((phase.rate, rate * step) for phase, step in zip(searched, STEPS, strict=True))
        before = await look(best, PEAK_SECONDS)
        turns = []
        for _ in range(TURNS):
            flooded = await look(most * TIMES, FLOOD_SECONDS)
            after = await look(best, PEAK_SECONDS)
            turns.append(Turn(before, flooded, after))
            before = after
        last = await look(rate / 2, AFTER_SECONDS)
    return Flooded(searched[0], most, turns, last.phase)


def thread_seconds(pid: int, name: str = "") -> float:
    """Of the processor, that the threads of this name, or all, have had."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    ours = [task for task in tasks if not name or (task / "comm").read_text().strip() == name]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in ours) / 1e9


@contextmanager
def apart(pid: int) -> Iterator[None]:
    """The process `pid` has one core, and what this one begins has the others."""
    own = os.sched_getaffinity(0)
    first, *others = sorted(own)
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {first})
    os.sched_setaffinity(0, others or own)
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)


def p99(values: list[float]) -> float:
    """0.0 of none."""
    return sorted(values)[int(len(values) * 0.99)] if values else 0.0
