"""Disks that are full, databases that are locked or damaged: what was promised is kept, what cannot
be kept is told."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import OperationalError

from callrouter.errors import StartupError
from callrouter.identity.secrets import load_key
from callrouter.storage.database import Database
from callrouter.storage.journal import Journal, JournalUnwritable
from callrouter.storage.tables import positions
from metering.interval import Cause
from tests.integration.test_metering_meter import MENU, Server, a_call, boot, call, entries
from tests.integration.test_metering_meter import Clock as HandClock
from tests.patience import PATIENCE_SECONDS

INSERT = insert(positions)
ALL = select(positions.c.journal).order_by(positions.c.journal)


def row(journal: str) -> dict[str, object]:
    return {"journal": journal, "reader": "test", "sequence": 0}


async def names(database: Database) -> list[str]:
    return [found["journal"] for found in await database.read(ALL)]


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(f"sqlite:///{tmp_path / 'test.db'}", busy_seconds=1)
    yield database
    await database.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Use up what is left of the disk."""
    ballast = folder / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (65536, 4096, 512, 64, 1):
            while True:
                try:
                    if file.write(b"x" * size) < size:
                        break
                except OSError:
                    break
    return ballast


async def test_posts_outlast_a_lock_longer_than_a_write_waits_and_keep_their_order(
    database: Database, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    upsert = text("INSERT INTO positions VALUES ('a', 'test', :n) ON CONFLICT DO UPDATE SET sequence = :n")
    database.post((upsert, {"n": 1}))
    with pytest.raises(OperationalError, match="locked"):
        await database.write((INSERT, row("awaited")))
    database.post((upsert, {"n": 2}))
    await asyncio.sleep(1.5)
    other.execute("ROLLBACK")
    other.close()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await names(database):
            await asyncio.sleep(0.05)
        await database.write()
    found = await database.read(select(positions.c.journal, positions.c.sequence))
    assert [tuple(one.values()) for one in found] == [("a", 2)], "who waited was told; the rest is there"


async def test_a_post_that_is_wrong_is_not_tried_again(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    database.post((INSERT, row("a")), (INSERT, row("a")))
    database.post((text("INSERT INTO nowhere VALUES (1)"), None))
    database.post((INSERT, row("b")))
    await database.write()
    assert await names(database) == ["b"]
    assert capsys.readouterr().out.count("database_write_failed") == 2


async def test_no_caller_is_told_of_success_when_sqlite_undid_the_whole_transaction(
    database: Database,
) -> None:
    """ROLLBACK and an error stand for what SQLite may do on its own when the disk is full."""
    results = await asyncio.gather(
        database.write((INSERT, row("a"))),
        database.write((text("ROLLBACK"), None), (text("INSERT INTO nowhere VALUES (1)"), None)),
        database.write((INSERT, row("b"))),
        return_exceptions=True,
    )
    assert all(isinstance(result, OperationalError) for result in results), results
    assert await names(database) == []
    await database.write((INSERT, row("c")))
    assert await names(database) == ["c"]


async def test_parameters_that_make_no_sense_fail_their_caller_only(database: Database) -> None:
    results = await asyncio.gather(
        database.write((INSERT, row("a"))),
        database.write((INSERT, {**row("b"), "sequence": 1 << 70})),
        database.write((INSERT, {"journal": object()})),
        return_exceptions=True,
    )
    assert results[0] == [1]
    assert isinstance(results[1], OverflowError)
    assert isinstance(results[2], Exception)
    assert await names(database) == ["a"]


async def test_a_database_that_another_process_holds_at_the_start_is_named_with_the_remedy(
    database: Database, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StartupError, match=r"test\.db cannot be used: database is locked; another process"):
        await Database.open(f"sqlite:///{tmp_path / 'test.db'}", busy_seconds=1)
    other.close()


@pytest.mark.parametrize("start", [0, 100, 4096, 20_000])
async def test_a_damaged_database_is_refused_at_the_start_with_its_name(tmp_path: Path, start: int) -> None:
    file = tmp_path / "test.db"
    database = await Database.open(f"sqlite:///{file}")
    await database.write(*((INSERT, row(f"{number:030d}")) for number in range(300)))
    await database.close()
    damaged = bytearray(file.read_bytes())
    damaged[start : start + 4000] = os.urandom(4000)
    file.write_bytes(damaged)
    with pytest.raises(StartupError, match=r"test\.db"):
        await Database.open(f"sqlite:///{file}")


async def begin_until_full(server: Server) -> None:
    """What is left of the last page still takes a record or two."""
    clock, meter = server.clock, server.meter
    while True:
        clock.advance(1)
        await meter.begin(call(clock.ns), MENU, at_ns=clock.ns, cause=Cause.ARRIVAL)
        meter.post_end(f"CA{clock.ns}", at_ns=clock.ns, cause=Cause.HANGUP)


async def test_with_the_disk_full_no_call_begins_live_ones_end_and_all_is_there_when_it_is_freed(
    small_disk: Path,
) -> None:
    clock = HandClock()
    server = await boot(small_disk, clock)
    meter = server.meter
    await a_call(server, 1)
    await meter.begin(call(2), MENU, at_ns=clock.ns, cause=Cause.ARRIVAL)
    await meter.settled()
    server.database.post((INSERT, row("before")))
    await server.database.write()

    ballast = fill(small_disk)
    server.database.post((INSERT, row("during")))
    with pytest.raises(JournalUnwritable, match="No space left"):
        await begin_until_full(server)
    assert not meter.writable
    sequence = meter.post_end("CA2", at_ns=clock.advance(60), cause=Cause.HANGUP)
    assert sequence
    assert meter.holder("CA2") is None
    with pytest.raises(JournalUnwritable):
        await meter.begin(call(3), MENU, at_ns=clock.ns, cause=Cause.ARRIVAL)
    ended = (await meter.timeline("CA2"))[0]
    assert (ended.interval.end_cause, ended.running) == (Cause.HANGUP, False)

    ballast.unlink()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await meter.settled()
    assert meter.writable
    await a_call(server, 4)
    await meter.settled()
    assert meter.troubles() == []
    assert (await meter.timeline("CA2"))[0] == ended
    assert (await entries(server.database))["receivable:AC1"] == -2 * 62_000 - ended.cost_micro
    await server.database.write()
    assert {"before", "during"} <= set(await names(server.database))
    await server.stop()
    server = await boot(small_disk, clock)
    assert server.recovery.closed_calls == ()
    assert len(await server.meter.timeline("CA4")) == 3
    await server.stop()


async def test_a_start_on_a_full_disk_says_so(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(StartupError, match=r"test\.db cannot be used: .*(full|disk)"):
        await Database.open(f"sqlite:///{small_disk / 'test.db'}")
    with pytest.raises(StartupError, match=r"journal.*No space left"):
        await Journal.open(small_disk / "journal")
    with pytest.raises(StartupError, match="No space left"):
        load_key(small_disk, {})
    (small_disk / "ballast").unlink()
    database = await Database.open(f"sqlite:///{small_disk / 'test.db'}")
    await database.close()
    journal = await Journal.open(small_disk / "journal")
    await journal.append("fact", {})
    await journal.close()
    assert load_key(small_disk, {}), "no half a key was left behind"
