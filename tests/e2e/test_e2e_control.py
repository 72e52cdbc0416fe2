"""Control that changes hands in the middle: by REST, by whoever hangs up first, by the server's end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from twilio.rest import Client

from callrouter.caller.answering import Manner
from callrouter.caller.voice import write_hum
from tests.e2e.books import Books
from tests.e2e.rest_client import Elsewhere
from tests.e2e.server import ACCOUNT, TOKEN
from tests.e2e.sipp import SIPP, Sipp
from tests.e2e.stage import Desk, Stage, desk, open_stage
from tests.e2e.tracks import assert_partitioned, modules

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    media = {"rtp_timeout_seconds": 3}
    async with open_stage(tmp_path_factory.mktemp("control"), media=media) as opened:
        yield opened


@pytest.fixture
def client(stage: Stage) -> Client:
    return Client(ACCOUNT, TOKEN, http_client=Elsewhere(stage.server.api))


@pytest_asyncio.fixture(loop_scope="module")
async def talker(tmp_path: Path) -> AsyncIterator[Desk]:
    """Picks up and talks for longer than any test."""
    write_hum(tmp_path / "talk.wav", 30_000)
    async with desk(tmp_path / "talker", Manner(tmp_path / "talk.wav", ring_seconds=0.2)) as opened:
        yield opened


async def joined(desk: Desk) -> None:
    async with asyncio.timeout(5):
        while not any(taken.answered_ns for taken in desk.answering.taken):
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)


async def sids(stage: Stage, number: str) -> tuple[str, str]:
    """The caller's call and the one it dialled."""
    (root,) = await stage.server.calls(To=number)
    (child,) = await stage.server.calls(ParentCallSid=root["sid"])
    return root["sid"], child["sid"]


async def test_a_caller_taken_out_of_a_bridge_goes_on_and_the_other_is_hung_up(
    stage: Stage, client: Client, talker: Desk
) -> None:
    number = stage.number(f'<Dial action="/not-asked"><Sip>{talker.uri}</Sip></Dial>')
    stage.documents.on("/elsewhere", "<Say>You are elsewhere now.</Say>")
    async with stage.call(number) as phone:
        await joined(talker)
        root, _ = await sids(stage, number)
        await asyncio.to_thread(client.calls(root).update, url=stage.documents.url("/elsewhere"))
        await stage.documents.request("/elsewhere", seconds=3)
        await asyncio.wait_for(talker.answering.finished(), 2)
        assert await phone.over(10)
    assert not stage.documents.requests("/not-asked")
    session = await stage.session(phone.story.call_id)
    assert_partitioned(session)
    assert modules(session["calls"][0])[-1] == ("tester.self", "application")


async def test_a_callee_given_a_document_leaves_the_bridge_for_a_session_of_its_own(
    stage: Stage, client: Client, talker: Desk
) -> None:
    number = stage.number(f'<Dial action="/left-alone"><Sip>{talker.uri}</Sip></Dial>')
    stage.documents.on("/left-alone", "<Say>Your partner has gone.</Say>")
    stage.documents.on("/alone", '<Say loop="0">Only for the agent.</Say>')
    async with stage.call(number) as phone:
        await joined(talker)
        root, child = await sids(stage, number)
        await asyncio.to_thread(client.calls(child).update, url=stage.documents.url("/alone"))
        asked = await stage.documents.request("/left-alone", seconds=3)
        await stage.documents.request("/alone", seconds=3)
        assert await phone.over(10)
        assert not talker.answering.taken[0].ended_ns
        await asyncio.to_thread(client.calls(child).update, status="completed")
        await asyncio.wait_for(talker.answering.finished(), 2)
    assert asked.form["DialCallStatus"] == "completed"
    assert "DialCallDuration" not in asked.form
    own = await stage.server.session(child)
    assert own["calls"][0]["split_from"] == root
    assert_partitioned(await stage.server.session(root))
    books = Books(stage.server.folder / "data")
    track = books.tracks()[child]
    assert track[0]["session_sid"] == root
    assert track[-1]["session_sid"] == child
    assert track[-1]["driven_by"] == ""


async def test_a_caller_who_gives_up_while_it_rings_cancels_the_other_call(
    stage: Stage, tmp_path: Path
) -> None:
    write_hum(tmp_path / "hum.wav", 500)
    async with desk(tmp_path / "slow", Manner(tmp_path / "hum.wav", ring_seconds=20)) as slow:
        number = stage.number(f'<Dial action="/gave-up"><Sip>{slow.uri}</Sip></Dial>')
        stage.documents.on("/gave-up", "<Say>Nobody hears this.</Say>")
        async with stage.call(number) as phone:
            await asyncio.sleep(1)
            await phone.hangup()
            lost = await asyncio.wait_for(slow.answering.finished(), 2)
        asked = await stage.documents.request("/gave-up", seconds=3)
    assert lost.answered_ns == 0
    assert asked.form["DialCallStatus"] == "canceled"
    assert asked.form["CallStatus"] == "completed"
    session = await stage.session(phone.story.call_id)
    assert_partitioned(session)
    assert [call["status"] for call in session["calls"]] == ["completed", "canceled"]


