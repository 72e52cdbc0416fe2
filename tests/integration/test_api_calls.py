"""The Calls resource, driven by the official Python client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from callrouter.errors import CallError
from callrouter.ports import Hangup, MachineDetection, NewCall, Replace, Side
from metering.tables import charges
from tests.integration.api_bench import (
    CHILD,
    CLOSED,
    KEY,
    NOW_MS,
    OTHER,
    OWNER,
    Bench,
    call_row,
    call_sid,
    in_thread,
    serving,
)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with serving(tmp_path) as bench:
        yield bench


def client(bench: Bench, user: str = OWNER, password: str = "owner-token", account: str = OWNER) -> Client:
    made = Client(user, password, account)
    made.api.base_url = bench.base
    return made


async def refused(function: Any, *args: Any, **kwargs: Any) -> TwilioRestException:
    with pytest.raises(TwilioRestException) as raised:
        await in_thread(function, *args, **kwargs)
    return raised.value


async def test_create_orders_a_call_and_shows_it_queued(bench: Bench) -> None:
    made = await in_thread(
        client(bench).calls.create,
        to="+1 (555) 010-0100",
        from_="+15550199",
        url="https://example.com/voice",
        method="GET",
        fallback_url="https://example.com/fallback",
        status_callback="https://example.com/status",
        status_callback_event=["initiated", "answered completed"],
        timeout=30,
        time_limit=600,
        send_digits="1w23#",
        sip_auth_username="u",
        sip_auth_password="p",
    )
    assert bench.control.orders == [
        NewCall(
            account_sid=OWNER,
            to="+15550100100",
            from_="+15550199",
            target="https://example.com/voice",
            method="GET",
            fallback="https://example.com/fallback",
            status_callback="https://example.com/status",
            status_callback_events=frozenset({"initiated", "answered", "completed"}),
            timeout_seconds=30,
            time_limit_seconds=600,
            send_digits="1w23#",
            username="u",
            password="p",
        )
    ]
    assert (made.sid, made.status, made.direction) == (call_sid(1001), "queued", "outbound-api")
    assert made.to_formatted == "(555) 010-0100"
    assert made.date_created == datetime.fromtimestamp(NOW_MS / 1000, UTC)
    assert made.duration is made.price is made.start_time is None
    assert made.uri == f"/2010-04-01/Accounts/{OWNER}/Calls/{made.sid}.json"


@pytest.mark.parametrize(
    ("given", "target", "twiml"),
    [
        ({"twiml": "<Response/>"}, "", "<Response/>"),
        ({"url": "https://h/", "twiml": "<Response/>"}, "https://h/", ""),
        ({"application_sid": "AP" + "1" * 32, "url": "https://h/"}, "app:AP" + "1" * 32, ""),
        ({"url": "module:acme.menu?x=1"}, "module:acme.menu?x=1", ""),
    ],
)
async def test_instructions_come_from_one_source(
    bench: Bench, given: dict[str, str], target: str, twiml: str
) -> None:
    await in_thread(client(bench).calls.create, to="sip:bob@example.com", from_="client:alice", **given)
    order = bench.control.orders[0]
    assert (order.target, order.twiml, order.to, order.from_) == (
        target,
        twiml,
        "sip:bob@example.com",
        "client:alice",
    )


@pytest.mark.parametrize(
    ("order", "wanted"),
    [
        ({}, None),
        ({"machine_detection": "none"}, None),
        ({"machine_detection": "Enable", "send_digits": "1"}, None),
        (
            {"machine_detection": "Enable"},
            MachineDetection(is_awaited=True),
        ),
        (
            {
                "machine_detection": "DetectMessageEnd",
                "machine_detection_timeout": 12,
                "machine_detection_speech_threshold": 1000,
                "machine_detection_speech_end_threshold": 500,
                "machine_detection_silence_timeout": 2000,
                "async_amd": "true",
                "async_amd_status_callback": "https://example.com/amd",
                "async_amd_status_callback_method": "GET",
            },
            MachineDetection(True, 12, 1000, 500, 2000, False, "https://example.com/amd", "GET"),
        ),
    ],
)
async def test_machine_detection_is_ordered_with_its_thresholds(
    bench: Bench, order: dict[str, Any], wanted: MachineDetection | None
) -> None:
    await in_thread(client(bench).calls.create, to="+15550100", from_="+15550199", url="https://h/", **order)
    assert bench.control.orders[0].detection == wanted


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"to": ""}, 21201),
        ({"to": "bob smith"}, 21211),
        ({"to": "sip:alice@[fe80::1%25eth0]"}, 21211),
        ({"to": "sip:alice%0d%0aX@example.com"}, 21211),
        ({"to": "sip:alice@example.com?X-A=b%0d%0aEvil:%201"}, 21229),
        ({"to": "sip:alice@example.com", "sip_auth_username": "a" * 256}, 21221),
        ({"from_": ""}, 21213),
        ({"from_": "<script>"}, 21212),
        ({"from_": "sip:@example.com"}, 21212),
        ({"url": ""}, 21205),
        ({"url": "voice.xml"}, 21205),
        ({"url": "ftp://h/x"}, 21205),
        ({"url": "sip:alice@example.com:0"}, 21205),
        ({"fallback_url": "nowhere"}, 21205),
        ({"status_callback": "module:acme.menu"}, 21205),
        ({"method": "PUT"}, 21209),
        ({"timeout": 601}, 21208),
        ({"time_limit": 0}, 20422),
        ({"send_digits": "1" * 33}, 21206),
        ({"send_digits": "x"}, 21206),
        ({"url": "", "twiml": "x" * 4001}, 32018),
        ({"machine_detection": "Sometimes"}, 21234),
        ({"machine_detection": "Enable", "machine_detection_timeout": 2}, 21234),
        ({"machine_detection": "Enable", "machine_detection_speech_threshold": 999}, 21234),
        ({"machine_detection": "Enable", "machine_detection_speech_end_threshold": 5001}, 21234),
        ({"machine_detection": "Enable", "machine_detection_silence_timeout": "5s"}, 21234),
        ({"machine_detection": "Enable", "async_amd": "true", "async_amd_status_callback": "x"}, 21205),
        ({"application_sid": "AP1"}, 21218),
        ({"record": "maybe"}, 20422),
    ],
)
async def test_bad_parameter_is_refused_with_its_code(
    bench: Bench, changes: dict[str, Any], code: int
) -> None:
    good = {"to": "+15550100", "from_": "+15550199", "url": "https://h/"}
    error = await refused(client(bench).calls.create, **(good | changes))
    assert (error.status, error.code) == (400, code)
    assert bench.control.orders == []


async def test_refusal_of_call_control_reaches_the_client(bench: Bench) -> None:
    bench.control.error = CallError("the server is shutting down", code=20503, retryable=True)
    error = await refused(client(bench).calls.create, to="+1555", from_="+1556", twiml="<Response/>")
    assert (error.status, error.code) == (503, 20503)
    assert error.msg.endswith("the server is shutting down")


async def test_inactive_account_cannot_call(bench: Bench) -> None:
    closed = client(bench, CLOSED, "closed-token", CLOSED)
    error = await refused(closed.calls.create, to="+1555", from_="+1556", twiml="<Response/>")
    assert (error.status, error.code) == (403, 20005)


async def test_finished_call_shows_duration_price_and_dates(bench: Bench) -> None:
    await bench.add_calls(
        call_row(
            call_sid(1),
            direction="inbound",
            start_ms=NOW_MS + 2000,
            answered_ms=NOW_MS + 3000,
            end_ms=NOW_MS + 7600,
            parent_sid=call_sid(9),
            forwarded_from="+15550111",
        )
    )
    for key, micro in (("a", 150_000), ("b", 50_000)):
        await bench.database.write((charges.insert(), charge_row(key, call_sid(1), micro)))
    got = await in_thread(client(bench).calls(call_sid(1)).fetch)
    assert (got.status, got.duration, got.price, got.price_unit) == ("completed", "5", "-0.200", "USD")
    assert (got.parent_call_sid, got.forwarded_from, got.queue_time) == (call_sid(9), "+15550111", "2000")
    assert got.end_time == datetime.fromtimestamp((NOW_MS + 7000) // 1000, UTC)
    assert set(got.subresource_uris) == {"events", "notifications", "recordings"}


def charge_row(key: str, call: str, micro: int, account: str = OWNER) -> dict[str, Any]:
    return {
        "key": key,
        "call_sid": call,
        "session_sid": call,
        "account_sid": account,
        "key_number": "+15550100",
        "module": "acme.menu",
        "owner": "acme",
        "mode": "application",
        "plan": "p",
        "plan_version": 1,
        "status": "rated",
        "start_ms": NOW_MS,
        "duration_ms": 1,
        "billed_ms": 1,
        "amount_micro": micro,
        "currency": "USD",
        "exact": "1",
        "detail": "{}",
    }


async def test_list_pages_from_newest_to_oldest_without_gap_or_repetition(bench: Bench) -> None:
    await bench.add_calls(*(call_row(call_sid(n), created_ms=NOW_MS + n // 2) for n in range(7)))
    seen = await in_thread(client(bench).calls.list, page_size=3)
    assert [call.sid for call in seen] == [call_sid(n) for n in reversed(range(7))]
    limited = await in_thread(client(bench).calls.list, limit=4, page_size=3)
    assert len(limited) == 4


async def test_pages_stay_put_when_new_calls_arrive_and_lead_back(bench: Bench) -> None:
    await bench.add_calls(*(call_row(call_sid(n), created_ms=NOW_MS + n) for n in range(6)))
    calls = client(bench).calls
    first = await in_thread(calls.page, page_size=2)
    assert [call.sid for call in first] == [call_sid(5), call_sid(4)]
    await bench.add_calls(call_row(call_sid(9), created_ms=NOW_MS + 9))
    second = await in_thread(first.next_page)
    assert [call.sid for call in second] == [call_sid(3), call_sid(2)]
    third = await in_thread(second.next_page)
    assert third.next_page_url is None
    back = await in_thread(third.previous_page)
    assert [call.sid for call in back] == [call_sid(3), call_sid(2)]
    again = await in_thread(back.next_page)
    assert [call.sid for call in again] == [call_sid(1), call_sid(0)]


async def test_empty_list_is_a_page(bench: Bench) -> None:
    assert await in_thread(client(bench).calls.list) == []


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"to": "+15550111"}, {2}),
        ({"from_": "+15550122"}, {3}),
        ({"status": "in-progress"}, {2}),
        ({"status": "queued"}, {4}),
        ({"parent_call_sid": call_sid(1)}, {3}),
        ({"start_time": datetime(2023, 11, 14, tzinfo=UTC).date()}, {1}),
        ({"start_time_after": datetime(2023, 11, 15, tzinfo=UTC)}, {2, 3}),
        ({"start_time_before": datetime(2023, 11, 15, tzinfo=UTC)}, {1}),
        ({"end_time_after": datetime(2023, 11, 15, tzinfo=UTC)}, {3}),
    ],
)
async def test_list_filters(bench: Bench, filters: dict[str, Any], expected: set[int]) -> None:
    day = 86_400_000
    await bench.add_calls(
        call_row(call_sid(1), start_ms=NOW_MS, end_ms=NOW_MS),
        call_row(call_sid(2), start_ms=NOW_MS + day, status="in-progress", to="+15550111"),
        call_row(
            call_sid(3),
            start_ms=NOW_MS + 2 * day,
            end_ms=NOW_MS + 2 * day,
            from_="+15550122",
            parent_sid=call_sid(1),
        ),
        call_row(call_sid(4), status="initiated"),
    )
    found = await in_thread(client(bench).calls.list, **filters)
    assert {int(call.sid[2:], 16) for call in found} == expected


@pytest.mark.parametrize(
    ("filters", "code"),
    [
        ({"page_size": 1001}, 20007),
        ({"page_size": -1}, 20007),
        ({"page_token": "PAnonsense"}, 21481),
        ({"status": "asleep"}, 20422),
    ],
)
async def test_bad_list_parameters_are_refused(bench: Bench, filters: dict[str, Any], code: int) -> None:
    with pytest.raises(Exception, match=str(code)) as raised:
        await in_thread(client(bench).calls.page, **filters)
    assert "400" in str(raised.value)


async def test_update_with_url_replaces_the_running_document(bench: Bench) -> None:
    await bench.add_calls(call_row(call_sid(1), status="in-progress"))
    bench.control.lives[call_sid(1)] = "in-progress"
    got = await in_thread(
        client(bench).calls(call_sid(1)).update, url="https://h/new", method="GET", fallback_url="https://h/f"
    )
    assert got.status == "in-progress"
    assert bench.control.causes == [
        (call_sid(1), Replace(target="https://h/new", method="GET", fallback="https://h/f"))
    ]
    await in_thread(client(bench).calls(call_sid(1)).update, twiml="<Response/>")
    assert bench.control.causes[1] == (call_sid(1), Replace(twiml="<Response/>"))


async def test_status_completed_ends_a_call_and_the_answer_shows_it(bench: Bench) -> None:
    await bench.add_calls(call_row(call_sid(1), status="ringing"))
    bench.control.lives[call_sid(1)] = "ringing"
    got = await in_thread(client(bench).calls(call_sid(1)).update, status="completed")
    assert got.status == "completed"
    assert bench.control.causes == [(call_sid(1), Hangup(Side.US, "ended through the API"))]


@pytest.mark.parametrize(("live", "after"), [("ringing", "canceled"), ("in-progress", "in-progress")])
async def test_status_canceled_ends_only_calls_nobody_has_answered(
    bench: Bench, live: str, after: str
) -> None:
    await bench.add_calls(call_row(call_sid(1), status=live))
    bench.control.lives[call_sid(1)] = live
    got = await in_thread(client(bench).calls(call_sid(1)).update, status="canceled")
    assert got.status == after
    assert bench.control.cancelled == [call_sid(1)]


@pytest.mark.parametrize(
    ("stored", "live", "change"),
    [
        ("completed", None, {"url": "https://h/"}),
        ("completed", None, {"status": "completed"}),
        ("completed", None, {"status": "canceled"}),
        ("ringing", "ringing", {"twiml": "<Response/>"}),
        ("in-progress", "completed", {"status": "completed"}),
    ],
)
async def test_change_in_the_wrong_state_is_refused_with_21220(
    bench: Bench, stored: str, live: str | None, change: dict[str, str]
) -> None:
    await bench.add_calls(call_row(call_sid(1), status=stored))
    if live:
        bench.control.lives[call_sid(1)] = live
    error = await refused(client(bench).calls(call_sid(1)).update, **change)
    assert (error.status, error.code) == (400, 21220)
    assert bench.control.causes == []


async def test_only_a_call_that_is_over_can_be_deleted(bench: Bench) -> None:
    await bench.add_calls(call_row(call_sid(1)), call_row(call_sid(2), status="in-progress"))
    calls = client(bench).calls
    assert await in_thread(calls(call_sid(1)).delete) is True
    assert (await refused(calls(call_sid(1)).fetch)).code == 20404
    assert (await refused(calls(call_sid(2)).delete)).code == 20009


@pytest.mark.parametrize(
    ("user", "password", "account", "status", "code"),
    [
        (OWNER, "wrong", OWNER, 401, 20003),
        (OWNER, "", OWNER, 401, 20003),
        (OWNER, "ü" * 200, OWNER, 401, 20003),
        ("AC" + "9" * 32, "owner-token", OWNER, 401, 20003),
        (OTHER, "other-token", OWNER, 404, 20404),
        (CHILD, "child-token", OWNER, 404, 20404),
    ],
)
async def test_calls_of_an_account_are_for_those_who_may_act_for_it(
    bench: Bench, user: str, password: str, account: str, status: int, code: int
) -> None:
    await bench.add_calls(call_row(call_sid(1)))
    stranger = client(bench, user, password, account)
    error = await refused(stranger.calls(call_sid(1)).fetch)
    assert (error.status, error.code) == (status, code)


async def test_call_of_another_account_is_not_found_under_ones_own(bench: Bench) -> None:
    await bench.add_calls(call_row(call_sid(1), OTHER))
    bench.control.lives[call_sid(1)] = "in-progress"
    own = client(bench).calls
    for attempt in (own(call_sid(1)).fetch, own(call_sid(1)).delete):
        assert (await refused(attempt)).code == 20404
    assert (await refused(own(call_sid(1)).update, status="completed")).code == 20404
    assert await in_thread(own.list) == []
    assert bench.control.causes == []


async def test_keys_and_parents_may_use_an_account(bench: Bench) -> None:
    await bench.add_calls(call_row(call_sid(1)), call_row(call_sid(2), CHILD))
    with_key = client(bench, KEY, "key-secret", OWNER)
    assert (await in_thread(with_key.calls(call_sid(1)).fetch)).sid == call_sid(1)
    parent = client(bench)
    parent_view = await in_thread(parent.api.v2010.accounts(CHILD).calls.list)
    assert [call.sid for call in parent_view] == [call_sid(2)]


async def test_account_shows_its_token_to_itself_but_not_to_a_key(bench: Bench) -> None:
    own = await in_thread(client(bench).api.v2010.accounts(OWNER).fetch)
    assert (own.friendly_name, own.status, own.auth_token) == ("Owner Ltd", "active", "owner-token")
    keyed = await in_thread(client(bench, KEY, "key-secret", OWNER).api.v2010.accounts(OWNER).fetch)
    assert keyed.auth_token is None
    visible = await in_thread(client(bench).api.v2010.accounts.list)
    assert {account.sid for account in visible} == {OWNER, CHILD}
