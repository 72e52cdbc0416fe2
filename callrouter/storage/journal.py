"""The local append-only journal: what has been acknowledged is on disk, before any database.

    sequence = await journal.append("interval", {...})     # returns when it is on disk
    journal.post("interval", {...})                        # on disk with the next sync

Records keep the order of the calls.  A lone record is committed at once, what arrives during a sync
shares the next, and where a sync was shared the next one waits `SPACING_SECONDS` for more.

When the disk refuses, `writable` is False and every append raises `JournalUnwritable`, yet the record
stays queued in its place and is written as soon as that is possible again: whoever gets the error
takes the fact back with another record.
"""

from __future__ import annotations

import asyncio
import fcntl
import heapq
import itertools
import os
import secrets
from bisect import bisect_right
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from callrouter.errors import CallError, StartupError
from callrouter.ports import Metrics
from callrouter.storage.cursor import Cursor
from callrouter.storage.journal_thread import (
    Append,
    Close,
    JournalThread,
    Order,
    Position,
    Rotate,
    segment_path,
    sync_directory,
)
from callrouter.storage.segment import HEADER_BYTES, Record, encode_body, scan

log = structlog.get_logger(__name__)

SPACING_SECONDS = 0.008
"""Time for more records to arrive, where the sync before was shared already."""
_REMEMBERED = 4096
"""Latest records kept in memory, so that those who follow need not read them back."""


class JournalUnwritable(CallError):
    """The disk refuses journal records: nothing that costs money may begin."""

    code = 0
    retryable = True
    billable = False
    sip_status = 503


