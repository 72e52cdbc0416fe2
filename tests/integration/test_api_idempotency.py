"""`Idempotency-Key`: what is sent twice is done once, whoever races, crashes or cheats."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDictProxy
from sqlalchemy import select

from callrouter.api.idempotency import HEADER, KEPT_MS, REPLAYED
from callrouter.errors import MediaUnavailable
from callrouter.ports import NewCall
from callrouter.storage.tables import idempotency_keys
from tests.integration.api_bench import CHILD, OTHER, OWNER, Bench, call_row, call_sid, login, serving

CALLS = f"/2010-04-01/Accounts/{OWNER}/Calls.json"
ORDER = {"To": "+15550123", "From": "+15550100", "Twiml": "<Response/>"}
LIVE = call_sid(1)
TOKENS = f"/v1/calls/{LIVE}/transfer-tokens"
Answer = tuple[int, Any, CIMultiDictProxy[str]]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with serving(tmp_path) as bench:
        yield bench


async def post(
    bench: Bench,
    key: str,
    form: Mapping[str, str] | bytes = ORDER,
    path: str = CALLS,
    user: tuple[str, str] = (OWNER, "owner-token"),
) -> Answer:
    headers = {**login(*user), HEADER: key}
    async with (
        aiohttp.ClientSession(bench.base) as http,
        http.post(path, data=form, headers=headers) as answer,
    ):
        return answer.status, await answer.json(content_type=None), answer.headers


async def test_a_call_asked_for_twice_is_placed_once_and_answered_alike(bench: Bench) -> None:
    first, again = await post(bench, "order-1"), await post(bench, "order-1")
    assert first[0] == 201
    assert again[:2] == first[:2]
    assert again[2]["Content-Type"] == first[2]["Content-Type"]
    assert (REPLAYED in first[2], again[2][REPLAYED]) == (False, "true")
    assert len(bench.control.orders) == 1
    assert (await post(bench, "order-2"))[1]["sid"] != first[1]["sid"]


async def test_xml_is_replayed_as_xml(bench: Bench) -> None:
    path = CALLS.removesuffix(".json")
    headers = {**login(OWNER, "owner-token"), HEADER: "x"}
    seen = set()
    async with aiohttp.ClientSession(bench.base, headers=headers) as http:
        for _ in range(2):
            async with http.post(path, data=ORDER) as answer:
                seen.add((answer.status, answer.content_type, await answer.text()))
    ((status, kind, body),) = seen
    assert (status, kind) == (201, "application/xml")
    assert body.startswith("<?xml")


@pytest.mark.parametrize(
    ("form", "path"),
    [
        ({**ORDER, "To": "+15550124"}, CALLS),
        (ORDER, CALLS.removesuffix(".json")),
        (ORDER, f"{CALLS}?Record=true"),
    ],
)
async def test_another_request_with_the_same_key_is_refused(
    bench: Bench, form: dict[str, str], path: str
) -> None:
    await post(bench, "order-1")
    async with (
        aiohttp.ClientSession(bench.base, headers={**login(OWNER, "owner-token"), HEADER: "order-1"}) as http,
        http.post(path, data=form) as answer,
    ):
        assert answer.status == 422
        assert "order-1" in await answer.text()
    assert len(bench.control.orders) == 1


async def test_of_requests_that_race_one_is_carried_out(bench: Bench) -> None:
    entered, gate = asyncio.Event(), asyncio.Event()
    create = bench.control.create

    async def slow(order: NewCall) -> str:
        entered.set()
        await gate.wait()
        return await create(order)

    bench.control.create = slow  # type: ignore[method-assign]  # the one way to hold it where it is
    first = asyncio.ensure_future(post(bench, "order-1"))
    await entered.wait()
    others = [await post(bench, "order-1") for _ in range(3)]
    other = await post(bench, "order-1", {**ORDER, "To": "+15550124"})
    gate.set()
    assert (await first)[0] == 201
    assert [(status, body["code"]) for status, body, _ in others] == [(409, 20409)] * 3
    assert other[0] == 422
    assert len(bench.control.orders) == 1
    assert (await post(bench, "order-1"))[0] == 201


async def test_answers_outlive_the_process(tmp_path: Path) -> None:
    async with serving(tmp_path) as bench:
        first = await post(bench, "order-1")
    async with serving(tmp_path) as bench:
        assert (await post(bench, "order-1"))[:2] == first[:2]
        assert not bench.control.orders


async def test_of_a_request_that_broke_nobody_knows_the_outcome(bench: Bench) -> None:
    """As after a crash: the key is there, its answer is not."""
    bench.control.error = RuntimeError("broken")
    assert (await post(bench, "order-1"))[0] == 500
    bench.control.error = None
    status, body, _ = await post(bench, "order-1")
    assert status == 409
    assert "may have been carried out" in body["message"]
    assert not bench.control.orders


async def test_a_refused_request_may_be_put_right_under_its_key(bench: Bench) -> None:
    assert (await post(bench, "order-1", {"To": "+15550123"}))[0] == 400
    bench.control.error = MediaUnavailable("no port is left")
    assert (await post(bench, "order-1"))[0] == 503
    bench.control.error = None
    assert (await post(bench, "order-1"))[0] == 201


async def test_keys_are_each_accounts_own(bench: Bench) -> None:
    path = CALLS.replace(OWNER, OTHER)
    assert (await post(bench, "order-1"))[0] == 201
    assert (await post(bench, "order-1", path=path, user=(OTHER, "other-token")))[0] == 201
    assert (await post(bench, "order-1", path=CALLS.replace(OWNER, CHILD)))[0] == 422
    assert len(bench.control.orders) == 2


async def test_a_transfer_token_is_given_once_and_stored_sealed(bench: Bench) -> None:
    await bench.add_calls(call_row(LIVE))
    bench.control.lives[LIVE] = "in-progress"
    body = json.dumps({"target": "module:acme.survey"}).encode()
    first, again = [await post(bench, "token-1", body, TOKENS) for _ in range(2)]
    assert (first[0], first[1]["token"], again[1]) == (201, "token-1", first[1])
    assert again[2]["Cache-Control"] == "no-store"
    assert len(bench.control.tokens) == 1
    status, problem, _ = await post(bench, "token-1", b'{"target": "module:acme.menu"}', TOKENS)
    assert (status, problem["status"]) == (422, 422)
    (row,) = await bench.database.read(select(idempotency_keys))
    assert "module:acme.survey" not in row["response"]


@pytest.mark.parametrize("key", ["", "two words", "k" * 256, "sch\u00f6n"])
async def test_a_key_that_is_none_is_named(bench: Bench, key: str) -> None:
    status, body, _ = await post(bench, key)
    assert (status, HEADER in body["message"]) == (400, True)
    assert not bench.control.orders


async def test_keys_are_forgotten_after_a_day(bench: Bench) -> None:
    for key in ("old-1", "old-2"):
        await post(bench, key)
    bench.clock.now_ms += KEPT_MS + 1
    assert (await post(bench, "old-1"))[0] == 201
    assert len(bench.control.orders) == 3
    await bench.database.write()
    rows = await bench.database.read(select(idempotency_keys.c.key))
    assert rows == [{"key": "old-1"}]


async def test_strangers_leave_no_keys(bench: Bench) -> None:
    assert (await post(bench, "order-1", user=(OWNER, "guessed")))[0] == 401
    assert not await bench.database.read(select(idempotency_keys))
