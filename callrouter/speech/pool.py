"""A pool of speaking child processes: started when needed, replaced when they die."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import structlog

from callrouter.errors import SpeechFailed, StartupError
from callrouter.speech import worker

log = structlog.get_logger(__name__)

_START_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 2.0
_LINE_BYTES: Final = 1 << 16


class WorkerDied(Exception):
    """The child ended or went silent in the middle of an order."""


class Worker:
    """One child process.  Use it for one order at a time; after `WorkerDied` throw it away."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        orders: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
    ) -> None:
        self._process = process
        self._orders = orders
        self._answers = answers
        self.engine = ""

    @classmethod
    async def start(cls) -> Worker:
        """Raises `WorkerDied` with what the child said, if it cannot speak."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # the folder of the script is no place to import from
            str(Path(worker.__file__)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES,
        )
        if process.stdin is None or process.stdout is None:
            raise WorkerDied("it has no pipes")
        self = cls(process, process.stdin, process.stdout)
        try:
            hello = await self._answer(_START_SECONDS)
            if "error" in hello:
                raise WorkerDied(hello["error"])
        except BaseException:
            await self.stop()
            raise
        self.engine = f"espeak-ng {hello['engine']}"
        return self

    @property
    def pid(self) -> int:
        return self._process.pid

    async def speak(self, text: str, voice: str, path: Path, timeout: float) -> dict[str, Any]:
        """The child's answer to one order."""
        order = json.dumps({"text": text, "voice": voice, "path": str(path)}) + "\n"
        try:
            self._orders.write(order.encode())
            await self._orders.drain()
        except ConnectionError:
            raise WorkerDied("it ended") from None
        return await self._answer(timeout)

    async def stop(self) -> None:
        """End the child, gently if it listens."""
        self._orders.close()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def _answer(self, timeout: float) -> dict[str, Any]:
        try:
            async with asyncio.timeout(timeout):
                line = await self._answers.readline()
            if not line.endswith(b"\n"):
                raise WorkerDied("it ended")
            answer: dict[str, Any] = json.loads(line)
        except TimeoutError:
            raise WorkerDied(f"no answer within {timeout:g} s") from None
        except ValueError as error:
            raise WorkerDied(f"it answered nonsense: {error}") from None
        return answer


class WorkerPool:
    """At most `size` children; an order waits for a free one."""

    def __init__(self, size: int, order_seconds: float) -> None:
        self._free = asyncio.Semaphore(size)
        self._order_seconds = order_seconds
        self._idle: list[Worker] = []
        self.engine = ""
        """Name and version, known after `start`."""

    async def start(self) -> None:
        """Start one child, to learn that speaking works.  Raises `StartupError`."""
        try:
            first = await Worker.start()
        except (WorkerDied, OSError) as error:
            raise StartupError(
                f"offline speech cannot be started: {error}; "
                "reinstall the package espeakng-loader for this machine"
            ) from error
        self.engine = first.engine
        self._idle.append(first)

    async def stop(self) -> None:
        while self._idle:
            await self._idle.pop().stop()

    async def speak(self, text: str, voice: str, path: Path) -> int:
        """Have `text` written to a WAV at `path`; its number of frames.

        A child that dies is replaced and the order tried once more.  Raises `SpeechFailed`.
        """
        async with self._free:
            try:
                answer = await self._order(text, voice, path)
            except WorkerDied:
                try:
                    answer = await self._order(text, voice, path)
                except WorkerDied as error:
                    raise SpeechFailed(f"The text could not be spoken: {error}") from error
        if "error" in answer:
            raise SpeechFailed(f"The text could not be spoken: {answer['error']}")
        return int(answer["frames"])

    async def _order(self, text: str, voice: str, path: Path) -> dict[str, Any]:
        child = self._idle.pop() if self._idle else await Worker.start()
        try:
            answer = await child.speak(text, voice, path, self._order_seconds)
        except BaseException as error:
            # Also when cancelled: whatever it would answer later belongs to nobody.
            await child.kill()
            if isinstance(error, WorkerDied):
                log.warning("speech_worker_died", worker_pid=child.pid, error=str(error))
            raise
        self._idle.append(child)
        return answer
