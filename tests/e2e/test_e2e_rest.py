"""The official Python client drives real calls: creates, reads, redirects, completes, cancels them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_asyncio
from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from twilio.rest.api.v2010.account.call import CallInstance
from twilio.twiml.voice_response import VoiceResponse

from callrouter.caller.answering import Manner
from callrouter.caller.hearing import sounds_in
from callrouter.caller.voice import write_hum
from tests.e2e.documents import Asked, Documents
from tests.e2e.rest_client import Elsewhere
from tests.e2e.server import ACCOUNT, TOKEN
from tests.e2e.stage import NUMBERS, Desk, Stage, desk, heard_in_time, open_stage
from tests.e2e.tracks import assert_partitioned, modules
from tests.e2e.tune import likeness, read, tune, write_tune
from tests.patience import PATIENCE_SECONDS

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]
T = TypeVar("T")
ALL_EVENTS = ["initiated", "ringing", "answered", "completed"]
OWN = NUMBERS[0]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with open_stage(tmp_path_factory.mktemp("rest")) as opened:
        yield opened


@pytest.fixture
def client(stage: Stage) -> Client:
    return Client(ACCOUNT, TOKEN, http_client=Elsewhere(stage.server.api))


@pytest_asyncio.fixture(loop_scope="module")
async def listener(tmp_path: Path) -> AsyncIterator[Desk]:
    """Picks up after 0.4 s, says nothing for long, and stays until it is hung up on."""
    write_tune(tmp_path / "voice.wav", 51, 1200)
    manner = Manner(tmp_path / "voice.wav", ring_seconds=0.4, hang_up=False)
    async with desk(tmp_path / "listener", manner) as opened:
        yield opened


async def ask(function: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """The official client blocks."""
    return await asyncio.to_thread(function, *arguments, **named)


async def status_becomes(client: Client, sid: str, wanted: str) -> CallInstance:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            call = await ask(client.calls(sid).fetch)
            if call.status == wanted:
                return call
            await asyncio.sleep(0.05)


def said(*sentences: str) -> str:
    response = VoiceResponse()
    for sentence in sentences:
        response.say(sentence)
    return str(response)


def told(documents: Documents, path: str, sid: str) -> list[Asked]:
    return [asked for asked in documents.requests(path) if asked.form["CallSid"] == sid]


async def test_a_call_by_url_runs_its_document_and_tells_of_every_step_in_order(
    stage: Stage, client: Client, listener: Desk
) -> None:
    stage.documents.on("/greet", "<Say>Hello.</Say>")
    stage.documents.on("/progress", "")
    call = await ask(
        client.calls.create,
        to=listener.uri,
        from_=OWN,
        url=stage.documents.url("/greet?who=you"),
        status_callback=stage.documents.url("/progress?id=7"),
        status_callback_event=ALL_EVENTS,
    )
    assert call.sid.startswith("CA")
    assert call.direction == "outbound-api"
    assert call.status in {"queued", "ringing"}
    assert (call.to, call._from) == (listener.uri, OWN)
    taken = await asyncio.wait_for(listener.answering.finished(), PATIENCE_SECONDS)
    assert taken.heard
    asked = await stage.documents.request("/greet")
    assert asked.form["CallSid"] == call.sid
    assert asked.form["CallStatus"] == "in-progress"
    assert asked.form["Direction"] == "outbound-api"
    assert asked.form["AccountSid"] == ACCOUNT
    await stage.documents.request("/progress", number=4)
    progress = stage.documents.requests("/progress")
    assert [one.form["CallStatus"] for one in progress] == [
        "initiated",
        "ringing",
        "in-progress",
        "completed",
    ]
    assert [one.form["SequenceNumber"] for one in progress] == ["0", "1", "2", "3"]
    assert {one.form["CallSid"] for one in progress} == {call.sid}
    validator = RequestValidator(TOKEN)
    for one in (asked, *progress):
        assert validator.validate(one.url, one.form, one.headers["X-Twilio-Signature"]), one
    done = await status_becomes(client, call.sid, "completed")
    assert int(done.duration) == int(progress[-1].form["CallDuration"])
    assert done.date_created <= done.start_time <= done.end_time
    session = await stage.server.session(call.sid)
    assert_partitioned(session)
    assert modules(session["calls"][0]) == [("tester.self", "setup"), ("tester.self", "application")]


async def test_a_call_by_twiml_needs_no_module_server(stage: Stage, client: Client, listener: Desk) -> None:
    call = await ask(client.calls.create, to=listener.uri, from_=OWN, twiml=said("Hello and goodbye."))
    taken = await asyncio.wait_for(listener.answering.finished(), PATIENCE_SECONDS)
    assert sum(sound.to_ms - sound.from_ms for sound in taken.heard) > 500
    await status_becomes(client, call.sid, "completed")
    assert not [asked for asked in stage.documents.asked if asked.form["CallSid"] == call.sid]


async def test_a_live_call_is_redirected_by_url_and_by_twiml_and_completed(
    stage: Stage, client: Client, listener: Desk, tmp_path: Path
) -> None:
    endless = '<Say loop="0">This goes on and on.</Say>'
    stage.documents.on("/second", endless)
    call = await ask(client.calls.create, to=listener.uri, from_=OWN, twiml=f"<Response>{endless}</Response>")
    await status_becomes(client, call.sid, "in-progress")
    await ask(client.calls(call.sid).update, url=stage.documents.url("/second"), method="GET")
    asked = await stage.documents.request("/second")
    assert asked.method == "GET"
    assert asked.form["CallSid"] == call.sid
    updated = await ask(client.calls(call.sid).update, twiml=f"<Response>{endless}</Response>")
    assert updated.status == "in-progress"
    await asyncio.sleep(0.5)
    ended = await ask(client.calls(call.sid).update, status="completed")
    assert ended.status == "completed"
    taken = await asyncio.wait_for(listener.answering.finished(), PATIENCE_SECONDS)
    assert taken.heard
    session = await stage.server.session(call.sid)
    assert_partitioned(session)
    assert session["calls"][0]["status"] == "completed"


async def test_a_ringing_call_is_canceled_and_an_answered_one_is_not(
    stage: Stage, client: Client, listener: Desk, tmp_path: Path
) -> None:
    write_hum(tmp_path / "hum.wav", 500)
    stage.documents.on("/canceled", "")
    async with desk(tmp_path / "slow", Manner(tmp_path / "hum.wav", ring_seconds=120)) as slow:
        call = await ask(
            client.calls.create,
            to=slow.uri,
            from_=OWN,
            twiml=said("Nobody hears this."),
            status_callback=stage.documents.url("/canceled"),
        )
        await status_becomes(client, call.sid, "ringing")
        canceled = await ask(client.calls(call.sid).update, status="canceled")
        assert canceled.status == "canceled"
        lost = await asyncio.wait_for(slow.answering.finished(), PATIENCE_SECONDS)
        assert lost.answered_ns == 0
    asked = await stage.documents.request("/canceled")
    assert asked.form["CallStatus"] == "canceled"
    up = await ask(
        client.calls.create, to=listener.uri, from_=OWN, twiml='<Response><Pause length="120"/></Response>'
    )
    await status_becomes(client, up.sid, "in-progress")
    assert (await ask(client.calls(up.sid).update, status="canceled")).status == "in-progress"
    assert (await ask(client.calls(up.sid).update, status="completed")).status == "completed"


@pytest.mark.parametrize(("refusal", "status"), [(486, "busy"), (404, "failed"), (480, "no-answer")])
async def test_a_call_nobody_takes_says_why(
    stage: Stage, client: Client, tmp_path: Path, refusal: int, status: str
) -> None:
    write_hum(tmp_path / "hum.wav", 500)
    path = f"/nobody-{refusal}"
    stage.documents.on(path, "")
    async with desk(tmp_path / "no", Manner(tmp_path / "hum.wav", refuse=refusal)) as refusing:
        call = await ask(
            client.calls.create,
            to=refusing.uri,
            from_=OWN,
            twiml=said("Nobody hears this."),
            status_callback=stage.documents.url(path),
        )
        asked = await stage.documents.request(path)
    assert asked.form["CallStatus"] == status
    assert asked.form["SipResponseCode"] == str(refusal)
    done = await status_becomes(client, call.sid, status)
    assert int(done.duration) == 0
    assert_partitioned(await stage.server.session(call.sid))


async def test_a_call_that_rings_for_too_long_is_not_answered(
    stage: Stage, client: Client, tmp_path: Path
) -> None:
    write_hum(tmp_path / "hum.wav", 500)
    async with desk(tmp_path / "slow", Manner(tmp_path / "hum.wav", ring_seconds=120)) as slow:
        call = await ask(client.calls.create, to=slow.uri, from_=OWN, twiml=said("Hm."), timeout=2)
        await asyncio.wait_for(slow.answering.finished(), PATIENCE_SECONDS)
        await status_becomes(client, call.sid, "no-answer")


async def test_the_list_of_calls_comes_in_pages(stage: Stage, client: Client) -> None:
    number = stage.number("<Hangup/>")
    for _ in range(5):
        async with stage.call(number) as phone:
            assert await phone.over(PATIENCE_SECONDS)
        await stage.session(phone.story.call_id)
    page = await ask(client.calls.page, to=number, page_size=3)
    first = list(page)
    assert len(first) == 3
    second = await ask(page.next_page)
    rest = list(second)
    assert len(rest) == 2
    assert second.next_page_url is None
    whole = await ask(client.calls.list, to=number, page_size=2)
    assert [call.sid for call in whole] == [call.sid for call in (*first, *rest)]
    assert len({call.sid for call in whole}) == 5
    assert {call.status for call in whole} == {"completed"}
    assert {call.direction for call in whole} == {"inbound"}


@heard_in_time
async def test_a_recorded_call_can_be_listened_to_by_its_url(
    stage: Stage, client: Client, listener: Desk, tmp_path: Path
) -> None:
    stage.documents.on("/taped", "<Hangup/>")
    call = await ask(
        client.calls.create,
        to=listener.uri,
        from_=OWN,
        twiml='<Response><Record timeout="2" playBeep="false" trim="do-not-trim"'
        f' action="{stage.documents.url("/taped")}"/></Response>',
    )
    await status_becomes(client, call.sid, "completed")
    (recording,) = await ask(client.recordings.list, call_sid=call.sid)
    assert recording.status == "completed"
    assert int(recording.duration) >= 1
    audio = tmp_path / "tape.wav"
    audio.write_bytes(await stage.server.bytes(recording.uri.replace(".json", ".wav")))
    assert sounds_in(audio)
    assert likeness(read(audio), tune(51, 1200)).score > 0.9


async def test_orders_that_make_no_sense_are_refused_with_the_field_codes(
    stage: Stage, client: Client
) -> None:
    async def refused(**order: Any) -> TwilioRestException:
        with pytest.raises(TwilioRestException) as caught:
            await ask(client.calls.create, **order)
        return caught.value

    assert (await refused(to="sip:a@127.0.0.1", from_=OWN)).code == 21205
    assert (await refused(to="", from_=OWN, twiml="<Response/>")).code == 21201
    assert (await refused(to="sip:a@127.0.0.1", from_="", twiml="<Response/>")).code in {21212, 21213}
    wrong = Client(ACCOUNT, "not-the-token-at-all", http_client=Elsewhere(stage.server.api))
    with pytest.raises(TwilioRestException) as caught:
        await ask(wrong.calls("CA" + "0" * 32).fetch)
    assert (caught.value.status, caught.value.code) == (401, 20003)
    with pytest.raises(TwilioRestException) as caught:
        await ask(client.calls("CA" + "0" * 32).fetch)
    assert (caught.value.status, caught.value.code) == (404, 20404)


async def test_a_number_without_a_trunk_fails_and_the_developer_reads_why(
    stage: Stage, client: Client
) -> None:
    call = await ask(client.calls.create, to="+15557654321", from_=OWN, twiml=said("Hm."))
    done = await status_becomes(client, call.sid, "failed")
    notices = await ask(client.calls(done.sid).notifications.list)
    assert any("trunk" in notice.message_text for notice in notices)
