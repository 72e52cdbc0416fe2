"""A flood of INVITE at ten times what the other side carries: what is left of the calls, how soon the
others hear that there is no room, whether calls that are up can end, and how soon it is over.

What it can carry is searched for first: ever more calls a second, until no more are completed.  It is
kept on one core, and who calls it on the others: else the flood would take the processor from it, not
by what it asks but by asking."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path

from tests.benchmarks.hearing import ROOT
from tests.benchmarks.load import Phase

TIMES = 10
FLOOD_SECONDS = 8
PEAK_SECONDS = 5
STEPS = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5)
"""Rates at which the most is searched for."""
AFTER_SECONDS = 6


@dataclass(frozen=True, slots=True)
class Flooded:
    """`asked`, `peak` and `goodput` are calls completed per second: at the rate asked for, at most, and with
    the flood."""

    asked: float
    refused_before: int
    """Calls turned away at the rate asked for."""
    peak: float
    offered: float
    goodput: float
    refused: int
    failed: int
    refusal_p99_ms: float
    byes: int
    byes_lost: int
    bye_p99_ms: float
    recovery_seconds: float

    @classmethod
    def of(cls, searched: Sequence[Phase], flood: Phase, after: Phase) -> Flooded:
        return cls(
            asked=searched[0].rate,
            refused_before=searched[0].refused,
            peak=max(phase.rate for phase in searched),
            offered=flood.offered / flood.seconds,
            goodput=flood.rate,
            refused=flood.refused,
            failed=flood.failed,
            refusal_p99_ms=p99(flood.refusal_ms),
            byes=flood.byes,
            byes_lost=flood.byes_lost,
            bye_p99_ms=p99(flood.bye_ms),
            recovery_seconds=after.last_trouble,
        )

    def told(self, what: str) -> str:
        share = self.goodput / self.peak if self.peak else 0.0
        return (
            f"{what}: {self.asked:.0f} calls/s completed as asked ({self.refused_before} turned away), "
            f"{self.peak:.0f} at most; {self.goodput:.0f} of {self.offered:.0f} offered in the flood "
            f"({share:.0%} of the most), {self.failed} failed\n"
            f"  503: {self.refused}, p99 {self.refusal_p99_ms:.0f} ms; BYE: {self.byes}, "
            f"{self.byes_lost} lost, p99 {self.bye_p99_ms:.0f} ms; recovered after "
            f"{self.recovery_seconds:.1f} s"
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


async def flood(pid: int, port: int, user: str, hold: float, rate: float, most: float = inf) -> Flooded:
    """Ten times what `pid` carries, searched for from `rate` on, or `most`; half of `rate` afterwards."""
    calm = (rate / 2, 2)
    with apart(pid):
        _, *searched = await load(port, user, hold, calm, *((rate * step, PEAK_SECONDS) for step in STEPS))
        many = min(most, TIMES * max(phase.rate for phase in searched))
        _, flooded, after = await load(
            port, user, hold, calm, (many, FLOOD_SECONDS), (rate / 2, AFTER_SECONDS)
        )
    return Flooded.of(searched, flooded, after)


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
