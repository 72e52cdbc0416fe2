"""The command line's telephone talks to the telephone that answers, over real SIP and RTP."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from callrouter.caller.answering import Answering, Manner
from callrouter.caller.command import add_arguments, peer, run, target
from callrouter.caller.hearing import sounds_in
from callrouter.caller.line import Line, open_line
from callrouter.caller.voice import write_hum

TALK_MS = 1500


@pytest.fixture(autouse=True)
def _usual_logs() -> Iterator[None]:
    """The command sends its logs to its own standard error, for the whole process."""
    yield
    structlog.reset_defaults()


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(words)


@asynccontextmanager
async def answering(folder: Path, **manner: Any) -> AsyncIterator[tuple[Line, Answering]]:
    voice = folder / "voice.wav"
    write_hum(voice, TALK_MS)
    async with open_line() as line:
        desk = Answering(line.signalling, line.media, line.clock, folder, Manner(voice, **manner))
        yield line, desk
        await desk.close()


async def call(line: Line, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, object]]:
    """Run the command against `line` in a thread, as its own process would."""
    server = f"127.0.0.1:{line.signalling.listeners[0].port}"
    capsys.readouterr()
    status = await asyncio.to_thread(run, arguments("100", "--server", server, "--json", *words))
    return status, json.loads(capsys.readouterr().out)


async def test_a_call_is_answered_heard_recorded_and_ended_by_the_callee(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = tmp_path / "heard.wav"
    async with answering(tmp_path, ring_seconds=0.3) as (line, desk):
        status, story = await call(line, capsys, "--record", str(recording))
        taken = await desk.finished()
    assert status == 0
    assert story["ended_by"] == "callee"
    assert isinstance(story["ringing_ms"], int)
    assert isinstance(story["answered_ms"], int)
    assert story["answered_ms"] >= max(300, story["ringing_ms"])
    assert isinstance(story["talked_ms"], int)
    assert story["answered_ms"] + story["talked_ms"] >= 300 + TALK_MS - 100
    assert (taken.ended_ns - taken.answered_ns) / 1e6 >= TALK_MS - 100
    heard = await asyncio.to_thread(sounds_in, recording)
    assert abs(sum(sound.to_ms - sound.from_ms for sound in heard) - TALK_MS) <= 200
    assert taken.heard == []


async def test_at_its_turn_the_caller_speaks_and_presses_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with answering(tmp_path, ring_seconds=0, hang_up=False) as (line, desk):
        status, story = await call(line, capsys, "--press", "v", "--say-nothing", "0.5")
        taken = await desk.finished()
    assert (status, story["ended_by"], story["left_over"]) == (0, "caller", 0)
    assert taken.heard
    assert sum(heard.to_ms - heard.from_ms for heard in taken.heard) > 2000


async def test_entries_whose_turn_never_came_fail_the_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with answering(tmp_path, ring_seconds=0) as (line, _desk):
        status, story = await call(line, capsys, "--press", "1,2,3")
    assert status == 3
    assert isinstance(story["left_over"], int)
    assert story["left_over"] >= 2


async def test_a_refused_call_says_with_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with answering(tmp_path, refuse=486) as (line, _desk):
        status, story = await call(line, capsys)
    assert (status, story["status"], story["ended_by"]) == (1, 486, "refused")


async def test_saying_nothing_hangs_up_after_the_given_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with answering(tmp_path, ring_seconds=0, hang_up=False) as (line, _desk):
        status, story = await call(line, capsys, "--say-nothing", "1")
    assert (status, story["ended_by"]) == (0, "caller")
    assert isinstance(story["talked_ms"], int)
    assert story["talked_ms"] >= 900


def test_a_server_that_is_no_address_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments("100", "--server", "nonsense")) == 1
    assert "'nonsense' cannot be reached" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("100", "--press", "x"), ("100", "--say-nothing", "-1"), ()])
def test_a_wrong_command_line_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as error:
        arguments(*words)
    assert error.value.code == 2


def test_a_whole_address_goes_where_it_says() -> None:
    assert target("+1555", "127.0.0.1:5060") == "sip:+1555@127.0.0.1:5060"
    assert target("sip:a@b", "127.0.0.1:5060") == "sip:a@b"
    assert peer("+1555", "127.0.0.1:5060") == "127.0.0.1:5060"
    assert peer("sip:a@b;transport=tcp", "x") == "b:5060"
    assert peer("sip:a@[::1]", "x") == "[::1]:5060"
    assert peer("sip:a@[::1]:5070", "x") == "[::1]:5070"
