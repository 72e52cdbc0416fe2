"""The native API: sessions with their timeline, and usage."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import text

from metering.interval import CallFacts, Cause, Holder, Mode
from metering.plan_book import PlanBook
from metering.plan_config import parse_plan
from tests.integration.api_bench import (
    CHILD,
    NOW_MS,
    OTHER,
    OWNER,
    Bench,
    call_row,
    call_sid,
    login,
    serving,
)

ROOT, LEG, FOREIGN = call_sid(1), call_sid(2), call_sid(3)
LOGIN = login(OWNER, "owner-token")
MENU = Holder("acme.menu", "acme", Mode.APPLICATION)
SETUP = replace(MENU, mode=Mode.SETUP)
BRIDGE = Holder("platform.bridge", "platform", Mode.BRIDGE, via="acme.menu", driven_by=ROOT)
ROOT_CALL = CallFacts(ROOT, ROOT, OWNER, "+15550100")
LEG_CALL = CallFacts(LEG, ROOT, OWNER, "+15550100", ROOT)
NUMBER = "number=%2B15550100"


def at(ms: int) -> int:
    """The monotonic instant `ms` after the calls of these tests began."""
    return (NOW_MS + ms) * 1_000_000


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A root call that runs for 12 s by now: 2 s of setup, then a menu, which dialled a leg."""
    plan = parse_plan("per-minute", {"prices": {"application": {"price": "0.60"}}})
    async with serving(tmp_path, PlanBook([plan], {"acme.menu": "per-minute"})) as bench:
        await bench.add_calls(
            call_row(ROOT, direction="inbound", status="in-progress"),
            call_row(LEG, session_sid=ROOT, parent_sid=ROOT, status="completed", end_ms=NOW_MS + 1500),
            call_row(FOREIGN, OTHER, key_number="+15550177"),
        )
        meter = bench.meter
        await meter.begin(ROOT_CALL, SETUP, at_ns=at(0), cause=Cause.ARRIVAL)
        await meter.begin(LEG_CALL, BRIDGE, at_ns=at(500), cause=Cause.VERB)
        await meter.end(LEG, at_ns=at(1500), cause=Cause.HANGUP)
        await meter.transfer(ROOT, MENU, at_ns=at(2000), cause=Cause.ANSWER)
        foreign = CallFacts(FOREIGN, FOREIGN, OTHER, "+15550177")
        await meter.begin(foreign, MENU, at_ns=at(0), cause=Cause.ARRIVAL)
        await meter.end(FOREIGN, at_ns=at(9000), cause=Cause.HANGUP)
        bench.clock.now_ms = NOW_MS + 12_000
        yield bench


async def get(bench: Bench, path: str, credentials: dict[str, str] = LOGIN) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession(bench.base) as http, http.get(path, headers=credentials) as answer:
        return answer.status, await answer.json(content_type=None)


async def usage(bench: Bench, query: str = "", credentials: dict[str, str] = LOGIN) -> list[dict[str, Any]]:
    status, shown = await get(bench, f"/v1/usage?{query}", credentials)
    assert status == 200, shown
    rows: list[dict[str, Any]] = shown["usage"]
    return rows


async def test_session_shows_the_roots_track_first_with_live_cost(bench: Bench) -> None:
    status, session = await get(bench, f"/v1/sessions/{ROOT}")
    assert status == 200
    assert (session["status"], session["ended_at"]) == ("running", None)
    assert (session["account_sid"], session["key_number"]) == (OWNER, "+15550100")
    assert session["started_at"] == "2023-11-14T22:13:20.000Z"
    assert [call["sid"] for call in session["calls"]] == [ROOT, LEG]
    root, leg = session["calls"]
    assert [(one["module"], one["duration_ms"], one["running"]) for one in root["intervals"]] == [
        ("acme.menu", 2000, False),
        ("acme.menu", 10_000, True),
    ]
    assert (root["intervals"][1]["cost"], root["intervals"][1]["rate"]) == ("0.100", "0.60 USD/min")
    assert root["complete"] is True
    assert root["costs"] == session["costs"] == [{"amount": "0.100", "currency": "USD"}]
    assert (leg["parent_sid"], leg["driven_by"], leg["key_number"]) == (ROOT, ROOT, "+15550100")
    assert (leg["intervals"][0]["via"], leg["intervals"][0]["end_cause"]) == ("acme.menu", "hangup")


