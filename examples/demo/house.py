"""The programs of the demonstration: the server and its modules, each in a process of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from callrouter.config import Config

HERE = Path(__file__).parent
READY_SECONDS = 60.0
GRACE_SECONDS = 15.0


class Fault(Exception):
    """Something did not go as it should; the message is for whoever ran the demonstration."""


@dataclass(frozen=True, slots=True)
class Program:
    name: str
    process: asyncio.subprocess.Process
    log: Path

    def last_words(self) -> str:
        tail = self.log.read_text("utf-8", "replace").splitlines()[-15:]
        return "\n".join(f"    {line}" for line in tail)


@asynccontextmanager
async def open_house(path: Path, config: Config, folder: Path) -> AsyncIterator[list[Program]]:
    """Everything up and ready, its output in `folder`; stopped in the opposite order at the end."""
    commands = {code: _module(code, config) for code in ("acme.menu", "beta.survey")}
    commands["server"] = [_callrouter(), "run", "--config", str(path)]
    ready = {code: config.modules[code].inlet for code in ("acme.menu", "beta.survey")}
    ready["server"] = f"http://{config.api.host}:{config.api.port}/readyz"
    running: list[Program] = []
    try:
        for name, command in commands.items():
            running.append(await _start(name, command, folder / f"{name}.log"))
        async with asyncio.timeout(READY_SECONDS), aiohttp.ClientSession() as http:
            for program in running:
                await _answers(program, ready[program.name], http)
        yield running
    except TimeoutError:
        words = "\n".join(f"  {program.name}:\n{program.last_words()}" for program in running)
        raise Fault(f"not ready within {READY_SECONDS:g} s\n{words}") from None
    finally:
        for program in reversed(running):
            await _stop(program)


async def until_one_ends(programs: list[Program]) -> Program:
    waits = {asyncio.create_task(program.process.wait()): program for program in programs}
    try:
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return waits[done.pop()]


def _module(code: str, config: Config) -> list[str]:
    inlet = urlsplit(config.modules[code].inlet)
    program = HERE / f"{code.partition('.')[0]}.py"
    return [sys.executable, str(program), "--host", str(inlet.hostname), "--port", str(inlet.port)]


def _callrouter() -> str:
    """The command of the installation that runs this script."""
    return str(Path(sys.executable).with_name("callrouter"))


async def _start(name: str, command: list[str], log: Path) -> Program:
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is ours to hand on, in order
        )
    return Program(name, process, log)


async def _answers(program: Program, url: str, http: aiohttp.ClientSession) -> None:
    while True:
        if program.process.returncode is not None:
            raise Fault(f"{program.name} ended with {program.process.returncode}:\n{program.last_words()}")
        try:
            async with http.get(url) as response:
                if response.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.1)


async def _stop(program: Program) -> None:
    if program.process.returncode is None:
        program.process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                await program.process.wait()
        except TimeoutError:
            program.process.kill()
            await program.process.wait()
