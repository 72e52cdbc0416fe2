"""Readers see what was recorded before they asked, and are not kept waiting by a database that is away."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from callrouter.calls.tables import calls
from tests.integration.api_bench import OWNER, Bench, call_row, call_sid, login, serving

CALLS = f"/2010-04-01/Accounts/{OWNER}/Calls.json"
INSERT = calls.insert()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with serving(tmp_path) as bench:
        yield bench


async def listed(bench: Bench) -> list[str]:
    async with (
        aiohttp.ClientSession(bench.base, headers=login(OWNER, "owner-token")) as http,
        http.get(CALLS) as response,
    ):
        assert response.status == 200
        return [call["sid"] for call in (await response.json())["calls"]]


async def test_a_list_holds_what_nobody_waited_to_be_written(bench: Bench) -> None:
    for number in range(20):
        bench.database.post((INSERT, call_row(call_sid(number))))
        assert call_sid(number) in await listed(bench)


async def test_a_locked_database_is_read_as_it_is_after_a_while(bench: Bench, tmp_path: Path) -> None:
    await bench.add_calls(call_row(call_sid(1)))
    (path,) = tmp_path.glob("*.db")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        bench.database.post((INSERT, call_row(call_sid(2))))
        begun = time.monotonic()
        assert await listed(bench) == [call_sid(1)]
        assert time.monotonic() - begun >= 0.9
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert set(await listed(bench)) == {call_sid(1), call_sid(2)}