async def test_the_sessions_total_is_the_meters_live_cost(bench: Bench) -> None:
    _, session = await get(bench, f"/v1/sessions/{ROOT}")
    assert bench.meter.live_cost(ROOT, bench.clock.monotonic_ns()) == {"USD": 100_000}
    assert session["costs"] == [{"amount": "0.100", "currency": "USD"}]


async def test_a_wall_clock_that_jumps_does_not_change_what_a_running_call_costs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.clock, "utc_ms", lambda: NOW_MS + 86_400_000)
    _, session = await get(bench, f"/v1/sessions/{ROOT}")
    assert session["calls"][0]["intervals"][1]["duration_ms"] == 10_000
    assert {row["duration_ms"] for row in await usage(bench) if row["mode"] == "application"} == {10_000}


async def test_a_session_is_told_before_the_database_knows_of_it(bench: Bench) -> None:
    """With the projection as far behind as can be, and no row of the call yet."""
    for task in bench.meter._tasks:
        task.cancel()
    sid = call_sid(9)
    bench.control.lives[sid] = "ringing"
    await bench.meter.begin(CallFacts(sid, sid, OWNER, "+15550100"), SETUP, at_ns=at(0), cause=Cause.ARRIVAL)
    status, session = await get(bench, f"/v1/sessions/{sid}")
    assert (status, session["status"]) == (200, "running")
    (call,) = session["calls"]
    assert (call["status"], call["complete"], call["from"]) == ("ringing", True, None)
    assert call["intervals"][0]["duration_ms"] == 12_000
    assert {row["calls"] for row in await usage(bench, NUMBER) if row["mode"] == "setup"} == {2}


async def test_an_ended_session_says_so_once_the_table_of_calls_agrees(bench: Bench) -> None:
    await bench.meter.end(ROOT, at_ns=at(12_000), cause=Cause.HANGUP)
    _, session = await get(bench, f"/v1/sessions/{ROOT}")
    assert session["status"] == "running"
    await bench.database.write((text("UPDATE calls SET status = 'completed'"), None))
    _, session = await get(bench, f"/v1/sessions/{ROOT}")
    assert (session["status"], session["ended_at"]) == ("ended", "2023-11-14T22:13:32.000Z")
    await bench.meter.settled()
    assert (await get(bench, f"/v1/sessions/{ROOT}"))[1] == session, "the same from the database"


async def test_a_call_that_detached_is_shown_where_it_belonged(bench: Bench) -> None:
    sid = call_sid(5)
    child = CallFacts(sid, ROOT, OWNER, "+15550100", ROOT)
    await bench.add_calls(
        call_row(sid, parent_sid=ROOT, session_sid=sid, split_from=ROOT, status="in-progress")
    )
    await bench.meter.begin(child, BRIDGE, at_ns=at(3000), cause=Cause.VERB)
    await bench.meter.transfer(sid, MENU, at_ns=at(6000), cause=Cause.API, session_sid=sid)
    _, before = await get(bench, f"/v1/sessions/{ROOT}")
    _, after = await get(bench, f"/v1/sessions/{sid}")
    for session, sequence, duration_ms in ((before, 0, 3000), (after, 1, 6000)):
        call = session["calls"][-1]
        assert (call["sid"], call["split_from"], call["complete"]) == (sid, ROOT, True)
        assert [(one["sequence"], one["duration_ms"]) for one in call["intervals"]] == [
            (sequence, duration_ms)
        ]
    assert (before["calls"][-1]["driven_by"], after["calls"][-1]["driven_by"]) == (ROOT, None)
    assert before["costs"] == [{"amount": "0.100", "currency": "USD"}]
    assert after["costs"] == [{"amount": "0.060", "currency": "USD"}]


