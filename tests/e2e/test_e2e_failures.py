"""Modules that fail: their caller hears why, the developer reads why, nobody else notices."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from callrouter.caller.hearing import sounds_in
from callrouter.caller.phone import Phone
from tests.e2e.addresses import free_port
from tests.e2e.documents import Answer, Asked
from tests.e2e.server import ACCOUNT
from tests.e2e.stage import Stage, answer_path, heard, heard_in_time, open_stage
from tests.e2e.tracks import assert_partitioned
from tests.e2e.tune import likeness, read, tune, write_tune
from tests.patience import PATIENCE_SECONDS

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]
SUSPENDED = "+15550901"
CLOSED = "+15550902"
PENNILESS = "+15550903"
INACTIVE = "+15550904"
DOWN = "+15550905"
SLOW = "+15550906"
RESCUED = "+15550907"
LOST = "+15550908"
SLOW_DOCUMENT = "/slow"
LATE_SECONDS = 50


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("failures")

    def account(digit: str, **facts: str) -> dict[str, str]:
        return {"sid": "AC" + digit * 32, "token": f"token-of-account-{digit}", "funds": "postpaid", **facts}

    accounts = {
        "asleep": account("1", status="suspended"),
        "gone": account("2", status="closed"),
        "poor": account("3", funds="prepaid"),
    }
    port, down = free_port(), free_port()  # nothing listens at the second
    address = {"account": "tester", "target": f"http://127.0.0.1:{port}/"}
    addresses: dict[str, Any] = {
        SUSPENDED: {**address, "account": "asleep"},
        CLOSED: {**address, "account": "gone"},
        PENNILESS: {**address, "account": "poor"},
        INACTIVE: {**address, "active": False},
        DOWN: {**address, "target": f"http://127.0.0.1:{down}/voice"},
        SLOW: {**address, "target": f"http://127.0.0.1:{port}{SLOW_DOCUMENT}#tt=1000"},
        RESCUED: {
            **address,
            "target": f"http://127.0.0.1:{port}/broken",
            "fallback": f"http://127.0.0.1:{port}/rescue",
        },
        LOST: {
            **address,
            "target": f"http://127.0.0.1:{port}/broken",
            "fallback": f"http://127.0.0.1:{port}/broken-too",
        },
    }
    fetch = {"allow_private": [f"127.0.0.1:{port}", f"127.0.0.1:{down}"]}
    async with open_stage(
        folder, documents_port=port, accounts=accounts, addresses=addresses, fetch=fetch
    ) as opened:
        yield opened


async def late(_: Asked) -> str:
    await asyncio.sleep(LATE_SECONDS)
    return "<Say>Nobody hears this.</Say>"


def loop(asked: Asked) -> web.Response:
    return web.Response(status=302, headers={"Location": asked.path})


BROKEN: list[tuple[str, Answer, int]] = [
    ("answers 500", lambda _: web.Response(status=500, text="out of order"), 11200),
    ("answers 404", lambda _: web.Response(status=404), 11200),
    ("is not XML", lambda _: web.Response(text="<Response><Say>", content_type="text/xml"), 12100),
    ("is of a wrong type", lambda _: web.Response(body=b"\x89PNG", content_type="image/png"), 12300),
    ("has another root", lambda _: web.Response(text="<Answer/>", content_type="text/xml"), 12102),
    ("is far too large", lambda _: web.Response(body=b" " * 10_000_000, content_type="text/xml"), 11750),
    ("redirects for ever", loop, 11215),
]


@pytest.mark.parametrize(("what", "answer", "code"), BROKEN, ids=[what for what, _, _ in BROKEN])
@heard_in_time
async def test_whoever_calls_a_module_that_fails_hears_it_and_its_developer_reads_it(
    stage: Stage, what: str, answer: Answer, code: int
) -> None:
    number = stage.number(answer)
    async with canary(stage) as unharmed:
        phone = await heard_an_apology(stage, number)
        await told_to_the_developer(stage, phone, number, code)
        assert await unharmed()


@heard_in_time
async def test_a_module_that_is_down_costs_its_caller_an_apology(stage: Stage) -> None:
    async with canary(stage) as unharmed:
        phone = await heard_an_apology(stage, DOWN)
        await told_to_the_developer(stage, phone, DOWN, 11202)
        assert await unharmed()


@heard_in_time
async def test_a_slow_module_is_given_up_when_its_time_is_over(stage: Stage) -> None:
    stage.documents.on(SLOW_DOCUMENT, late)
    async with canary(stage) as unharmed:
        phone = await heard_an_apology(stage, SLOW)
        await told_to_the_developer(stage, phone, SLOW, 11203)
        assert await unharmed()
    assert phone.story.answered_ms is not None
    assert 950 <= phone.story.answered_ms < 1000 * LATE_SECONDS


async def test_a_module_that_fails_in_the_middle_of_a_call_is_heard_to(stage: Stage) -> None:
    number = stage.number("<Say>First.</Say><Redirect>/vanished</Redirect>")
    phone = await heard_an_apology(stage, number)
    await told_to_the_developer(stage, phone, number, 11200)


async def test_a_loop_of_documents_is_ended_and_named(stage: Stage) -> None:
    number = stage.number("<Redirect/>")
    phone = await heard_an_apology(stage, number)
    await told_to_the_developer(stage, phone, number, 12400)
    assert len(stage.documents.requests(answer_path(number))) == 50


@heard_in_time
async def test_the_fallback_takes_over_and_is_told_what_failed(stage: Stage, tmp_path: Path) -> None:
    voice = write_tune(tmp_path / "rescue.wav", 61, 1000).read_bytes()
    stage.documents.on("/rescue.wav", lambda _: web.Response(body=voice, content_type="audio/wav"))
    stage.documents.on("/broken", lambda _: web.Response(status=503))
    stage.documents.on("/rescue", "<Play>/rescue.wav</Play>")
    async with stage.call(RESCUED) as phone:
        assert await phone.over(PATIENCE_SECONDS)
    (asked,) = stage.documents.requests("/rescue")
    assert asked.form["ErrorCode"] == "11200"
    assert asked.form["ErrorUrl"] == stage.documents.url("/broken")
    assert asked.form["To"] == RESCUED
    assert likeness(read(heard(phone)), tune(61, 1000)).score > 0.9
    assert_partitioned(await stage.session(phone.story.call_id))


async def test_a_fallback_that_fails_too_ends_in_words(stage: Stage) -> None:
    stage.documents.on("/broken", lambda _: web.Response(status=503))
    phone = await heard_an_apology(stage, LOST)
    sid = stage.documents.requests("/broken")[-1].form["CallSid"]
    codes = [notice["error_code"] for notice in await notices(stage, sid)]
    assert codes.count("11200") >= 2
    assert phone.story.talked_ms > 1000


async def test_audio_that_cannot_be_had_is_skipped_or_told(stage: Stage) -> None:
    """A Play that fails is an error of the document like any other: never silence without a word."""
    number = stage.number("<Play>/missing.wav</Play><Say>After it.</Say>")
    async with stage.call(number) as phone:
        assert await phone.over(PATIENCE_SECONDS)
    assert sounds_in(heard(phone))
    sid = stage.documents.requests(answer_path(number))[-1].form["CallSid"]
    assert "11200" in {notice["error_code"] for notice in await notices(stage, sid)}


# ---------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("number", "status", "rule"),
    [
        (SUSPENDED, 403, "account"),
        (CLOSED, 403, "account"),
        (PENNILESS, 402, "prepaid"),
        (INACTIVE, 480, "number"),
    ],
)
async def test_who_may_not_be_called_is_refused_before_answer_and_the_rule_is_named(
    stage: Stage, number: str, status: int, rule: str
) -> None:
    refusals = f'callrouter_policy_refusals_total{{rule="{rule}"}}'
    before = await stage.server.figure(refusals, unless_there=0)
    async with stage.phone() as phone:
        assert not await stage.dial(phone, number)
    assert phone.story.status == status
    assert phone.story.answered_ms is None
    assert await stage.server.figure(refusals) == before + 1


async def test_a_number_that_nobody_has_is_not_found(stage: Stage) -> None:
    async with stage.phone() as phone:
        assert not await stage.dial(phone, "+15559999")
    assert phone.story.status == 404


# ---------------------------------------------------------------------------------------- what is told


async def heard_an_apology(stage: Stage, number: str) -> Phone:
    async with stage.call(number) as phone:
        assert await phone.over(PATIENCE_SECONDS)
    spoken = sounds_in(heard(phone))
    assert sum(sound.to_ms - sound.from_ms for sound in spoken) > 800, "nothing was said"
    return phone


async def told_to_the_developer(stage: Stage, phone: Phone, number: str, code: int) -> None:
    """In Notifications, in the Events of the call, and in the figures."""
    call, *_ = await stage.server.calls(To=number)
    session = await stage.server.session(call["sid"])
    assert session["calls"][0]["status"] == "completed"
    assert_partitioned(session)
    found = await notices(stage, call["sid"])
    assert str(code) in {notice["error_code"] for notice in found}, found
    worst = next(notice for notice in found if notice["error_code"] == str(code))
    assert worst["message_text"]
    page = await stage.server.get(f"/2010-04-01/Accounts/{ACCOUNT}/Calls/{call['sid']}/Events.json")
    assert page["events"], "no request is shown"
    assert await stage.server.figure(f'callrouter_warnings_total{{code="{code}"}}') >= 1


async def notices(stage: Stage, sid: str) -> list[dict[str, Any]]:
    page = await stage.server.get(f"/2010-04-01/Accounts/{ACCOUNT}/Calls/{sid}/Notifications.json")
    found: list[dict[str, Any]] = page["notifications"]
    return found


# ---------------------------------------------------------------------------------------- beside it

_canaries = itertools.count(70)


@asynccontextmanager
async def canary(stage: Stage) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """A call beside the failing one; what is yielded tells whether it heard its whole tune."""
    seed = next(_canaries)
    voice = write_tune(stage.folder / f"canary-{seed}.wav", seed, 3000).read_bytes()
    path = f"/canary-{seed}.wav"
    stage.documents.on(path, lambda _: web.Response(body=voice, content_type="audio/wav"))
    number = stage.number(f"<Play>{path}</Play>")
    async with stage.call(number) as phone:

        async def unharmed() -> bool:
            assert await phone.over(PATIENCE_SECONDS)
            await phone.hangup()
            return likeness(read(heard(phone)), tune(seed, 3000)).score > 0.9

        yield unharmed


async def test_a_disk_that_takes_no_recording_ends_the_recording_and_not_the_call(stage: Stage) -> None:
    folder = stage.server.folder / "data" / "recordings" / ACCOUNT
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("in the way")
    number = stage.number(
        '<Record action="/not-kept" playBeep="false" recordingStatusCallback="/not-kept-told"/>'
    )
    stage.documents.on("/not-kept", '<Gather numDigits="1" action="/goes-on"/>')
    stage.documents.on("/not-kept-told", "")
    stage.documents.on("/goes-on", "<Hangup/>")
    async with stage.call(number) as phone:
        asked = await stage.documents.request("/not-kept")
        await asyncio.sleep(0.3)
        await phone.press("1")
        await stage.documents.request("/goes-on")
        assert await phone.over(5)
    folder.unlink()
    told = (await stage.documents.request("/not-kept-told")).form
    assert told["RecordingStatus"] == "failed"
    assert told["RecordingSid"] == asked.form["RecordingSid"]
    assert "RecordingDuration" not in told
    calls = await stage.server.calls(To=number)
    path = f"/2010-04-01/Accounts/{ACCOUNT}/Calls/{calls[0]['sid']}/Notifications.json"
    (notice,) = (await stage.server.get(path))["notifications"]
    assert notice["error_code"] == "12400"
    assert str(folder) in notice["message_text"]
