"""The examples, run as their pages say, on ports of their own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from callrouter.caller.answering import Answering, Manner
from callrouter.caller.command import follow
from callrouter.caller.line import Line, open_line
from callrouter.caller.phone import Phone
from callrouter.caller.script import parse
from callrouter.caller.story import EndedBy, Story
from callrouter.caller.voice import write_hum
from tests.e2e.addresses import free_port
from tests.e2e.process import Program
from tests.e2e.server import Server
from tests.e2e.tracks import assert_partitioned, modules
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.e2e
EXAMPLES = Path(__file__).parents[2] / "examples"
STATE = ("accounts", "addresses")


@asynccontextmanager
async def application(
    name: str, program: str, folder: Path, *words: str, **env: str
) -> AsyncIterator[Server]:
    """The example's application and a server with its declared state, each on a free port."""
    port = free_port()
    text = (EXAMPLES / name / "config.yaml").read_text()
    config: dict[str, Any] = yaml.safe_load(text)
    declared_port = config["fetch"]["allow_private"][0].rpartition(":")[2]
    state = yaml.safe_load(text.replace(f":{declared_port}", f":{port}"))
    command: list[str | Path] = [sys.executable, EXAMPLES / name / program, "--port", str(port), *words]
    served = await Program.start(name, command, folder / "application.log", environment=env)
    try:
        await _listening(served, port)
        allowed = {"allow_private": state["fetch"]["allow_private"]}
        declared = {key: state[key] for key in STATE}
        who = state["accounts"]["example"]
        async with Server(
            folder / "server", declared, account=who["sid"], token=who["token"], fetch=allowed
        ) as server:
            yield server
    finally:
        await served.stop()


async def _listening(program: Program, port: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS), aiohttp.ClientSession() as http:
        while True:
            assert program.running, program.words()
            try:
                async with http.get(f"http://127.0.0.1:{port}/"):
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)


async def call(line: Line, server: Server, folder: Path, number: str, press: str) -> Story:
    """Call `number`, use up `press`, and stay until the other side hangs up."""
    voice = folder / "voice.wav"
    write_hum(voice, 2000)
    story = Story(number, server.sip)
    phone = Phone(line.signalling, line.media, line.clock, folder, story)
    try:
        assert await phone.dial(f"sip:{number}@{server.sip}", "+15550199"), story.summary()
        story.left_over = await follow(phone, parse(press), voice)
        assert await phone.over(PATIENCE_SECONDS), story.moments
    finally:
        await phone.hangup()
    assert story.left_over == 0, story.moments
    return story


async def test_the_phone_tree_of_the_tutorial_runs_unchanged(tmp_path: Path) -> None:
    token = {"AUTH_TOKEN": "demo-token-of-the-tutorial"}
    async with application("tutorial", "phone_tree.py", tmp_path, **token) as server, open_line() as line:
        story = await call(line, server, tmp_path, "+15550300", "2,3")
        session = await server.last_session()
    assert story.ended_by is EndedBy.CALLEE
    assert_partitioned(session)
    assert modules(session["calls"][0]) == [("example.self", "setup"), ("example.self", "application")]


async def test_the_phone_tree_hangs_up_on_a_server_that_signs_with_another_token(tmp_path: Path) -> None:
    token = {"AUTH_TOKEN": "the-token-of-somebody-else"}
    async with application("tutorial", "phone_tree.py", tmp_path, **token) as server, open_line() as line:
        story = await call(line, server, tmp_path, "+15550300", "")
    assert story.ended_by is EndedBy.CALLEE
    assert story.heard, "the caller of a broken application hears that it is broken"


async def test_the_machine_answers_when_nobody_else_does(tmp_path: Path) -> None:
    async with open_line() as desk, open_line() as line:
        owner = f"sip:100@127.0.0.1:{desk.signalling.listeners[0].port}"
        busy = Manner(tmp_path / "unused.wav", refuse=486)
        Answering(desk.signalling, desk.media, desk.clock, tmp_path, busy)
        async with application("voicemail", "voicemail.py", tmp_path, "--owner", owner) as server:
            await call(line, server, tmp_path, "+15550400", "v")
            page = await server.get(f"/2010-04-01/Accounts/{server.account}/Recordings.json")
    recordings = page["recordings"]
    assert [recording["status"] for recording in recordings] == ["completed"]
    assert int(recordings[0]["duration"]) >= 1


@pytest.mark.parametrize(("key", "joined"), [("1", True), ("2", False)])
async def test_the_callee_takes_a_screened_call_by_pressing_1(tmp_path: Path, key: str, joined: bool) -> None:
    voice = tmp_path / "agent.wav"
    write_hum(voice, 2000)
    manner = Manner(voice, ring_seconds=0.2, keys=key, keys_after_seconds=2.5, hang_up=False)
    async with open_line() as desk, open_line() as line:
        callee = f"sip:100@127.0.0.1:{desk.signalling.listeners[0].port}"
        answering = Answering(desk.signalling, desk.media, desk.clock, tmp_path, manner)
        async with application("screening", "screening.py", tmp_path, "--callee", callee) as server:
            ending = asyncio.create_task(_end(answering, server, joined))
            story = await call(line, server, tmp_path, "+15550500", "")
            await ending
            session = await server.last_session()
    assert_partitioned(session)
    bridged = [mode for module, mode in modules(session["calls"][0]) if mode == "bridge"]
    assert bool(bridged) is joined, modules(session["calls"][0])
    assert bool(story.heard), story.moments


async def _end(answering: Answering, server: Server, joined: bool) -> None:
    """Hang up, after a word with the caller if there is to be one."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while joined and not await _is_bridged(server):
            await asyncio.sleep(0.1)
        if not joined:
            await answering.finished()
    await asyncio.sleep(2)
    await answering.close()


async def _is_bridged(server: Server) -> bool:
    inbound = [call for call in await server.calls() if call["direction"] == "inbound"]
    sessions = [await server.get(f"/v1/sessions/{call['sid']}") for call in inbound]
    return any(mode == "bridge" for session in sessions for _, mode in modules(session["calls"][0]))
