"""How calls of a dead process end in the table: as their tracks say, which the journal kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import ColumnDefault, select

from callrouter.calls.recovery import close_dead_calls
from callrouter.calls.tables import calls, recordings
from callrouter.ports import partial_recording
from callrouter.storage.database import Database
from callrouter.storage.statements import insert_once
from metering.interval import CallFacts
from metering.tables import intervals

CREATED = 1_000_000
SETUP = (0, "setup", CREATED, CREATED + 500)
TALK = (1, "application", CREATED + 500, CREATED + 2_750)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(f"sqlite:///{tmp_path / 'test.db'}")
    yield opened
    await opened.close()


def facts(digit: str, parent: str = "") -> CallFacts:
    sid = "CA" + digit * 32
    return CallFacts(sid, sid, "AC" + "1" * 32, "+15550100", parent)


async def row(database: Database, call: CallFacts, status: str, **more: Any) -> None:
    known: dict[str, Any] = {column.name: None for column in calls.columns if column.nullable}
    defaults = {column.name: column.default for column in calls.columns}
    known |= {name: given.arg for name, given in defaults.items() if isinstance(given, ColumnDefault)}
    known |= {"created_ms": CREATED, "from_": "", "to": "", "key_number": call.key_number}
    known |= {"sid": call.call_sid, "account_sid": call.account_sid, "session_sid": call.session_sid}
    known |= {"status": status, "worker": "w1", "updated_ms": CREATED + 20, "direction": "inbound"}
    await database.write((insert_once(calls), known | more))


async def track(database: Database, call: CallFacts, *stretches: tuple[int, str, int, int]) -> None:
    for sequence, mode, start_ms, end_ms in stretches:
        known: dict[str, Any] = {column.name: "" for column in intervals.columns}
        known |= {"call_sid": call.call_sid, "session_sid": call.session_sid, "sequence": sequence}
        known |= {"account_sid": call.account_sid, "mode": mode, "start_ms": start_ms, "end_ms": end_ms}
        await database.write((insert_once(intervals), known | {"estimated": True}))


async def ended(database: Database, call: CallFacts) -> dict[str, Any]:
    (found,) = await database.read(select(calls).where(calls.c.sid == call.call_sid))
    return dict(found)


async def test_a_call_whose_last_rows_were_lost_ends_as_its_track_does(database: Database) -> None:
    """It was answered and over before the crash; the table had only heard that it rang."""
    call = facts("a")
    await row(database, call, "ringing")
    await track(database, call, SETUP, TALK)
    await close_dead_calls(database, "w1", ())
    found = await ended(database, call)
    assert (found["status"], found["answered_ms"], found["end_ms"]) == (
        "completed",
        CREATED + 500,
        CREATED + 2_750,
    )


async def test_a_call_that_was_never_answered_failed(database: Database) -> None:
    call = facts("b")
    await row(database, call, "ringing")
    await track(database, call, SETUP)
    await close_dead_calls(database, "w1", (call,))
    found = await ended(database, call)
    assert (found["status"], found["answered_ms"], found["end_ms"]) == ("failed", None, CREATED + 500)


async def test_a_call_the_meter_never_heard_of_ends_with_its_last_row(database: Database) -> None:
    call = facts("c")
    await row(database, call, "queued")
    await close_dead_calls(database, "w1", ())
    found = await ended(database, call)
    assert (found["status"], found["end_ms"]) == ("failed", CREATED + 20)


async def test_a_metered_call_whose_row_was_lost_gets_one(database: Database) -> None:
    root, leg = facts("d"), facts("e", parent="CA" + "d" * 32)
    await track(database, root, SETUP, TALK)
    await track(database, leg, SETUP)
    await close_dead_calls(database, "w1", (root, leg))
    found = await ended(database, root)
    assert (found["direction"], found["to"], found["status"]) == ("inbound", "+15550100", "completed")
    assert (found["created_ms"], found["end_ms"]) == (CREATED, CREATED + 2_750)
    assert (await ended(database, leg))["direction"] == "outbound-dial"


async def test_finished_calls_and_those_of_other_workers_stay_as_they_are(database: Database) -> None:
    done, elsewhere = facts("f"), facts("0")
    await row(database, done, "busy", end_ms=CREATED + 90)
    await row(database, elsewhere, "in-progress", worker="w2")
    await close_dead_calls(database, "w1", ())
    assert (await ended(database, done))["status"] == "busy"
    assert (await ended(database, elsewhere))["end_ms"] is None


async def test_closing_twice_changes_nothing(database: Database) -> None:
    call = facts("9")
    await row(database, call, "in-progress", answered_ms=CREATED + 500)
    await track(database, call, SETUP, TALK)
    await close_dead_calls(database, "w1", (call,))
    first = await ended(database, call)
    await close_dead_calls(database, "w1", (call,))
    assert await ended(database, call) == first


async def test_a_recording_is_complete_after_a_crash_only_if_it_was_before(
    database: Database, tmp_path: Path
) -> None:
    """What is half written is of no use, and takes no room; other workers' recordings go on."""
    mine, other = facts("a"), facts("b")
    await row(database, mine, "in-progress")
    await row(database, other, "in-progress", worker="w2")
    paths = {name: tmp_path / f"{name}.wav" for name in ("whole", "half", "none", "running")}
    paths["whole"].write_bytes(bytes(44 + 2 * 16 * 1500))
    for name in ("half", "running"):
        partial_recording(paths[name]).write_bytes(bytes(1000))
    for name, path in paths.items():
        known: dict[str, Any] = {column.name: None for column in recordings.columns if column.nullable}
        known |= {"sid": name, "account_sid": mine.account_sid, "source": "DialVerb", "channels": 2}
        known |= {"call_sid": (other if name == "running" else mine).call_sid, "path": str(path)}
        known |= {"status": "in-progress", "start_ms": CREATED, "error_code": 0}
        await database.write((insert_once(recordings), known))
    await close_dead_calls(database, "w1", [])
    found = {found["sid"]: found for found in await database.read(select(recordings))}
    ends = {sid: (one["status"], one["error_code"], one["duration_ms"]) for sid, one in found.items()}
    failed = ("failed", 12400, None)
    assert ends == {
        "whole": ("completed", 0, 1500),
        "half": failed,
        "none": failed,
        "running": ("in-progress", 0, None),
    }
    left = {path.name for path in tmp_path.iterdir()} - {"test.db", "test.db-wal", "test.db-shm"}
    assert left == {"whole.wav", ".running.wav.partial"}