@pytest.mark.parametrize("sid", [LEG, FOREIGN, call_sid(77)])
async def test_session_that_is_not_ones_own_or_none_is_a_problem_404(bench: Bench, sid: str) -> None:
    status, problem = await get(bench, f"/v1/sessions/{sid}")
    assert status == 404
    assert (problem["type"], problem["title"], problem["status"]) == ("about:blank", "Not Found", 404)
    assert sid in problem["detail"]


async def test_usage_counts_time_within_the_period_by_module_and_mode(bench: Bench) -> None:
    found = await usage(bench, f"{NUMBER}&from=2023-11-14T22:13:21Z&to=2023-11-14T22:13:25Z")
    expected = {
        ("acme.menu", "application"): (1, 3000),
        ("platform.bridge", "bridge"): (1, 500),
        ("acme.menu", "setup"): (1, 1000),
    }
    assert {(row["module"], row["mode"]): (row["calls"], row["duration_ms"]) for row in found} == expected


async def test_usage_costs_the_same_while_a_call_runs_and_once_it_is_charged(bench: Bench) -> None:
    running = await usage(bench)
    assert {row["mode"]: row["costs"] for row in running} == {
        "application": [{"amount": "0.100", "currency": "USD"}],
        "bridge": [],
        "setup": [],
    }
    assert {(row["number"], row["owner"]) for row in running} == {
        ("+15550100", "acme"),
        ("+15550100", "platform"),
    }
    await bench.meter.end(ROOT, at_ns=at(12_000), cause=Cause.HANGUP)
    assert await usage(bench) == running
    await bench.meter.settled()
    assert bench.meter.unposted(0) == {}
    assert await usage(bench) == running


async def test_money_counts_in_the_period_in_which_what_it_is_for_began(bench: Bench) -> None:
    for ended in (False, True):
        if ended:
            await bench.meter.end(ROOT, at_ns=at(12_000), cause=Cause.HANGUP)
            await bench.meter.settled()
        first = await usage(bench, f"{NUMBER}&to=2023-11-14T22:13:25Z")
        second = await usage(bench, f"{NUMBER}&from=2023-11-14T22:13:25Z")
        assert [row["costs"] for row in first if row["mode"] == "application"] == [
            [{"amount": "0.100", "currency": "USD"}]
        ]
        assert [(row["duration_ms"], row["costs"]) for row in second] == [(7000, [])]


async def test_usage_is_of_ones_own_accounts_only(bench: Bench) -> None:
    other = await usage(bench, credentials=login(OTHER, "other-token"))
    assert [(row["number"], row["duration_ms"]) for row in other] == [("+15550177", 9000)]
    assert await usage(bench, "number=%2B15550177") == []


async def test_who_orders_a_document_on_anothers_call_sees_its_time_and_pays(bench: Bench) -> None:
    sid = call_sid(6)
    whisper = replace(MENU, on_behalf_of=CHILD)
    await bench.meter.begin(
        CallFacts(sid, sid, OTHER, "+15550177"), whisper, at_ns=at(6000), cause=Cause.VERB
    )
    for ended in (False, True):
        if ended:
            await bench.meter.end(sid, at_ns=at(12_000), cause=Cause.HANGUP)
            await bench.meter.settled()
        child = await usage(bench, credentials=login(CHILD, "child-token"))
        assert [(row["number"], row["duration_ms"], row["costs"]) for row in child] == [
            ("+15550177", 6000, [{"amount": "0.060", "currency": "USD"}])
        ]
        other = await usage(bench, credentials=login(OTHER, "other-token"))
        assert [(row["duration_ms"], row["costs"]) for row in other] == [
            (15_000, [{"amount": "0.090", "currency": "USD"}])
        ]


@pytest.mark.parametrize("query", ["from=yesterday", "to=99999-01-01", "from=2024-01-02&to=2024-01-01"])
async def test_period_that_makes_no_sense_is_a_problem_400(bench: Bench, query: str) -> None:
    status, problem = await get(bench, f"/v1/usage?{query}")
    assert status == 400
    assert problem["detail"]


async def test_missing_credentials_are_a_problem_too(bench: Bench) -> None:
    async with aiohttp.ClientSession(bench.base) as http, http.get("/v1/usage") as answer:
        assert (answer.status, answer.content_type) == (401, "application/problem+json")
