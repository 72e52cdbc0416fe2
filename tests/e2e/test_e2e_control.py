"""Control that changes hands in the middle: by REST, by whoever hangs up first, by the server's end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from twilio.rest import Client

from callrouter.caller.answering import Manner
from callrouter.caller.story import EndedBy
from callrouter.caller.voice import write_hum
from tests.e2e.books import Books
from tests.e2e.rest_client import Elsewhere
from tests.e2e.server import ACCOUNT, TOKEN
from tests.e2e.sipp import SIPP, Sipp
from tests.e2e.stage import Desk, Stage, desk, open_stage
from tests.e2e.tracks import assert_partitioned, modules
from tests.patience import PATIENCE_SECONDS, until

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with open_stage(tmp_path_factory.mktemp("control")) as opened:
        yield opened


@pytest.fixture
def client(stage: Stage) -> Client:
    return Client(ACCOUNT, TOKEN, http_client=Elsewhere(stage.server.api))


@pytest_asyncio.fixture(loop_scope="module")
async def talker(tmp_path: Path) -> AsyncIterator[Desk]:
    """Picks up, talks, and stays until it is hung up on."""
    write_hum(tmp_path / "talk.wav", 30_000)
    manner = Manner(tmp_path / "talk.wav", ring_seconds=0.2, hang_up=False)
    async with desk(tmp_path / "talker", manner) as opened:
        yield opened


async def joined(stage: Stage, number: str) -> tuple[str, str]:
    """The caller's call and the one it dialled, once they are connected."""
    (root,) = await stage.server.calls(To=number)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            session = await stage.server.get(f"/v1/sessions/{root['sid']}")
            held = modules(session["calls"][0])
            if held and held[-1] == ("platform.bridge", "bridge"):
                return root["sid"], session["calls"][-1]["sid"]
            await asyncio.sleep(0.05)


async def test_a_caller_taken_out_of_a_bridge_goes_on_and_the_other_is_hung_up(
    stage: Stage, client: Client, talker: Desk
) -> None:
    number = stage.number(f'<Dial action="/not-asked"><Sip>{talker.uri}</Sip></Dial>')
    stage.documents.on("/elsewhere", "<Say>You are elsewhere now.</Say>")
    async with stage.call(number) as phone:
        root, _ = await joined(stage, number)
        await asyncio.to_thread(client.calls(root).update, url=stage.documents.url("/elsewhere"))
        await stage.documents.request("/elsewhere")
        await asyncio.wait_for(talker.answering.finished(), PATIENCE_SECONDS)
        assert await phone.over(PATIENCE_SECONDS)
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
        root, child = await joined(stage, number)
        await asyncio.to_thread(client.calls(child).update, url=stage.documents.url("/alone"))
        asked = await stage.documents.request("/left-alone")
        await stage.documents.request("/alone")
        assert await phone.over(PATIENCE_SECONDS)
        assert not talker.answering.taken[0].ended_ns
        await asyncio.to_thread(client.calls(child).update, status="completed")
        await asyncio.wait_for(talker.answering.finished(), PATIENCE_SECONDS)
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
    async with desk(tmp_path / "slow", Manner(tmp_path / "hum.wav", ring_seconds=120)) as slow:
        number = stage.number(f'<Dial action="/gave-up"><Sip>{slow.uri}</Sip></Dial>')
        stage.documents.on("/gave-up", "<Say>Nobody hears this.</Say>")
        async with stage.call(number) as phone:
            await until(lambda: slow.answering.taken)
            await phone.hangup()
            lost = await asyncio.wait_for(slow.answering.finished(), PATIENCE_SECONDS)
        asked = await stage.documents.request("/gave-up")
    assert lost.answered_ns == 0
    assert asked.form["DialCallStatus"] == "canceled"
    assert asked.form["CallStatus"] == "completed"
    session = await stage.session(phone.story.call_id)
    assert_partitioned(session)
    assert [call["status"] for call in session["calls"]] == ["completed", "canceled"]


