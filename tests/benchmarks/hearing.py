"""Legs that listen in a process of their own, and what they make of it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.rtp_receiver import Leg

ROOT = Path(__file__).parents[2]
LINE_LIMIT = 1 << 28
LATE_US = 60_000
"""Two packets are missing at this distance: what a jitter buffer cannot hide."""


@dataclass(frozen=True, slots=True)
class Spacing:
    """Of all legs together."""

    legs: int
    packets: int
    lost: int
    rate: float
    """Packets a second and leg, from its first packet to its last."""
    p50_ms: float
    p99_ms: float
    max_ms: float
    late_share: float
    """Of the gaps, those of more than 60 ms."""

    @classmethod
    def of(cls, legs: Sequence[Leg]) -> Spacing:
        heard = [leg for leg in legs if leg.packets > 1]
        gaps = sorted(gap for leg in heard for gap in leg.gaps_us)
        if not gaps:
            return cls(0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0)
        seconds = sum(leg.last_ns - leg.first_ns for leg in heard) / 1e9
        return cls(
            legs=len(heard),
            packets=sum(leg.packets for leg in heard),
            lost=sum(leg.lost for leg in heard),
            rate=sum(leg.packets - 1 for leg in heard) / seconds,
            p50_ms=gaps[len(gaps) // 2] / 1000,
            p99_ms=gaps[len(gaps) * 99 // 100] / 1000,
            max_ms=gaps[-1] / 1000,
            late_share=sum(gap > LATE_US for gap in gaps) / len(gaps),
        )


class Listeners:
    def __init__(self, process: asyncio.subprocess.Process, ports: list[int]) -> None:
        self.ports = ports
        self._process = process

    async def report(self) -> list[Leg]:
        """What each port received since the last report."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        await self._process.stdin.drain()
        return [Leg(**{**leg, "gaps_us": tuple(leg["gaps_us"])}) for leg in await _line(self._process)]


@asynccontextmanager
async def listeners(count: int, host: str = "127.0.0.1") -> AsyncIterator[Listeners]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.benchmarks.rtp_receiver", host, str(count)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_LIMIT,
        cwd=ROOT,
    )
    try:
        yield Listeners(process, await _line(process))
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def _line(process: asyncio.subprocess.Process) -> list[Any]:
    assert process.stdout is not None
    said: list[Any] = json.loads(await process.stdout.readline())
    return said
