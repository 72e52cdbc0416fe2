"""The thread that writes to the database: what is queued together is committed together."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, Executable
from sqlalchemy.exc import SQLAlchemyError

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
Write = tuple[Executable, Parameters]
"""A statement and its parameters; a sequence of them executes it once for each."""

_BATCH = 500


@dataclass(slots=True)
class Job:
    """One caller's transaction, and what came of it."""

    writes: tuple[Write, ...]
    future: asyncio.Future[list[int]] | None
    counts: list[int] = field(default_factory=list)
    error: Exception | None = None


class WriterThread:
    """`done` is called in this thread with jobs that are committed or have failed."""

    def __init__(self, engine: Engine, done: Callable[[list[Job]], None]) -> None:
        self._engine = engine
        self._done = done
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="database-write", daemon=True)
        self._thread.start()

    def submit(self, job: Job | None) -> None:
        """Queue a job; None ends the thread after those before it."""
        self._jobs.put(job)

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        closing = False
        while not closing:
            batch, closing = self._collect()
            if batch:
                self._commit(batch)
                self._done(batch)

    def _collect(self) -> tuple[list[Job], bool]:
        batch: list[Job] = []
        job = self._jobs.get()
        while job is not None:
            batch.append(job)
            if len(batch) == _BATCH:
                return batch, False
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _commit(self, batch: list[Job]) -> None:
        try:
            self._together(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to those who wait
            if len(batch) == 1:
                batch[0].error = error
            else:
                self._apart(batch)

    def _together(self, batch: list[Job]) -> None:
        """All jobs in one transaction, in the hope that none fails."""
        with self._engine.begin() as connection:
            for job in batch:
                job.counts = _execute(connection, job.writes)

    def _apart(self, batch: list[Job]) -> None:
        """All jobs in one transaction, each behind a savepoint so that it fails alone."""
        try:
            with self._engine.begin() as connection:
                for job in batch:
                    _attempt(connection, job)
        except SQLAlchemyError as error:
            for job in batch:
                job.error = job.error or error


def _attempt(connection: Connection, job: Job) -> None:
    try:
        with connection.begin_nested():
            job.counts = _execute(connection, job.writes)
    except Exception as error:
        if connection.invalidated:
            raise
        job.error = error


def _execute(connection: Connection, writes: tuple[Write, ...]) -> list[int]:
    return [connection.execute(statement, parameters).rowcount for statement, parameters in writes]