async def test_a_dial_that_nobody_takes_goes_on_to_the_next_verb(stage: Stage, tmp_path: Path) -> None:
    write_hum(tmp_path / "hum.wav", 500)
    async with desk(tmp_path / "slow", Manner(tmp_path / "hum.wav", ring_seconds=120)) as slow:
        number = stage.number(f'<Dial timeout="5"><Sip>{slow.uri}</Sip></Dial><Redirect>/nobody</Redirect>')
        stage.documents.on("/nobody", "<Hangup/>")
        async with stage.call(number) as phone:
            await stage.documents.request("/nobody")
            await asyncio.wait_for(slow.answering.finished(), PATIENCE_SECONDS)
            assert await phone.over(PATIENCE_SECONDS)
    session = await stage.session(phone.story.call_id)
    assert [call["status"] for call in session["calls"]] == ["completed", "no-answer"]


async def test_one_after_the_other_is_tried_until_somebody_answers(
    stage: Stage, talker: Desk, tmp_path: Path
) -> None:
    write_hum(tmp_path / "hum.wav", 500)
    async with desk(tmp_path / "busy", Manner(tmp_path / "hum.wav", refuse=486)) as busy:
        number = stage.number(f'<Dial sequential="true"><Sip>{busy.uri}</Sip><Sip>{talker.uri}</Sip></Dial>')
        async with stage.call(number) as phone:
            await joined(stage, number)
            await phone.hangup()
            await asyncio.wait_for(talker.answering.finished(), PATIENCE_SECONDS)
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
            assert await phone.over(PATIENCE_SECONDS)
    await stage.documents.request("/child", number=4)
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
            asked = await stage.documents.request("/declined")
            assert await phone.over(PATIENCE_SECONDS)
            await asyncio.wait_for(agent.answering.finished(), PATIENCE_SECONDS)
    assert asked.form["DialBridged"] == "false"
    session = await stage.session(phone.story.call_id)
    assert_partitioned(session)
    assert ("platform.bridge", "bridge") not in modules(session["calls"][0])


async def test_a_recording_that_is_ended_by_rest_is_kept(stage: Stage, client: Client) -> None:
    number = stage.number('<Record action="/recorded-rest" playBeep="false"/>')
    stage.documents.on("/recorded-rest", "<Hangup/>")
    async with stage.call(number) as phone:
        (call,) = await stage.server.calls(To=number)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await asyncio.to_thread(client.recordings.list, call_sid=call["sid"]):
                await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        await asyncio.to_thread(client.calls(call["sid"]).update, status="completed")
        assert await phone.over(PATIENCE_SECONDS)
    asked = await stage.documents.request("/recorded-rest")
    assert asked.form["RecordingUrl"]
    (recording,) = await asyncio.to_thread(client.recordings.list, call_sid=call["sid"])
    assert recording.status == "completed"


@pytest.mark.skipif(SIPP is None, reason="SIPp is not installed (Debian: sip-tester)")
async def test_a_caller_that_sends_no_audio_for_too_long_is_hung_up(tmp_path: Path) -> None:
    """Its network has gone: no BYE would come, and nobody shall pay for it.  (SIPp sends no RTP.)"""
    async with open_stage(tmp_path, media={"rtp_timeout_seconds": 3}) as stage:
        number = stage.number('<Say loop="0">Are you still there?</Say>')
        await Sipp("hears_out", stage.server.sip, tmp_path / "sipp", number=number).run()
        (call,) = await stage.server.calls(To=number)
        session = await stage.server.session(call["sid"])
    assert_partitioned(session)
    assert session["calls"][0]["intervals"][-1]["duration_ms"] >= 2900


@pytest.mark.parametrize("drain_seconds", [1, 600])
async def test_a_server_that_is_told_to_stop_takes_no_more_and_hangs_up_in_the_end(
    tmp_path: Path, drain_seconds: int
) -> None:
    async with open_stage(tmp_path, calls={"drain_seconds": drain_seconds}) as stage:
        number = stage.number('<Say loop="0">This never ends.</Say>')
        async with stage.call(number) as phone, stage.phone() as late:
            stopping = asyncio.create_task(stage.server.stop())
            if drain_seconds > PATIENCE_SECONDS:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    while await stage.server.is_ready():
                        await asyncio.sleep(0.05)
                assert not await stage.dial(late, number)
                assert late.story.status == 503
                assert not phone.story.ended_ms
                await phone.hangup()
            else:
                assert await phone.over(PATIENCE_SECONDS)
                assert phone.story.ended_by is EndedBy.CALLEE
            assert await stopping == 0
        Books(stage.server.folder / "data").assert_closed()
