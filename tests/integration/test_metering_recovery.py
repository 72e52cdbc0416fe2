"""SIGKILL at random moments: nothing acknowledged is lost, nothing is closed or charged twice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from callrouter.clock import SystemClock
from callrouter.storage.database import Database
from callrouter.storage.journal import Journal
from callrouter.storage.workers import claim
from metering.charges import charges
from metering.interval import Cause, Interval
from metering.meter import Meter, Recovery
from metering.plan_book import PlanBook, load_plans
from metering.tables import charges as charges_table
from metering.tables import intervals, ledger_entries
from metering.timeline import partitions, tracks_of_rows

ROUNDS = 30
HERE = Path(__file__).parent
ROOT = HERE.parents[1]


class Aftermath:
    """What the victims said, and what the last recovery left in the database."""

    def __init__(self, said: list[list[list[Any]]]) -> None:
        self.said = said
        self.facts = [fact for round_ in said for fact in round_]
        self.recovery = Recovery((), ())
        self.plans = PlanBook()
        self.tracks: dict[str, list[Interval]] = {}
        self.charges: list[dict[str, Any]] = []
        self.entries: list[dict[str, Any]] = []

    async def recover(self, folder: Path) -> None:
        clock = SystemClock()
        database = await Database.open(f"sqlite:///{folder / 'test.db'}")
        worker = await claim(database, "w1", clock)
        journal = await Journal.open(folder / "journal")
        self.plans = await load_plans(
            database, {}, now_ms=0, defaults={"acme.menu": "menu", "platform.bridge": "bridge"}
        )
        meter = Meter(journal, database, clock, self.plans, worker)
        self.recovery = await meter.recover()
        meter.start()
        await meter.settled()
        statement = select(intervals).order_by(intervals.c.call_sid, intervals.c.sequence)
        self.tracks = tracks_of_rows(await database.read(statement))
        self.charges = await database.read(select(charges_table))
        self.entries = await database.read(select(ledger_entries))
        await meter.stop()
        await journal.close()
        await database.close()


@pytest.mark.timeout(300)
async def test_thirty_kills(tmp_path: Path) -> None:
    command = [sys.executable, str(HERE / "metering_victim.py"), str(tmp_path), str(ROUNDS), "7"]
    done = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    aftermath = Aftermath([json.loads(line) for line in done.stdout.splitlines()])
    assert len(aftermath.said) == ROUNDS
    assert sum(fact[0] == "end" for fact in aftermath.facts) > 100, "the victims did too little to tell"
    await aftermath.recover(tmp_path)
    acknowledged_facts_are_there(aftermath)
    open_intervals_end_at_the_last_heartbeat(aftermath)
    every_track_is_closed_once(aftermath)
    the_ledger_is_right(aftermath)

    before = (aftermath.tracks, aftermath.charges, aftermath.entries)
    await aftermath.recover(tmp_path)
    assert aftermath.recovery.closed_calls == ()
    assert (aftermath.tracks, aftermath.charges, aftermath.entries) == before


def acknowledged_facts_are_there(aftermath: Aftermath) -> None:
    held: dict[str, list[str]] = {}
    for fact in aftermath.facts:
        if fact[0] == "begin":
            held[fact[1]] = ["acme.menu"]
        elif fact[0] == "transfer" and held[fact[1]][-1] != fact[2]:
            held[fact[1]].append(fact[2])
        elif fact[0] == "end":
            last = aftermath.tracks[fact[1]][-1]
            assert (last.end_cause, last.estimated) == (Cause.HANGUP, False)
    for sid, modules in held.items():
        found = [interval.holder.module for interval in aftermath.tracks.get(sid, [])]
        assert found[: len(modules)] == modules, f"{sid}: acknowledged facts are lost"


def open_intervals_end_at_the_last_heartbeat(aftermath: Aftermath) -> None:
    estimated = 0
    for round_ in aftermath.said:
        beats: dict[str, list[int]] = {}
        for fact in round_:
            if fact[0] == "beat":
                for sid in fact[1]:
                    beats.setdefault(sid, []).append(fact[2])
        for sid, beat_ns in beats.items():
            track = aftermath.tracks[sid]
            if track[-1].estimated:
                estimated += 1
                lasted_ms = (track[-1].end_ms or 0) - track[0].start_ms
                assert lasted_ms >= (beat_ns[-1] - beat_ns[0]) // 1_000_000, "less than heartbeats prove"
    assert estimated > ROUNDS, "hardly anything was left open: the test proves nothing"


def every_track_is_closed_once(aftermath: Aftermath) -> None:
    closings = Counter(
        sid for fact in aftermath.facts if fact[0] == "recovered" for sid, _ in fact[1]
    ) + Counter(closed.call.call_sid for closed in aftermath.recovery.closed_calls)
    assert set(closings.values()) <= {1}
    for sid, track in aftermath.tracks.items():
        assert partitions(track), sid
        assert track[-1].end_ms is not None, f"{sid} is still open"
        assert track[-1].estimated == (track[-1].end_cause is Cause.RECOVERY)
        if sid in closings:
            assert track[-1].estimated


def the_ledger_is_right(aftermath: Aftermath) -> None:
    expected = {
        charge.scope.key: charge.rated.amount_micro
        for track in aftermath.tracks.values()
        for charge in charges(track, aftermath.plans)
    }
    assert {row["key"]: row["amount_micro"] for row in aftermath.charges} == expected
    owed = -sum(row["amount_micro"] for row in aftermath.entries if row["account"].startswith("receivable:"))
    assert owed == sum(expected.values())
    sums: Counter[str] = Counter()
    for row in aftermath.entries:
        sums[row["transaction"]] += row["amount_micro"]
    assert set(sums.values()) == {0}
