"""The projector meets bugs, refusals and outages: nothing is lost, everything is told."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError, ProgrammingError

from callrouter.storage.database import Write
from callrouter.storage.outage import is_outage
from metering import projector
from metering.projector import Projector
from tests.integration.test_metering_meter import Clock, Server, a_call, entries, running
from tests.patience import PATIENCE_SECONDS, until

Rows = Callable[[Projector, Any], Any]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projector, "_RESTART_SECONDS", (0.01, 0.02))
    monkeypatch.setattr(projector, "_RETRY_SECONDS", (0.01,))


def figure(server: Server, name: str) -> float:
    lines = server.metrics.render().decode().splitlines()
    (found,) = [line for line in lines if line.startswith(f"callrouter_{name} ")]
    return float(found.rpartition(" ")[2])


def sqlite_error(code: int, kind: type[sqlite3.Error] = sqlite3.OperationalError) -> sqlite3.Error:
    error = kind("told by the test")
    error.sqlite_errorcode = code
    return error


async def test_a_bug_restarts_the_projection_until_it_is_gone_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original: Rows = Projector._rows
    broken = True

    def rows(self: Projector, record: Any) -> Any:
        if broken and record.kind == "end":
            raise ZeroDivisionError("a bug")
        return original(self, record)

    monkeypatch.setattr(Projector, "_rows", rows)
    async with running(tmp_path) as server:
        await a_call(server)
        await until(lambda: figure(server, "projector_restarts_total") >= 3)
        (trouble,) = server.meter.troubles()
        assert "the projection of the journal failed" in trouble
        assert "ZeroDivisionError('a bug')" in trouble
        assert len(await server.meter.timeline("CA1")) == 3, "calls are told from memory meanwhile"
        assert server.meter.writable
        broken = False
        async with asyncio.timeout(PATIENCE_SECONDS):
            await server.meter.settled()
        await until(lambda: not server.meter.troubles())
        assert (await entries(server.database))["receivable:AC1"] == -62_000
        assert server.meter.funds.balance_micro("AC1") == -62_000


async def test_waits_grow_while_nothing_is_gained_and_begin_anew_after_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector, "_RESTART_SECONDS", (0.001, 0.002, 0.003))
    waits: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float, result: None = None) -> None:
        waits.append(seconds)
        await sleep(min(seconds, 0.01), result)

    async def failing(self: Projector) -> None:
        self.position += len(waits) in {4, 5}
        raise RuntimeError("a bug")

    monkeypatch.setattr(asyncio, "sleep", noted)
    monkeypatch.setattr(Projector, "run", failing)
    async with running(tmp_path, start=False) as server:
        task = asyncio.create_task(server.meter._projector.keep_running())
        while len([wait for wait in waits if wait < 0.01]) < 8:
            await sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert [wait for wait in waits if wait < 0.01][:8] == [
        0.002, 0.003, 0.003, 0.003, 0.001, 0.001, 0.002, 0.003,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("", {}, sqlite_error(sqlite3.SQLITE_FULL)),
        OperationalError("", {}, sqlite_error(sqlite3.SQLITE_BUSY)),
        OperationalError("", {}, sqlite_error(sqlite3.SQLITE_IOERR_WRITE)),
        DatabaseError("", {}, sqlite_error(sqlite3.SQLITE_CORRUPT, sqlite3.DatabaseError)),
    ],
    ids=["full", "locked", "unwritable", "corrupt"],
)
async def test_an_outage_is_waited_out_and_told_whatever_its_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async with running(tmp_path) as server:
        write = server.database.write
        tries = 0

        async def failing(*writes: Write) -> list[int]:
            nonlocal tries
            tries += 1
            raise error

        monkeypatch.setattr(server.database, "write", failing)
        await a_call(server)
        await until(lambda: tries > 3)
        (trouble,) = server.meter.troubles()
        assert re.fullmatch(
            r"the database cannot be written: told by the test; the journal keeps \d records", trouble
        )
        monkeypatch.setattr(server.database, "write", write)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await server.meter.settled()
        assert server.meter.troubles() == []
        assert (await entries(server.database))["receivable:AC1"] == -62_000


async def test_a_row_the_database_never_takes_is_logged_counted_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path) as server:
        await server.database.write(
            (
                text(
                    "CREATE TRIGGER refuse BEFORE INSERT ON intervals WHEN NEW.call_sid = 'CA1' "
                    "AND NEW.sequence = 2 BEGIN SELECT RAISE(ABORT, 'not this one'); END"
                ),
                None,
            )
        )
        await a_call(server, 1)
        await a_call(server, 2)
        await server.meter.settled()
        assert figure(server, "journal_records_refused_total") > 0
        assert "the database refused" in server.meter.troubles()[0]
        assert len(await server.meter.timeline("CA2")) == 3, "what follows is not held up"
    said = capsys.readouterr().out
    assert "journal_record_refused" in said
    assert "platform.bridge" in said, "the log keeps what the record said"


def test_a_statement_that_is_wrong_is_no_outage() -> None:
    wrong = [
        OperationalError("", {}, sqlite_error(sqlite3.SQLITE_ERROR)),
        IntegrityError("", {}, sqlite_error(sqlite3.SQLITE_CONSTRAINT, sqlite3.IntegrityError)),
        ProgrammingError("", {}, sqlite_error(sqlite3.SQLITE_MISUSE, sqlite3.ProgrammingError)),
        ValueError("a bug"),
    ]
    assert [error for error in wrong if is_outage(error)] == []
    assert is_outage(OperationalError("", {}, OSError("connection refused")))


async def test_a_backup_older_than_the_journal_is_told(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, clock, segment_bytes=64 * 1024) as server:
        await a_call(server, 1)
        await server.meter.settled()
        backup = "UPDATE positions SET sequence = 3"
        for number in range(2, 160):
            await a_call(server, number)
        await server.meter.settled()
        assert server.journal.segments[0] > 4
        last = server.journal.segments[0] - 1
        await server.meter.stop()
        await server.database.write((text(backup), None))
    async with running(tmp_path, clock) as server:
        (trouble,) = server.meter.troubles()
        assert f"lacks the journal records 4 to {last}" in trouble
