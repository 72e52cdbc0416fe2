"""The SIP of a session over REST, as data and as a ladder, and `callrouter tail` beside a server."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from callrouter import tail
from callrouter.cli import main
from callrouter.ports import TracedMessage
from metering.interval import CallFacts, Cause, Holder, Mode
from tests.integration.api_bench import (
    NOW_MS,
    OTHER,
    OWNER,
    Bench,
    call_row,
    call_sid,
    event_row,
    in_thread,
    login,
    serving,
)

ROOT, CHILD_CALL = call_sid(1), call_sid(2)
PATH = f"/v1/sessions/{ROOT}/sip"
LOGIN = login(OWNER, "owner-token")


def said(number: int, call_id: str, start: str, *, sent: bool, host: str = "192.0.2.1") -> TracedMessage:
    at_ns = (NOW_MS + number * 10) * 1_000_000
    text = f"{start}\r\nCall-ID: {call_id}\r\nCSeq: 1 INVITE\r\n\r\n"
    return TracedMessage(number, at_ns, call_id, sent, "udp", host, 5060, text)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with serving(tmp_path) as bench:
        await bench.add_calls(
            call_row(ROOT, direction="inbound", status="in-progress", sip_call_id="in"),
            call_row(CHILD_CALL, session_sid=ROOT, parent_sid=ROOT, status="ringing", sip_call_id="out"),
        )
        bench.traces["in"] = (
            said(1, "in", "INVITE sip:a SIP/2.0", sent=False),
            said(4, "in", "SIP/2.0 180 Ringing", sent=True),
        )
        bench.traces["out"] = (
            said(2, "out", "INVITE sip:b SIP/2.0", sent=True, host="192.0.2.2"),
            said(3, "out", "SIP/2.0 180 Ringing", sent=False, host="192.0.2.2"),
        )
        yield bench


async def get(bench: Bench, path: str, **headers: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession(bench.base) as http, http.get(path, headers=headers) as answer:
        if answer.content_type == "text/plain":
            return answer.status, await answer.text()
        return answer.status, await answer.json(content_type=None)


async def test_messages_of_all_calls_come_in_the_order_they_were_said(bench: Bench) -> None:
    status, trace = await get(bench, PATH, **LOGIN)
    assert status == 200
    assert [one["number"] for one in trace["messages"]] == [1, 2, 3, 4]
    assert [one["call_sid"] for one in trace["messages"]] == [ROOT, CHILD_CALL, CHILD_CALL, ROOT]
    assert (trace["status"], trace["dropped"]) == ("running", 0)
    second = trace["messages"][1]
    assert second["at"] == "2023-11-14T22:13:20.020Z"
    assert (second["direction"], second["peer"], second["summary"]) == ("sent", "192.0.2.2:5060", "INVITE")
    assert second["text"].startswith("INVITE sip:b SIP/2.0\r\n")


async def test_only_what_is_new_is_given_to_who_says_what_is_known(bench: Bench) -> None:
    _, trace = await get(bench, f"{PATH}?after=3", **LOGIN)
    assert [one["number"] for one in trace["messages"]] == [4]
    for wrong in ("-1", "x", "9" * 30, ""):
        status, problem = await get(bench, f"{PATH}?after={wrong}", **LOGIN)
        assert status == 400
        assert "not the number of a message" in problem["detail"]


async def test_a_ladder_is_given_to_who_accepts_text(bench: Bench) -> None:
    _, text = await get(bench, PATH, Accept="text/plain", **LOGIN)
    arrows = [line for line in text.splitlines() if "|" in line]
    assert ["INVITE" in line for line in arrows] == [True, True, False, False]
    assert "udp:192.0.2.1:5060" in text
    assert "INVITE sip:a" not in text
    _, text = await get(bench, f"{PATH}?full=1", Accept="text/plain;q=1, application/json", **LOGIN)
    assert "--- 2 to udp:192.0.2.2:5060\n\nINVITE sip:b SIP/2.0\nCall-ID: out\n" in text
    _, trace = await get(bench, PATH, Accept="*/*", **LOGIN)
    assert trace["sid"] == ROOT


async def test_nobody_sees_the_calls_of_another_account(bench: Bench) -> None:
    status, _ = await get(bench, PATH, **login(OTHER, "other-token"))
    assert status == 404
    assert (await get(bench, PATH))[0] == 401
    await bench.add_calls(call_row(call_sid(3), OTHER, session_sid=ROOT, sip_call_id="theirs"))
    bench.traces["theirs"] = (said(9, "theirs", "INVITE sip:c SIP/2.0", sent=True),)
    _, trace = await get(bench, PATH, **LOGIN)
    assert {one["call_id"] for one in trace["messages"]} == {"in", "out"}
    status, _ = await get(bench, f"/v1/sessions/{CHILD_CALL}/sip", **LOGIN)
    assert status == 404


async def test_a_session_is_over_when_its_calls_are(bench: Bench) -> None:
    bench.control.lives[ROOT] = bench.control.lives[CHILD_CALL] = "completed"
    _, trace = await get(bench, PATH, **LOGIN)
    assert trace["status"] == "ended"


# -- callrouter tail


async def begin(bench: Bench) -> None:
    holder = Holder("acme.menu", "acme", Mode.APPLICATION, "MI1", "AP1", "", OWNER)
    facts = CallFacts(ROOT, ROOT, OWNER, "+15550100")
    await bench.meter.begin(facts, holder, at_ns=bench.clock.monotonic_ns(), cause=Cause.ARRIVAL)


async def news(one: tail.Tail) -> list[str]:
    return [line async for line in one.news()]


async def test_tail_shows_what_was_said_and_fetched_and_then_only_what_is_new(bench: Bench) -> None:
    await begin(bench)
    warning = {"kind": "notice", "level": "warning", "code": 12200, "message": "odd", "line": 3}
    later = event_row("NO" + "2" * 32, ROOT, at_ms=NOW_MS + 1) | warning
    await bench.add_events(event_row("NO" + "1" * 32, ROOT), later)
    async with aiohttp.ClientSession(headers=LOGIN) as http:
        watching = tail.Tail(http, bench.base, ROOT)
        lines = await news(watching)
        assert sum("INVITE" in line for line in lines) == 2
        assert "             * POST https://example.com/voice: 200, 12 ms" in lines
        assert "             ! warning 12200: odd (line 3)" in lines
        assert not watching.is_over
        assert await news(watching) == []
        bench.traces["in"] += (said(5, "in", "BYE sip:a SIP/2.0", sent=True),)
        await bench.add_events(
            event_row("NO" + "3" * 32, ROOT, at_ms=NOW_MS + 2, url="https://example.com/2")
        )
        lines = await news(watching)
        assert len(lines) == 2
        assert " BYE " in lines[0]
        assert lines[1].endswith("https://example.com/2: 200, 12 ms")
        bench.control.lives[ROOT] = bench.control.lives[CHILD_CALL] = "completed"
        await bench.meter.end(ROOT, at_ns=bench.clock.monotonic_ns(), cause=Cause.HANGUP)
        assert await news(watching) == []
        assert watching.is_over


async def test_tail_as_a_command(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    await begin(bench)
    command = ["tail", ROOT, "--server", bench.base, "--account", OWNER, "--token", "owner-token", "--once"]
    assert await in_thread(main, command) == 0
    assert capsys.readouterr().out.count("INVITE") == 2
    assert await in_thread(main, [*command, "--full"]) == 0
    assert "             Call-ID: out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--token", ""], "whose call is it?"),
        (["--token", "wrong"], "does not know this account"),
        (["--server", "http://127.0.0.1:9"], "cannot be asked"),
    ],
)
async def test_tail_says_what_is_wrong(
    bench: Bench, options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["tail", ROOT, "--server", bench.base, "--account", OWNER, "--token", "owner-token"]
    assert await in_thread(main, [*command, *options]) == 2
    assert complaint in capsys.readouterr().err


async def test_tail_of_a_call_nobody_knows(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["tail", call_sid(7), "--server", bench.base, "--account", OWNER, "--token", "owner-token"]
    assert await in_thread(main, command) == 2
    assert "a session has the sid of its first call" in capsys.readouterr().err


def test_credentials_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLROUTER_ACCOUNT", "AC1")
    monkeypatch.setenv("CALLROUTER_TOKEN", "secret")
    parser = argparse.ArgumentParser()
    tail.add_arguments(parser)
    options = parser.parse_args(["CA1"])
    assert (options.account, options.token) == ("AC1", "secret")
