"""The database: one writer with group commit, a few readers, never on the event loop.

    await database.write((INSERT_CALL, {...}), (outbox.INSERT, {...}))    # one transaction, durable
    rows = await database.read(select(calls).where(calls.c.sid == bindparam("sid")), {"sid": sid})

Each call of `write` is atomic on its own; those that arrive together share a commit.  Statements
that are built once (module constants with bound parameters) are compiled once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Engine, Executable, MetaData, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from callrouter.errors import ConfigurationError, StartupError
from callrouter.storage.outage import is_locked
from callrouter.storage.statements import RowStatement
from callrouter.storage.writer import Job, Parameters, Write, WriterThread

__all__ = ["Database", "Parameters", "Write", "metadata"]

log = structlog.get_logger(__name__)

_CHECKED_BYTES = 256 * 1024 * 1024
POST_SECONDS = 0.08
"""How long a write that nobody waits for may wait for others to share a commit with: somewhat longer than the
meter lets pass between its own, which take it along."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""Every table of every room."""


class Database:
    """Built by `Database.open`; used from one event loop."""

    def __init__(self, writing: Engine, reading: Engine, readers: int) -> None:
        self.dialect = writing.dialect.name
        self._engines = (writing, reading)
        self._reading = reading
        self._pool = ThreadPoolExecutor(readers, thread_name_prefix="database-read")
        self._watched: dict[int, Callable[[], None]] = {}
        self._queued: list[Job] = []
        self._soon: asyncio.TimerHandle | None = None
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._thread = WriterThread(writing, lambda jobs: self._from_thread(self._written, jobs))

    @classmethod
    async def open(
        cls, url: str, *, readers: int = 2, busy_seconds: int = 10, migrate: bool = True
    ) -> Database:
        """Connect and bring the schema up to date.  Raises `ConfigurationError` for a URL that
        cannot be meant, `StartupError` for a database that cannot be used."""
        parsed = _parse(url)
        writing = _engine(parsed, busy_seconds, write=True)
        reading = _engine(parsed, busy_seconds, write=False)
        try:
            await asyncio.to_thread(_prepare, writing, migrate)
        except (SQLAlchemyError, OSError) as error:
            writing.dispose()
            reason = getattr(error, "orig", None) or error
            hint = "; another process holds its lock: stop it" if is_locked(error) else ""
            raise StartupError(
                f"the database {parsed.render_as_string()} cannot be used: {reason}{hint}"
            ) from error
        return cls(writing, reading, readers)

    async def read(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """The rows of a query, as of the last commit."""
        return await self._loop.run_in_executor(self._pool, self._select, statement, parameters)

    async def write(self, *writes: Write) -> list[int]:
        """Do all of `writes` in one transaction, or none; returns once they are durable, with the
        number of rows each affected (-1 where the driver does not tell).  Without arguments it
        returns when everything queued before is done.  Raises what SQLAlchemy raises."""
        future: asyncio.Future[list[int]] = self._loop.create_future()
        self._queue(Job(writes, future))
        self._hand_over()
        return await future

    def post(self, *writes: Write) -> None:
        """Queue `writes` as one transaction behind what is queued, to be begun within
        `POST_SECONDS`.  While the database cannot be had they are kept in memory and tried again;
        any other failure is only logged."""
        self._queue(Job(writes, None))
        if self._soon is None:
            self._soon = self._loop.call_later(POST_SECONDS, self._hand_over)

    async def caught_up(self, seconds: float) -> bool:
        """Return when everything posted before can be read, with True; after `seconds`, or where the
        database cannot be had, with False."""
        try:
            async with asyncio.timeout(seconds):
                await self.write()
        except (TimeoutError, SQLAlchemyError):
            return False
        return True

    def watch(self, statement: Executable | RowStatement, callback: Callable[[], None]) -> None:
        """Call `callback` after each commit that executed exactly this statement object."""
        self._watched[id(statement)] = callback

    async def close(self) -> None:
        """Finish what is queued and disconnect."""
        if self._closed:
            return
        self._hand_over()
        self._closed = True
        self._thread.submit(None)
        await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._pool.shutdown)
        for engine in self._engines:
            engine.dispose()

    def _queue(self, job: Job) -> None:
        if self._closed:
            raise RuntimeError("the database is closed")
        self._queued.append(job)

    def _hand_over(self) -> None:
        """Give what is queued to the thread, in one piece: every piece wakes it."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        if self._queued:
            jobs, self._queued = self._queued, []
            self._thread.submit(jobs)

    def _select(self, statement: Executable, parameters: Mapping[str, Any] | None) -> list[dict[str, Any]]:
        with self._reading.connect() as connection:
            return [dict(row) for row in connection.execute(statement, parameters).mappings()]

    def _from_thread(self, function: Callable[[list[Job]], None], jobs: list[Job]) -> None:
        try:
            self._loop.call_soon_threadsafe(function, jobs)
        except RuntimeError:
            log.warning("database_loop_gone")

    def _written(self, jobs: list[Job]) -> None:
        called: set[int] = set()
        for job in jobs:
            if job.error is None:
                called.update(id(write[0]) for write in job.writes if id(write[0]) in self._watched)
            _settle(job)
        for identity in called:
            self._watched[identity]()


def _settle(job: Job) -> None:
    """Tell the one who waits, if anybody does."""
    if job.future is None:
        if job.error is not None:
            log.error("database_write_failed", error=str(job.error))
    elif not job.future.done():
        if job.error is None:
            job.future.set_result(job.counts)
        else:
            job.future.set_exception(job.error)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(
            f"database_url {url!r} is not a URL: expected sqlite:///path or postgresql+psycopg://user@host/name"
        ) from error
    backend = parsed.get_backend_name()
    if backend not in {"sqlite", "postgresql"}:
        raise ConfigurationError(f"database_url: {backend} is not supported, use sqlite or postgresql")
    if backend == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise ConfigurationError(
            "database_url: SQLite in memory cannot be shared by reader and writer, name a file"
        )
    return parsed


def _engine(url: URL, busy_seconds: int, *, write: bool) -> Engine:
    try:
        if url.get_backend_name() != "sqlite":
            return create_engine(url, pool_pre_ping=not write)
        engine = create_engine(url, connect_args={"timeout": busy_seconds})
    except ModuleNotFoundError as error:
        extra = "'callrouter[postgresql]'" if error.name == "psycopg" else error.name
        raise StartupError(
            f"the database driver {error.name} is not installed: pip install {extra}"
        ) from error
    # The driver's own transaction handling starts deferred ones, whose upgrade to a write fails at
    # once with "database is locked" whatever the timeout is.
    pragmas = ["PRAGMA foreign_keys=ON", "PRAGMA synchronous=FULL"]
    pragmas.append("PRAGMA journal_mode=WAL" if write else "PRAGMA query_only=ON")

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in pragmas:
            connection.execute(pragma)

    if write:

        @event.listens_for(engine, "begin")
        def begin(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _prepare(engine: Engine, migrate: bool) -> None:
    from callrouter.storage.migrations import upgrade  # Alembic is slow to import and only needed here

    if engine.dialect.name == "sqlite" and engine.url.database:
        Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
        _check(engine, Path(engine.url.database))
    if migrate:
        upgrade(engine)


def _check(engine: Engine, file: Path) -> None:
    """Look for damage, unless the file is so large that the start would have to wait for it."""
    size = file.stat().st_size if file.exists() else 0
    if size > _CHECKED_BYTES:
        log.info("database_not_checked", file=str(file), bytes=size)
        return
    with engine.connect() as connection:
        found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if found != "ok":
        raise StartupError(
            f"the database {file} is damaged: {found}. Restore it from a backup; the journal then brings it "
            "up to date as far as it reaches"
        )
