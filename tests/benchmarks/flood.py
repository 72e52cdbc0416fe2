"""A flood of INVITE at ten times what the other side carries: what is left of the calls, how soon
the others hear that there is no room, whether calls that are up can end, and how soon it is over."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass

from tests.benchmarks.hearing import ROOT
from tests.benchmarks.load import Phase

TIMES = 10
FLOOD_SECONDS = 8
PEAK_SECONDS = 4
AFTER_SECONDS = 6


@dataclass(frozen=True, slots=True)
class Flooded:
    """`peak` and `goodput` are calls completed per second, without and with the flood."""

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
    def of(cls, peak: Phase, flood: Phase, after: Phase) -> Flooded:
        return cls(
            peak=peak.completed_meanwhile / peak.seconds,
            offered=flood.offered / flood.seconds,
            goodput=flood.completed_meanwhile / flood.seconds,
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
            f"{what}: {self.peak:.0f} calls/s completed before the flood, {self.goodput:.0f} of "
            f"{self.offered:.0f} offered in it ({share:.0%}), {self.failed} failed\n"
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


async def flood(port: int, user: str, hold: float, rate: float) -> Flooded:
    """Ten times `rate` behind `rate` itself; half of it afterwards."""
    phases = await load(
        *(port, user, hold),
        *((rate / 2, 2), (rate, PEAK_SECONDS), (rate * TIMES, FLOOD_SECONDS), (rate / 2, AFTER_SECONDS)),
    )
    return Flooded.of(*phases[1:])


def p99(values: list[float]) -> float:
    """0.0 of none."""
    return sorted(values)[int(len(values) * 0.99)] if values else 0.0
