"""The thread that puts journal records on disk.

It takes whatever is queued, writes it, syncs once and reports.  Nothing queued is ever dropped while
the process lives: what cannot be written is kept in order and tried again, at the same offset, so
that the file and the memory that produced its records never disagree.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from callrouter.storage.segment import encode
from callrouter.threads import tell_kernel_own_name

RETRY_SECONDS = 0.5
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Append:
    """A record to write."""

    sequence: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Rotate:
    """The next record, `first`, opens a new file."""

    first: int


@dataclass(frozen=True, slots=True)
class Close:
    """Write what is queued before this and stop."""


Order = Append | Rotate | Close


@dataclass(frozen=True, slots=True)
class Position:
    """How far the journal is on disk."""

    sequence: int
    first: int
    """First sequence of the file being written."""
    size: int
    """Bytes of it that are on disk."""


def segment_path(directory: Path, first: int) -> Path:
    """The file whose first record is `first`."""
    return directory / f"{first:016d}.journal"


def sync_directory(directory: Path) -> None:
    """Make the creation or removal of files in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class JournalThread:
    """Owns the file being written.  `committed` and `failed` are called in this thread."""

    def __init__(
        self,
        directory: Path,
        position: Position,
        *,
        committed: Callable[[Position, float], None],
        failed: Callable[[OSError], None],
        sync: Callable[[int], None],
    ) -> None:
        self._directory = directory
        self._position = position
        self._committed = committed
        self._failed = failed
        self._sync = sync
        self._orders: queue.SimpleQueue[Sequence[Order]] = queue.SimpleQueue()
        self._held: deque[Order] = deque()
        self._descriptor = self._open(position.first)
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def submit(self, orders: Sequence[Order]) -> None:
        """Queue orders; every piece queued wakes the thread."""
        self._orders.put(orders)

    def join(self) -> int:
        """Wait for the end after a `Close`; the number of records that could not be written."""
        self._thread.join()
        return sum(isinstance(order, Append) for order in self._held)

    def _open(self, first: int) -> int:
        path = segment_path(self._directory, first)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        sync_directory(self._directory)
        return descriptor

    def _run(self) -> None:
        tell_kernel_own_name()
        closing = False
        while not closing:
            closing = self._collect()
            try:
                while self._held:
                    self._commit_next()
            except OSError as error:
                self._failed(error)
                if not closing:
                    time.sleep(RETRY_SECONDS)
        os.close(self._descriptor)

    def _collect(self) -> bool:
        """Add queued orders to the held ones, waiting if there is nothing to do; whether to close."""
        wait = not self._held
        while True:
            try:
                orders = self._orders.get(block=wait)
            except queue.Empty:
                return False
            for order in orders:
                if isinstance(order, Close):
                    return True
                self._held.append(order)
            wait = False

    def _commit_next(self) -> None:
        """Write and sync the held records up to the next change of file, or change the file."""
        head = self._held[0]
        if isinstance(head, Rotate):
            descriptor = self._open(head.first)
            os.close(self._descriptor)
            self._descriptor = descriptor
            self._position = Position(self._position.sequence, head.first, 0)
            self._held.popleft()
            return
        started = time.perf_counter()
        chunks: list[bytes] = []
        last = self._position.sequence
        for order in self._held:
            if not isinstance(order, Append) or len(chunks) == _BATCH:
                break
            chunks.append(encode(order.sequence, self._position.sequence, order.body))
            last = order.sequence
        end = self._write(b"".join(chunks))
        self._sync(self._descriptor)
        for _ in chunks:
            self._held.popleft()
        self._position = Position(last, self._position.first, end)
        self._committed(self._position, time.perf_counter() - started)

    def _write(self, data: bytes) -> int:
        """Write after what is on disk; the offset behind it."""
        view, offset = memoryview(data), self._position.size
        while view:
            written = os.pwrite(self._descriptor, view, offset)
            view, offset = view[written:], offset + written
        return offset
