"""The database: callers share commits but not failures; the schema is what the tables say."""

from __future__ import annotations

import asyncio
import importlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import bindparam, create_engine, insert, select
from sqlalchemy.exc import IntegrityError, OperationalError

from callrouter.errors import ConfigurationError, StartupError
from callrouter.storage.database import Database, metadata
from callrouter.storage.migrations import revisions
from callrouter.storage.statements import insert_new, insert_once, upsert
from callrouter.storage.tables import positions, workers
from callrouter.storage.workers import claim
from tests.patience import PATIENCE_SECONDS

INSERT = insert(positions)
ALL = select(positions.c.journal, positions.c.sequence).order_by(positions.c.journal)


def row(journal: str, sequence: int = 0) -> dict[str, object]:
    return {"journal": journal, "reader": "test", "sequence": sequence}


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(f"sqlite:///{tmp_path / 'test.db'}")
    yield database
    await database.close()


async def names(database: Database) -> list[str]:
    return [found["journal"] for found in await database.read(ALL)]


async def test_a_write_is_there_for_another_connection_when_it_returns(
    database: Database, tmp_path: Path
) -> None:
    assert await database.write((INSERT, row("a", 7))) == [1]
    with sqlite3.connect(tmp_path / "test.db") as other:
        assert other.execute("SELECT sequence FROM positions").fetchall() == [(7,)]
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()


async def test_a_caller_that_fails_rolls_back_alone(database: Database) -> None:
    await database.write((INSERT, row("taken")))
    results = await asyncio.gather(
        database.write((INSERT, row("a")), (INSERT, row("b"))),
        database.write((INSERT, row("c")), (INSERT, row("taken"))),
        database.write((INSERT, row("d"))),
        return_exceptions=True,
    )
    assert results[0] == [1, 1]
    assert isinstance(results[1], IntegrityError)
    assert results[2] == [1]
    assert await names(database) == ["a", "b", "d", "taken"]


async def test_posts_keep_their_order_and_do_not_raise(database: Database) -> None:
    database.post((INSERT, row("a", 1)))
    database.post((INSERT, row("a", 2)))
    database.post((INSERT, row("b", 3)))
    await database.write()
    assert [tuple(found.values()) for found in await database.read(ALL)] == [("a", 1), ("b", 3)]


async def test_posted_rows_are_written_as_if_one_by_one(database: Database) -> None:
    put, once = upsert(positions, ["journal", "reader"]), insert_once(positions)
    database.post((put, row("a", 1)), (put, row("b", 1)))
    database.post((once, row("a", 2)), (once, row("c", 2)))
    database.post((put, row("a", 3)))
    database.post((INSERT, row("d", 4)))
    database.post((put, row("d", 5)), (put, row("a", 6)))
    await database.write()
    found = {entry["journal"]: entry["sequence"] for entry in await database.read(ALL)}
    assert found == {"a": 6, "b": 1, "c": 2, "d": 5}


async def test_a_posted_row_that_fails_takes_only_its_own_transaction_along(database: Database) -> None:
    add = insert_new(positions)
    database.post((add, row("a", 1)))
    database.post((add, row("b", 2)), (add, row("a", 2)))
    database.post((add, row("c", 3)))
    database.post((add, {"journal": "lacks the other columns"}))
    await database.write()
    assert await names(database) == ["a", "c"]


async def test_a_post_is_written_soon_without_anybody_waiting(database: Database) -> None:
    written = asyncio.Event()
    statement = upsert(positions, ["journal", "reader"])
    database.watch(statement, written.set)
    database.post((statement, row("a")))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await written.wait()
    assert await names(database) == ["a"]


