"""A folder of files that can be made again: bounded in size, each file complete or absent.

Several processes may share one: what another has begun is left to it, and a file that another has deleted
is none.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

_PARTIAL: Final = "partial-"
_ABANDONED_SECONDS: Final = 3600.0
"""Nobody takes so long to write a file: its process has crashed."""


class CacheFolder:
    """Files named `<key><suffix>`.  When they exceed `limit_bytes` the longest unused are deleted.

    Everything here blocks; call it from a thread where the disk may be slow.
    """

    def __init__(self, path: Path, suffix: str, limit_bytes: int) -> None:
        self.path = path
        self._suffix = suffix
        self._limit = limit_bytes
        self._size = 0

    def prepare(self) -> None:
        """Make the folder, clear what a crash left half done, and add up what is there.
        Raises `OSError` when the folder cannot be written."""
        self.path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.path):
            pass
        abandoned = time.time() - _ABANDONED_SECONDS
        for partial in self.path.glob(f"{_PARTIAL}*"):
            with suppress(FileNotFoundError):
                if partial.stat().st_mtime < abandoned:
                    partial.unlink()
        self._size = sum(size for _, size, _ in self._entries())

    def file(self, key: str) -> Path:
        return self.path / f"{key}{self._suffix}"

    def find(self, key: str) -> Path | None:
        """The file of `key`, marked as used, or None."""
        path = self.file(key)
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        return path

    def partial(self) -> Path:
        """A new file to write to, on the same file system."""
        handle, name = tempfile.mkstemp(prefix=_PARTIAL, dir=self.path)
        os.close(handle)
        return Path(name)

    def publish(self, partial: Path, key: str) -> Path:
        """Give a complete file its name; readers see all of it or nothing."""
        size = partial.stat().st_size
        final = self.file(key)
        self._size += size
        with suppress(FileNotFoundError):
            self._size -= final.stat().st_size
        partial.replace(final)
        if self._size > self._limit:
            self._trim()
        return final

    def _trim(self) -> None:
        entries = sorted(self._entries())
        self._size = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if self._size <= self._limit:
                return
            path.unlink(missing_ok=True)
            self._size -= size

    def _entries(self) -> list[tuple[int, int, Path]]:
        found = []
        for path in self.path.glob(f"*{self._suffix}"):
            with suppress(FileNotFoundError):
                status = path.stat()
                found.append((status.st_mtime_ns, status.st_size, path))
        return found
