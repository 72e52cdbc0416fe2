"""Reading the journal while it grows: what was written just now from memory, the rest from disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from callrouter.errors import StartupError
from callrouter.storage.journal_thread import Position, segment_path
from callrouter.storage.segment import HEADER_BYTES, Record, frame_at

_CHUNK = 256 * 1024


class Source(Protocol):
    """What a cursor needs of its journal."""

    @property
    def directory(self) -> Path: ...
    @property
    def position(self) -> Position: ...
    @property
    def segments(self) -> tuple[int, ...]: ...
    @property
    def closed(self) -> bool: ...

    def recent(self, first: int, limit: int) -> list[Record]: ...
    async def grown(self, sequence: int) -> None: ...


class Cursor:
    """A place in the journal.  Gives only what is on disk, and reads files in a worker thread."""

    def __init__(self, journal: Source, after: int) -> None:
        oldest = journal.segments[0]
        if after > journal.position.sequence or 0 < after < oldest - 1:
            raise StartupError(
                f"the database knows journal record {after} of {journal.directory}, which holds {oldest} to "
                f"{journal.position.sequence}: restore the journal or the database so that they fit"
            )
        self._journal = journal
        self._next = max(after + 1, oldest)
        self._segment = 0
        self._offset = 0

    async def take(self, limit: int = 500) -> list[Record]:
        """The next records, at most `limit`; waits for one.  Empty once the journal is closed."""
        await self._journal.grown(self._next)
        return await self.available(limit)

    async def available(self, limit: int = 500) -> list[Record]:
        """The next records that are on disk already, at most `limit`."""
        position = self._journal.position
        if position.sequence < self._next:
            return []
        if recent := self._journal.recent(self._next, limit):
            self._next = recent[-1].sequence + 1
            return recent
        return await asyncio.to_thread(self._read, position, self._journal.segments, limit)

    async def all(self) -> AsyncIterator[Record]:
        """Everything that is on disk by now."""
        last = self._journal.position.sequence
        while self._next <= last:
            for record in await self.available():
                yield record

    def _read(self, position: Position, segments: tuple[int, ...], limit: int) -> list[Record]:
        records: list[Record] = []
        while not records:
            segment = max(first for first in segments if first <= self._next)
            if segment != self._segment:
                self._segment, self._offset = segment, 0
            self._read_segment(records, position, limit)
        return records

    def _read_segment(self, records: list[Record], position: Position, limit: int) -> None:
        """Add records of the current file, skipping those before the cursor's place."""
        path = segment_path(self._journal.directory, self._segment)
        size = _CHUNK
        with path.open("rb") as file:
            while True:
                file.seek(self._offset)
                data = file.read(size)
                at = 0
                while len(records) < limit and self._next <= position.sequence:
                    frame = frame_at(data, at)
                    if frame is None:
                        break
                    at = frame.end
                    if frame.sequence >= self._next:
                        records.append(frame.record())
                        self._next = frame.sequence + 1
                self._offset += at
                if records or self._next > position.sequence:
                    return
                if at == 0:
                    if len(data) < size:
                        self._end_of_file(path, len(data))
                        return
                    size *= 2  # one record larger than the chunk

    def _end_of_file(self, path: Path, rest: int) -> None:
        """A file read to its end must be followed by the one that starts with the next record."""
        if rest >= HEADER_BYTES or self._next not in self._journal.segments:
            raise OSError(f"{path}: journal record {self._next} at offset {self._offset} cannot be read")