async def test_a_dial_that_nobody_takes_goes_on_to_the_next_verb(stage: Stage, tmp_path: Path) -> None:
    write_hum(tmp_path / "hum.wav", 500)
    async with desk(tmp_path / "slow", Manner(tmp_path / "hum.wav", ring_seconds=30)) as slow:
        number = stage.number(f'<Dial timeout="5"><Sip>{slow.uri}</Sip></Dial><Redirect>/nobody</Redirect>')
        stage.documents.on("/nobody", "<Hangup/>")
        async with stage.call(number) as phone:
            await stage.documents.request("/nobody", seconds=13)
            await asyncio.wait_for(slow.answering.finished(), 2)
            assert await phone.over(5)
    session = await stage.session(phone.story.call_id)
    assert [call["status"] for call in session["calls"]] == ["completed", "no-answer"]


async def test_one_after_the_other_is_tried_until_somebody_answers(
    stage: Stage, talker: Desk, tmp_path: Path
) -> None:
    write_hum(tmp_path / "hum.wav", 500)
    async with desk(tmp_path / "busy", Manner(tmp_path / "hum.wav", refuse=486)) as busy:
        number = stage.number(f'<Dial sequential="true"><Sip>{busy.uri}</Sip><Sip>{talker.uri}</Sip></Dial>')
        async with stage.call(number) as phone:
            await joined(talker)
            await phone.hangup()
            await asyncio.wait_for(talker.answering.finished(), 2)
    session = await stage.session(phone.story.call_id)
    assert_partitioned(session)
    assert [call["status"] for call in session["calls"]] == ["completed", "busy", "completed"]


async def test_the_progress_of_a_dialled_call_is_told_in_order(stage: Stage, tmp_path: Path) -> None:
    write_hum(tmp_path / "hum.wav", 1000)
    stage.documents.on("/child", "")
    async with desk(tmp_path / "desk", Manner(tmp_path / "hum.wav", ring_seconds=0.4)) as agent:
        number = stage.number(
            '<Dial><Sip statusCallback="/child" statusCallbackEvent="initiated ringing answered completed">'
            f"{agent.uri}</Sip></Dial>"
        )
        async with stage.call(number) as phone:
            assert await phone.over(10)
    await stage.documents.request("/child", number=4, seconds=5)
    told = stage.documents.requests("/child")
    assert [one.form["CallStatus"] for one in told] == ["initiated", "ringing", "in-progress", "completed"]
    assert len({one.form["CallSid"] for one in told}) == 1
    assert told[0].form["ParentCallSid"] != told[0].form["CallSid"]


async def test_a_callee_who_hangs_up_in_the_whisper_is_not_connected(stage: Stage, tmp_path: Path) -> None:
    write_hum(tmp_path / "hum.wav", 500)
    stage.documents.on("/decline", '<Gather timeout="1"/><Hangup/>')
    async with desk(
        tmp_path / "desk", Manner(tmp_path / "hum.wav", ring_seconds=0.1, hang_up=False)
    ) as agent:
        number = stage.number(
            f'<Dial action="/declined"><Sip url="/decline">{agent.uri}</Sip></Dial><Say>Not this.</Say>'
        )
        stage.documents.on("/declined", "<Hangup/>")
        async with stage.call(number) as phone:
            asked = await stage.documents.request("/declined", seconds=6)
            assert await phone.over(5)
            await asyncio.wait_for(agent.answering.finished(), 2)
    assert asked.form["DialBridged"] == "false"
    session = await stage.session(phone.story.call_id)
    assert_partitioned(session)
    assert ("platform.bridge", "bridge") not in modules(session["calls"][0])


async def test_a_recording_that_is_ended_by_rest_is_kept(stage: Stage, client: Client) -> None:
    number = stage.number('<Record action="/recorded-rest" playBeep="false"/>')
    stage.documents.on("/recorded-rest", "<Hangup/>")
    async with stage.call(number) as phone:
        await asyncio.sleep(1.5)
        (call,) = await stage.server.calls(To=number)
        await asyncio.to_thread(client.calls(call["sid"]).update, status="completed")
        assert await phone.over(2)
    asked = await stage.documents.request("/recorded-rest", seconds=3)
    assert asked.form["RecordingUrl"]
    (recording,) = await asyncio.to_thread(client.recordings.list, call_sid=call["sid"])
    assert recording.status == "completed"


@pytest.mark.skipif(SIPP is None, reason="SIPp is not installed (Debian: sip-tester)")
async def test_a_caller_that_sends_no_audio_for_too_long_is_hung_up(stage: Stage, tmp_path: Path) -> None:
    """Its network has gone: no BYE would come, and nobody shall pay for it.  (SIPp sends no RTP.)"""
    number = stage.number('<Say loop="0">Are you still there?</Say>')
    await Sipp("hears_out", stage.server.sip, tmp_path / "sipp", number=number, seconds=15).run()
    (call,) = await stage.server.calls(To=number)
    session = await stage.server.session(call["sid"])
    assert_partitioned(session)
    talked = session["calls"][0]["intervals"][-1]
    assert 2900 <= talked["duration_ms"] <= 5000


async def test_a_server_that_is_told_to_stop_hangs_up_and_takes_no_more(
    tmp_path: Path,
) -> None:
    async with open_stage(tmp_path, calls={"drain_seconds": 2}) as stage:
        number = stage.number('<Say loop="0">This never ends.</Say>')
        async with stage.call(number) as phone, stage.phone() as late:
            stopping = asyncio.create_task(stage.server.stop())
            await asyncio.sleep(0.5)
            assert not await stage.dial(late, number)
            assert late.story.status == 503
            assert not phone.story.ended_ms
            assert await phone.over(4)
            assert await stopping == 0
        Books(stage.server.folder / "data").assert_closed()
