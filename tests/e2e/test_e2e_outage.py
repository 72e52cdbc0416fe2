"""The real server while its disk is full and while somebody else holds its database."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.e2e.server import Server
from tests.e2e.stage import Stage, open_stage
from tests.e2e.tracks import assert_partitioned
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.e2e
SPEECH = '<Say loop="0">You will be on the line for a while.</Say>'
LOCKED_SECONDS = 5


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of three megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Use up what is left of the disk."""
    ballast = folder / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (65536, 512, 1):
            try:
                while file.write(b"x" * size) == size:
                    pass
            except OSError:
                continue
    return ballast


async def readiness(server: Server) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as http, http.get(f"{server.api}/readyz") as answer:
        return answer.status, await answer.json()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await condition():
            await asyncio.sleep(0.2)


async def told(stage: Stage, status: int, words: str) -> bool:
    found, body = await readiness(stage.server)
    return found == status and words in str(body)


async def ended(stage: Stage, sid: str, cause: str) -> bool:
    session = await stage.server.get(f"/v1/sessions/{sid}")
    return bool(session["calls"][0]["intervals"][-1]["end_cause"] == cause)


async def test_with_the_disk_full_live_calls_end_cleanly_and_new_ones_come_when_it_is_freed(
    tmp_path: Path, small_disk: Path
) -> None:
    # Quick heartbeats use up what the journal's last page has left.
    quick = {"heartbeat_seconds": 0.05}
    async with open_stage(tmp_path, storage={"data_directory": str(small_disk)}, metering=quick) as stage:
        number = stage.number(SPEECH)
        async with stage.call(number) as live:
            await asyncio.sleep(1)
            ballast = fill(small_disk)
            await until(lambda: told(stage, 503, "the journal cannot be written"))
            async with stage.phone() as refused:
                assert not await stage.dial(refused, number)
                assert refused.story.status == 503
            await live.hangup()
        (call,) = await stage.server.calls()
        # Told before it is on disk.
        await until(lambda: ended(stage, call["sid"], "hangup"))
        ballast.unlink()
        await until(lambda: told(stage, 200, "'ready'"))
        session = await stage.server.session(call["sid"])
        assert session["status"] == "ended"
        assert session["calls"][0]["status"] == "completed"
        assert_partitioned(session)
        async with stage.call(number) as phone:
            await asyncio.sleep(0.5)
            await phone.hangup()
        assert len(await stage.server.calls()) == 2


async def test_while_another_process_holds_the_database_calls_go_on_and_all_arrives_later(
    tmp_path: Path,
) -> None:
    async with open_stage(tmp_path, storage={"busy_seconds": 1}) as stage:
        number = stage.number("<Say>Hello.</Say><Hangup/>")
        file = stage.server.folder / "data/callrouter.db"
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        async with stage.call(number) as phone:
            assert await phone.over(PATIENCE_SECONDS)
        await asyncio.sleep(LOCKED_SECONDS)
        await until(lambda: told(stage, 200, "database is locked"))
        _, body = await readiness(stage.server)
        assert body["status"] == "degraded"
        (asked,) = stage.documents.asked
        sid = asked.form["CallSid"]
        session = await stage.server.get(f"/v1/sessions/{sid}")
        assert_partitioned(session)
        other.execute("ROLLBACK")
        other.close()
        await until(lambda: told(stage, 200, "'ready'"))
        shown = await stage.server.session(sid)
        assert shown["calls"][0]["status"] == "completed"
        assert shown["calls"][0]["intervals"] == session["calls"][0]["intervals"]
        (call,) = await stage.server.calls()
        assert call["status"] == "completed"
