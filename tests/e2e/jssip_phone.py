"""JsSIP, the telephone of many web pages, on Node with libwebrtc: SIP over WebSocket and audio by
code that is nobody's here."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("jssip")
NODE = shutil.which("node", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
IS_INSTALLED = NODE is not None and (FOLDER / "node_modules/jssip").exists()


class JsSipPhone:
    """A page open at `url` (`ws:` or `wss:`), which registers by itself."""

    def __init__(self, url: str, user: str, password: str, log: Path, *, trusted: Path | None = None) -> None:
        """`trusted` is the authority of a `wss:` server's certificate."""
        self._command = [str(NODE), str(FOLDER / "phone.js"), url, user, password]
        self._environment = {"NODE_EXTRA_CA_CERTS": str(trusted)} if trusted is not None else {}
        self._log = log
        self._events: list[dict[str, Any]] = []
        self._read = 0
        self._news = asyncio.Condition()
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> JsSipPhone:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, **self._environment},
            )
        self._reading = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._process is not None
        assert self._reading is not None
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reading

    async def order(self, order: str, **facts: object) -> None:
        """One of the orders of phone.js."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"order": order, **facts}).encode() + b"\n")
        await self._process.stdin.drain()

    async def event(self, name: str, seconds: float = 20) -> dict[str, Any]:
        """The next event of this name; those before it are passed over."""
        try:
            async with asyncio.timeout(seconds), self._news:
                while True:
                    await self._news.wait_for(lambda: self._read < len(self._events))
                    event = self._events[self._read]
                    self._read += 1
                    if event["event"] == name:
                        return event
        except TimeoutError:
            raise AssertionError(f"JsSIP told no {name}: {self._events}\n{self._log.read_text()}") from None

    async def hears(self, hertz: float) -> None:
        while abs((await self.event("hears"))["hertz"] - hertz) > 40:
            pass

    async def _follow(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            async with self._news:
                self._events.append(json.loads(line))
                self._news.notify_all()