async def test_closing_writes_what_was_posted(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite:///{tmp_path / 'test.db'}")
    database.post((INSERT, row("a")))
    await database.close()
    reopened = await Database.open(f"sqlite:///{tmp_path / 'test.db'}")
    assert await names(reopened) == ["a"]
    await reopened.close()


async def test_many_rows_in_one_statement(database: Database) -> None:
    await database.write((INSERT, [row("a"), row("b")]))
    assert await names(database) == ["a", "b"]


async def test_reading_takes_parameters_and_cannot_write(database: Database) -> None:
    await database.write((INSERT, row("a", 5)))
    found = await database.read(
        select(positions).where(positions.c.journal == bindparam("name")), {"name": "a"}
    )
    assert found == [{"journal": "a", "reader": "test", "sequence": 5}]
    with pytest.raises(OperationalError, match="readonly"):
        await database.read(INSERT.values(row("b")))


async def test_watchers_hear_of_commits_of_their_statement_only(database: Database) -> None:
    heard: list[str] = []
    database.watch(INSERT, lambda: heard.append("insert"))
    await database.write((upsert(positions, ["journal", "reader"]), row("a")))
    assert heard == []
    await database.write((INSERT, row("b")))
    assert heard == ["insert"]
    with pytest.raises(IntegrityError):
        await database.write((INSERT, row("b")))
    assert heard == ["insert"]


async def test_upsert_overwrites_and_insert_once_does_not(database: Database) -> None:
    await database.write((INSERT, row("a", 1)))
    assert await database.write((insert_once(positions), row("a", 2))) == [0]
    assert [found["sequence"] for found in await database.read(ALL)] == [1]
    await database.write((upsert(positions, ("journal", "reader")), row("a", 3)))
    assert [found["sequence"] for found in await database.read(ALL)] == [3]


async def test_small_writes_of_many_callers_share_commits(database: Database) -> None:
    commits: list[None] = []
    database.watch(INSERT, lambda: commits.append(None))
    await asyncio.gather(*(database.write((INSERT, row(str(number)))) for number in range(2000)))
    assert len(await names(database)) == 2000
    assert 0 < len(commits) < 500


async def test_a_locked_database_fails_the_write_and_recovers(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite:///{tmp_path / 'test.db'}", busy_seconds=1)
    other = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(OperationalError, match="locked"):
        await database.write((INSERT, row("a")))
    other.execute("ROLLBACK")
    other.close()
    await database.write((INSERT, row("b")))
    assert await names(database) == ["b"]
    await database.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("callrouter.db", "is not a URL"),
        ("mysql://localhost/x", "mysql is not supported"),
        ("sqlite://", "name a file"),
        ("sqlite:///:memory:", "name a file"),
    ],
)
async def test_a_url_that_cannot_be_meant_is_refused(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        await Database.open(url)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "test.db").write_text("not a database, but long enough to look like something else" * 20)
    with pytest.raises(StartupError, match=r"test\.db cannot be used: file is not a database"):
        await Database.open(f"sqlite:///{tmp_path / 'test.db'}")


async def test_migrations_lead_to_what_the_tables_say(database: Database, tmp_path: Path) -> None:
    for room in (
        "callrouter.calls",
        "callrouter.declared",
        "callrouter.identity",
        "dispatcher",
        "metering",
        "modules",
    ):
        importlib.import_module(f"{room}.tables")
    engine = create_engine(f"sqlite:///{tmp_path / 'test.db'}")
    with engine.connect() as connection:
        difference = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()
    assert difference == []


async def test_migrations_are_one_chain(database: Database) -> None:
    found = revisions()
    assert found == sorted(found)
    assert found[0] == "0001"


async def test_a_second_start_migrates_nothing_and_keeps_data(tmp_path: Path) -> None:
    for _ in range(2):
        database = await Database.open(f"sqlite:///{tmp_path / 'test.db'}")
        await database.write((insert_once(positions), row("a", 1)))
        await database.close()
    database = await Database.open(f"sqlite:///{tmp_path / 'test.db'}")
    assert await names(database) == ["a"]
    await database.close()


async def test_every_start_of_a_worker_is_a_new_epoch(database: Database) -> None:
    class Frozen:
        def monotonic_ns(self) -> int:
            return 0

        def utc_ms(self) -> int:
            return 1234

    first = await claim(database, "w1", Frozen(), boot="b1")
    second = await claim(database, "w1", Frozen(), boot="b2")
    other = await claim(database, "w2", Frozen(), boot="b1")
    assert (first.epoch, second.epoch, other.epoch) == (1, 2, 1)
    rows = await database.read(select(workers).where(workers.c.id == "w1"))
    assert rows == [{"id": "w1", "boot": "b2", "epoch": 2, "started_ms": 1234}]
