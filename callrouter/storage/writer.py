"""The thread that writes to the database: what is queued together is committed together.

Rows that nobody waits for are also executed together.  Where a transaction fails, its jobs are done
each by itself, in order, so that only the one that is wrong fails.

A database that is locked, full or gone fails those who wait for their write, who know what to do
about it; what was only posted has nobody to do it, so it is kept in its order and tried again.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast
from weakref import WeakKeyDictionary

import structlog
from sqlalchemy import Connection, Engine, Executable

from callrouter.storage.gathered import Gathered, Row, RowWrite
from callrouter.storage.outage import is_locked, is_outage
from callrouter.storage.prepared import Prepared
from callrouter.storage.statements import RowStatement
from callrouter.threads import tell_kernel_own_name

Parameters = Row | Sequence[Row] | None
Write = tuple[Executable | RowStatement, Parameters]
"""A statement and its parameters; a sequence of them executes it once for each."""

_BATCH = 500
_RETRY_SECONDS = 0.5
_HELD = 50_000
"""Posted jobs that are kept at most while the database is not to be had."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Job:
    """One caller's transaction, and what came of it."""

    writes: tuple[Write, ...]
    future: asyncio.Future[list[int]] | None
    """Who waits; None for a job that was posted: it is tried until the database is there again."""
    counts: list[int] = field(default_factory=list)
    error: Exception | None = None

    @property
    def rows(self) -> tuple[RowWrite, ...] | None:
        """The writes, if they only put rows of which nobody asks how many."""
        if self.future is None and all(isinstance(write[0], RowStatement) for write in self.writes):
            return cast(tuple[RowWrite, ...], self.writes)
        return None


class WriterThread:
    """`done` is called in this thread with jobs that are committed or have failed."""

    def __init__(self, engine: Engine, done: Callable[[list[Job]], None]) -> None:
        self._engine = engine
        self._done = done
        self._jobs: queue.SimpleQueue[list[Job] | None] = queue.SimpleQueue()
        self._held: list[Job] = []
        self._prepared: WeakKeyDictionary[RowStatement, Prepared] = WeakKeyDictionary()
        self._thread = threading.Thread(target=self._run, name="database-write", daemon=True)
        self._thread.start()

    def submit(self, jobs: list[Job] | None) -> None:
        """Queue jobs; None ends the thread after those before it."""
        self._jobs.put(jobs)

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        tell_kernel_own_name()
        closing = False
        while not closing:
            batch, closing = self._collect()
            if batch:
                self._commit(batch)
                self._done(batch if closing else self._hold(batch))

    def _collect(self) -> tuple[list[Job], bool]:
        """What is held and what is queued; waits for something to do, and with jobs held a while."""
        batch, self._held = self._held, []
        try:
            jobs = self._jobs.get(timeout=_RETRY_SECONDS if batch else None)
            while jobs is not None:
                batch += jobs
                if len(batch) >= _BATCH:
                    return batch, False
                jobs = self._jobs.get_nowait()
        except queue.Empty:
            return batch, False
        return batch, True

    def _hold(self, batch: list[Job]) -> list[Job]:
        """Keep what was posted and met an outage, for the next try; the jobs that are settled."""
        held = [job for job in batch if job.future is None and job.error and is_outage(job.error)]
        if not held:
            return batch
        log.warning("database_posts_held", posts=len(held), error=str(held[0].error))
        lost = max(len(held) - _HELD, 0)
        self._held = held[lost:]
        for job in self._held:
            job.error = None
        kept = set(map(id, self._held))
        return [job for job in batch if id(job) not in kept]

    def _commit(self, batch: list[Job]) -> None:
        try:
            self._together(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to those who wait
            if len(batch) == 1 or is_locked(error):
                for job in batch:
                    job.error = error
            else:
                self._apart(batch)

    def _together(self, batch: list[Job]) -> None:
        """All jobs in one transaction, in the hope that none fails."""
        gathered = Gathered()
        with self._engine.begin() as connection:
            for job in batch:
                rows = job.rows
                if rows is None or not gathered.fits(rows):
                    self._put(connection, gathered)
                if rows is None:
                    job.counts = self._execute(connection, job.writes)
                else:
                    gathered.add(rows)
            self._put(connection, gathered)

    def _put(self, connection: Connection, gathered: Gathered) -> None:
        for statement, rows in gathered.take():
            self._prepare(statement).execute(connection, rows)

    def _apart(self, batch: list[Job]) -> None:
        """All jobs in one transaction, each behind a savepoint so that it fails alone."""
        try:
            with self._engine.begin() as connection:
                for job in batch:
                    self._attempt(connection, job)
        except Exception as error:  # noqa: BLE001 - the thread goes on; nothing of this was committed
            for job in batch:
                job.error = job.error or error

    def _attempt(self, connection: Connection, job: Job) -> None:
        try:
            with connection.begin_nested():
                job.counts = self._execute(connection, job.writes)
        except Exception as error:
            if connection.invalidated or _rolled_back(connection):
                raise
            job.error = error

    def _execute(self, connection: Connection, writes: tuple[Write, ...]) -> list[int]:
        return [
            self._prepare(statement).execute(connection, _each(parameters))
            if isinstance(statement, RowStatement)
            else connection.execute(statement, parameters).rowcount
            for statement, parameters in writes
        ]

    def _prepare(self, statement: RowStatement) -> Prepared:
        prepared = self._prepared.get(statement)
        if prepared is None:
            prepared = self._prepared[statement] = Prepared(statement, self._engine.dialect)
        return prepared


def _rolled_back(connection: Connection) -> bool:
    """Whether SQLite undid the whole transaction on its own, as it may when the disk is full: a
    commit would then do nothing and not say so."""
    driver = connection.connection.dbapi_connection
    return isinstance(driver, sqlite3.Connection) and not driver.in_transaction


def _each(parameters: Parameters) -> Sequence[Row]:
    if parameters is None:
        return ()
    return (parameters,) if isinstance(parameters, Mapping) else parameters
