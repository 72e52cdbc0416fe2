"""Runs a meter with fake calls again and again, killing it with SIGKILL each time.

    python metering_victim.py FOLDER ROUNDS SEED

Each round is a forked child that starts on what the last one left, and says on a pipe what the
meter has acknowledged.  Prints all that as JSON lines, one list per round.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import structlog

from callrouter.clock import SystemClock
from callrouter.storage.database import Database
from callrouter.storage.journal import Journal
from callrouter.storage.workers import claim
from metering.interval import CallFacts, Cause, Holder, Mode
from metering.meter import Meter
from metering.plan_book import load_plans
from metering.settings import Settings

PLANS = {"menu": {"prices": {"application": "0.60"}}, "bridge": {"prices": {"bridge": "0.06"}}}
DEFAULTS = {"acme.menu": "menu", "platform.bridge": "bridge"}
MENU = Holder("acme.menu", "acme", Mode.APPLICATION)
BRIDGE = Holder("platform.bridge", "platform", Mode.BRIDGE)
HEARTBEAT_SECONDS = 0.02


class Victim:
    """One life: recovery, then calls without end."""

    def __init__(self, folder: Path, pipe: int, number: int) -> None:
        self._folder = folder
        self._pipe = pipe
        self._number = number
        self._clock = SystemClock()

    def say(self, *words: Any) -> None:
        os.write(self._pipe, json.dumps(words).encode() + b"\n")

    async def live(self) -> None:
        database = await Database.open(f"sqlite:///{self._folder / 'test.db'}")
        worker = await claim(database, "w1", self._clock)
        journal = await Journal.open(self._folder / "journal", segment_bytes=64 * 1024)
        plans = await load_plans(database, PLANS, now_ms=self._clock.utc_ms(), defaults=DEFAULTS)
        settings = Settings(heartbeat_seconds=10)
        self._meter = Meter(journal, database, self._clock, plans, worker, settings=settings)
        recovery = await self._meter.recover()
        self.say("recovered", [[closed.call.call_sid, closed.end_ms] for closed in recovery.closed_calls])
        self._meter.start()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat(journal))
            for lane in range(20):
                group.create_task(self._calls(lane))

    async def _beat(self, journal: Journal) -> None:
        """Heartbeats whose being on disk is told."""
        while True:
            live = [call.call_sid for call in self._meter.live_calls()]
            beat_ns = self._clock.monotonic_ns()
            self._meter.heartbeat()
            await journal.append("told", {})
            self.say("beat", live, beat_ns)
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _calls(self, lane: int) -> None:
        chance = random.Random(f"{self._number}/{lane}")
        for number in range(10_000):
            sid = f"CA{self._number}-{lane}-{number}"
            facts = CallFacts(sid, sid, f"AC{lane % 3}", "+15550100")
            await self._meter.begin(facts, MENU, at_ns=self._clock.monotonic_ns(), cause=Cause.ARRIVAL)
            self.say("begin", sid)
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(chance.random() * 0.02)
                holder = chance.choice([MENU, BRIDGE])
                at_ns = self._clock.monotonic_ns()
                await self._meter.transfer(sid, holder, at_ns=at_ns, cause=Cause.VERB)
                self.say("transfer", sid, holder.module, at_ns)
            await asyncio.sleep(chance.random() * 0.05)
            at_ns = self._clock.monotonic_ns()
            await self._meter.end(sid, at_ns=at_ns, cause=Cause.HANGUP)
            self.say("end", sid, at_ns)


def kill_one(folder: Path, number: int, seconds: float, least: int) -> list[Any]:
    """Let a victim live for `seconds`, and until it has said so much, heartbeats among it; what it said."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
        asyncio.run(Victim(folder, writing, number).live())
        os._exit(1)
    os.close(writing)
    os.set_blocking(reading, False)
    said = b""
    deadline = time.monotonic() + seconds
    killed = False
    while True:
        try:
            chunk = os.read(reading, 1 << 20)
        except BlockingIOError:
            chunk = None
        if chunk == b"":
            break
        said += chunk or b""
        has_lived = said.count(b"\n") >= least and (not least or said.count(b'["beat"') > 1)
        if not killed and has_lived and time.monotonic() >= deadline:
            os.kill(child, signal.SIGKILL)
            killed = True
        time.sleep(0.001)
    os.close(reading)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        raise SystemExit("the victim died by itself")
    complete = said[: said.rfind(b"\n") + 1]
    return [json.loads(line) for line in complete.splitlines()]


def main() -> None:
    folder, rounds, seed = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    chance = random.Random(seed)
    for number in range(rounds):
        seconds, least = chance.choice([(0.05, 0), (0.2, 60), (0.4, 120)])
        said = kill_one(folder, number, seconds + chance.random() * 0.3, least)
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
