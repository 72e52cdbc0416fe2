"""Transfer tokens by REST: for one's own live calls only, with clear refusals."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.integration.api_bench import OTHER, OWNER, Bench, call_row, call_sid, login, serving
from tests.integration.test_api_openapi import schema

LIVE, OVER, FOREIGN = call_sid(1), call_sid(2), call_sid(3)
LOGIN = login(OWNER, "owner-token")
TARGET = "module:acme.survey?lang=en"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with serving(tmp_path) as bench:
        await bench.add_calls(call_row(LIVE), call_row(OVER), call_row(FOREIGN, OTHER))
        bench.control.lives.update({LIVE: "in-progress", FOREIGN: "in-progress"})
        yield bench


async def ask(bench: Bench, sid: str, body: Any, who: dict[str, str] = LOGIN) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    path = f"/v1/calls/{sid}/transfer-tokens"
    async with aiohttp.ClientSession(bench.base) as http, http.post(path, data=data, headers=who) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_a_token_is_made_for_the_call_the_target_and_the_time(bench: Bench) -> None:
    status, made = await ask(bench, LIVE, {"target": TARGET, "seconds": 60})
    assert status == 201
    schema("TransferToken").validate(made)
    assert made == {
        "call_sid": LIVE,
        "target": TARGET,
        "token": "token-1",
        "expires_at": "2023-11-14T22:14:20.000Z",
    }
    assert bench.control.tokens == [(LIVE, TARGET, 60)]
    assert (await ask(bench, LIVE, {"target": TARGET}))[0] == 201
    assert bench.control.tokens[-1] == (LIVE, TARGET, 300)


@pytest.mark.parametrize("sid", [FOREIGN, call_sid(9)])
async def test_calls_of_other_accounts_do_not_exist(bench: Bench, sid: str) -> None:
    status, problem = await ask(bench, sid, {"target": TARGET})
    assert (status, problem["status"]) == (404, 404)
    assert not bench.control.tokens


async def test_a_call_that_is_over_cannot_be_moved(bench: Bench) -> None:
    status, problem = await ask(bench, OVER, {"target": TARGET})
    assert status == 409
    assert OVER in problem["detail"]


async def test_who_does_not_log_in_gets_nothing(bench: Bench) -> None:
    assert (await ask(bench, LIVE, {"target": TARGET}, {}))[0] == 401
    assert not bench.control.tokens


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "JSON"),
        (b"[" * 100_000, "JSON"),
        ([], "object"),
        ({}, "target"),
        ({"target": ""}, "target"),
        ({"target": 5}, "target"),
        ({"target": "/relative"}, "target"),
        ({"target": "module:a b"}, "target"),
        ({"target": "module:a\r\nX: y"}, "target"),
        ({"target": "module:" + "a" * 3000}, "target"),
        ({"target": TARGET, "seconds": 0}, "seconds"),
        ({"target": TARGET, "seconds": True}, "seconds"),
        ({"target": TARGET, "seconds": 1e9}, "seconds"),
        ({"target": TARGET, "seconds": 20_000}, "seconds"),
        ({"target": TARGET, "second": 5}, "second"),
    ],
)
async def test_what_is_wrong_is_named(bench: Bench, body: Any, named: str) -> None:
    status, problem = await ask(bench, LIVE, body)
    assert status == 400
    assert named in problem["detail"]
    assert not bench.control.tokens