class Journal:
    """Built by `Journal.open`; used from one event loop."""

    def __init__(
        self,
        directory: Path,
        identity: str,
        lock: int,
        segments: list[int],
        position: Position,
        *,
        segment_bytes: int,
        metrics: Metrics | None,
        sync: Callable[[int], None],
    ) -> None:
        self.directory = directory
        self.identity = identity
        """Names this series of records; a journal begun anew has another."""
        self._lock = lock
        self._segments = segments
        self._segment_bytes = segment_bytes
        self._bytes_queued = position.size
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._position = position
        self._next = position.sequence + 1
        self._orders: list[Order] = []
        """To be handed to the thread once it is done with what it has: every piece wakes it."""
        self._given = position.sequence
        """The last record the thread was given."""
        self._handing_over = False
        self._is_busy = False
        self._recent: dict[int, Record] = {}
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        """A heap: the sequence waited for, which of those that wait for it, and what tells it."""
        self._waiters = itertools.count()
        self._grown = asyncio.Event()
        self._snapshots: dict[str, Callable[[], Any]] = {}
        self._writable = True
        self._closed = False
        self._thread = JournalThread(
            directory,
            position,
            committed=lambda at, seconds: self._from_thread(self._committed, at, seconds),
            failed=lambda error: self._from_thread(self._failed, error),
            sync=sync,
        )

    @classmethod
    async def open(
        cls,
        directory: Path,
        *,
        segment_bytes: int = 16 * 1024 * 1024,
        metrics: Metrics | None = None,
        sync: Callable[[int], None] = os.fdatasync,
    ) -> Journal:
        """Check what is there, cut off a torn tail and continue behind it.

        Raises `StartupError` if another process has it open, acknowledged records are damaged, or
        the disk refuses.
        """
        try:
            lock, identity, segments, position = await asyncio.to_thread(_prepare, directory)
            return cls(
                directory,
                identity,
                lock,
                segments,
                position,
                segment_bytes=segment_bytes,
                metrics=metrics,
                sync=sync,
            )
        except OSError as error:
            raise StartupError(f"the journal in {directory} cannot be used: {error.strerror}") from error

    @property
    def writable(self) -> bool:
        """Whether the last write worked."""
        return self._writable and not self._closed

    @property
    def position(self) -> Position:
        """How far the records are on disk."""
        return self._position

    @property
    def awaited(self) -> int:
        """How many wait for their record to be on disk."""
        return len(self._waiting)

    async def append(self, kind: str, body: Mapping[str, Any]) -> int:
        """Write a fact; its sequence, once it is on disk.  Raises `JournalUnwritable`."""
        sequence = self.post(kind, body)
        await self.durable(sequence)
        return sequence

    async def durable(self, sequence: int) -> None:
        """Return once a posted record is on disk.  Raises `JournalUnwritable`."""
        if sequence <= self._position.sequence:
            return
        if not self.writable:
            raise JournalUnwritable(f"the journal in {self.directory} cannot be written")
        future: asyncio.Future[None] = self._loop.create_future()
        heapq.heappush(self._waiting, (sequence, next(self._waiters), future))
        await future

    def post(self, kind: str, body: Mapping[str, Any]) -> int:
        """Write a fact with the next sync, without waiting for it; its sequence."""
        if self._closed:
            raise JournalUnwritable(f"the journal in {self.directory} is closed")
        encoded = encode_body(kind, body)
        if self._bytes_queued >= self._segment_bytes:
            self._rotate()
        return self._queue(kind, body, encoded)

    def on_rotate(self, name: str, state: Callable[[], Any]) -> None:
        """Begin each new file with a record of kind "snapshot" whose member `name` is `state()`:
        what must be known before it, so that older files can go."""
        self._snapshots[name] = state

    def cursor(self, after: int = 0) -> Cursor:
        """Read records from the one behind `after`, or the oldest there is, and follow new ones."""
        return Cursor(self, after)

    def release(self, through: int) -> None:
        """Remove files no longer needed when everything up to `through` is in the database."""
        keep = max(bisect_right(self._segments, through) - 1, 0)
        for first in self._segments[:keep]:
            segment_path(self.directory, first).unlink(missing_ok=True)
            log.info("journal_file_removed", first=first)
        del self._segments[:keep]

    async def close(self) -> None:
        """Write what is queued, then let go of the files."""
        if self._closed:
            return
        self._closed = True
        self._hand_over()
        self._thread.submit([Close()])
        lost = await asyncio.to_thread(self._thread.join)
        if lost:
            log.error("journal_records_lost", records=lost, directory=str(self.directory))
        os.close(self._lock)
        self._grown.set()

    # ---------------------------------------------------------------- for cursors

    @property
    def segments(self) -> tuple[int, ...]:
        """First sequence of each file, oldest first."""
        return tuple(self._segments)

    @property
    def closed(self) -> bool:
        return self._closed

    def recent(self, first: int, limit: int) -> list[Record]:
        """Records from `first` on that are on disk and still remembered as they were written."""
        last = min(self._position.sequence, first + limit - 1)
        if first not in self._recent:
            return []
        return [self._recent[sequence] for sequence in range(first, last + 1)]

    async def grown(self, sequence: int) -> None:
        """Return when `sequence` is on disk, or the journal closed."""
        while self._position.sequence < sequence and not self._closed:
            self._grown.clear()
            await self._grown.wait()

    # ---------------------------------------------------------------- inside

    def _queue(self, kind: str, body: Mapping[str, Any], encoded: bytes) -> int:
        sequence = self._next
        self._next += 1
        self._bytes_queued += HEADER_BYTES + len(encoded)
        self._recent[sequence] = Record(sequence, kind, body)
        self._recent.pop(sequence - _REMEMBERED, None)
        self._orders.append(Append(sequence, encoded))
        self._hand_over_soon()
        return sequence

    def _hand_over_soon(self) -> None:
        if self._handing_over or self._position.sequence < self._given:
            return
        self._handing_over = True
        if self._is_busy:
            self._loop.call_later(SPACING_SECONDS, self._hand_over)
        else:
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._handing_over = False
        if self._orders:
            orders, self._orders = self._orders, []
            self._given = self._next - 1
            self._thread.submit(orders)

    def _rotate(self) -> None:
        state = {name: state() for name, state in self._snapshots.items()}
        self._segments.append(self._next)
        self._orders.append(Rotate(self._next))
        self._bytes_queued = 0
        self._queue("snapshot", state, encode_body("snapshot", state))
        self._bytes_queued = 0  # a snapshot larger than the limit must not cause a file per record

    def _from_thread(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            log.warning("journal_loop_gone", directory=str(self.directory))

    def _committed(self, position: Position, seconds: float) -> None:
        self._is_busy = position.sequence > self._position.sequence + 1
        self._position = position
        if self._orders:
            self._hand_over_soon()
        if not self._writable:
            self._writable = True
            log.info("journal_writable_again", directory=str(self.directory))
        if self._metrics is not None:
            self._metrics.observe("journal_sync_seconds", seconds)
        while self._waiting and self._waiting[0][0] <= position.sequence:
            *_, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(None)
        self._grown.set()

    def _failed(self, error: OSError) -> None:
        if self._writable:
            log.error("journal_unwritable", directory=str(self.directory), error=str(error))
        self._writable = False
        for *_, future in self._waiting:
            if not future.done():
                future.set_exception(
                    JournalUnwritable(f"the journal in {self.directory} cannot be written: {error}")
                )
        self._waiting.clear()


def _prepare(directory: Path) -> tuple[int, str, list[int], Position]:
    """Lock and check a journal's directory (blocking)."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartupError(f"the journal directory {directory} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise StartupError(
            f"the journal in {directory} is in use by another process: stop it, or give this one "
            "another worker name or data directory"
        ) from error
    try:
        segments, position = _check(directory)
        return lock, _identity(directory), segments, position
    except BaseException:
        os.close(lock)
        raise


def _identity(directory: Path) -> str:
    path = directory / "identity"
    if path.exists() and (known := path.read_text().strip()):
        return known
    identity = secrets.token_hex(16)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, identity.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_directory(directory)
    return identity


def _check(directory: Path) -> tuple[list[int], Position]:
    """Every file must follow the one before it; only the last may have a torn tail."""
    firsts = sorted(int(path.stem) for path in directory.glob("*.journal"))
    if not firsts:
        return [1], Position(0, 1, 0)
    expected = firsts[0]
    size = 0
    for first in firsts:
        path = segment_path(directory, first)
        if first != expected:
            raise StartupError(
                f"{path}: journal records {expected} to {first - 1} are missing: restore the file that held "
                "them from a backup"
            )
        data = path.read_bytes()
        found = scan(data, first)
        size = found.good_bytes
        if size < len(data):
            if found.damaged or first != firsts[-1]:
                raise StartupError(
                    f"{path}: journal record {first + len(found.frames)} at offset {size} is damaged, "
                    "although it had been written completely: restore the file from a backup"
                )
            log.warning("journal_tail_cut", file=str(path), offset=size, bytes=len(data) - size)
        expected = first + len(found.frames)
    _settle(segment_path(directory, firsts[-1]), size)
    return firsts, Position(expected - 1, firsts[-1], size)


def _settle(path: Path, size: int) -> None:
    """Cut `path` to what was read, and make sure that this much is on disk."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.ftruncate(descriptor, size)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
