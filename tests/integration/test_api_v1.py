"""The native API: sessions with their timeline, and usage."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from metering.plan_book import PlanBook
from metering.plan_config import parse_plan
from metering.tables import charges, intervals
from tests.integration.api_bench import NOW_MS, OTHER, OWNER, Bench, call_row, call_sid, login, serving
from tests.integration.test_api_calls import charge_row

ROOT, LEG = call_sid(1), call_sid(2)
LOGIN = login(OWNER, "owner-token")


def interval_row(call: str, sequence: int, start: int, end: int | None, **fields: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "call_sid": call,
        "sequence": sequence,
        "session_sid": ROOT,
        "parent_sid": "" if call == ROOT else ROOT,
        "account_sid": OWNER,
        "key_number": "+15550100",
        "module": "acme.menu",
        "owner": "acme",
        "mode": "application",
        "instance": "",
        "application": "",
        "via": "",
        "on_behalf_of": "",
        "driven_by": "",
        "plan": "",
        "start_ms": NOW_MS + start,
        "cause": "answer",
        "end_ms": None if end is None else NOW_MS + end,
        "end_cause": None if end is None else "hangup",
        "estimated": False,
    }
    return row | fields


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    plan = parse_plan(
        "per-minute",
        {"prices": {"application": {"price": "0.60"}}},
    )
    async with serving(tmp_path, PlanBook([plan], {"acme.menu": "per-minute"})) as bench:
        await bench.add_calls(
            call_row(ROOT, direction="inbound", status="in-progress"),
            call_row(
                LEG,
                session_sid=ROOT,
                parent_sid=ROOT,
                created_ms=NOW_MS - 1,
                status="completed",
                end_ms=NOW_MS,
            ),
            call_row(call_sid(3), OTHER, key_number="+15550177"),
        )
        rows = [
            interval_row(ROOT, 0, 0, 2000, module="platform.setup", mode="setup", cause="arrival"),
            interval_row(ROOT, 1, 2000, None),
            interval_row(LEG, 0, 500, 1500, module="platform.bridge", mode="bridge", driven_by=ROOT),
            interval_row(
                call_sid(3), 0, 0, 9000, session_sid=call_sid(3), account_sid=OTHER, key_number="+15550177"
            ),
        ]
        await bench.database.write(*((intervals.insert(), row) for row in rows))
        await bench.database.write((charges.insert(), charge_row("a", ROOT, 50_000)))
        bench.clock.now_ms = NOW_MS + 12_000
        yield bench


async def get(bench: Bench, path: str, credentials: dict[str, str] = LOGIN) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession(bench.base) as http, http.get(path, headers=credentials) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_session_shows_the_roots_track_first_with_live_cost(bench: Bench) -> None:
    status, session = await get(bench, f"/v1/sessions/{ROOT}")
    assert status == 200
    assert (session["status"], session["ended_at"]) == ("running", None)
    assert session["started_at"] == "2023-11-14T22:13:20.000Z"
    assert [call["sid"] for call in session["calls"]] == [ROOT, LEG]
    root = session["calls"][0]
    assert [(one["module"], one["duration_ms"], one["running"]) for one in root["intervals"]] == [
        ("platform.setup", 2000, False),
        ("acme.menu", 10_000, True),
    ]
    assert root["intervals"][1]["cost"] == "0.100"
    assert root["complete"] is True
    assert root["costs"] == session["costs"] == [{"amount": "0.100", "currency": "USD"}]
    assert session["calls"][1]["parent_sid"] == ROOT


@pytest.mark.parametrize("sid", [LEG, call_sid(3), call_sid(77)])
async def test_session_that_is_not_ones_own_or_none_is_a_problem_404(bench: Bench, sid: str) -> None:
    status, problem = await get(bench, f"/v1/sessions/{sid}")
    assert status == 404
    assert (problem["type"], problem["title"], problem["status"]) == ("about:blank", "Not Found", 404)
    assert sid in problem["detail"]


async def test_usage_counts_time_within_the_period_by_module_and_mode(bench: Bench) -> None:
    _, usage = await get(
        bench, "/v1/usage?number=+15550100&from=2023-11-14T22:13:21Z&to=2023-11-14T22:13:25Z"
    )
    assert usage["number"] == "+15550100"
    shown = {(row["module"], row["mode"]): (row["calls"], row["duration_ms"]) for row in usage["usage"]}
    assert shown == {
        ("acme.menu", "application"): (1, 3000),
        ("platform.bridge", "bridge"): (1, 500),
        ("platform.setup", "setup"): (1, 1000),
    }


async def test_usage_carries_what_was_charged_and_only_ones_own(bench: Bench) -> None:
    _, usage = await get(bench, "/v1/usage")
    costs = {row["module"]: row["costs"] for row in usage["usage"]}
    assert costs["acme.menu"] == [{"amount": "0.050", "currency": "USD"}]
    assert {row["number"] for row in usage["usage"]} == {"+15550100"}
    _, other = await get(bench, "/v1/usage", login(OTHER, "other-token"))
    assert [(row["number"], row["duration_ms"]) for row in other["usage"]] == [("+15550177", 9000)]
    _, foreign = await get(bench, "/v1/usage?number=%2B15550177")
    assert foreign["usage"] == []


@pytest.mark.parametrize("query", ["from=yesterday", "to=99999-01-01", "from=2024-01-02&to=2024-01-01"])
async def test_period_that_makes_no_sense_is_a_problem_400(bench: Bench, query: str) -> None:
    status, problem = await get(bench, f"/v1/usage?{query}")
    assert status == 400
    assert problem["detail"]


async def test_missing_credentials_are_a_problem_too(bench: Bench) -> None:
    async with aiohttp.ClientSession(bench.base) as http, http.get("/v1/usage") as answer:
        assert (answer.status, answer.content_type) == (401, "application/problem+json")
