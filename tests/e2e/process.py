"""A program under test: started with its output in a file, ended by its id, its last words at hand."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

GRACE_SECONDS = 60.0


class Program:
    """One child process."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process

    @classmethod
    async def start(
        cls,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        *,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Program:
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *map(str, command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                cwd=cwd,
                env={**os.environ, **(environment or {})},
            )
        return cls(name, process, log)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    @property
    def status(self) -> int | None:
        return self._process.returncode

    async def finish(self, seconds: float) -> int:
        """Wait for the program to end by itself."""
        async with asyncio.timeout(seconds):
            return await self._process.wait()

    async def stop(self) -> int:
        """SIGTERM, and SIGKILL where that does not help."""
        if self.running:
            self._process.send_signal(signal.SIGTERM)
            try:
                await self.finish(GRACE_SECONDS)
            except TimeoutError:
                await self.kill()
        return await self._process.wait()

    async def kill(self) -> None:
        """What a power failure does to a process."""
        if self.running:
            self._process.kill()
        await self._process.wait()

    def words(self, lines: int = 40) -> str:
        """The end of its output, for a failing test to show."""
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        return f"--- {self.name} ({self.log})\n" + "\n".join(text.splitlines()[-lines:])
