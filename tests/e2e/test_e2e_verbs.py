"""Verbs on real calls: a telephone of ours, keys by RFC 4733, and audio compared with what was sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from callrouter.caller.answering import Manner
from callrouter.caller.hearing import sounds_in
from callrouter.caller.phone import Phone
from callrouter.caller.voice import write_hum
from tests.e2e.documents import Asked
from tests.e2e.stage import Desk, Stage, desk, heard, heard_in_time, open_stage
from tests.e2e.tracks import assert_partitioned, modules
from tests.e2e.tune import Likeness, likeness, read, tune, write, write_tune
from tests.patience import PATIENCE_SECONDS, until
from tests.unit.media.sound import mulaw, to_mulaw

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]
MP3 = Path(__file__).with_name("tune-7.mp3")
"""`tune(7, 3000)`, encoded with LAME at 64 kbit/s."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with open_stage(tmp_path_factory.mktemp("verbs")) as opened:
        yield opened


@contextmanager
def serving(stage: Stage, path: str, file: Path, kind: str) -> Iterator[str]:
    """`file` at `path` of the module server."""
    body = file.read_bytes()
    stage.documents.on(path, lambda _: web.Response(body=body, content_type=kind))
    yield stage.documents.url(path)


def sound_of(phone: Phone, seed: int, ms: int) -> Likeness:
    return likeness(read(heard(phone)), tune(seed, ms))


async def pressed(phone: Phone, keys: str, after: float = 0.3) -> None:
    await asyncio.sleep(after)
    await phone.press(keys)


# ---------------------------------------------------------------------------------------- Gather


async def test_gather_ends_at_the_wanted_number_of_keys(stage: Stage) -> None:
    number = stage.number('<Gather numDigits="3" timeout="10" action="/three"/>')
    stage.documents.on("/three", "<Hangup/>")
    async with stage.call(number) as phone:
        await pressed(phone, "907")
        asked = await stage.documents.request("/three")
        assert await phone.over(PATIENCE_SECONDS)
    assert asked.form["Digits"] == "907"
    assert asked.form["CallStatus"] == "in-progress"


async def test_gather_ends_at_the_finishing_key_which_is_not_reported(stage: Stage) -> None:
    number = stage.number('<Gather finishOnKey="*" timeout="10" action="/starred"/>')
    stage.documents.on("/starred", "<Hangup/>")
    async with stage.call(number) as phone:
        await pressed(phone, "12#4*")
        asked = await stage.documents.request("/starred")
    assert asked.form["Digits"] == "12#4"


async def test_gather_sends_what_there_is_when_its_time_is_up(stage: Stage) -> None:
    number = stage.number('<Gather timeout="2" action="/partly"/>')
    stage.documents.on("/partly", "<Hangup/>")
    async with stage.call(number) as phone:
        await asyncio.sleep(0.3)
        began = asyncio.get_running_loop().time()
        await phone.press("42")
        asked = await stage.documents.request("/partly")
    assert asked.form["Digits"] == "42"
    assert asked.at - began >= 1.8


async def test_gather_without_a_key_goes_on_with_the_next_verb(stage: Stage) -> None:
    number = stage.number('<Gather timeout="1" action="/never"/><Redirect>/nothing</Redirect>')
    stage.documents.on("/nothing", "<Hangup/>")
    async with stage.call(number) as phone:
        await stage.documents.request("/nothing")
        assert await phone.over(PATIENCE_SECONDS)
    assert not stage.documents.requests("/never")
    session = await stage.session(phone.story.call_id)
    assert session["calls"][0]["intervals"][-1]["duration_ms"] >= 900


async def test_a_key_silences_the_prompt_of_a_gather(stage: Stage, tmp_path: Path) -> None:
    with serving(stage, "/long.wav", write_tune(tmp_path / "long.wav", 3, 8000), "audio/wav") as url:
        number = stage.number(f'<Gather numDigits="1" action="/cut"><Play>{url}</Play></Gather>')
        stage.documents.on("/cut", '<Pause length="1"/>')
        async with stage.call(number) as phone:
            await pressed(phone, "5", after=1.5)
            assert await phone.over(PATIENCE_SECONDS)
    sound = sounds_in(heard(phone))
    assert sound
    assert sound[-1].to_ms - sound[0].from_ms < 6000


# ---------------------------------------------------------------------------------------- audio


@heard_in_time
async def test_a_caller_hears_exactly_the_wav_file_that_is_served(stage: Stage, tmp_path: Path) -> None:
    with serving(stage, "/tune.wav", write_tune(tmp_path / "tune.wav", 1, 3000), "audio/wav") as url:
        number = stage.number(f"<Play>{url}</Play>")
        async with stage.call(number) as phone:
            assert await phone.over(PATIENCE_SECONDS)
    assert sound_of(phone, 1, 3000).score > 0.9


@pytest.mark.parametrize("around", ["{}", "<Gather timeout='1'>{}</Gather>"])
async def test_verbs_that_play_join_to_the_sample(stage: Stage, tmp_path: Path, around: str) -> None:
    """Lengths that are no multiple of a packet's; the pause is silence of exactly its length."""
    first, second = tune(61, 3000)[:23_457], tune(62, 1000)[:6_001]
    for name, sound in (("first", first), ("second", second)):
        write(tmp_path / f"{name}.wav", sound)
    with (
        serving(stage, "/first.wav", tmp_path / "first.wav", "audio/wav") as one,
        serving(stage, "/second.wav", tmp_path / "second.wav", "audio/wav") as other,
    ):
        number = stage.number(
            around.format(
                f"<Play>{one}</Play><Pause length='1'/><Play>{other}</Play><Play loop='2'>{other}</Play>"
            )
        )
        async with stage.call(number) as phone:
            assert await phone.over(10)
    got = read(heard(phone))
    begin = next(at for at, sample in enumerate(got) if sample)
    played = [mulaw(word) for word in to_mulaw(first) + b"\xff" * 8000 + 3 * to_mulaw(second)]
    assert len(got) - begin >= len(played)
    # A sample in the middle between two words may become either.
    wrong = [
        at for at, (x, y) in enumerate(zip(got[begin:], played, strict=False)) if abs(x - y) > 8 + abs(y) / 15
    ]
    assert wrong == []


@heard_in_time
async def test_a_caller_hears_exactly_the_mp3_file_that_is_served(stage: Stage) -> None:
    with serving(stage, "/tune.mp3", MP3, "audio/mpeg") as url:
        number = stage.number(f"<Play>{url}</Play>")
        async with stage.call(number) as phone:
            assert await phone.over(PATIENCE_SECONDS)
    assert sound_of(phone, 7, 3000).score > 0.9


@heard_in_time
async def test_a_recording_is_what_the_caller_said_and_can_be_played(stage: Stage, tmp_path: Path) -> None:
    """Record, then Play the RecordingUrl to the same caller, then fetch it like anybody."""
    number = stage.number(
        '<Record action="/recorded" finishOnKey="#" timeout="5" playBeep="false" trim="do-not-trim"'
        ' recordingStatusCallback="/recording"/>'
    )
    stage.documents.on("/recorded", lambda asked: f"<Play>{asked.form['RecordingUrl']}</Play>")
    stage.documents.on("/recording", "")
    voice = write_tune(tmp_path / "voice.wav", 21, 2500)
    async with stage.call(number) as phone:
        await asyncio.sleep(0.3)
        await phone.speak(voice)
        await phone.press("#")
        assert await phone.over(PATIENCE_SECONDS)
    (asked,) = stage.documents.requests("/recorded")
    assert asked.form["Digits"] == "#"
    assert int(asked.form["RecordingDuration"]) >= 2
    told = await stage.documents.request("/recording")
    assert told.form["RecordingStatus"] == "completed"
    assert told.form["RecordingUrl"] == asked.form["RecordingUrl"]
    path = asked.form["RecordingUrl"].removeprefix(stage.server.api)
    (tmp_path / "kept.wav").write_bytes(await stage.server.bytes(f"{path}.wav"))
    assert likeness(read(tmp_path / "kept.wav"), tune(21, 2500)).score > 0.9
    assert sound_of(phone, 21, 2500).score > 0.9


async def test_a_record_ends_by_silence_and_says_how_long_it_was(stage: Stage, tmp_path: Path) -> None:
    number = stage.number('<Record action="/silent" timeout="2" playBeep="false"/>')
    stage.documents.on("/silent", "<Hangup/>")
    voice = write_tune(tmp_path / "voice.wav", 22, 1500)
    async with stage.call(number) as phone:
        await phone.speak(voice)
        asked = await stage.documents.request("/silent")
        assert await phone.over(PATIENCE_SECONDS)
    assert int(asked.form["RecordingDuration"]) >= 1


@heard_in_time
async def test_a_caller_who_hangs_up_while_recording_left_a_message(stage: Stage, tmp_path: Path) -> None:
    number = stage.number('<Record action="/left" playBeep="false"/>')
    stage.documents.on("/left", "<Say>Nobody hears this.</Say>")
    voice = write_tune(tmp_path / "voice.wav", 23, 1200)
    async with stage.call(number) as phone:
        await phone.speak(voice)
        await phone.hangup()
    asked = await stage.documents.request("/left")
    assert asked.form["Digits"] == "hangup"
    assert asked.form["CallStatus"] == "completed"
    path = asked.form["RecordingUrl"].removeprefix(stage.server.api)
    (tmp_path / "kept.wav").write_bytes(await stage.server.bytes(f"{path}.wav"))
    assert likeness(read(tmp_path / "kept.wav"), tune(23, 1200)).score > 0.9


# ---------------------------------------------------------------------------------------- before answer


async def test_a_pause_comes_before_the_answer(stage: Stage) -> None:
    number = stage.number('<Pause length="2"/><Say>Hello.</Say>')
    async with stage.call(number) as phone:
        assert await phone.over(PATIENCE_SECONDS)
    assert phone.story.answered_ms is not None
    assert phone.story.answered_ms >= 1950
    session = await stage.session(phone.story.call_id)
    assert_partitioned(session)
    setup, _ = session["calls"][0]["intervals"]
    assert setup["mode"] == "setup"
    assert setup["duration_ms"] >= 1950


async def test_a_busy_reject_is_486(stage: Stage) -> None:
    number = stage.number('<Reject reason="busy"/>')
    async with stage.phone() as phone:
        assert not await stage.dial(phone, number)
    assert phone.story.status == 486
    session = await stage.session(phone.story.call_id)
    assert session["calls"][0]["status"] == "busy"


@heard_in_time
async def test_a_redirect_runs_the_document_it_names_and_nothing_after_it(
    stage: Stage, tmp_path: Path
) -> None:
    with serving(stage, "/there.wav", write_tune(tmp_path / "there.wav", 4, 1000), "audio/wav") as url:
        number = stage.number('<Redirect method="GET">there?step=2</Redirect><Redirect>/lost</Redirect>')
        stage.documents.on("/answer/there", f"<Play>{url}</Play>")
        async with stage.call(number) as phone:
            assert await phone.over(PATIENCE_SECONDS)
    (asked,) = stage.documents.requests("/answer/there")
    assert asked.method == "GET"
    assert asked.form["step"] == "2"
    assert not stage.documents.requests("/lost")
    assert sound_of(phone, 4, 1000).score > 0.9


# ---------------------------------------------------------------------------------------- Dial


@pytest_asyncio.fixture(loop_scope="module")
async def voices(tmp_path: Path) -> tuple[Path, Path]:
    """What two desks say."""
    return write_tune(tmp_path / "one.wav", 31, 1500), write_tune(tmp_path / "two.wav", 32, 1500)


@heard_in_time
async def test_the_first_of_two_who_picks_up_is_connected_and_the_other_stops_ringing(
    stage: Stage, tmp_path: Path, voices: tuple[Path, Path]
) -> None:
    quick = Manner(voices[0], ring_seconds=0.5)
    slow = Manner(voices[1], ring_seconds=120)
    async with desk(tmp_path / "quick", quick) as one, desk(tmp_path / "slow", slow) as two:
        number = stage.number(
            f'<Dial action="/both"><Sip>{two.uri}</Sip><Sip>{one.uri}</Sip></Dial><Say>Not this.</Say>'
        )
        stage.documents.on("/both", "<Hangup/>")
        async with stage.call(number) as phone:
            asked = await stage.documents.request("/both")
            assert await phone.over(PATIENCE_SECONDS)
        lost = await asyncio.wait_for(two.answering.finished(), PATIENCE_SECONDS)
    assert asked.form["DialCallStatus"] == "completed"
    assert asked.form["DialBridged"] == "true"
    assert int(asked.form["DialCallDuration"]) >= 1
    assert sound_of(phone, 31, 1500).score > 0.9
    assert lost.answered_ns == 0
    session = await stage.session(phone.story.call_id)
    assert_partitioned(session)
    root, *children = session["calls"]
    assert ("platform.bridge", "bridge") in modules(root)
    assert sorted(child["status"] for child in children) == ["canceled", "completed"]


@heard_in_time
async def test_whoever_is_called_hears_the_whisper_first_and_the_caller_does_not(
    stage: Stage, tmp_path: Path, voices: tuple[Path, Path]
) -> None:
    with serving(stage, "/psst.wav", write_tune(tmp_path / "psst.wav", 41, 1000), "audio/wav") as url:
        stage.documents.on("/whisper", f"<Play>{url}</Play>")
        manner = Manner(voices[0], ring_seconds=0.2, keys="1", keys_after_seconds=3.0)
        async with desk(tmp_path / "desk", manner) as agent:
            number = stage.number(f'<Dial><Sip url="/whisper">{agent.uri}</Sip></Dial>')
            async with stage.call(number) as phone:
                assert await phone.over(PATIENCE_SECONDS)
            await agent.answering.finished()
            whispered = likeness(read(agent.heard()), tune(41, 1000))
    assert whispered.score > 0.9
    assert sound_of(phone, 41, 1000).score < 0.5
    assert sound_of(phone, 31, 1500).score > 0.9
    (asked,) = stage.documents.requests("/whisper")
    assert asked.form["ParentCallSid"] != asked.form["CallSid"]
    assert asked.form["Direction"] == "outbound-dial"


async def test_a_star_of_the_caller_ends_the_dial_but_not_the_call(stage: Stage, tmp_path: Path) -> None:
    write_hum(tmp_path / "voice.wav", 20_000)
    manner = Manner(tmp_path / "voice.wav", ring_seconds=0.1, hang_up=False)
    async with desk(tmp_path / "desk", manner) as agent:
        number = stage.number(f'<Dial hangupOnStar="true" action="/star"><Sip>{agent.uri}</Sip></Dial>')
        stage.documents.on("/star", "<Say>You are still here.</Say>")
        async with stage.call(number) as phone:
            await connected(agent)
            await pressed(phone, "1*", after=0.5)
            asked = await stage.documents.request("/star")
            await asyncio.wait_for(agent.answering.finished(), PATIENCE_SECONDS)
            assert await phone.over(PATIENCE_SECONDS)
    assert asked.form["CallStatus"] == "in-progress"
    assert asked.form["DialCallStatus"] == "completed"


async def test_a_time_limit_ends_the_conversation(stage: Stage, tmp_path: Path) -> None:
    write_hum(tmp_path / "voice.wav", 20_000)
    manner = Manner(tmp_path / "voice.wav", ring_seconds=0.1, hang_up=False)
    async with desk(tmp_path / "desk", manner) as agent:
        number = stage.number(f'<Dial timeLimit="2" action="/limit"><Sip>{agent.uri}</Sip></Dial>')
        stage.documents.on("/limit", "<Hangup/>")
        async with stage.call(number) as phone:
            asked = await stage.documents.request("/limit")
            taken = await asyncio.wait_for(agent.answering.finished(), PATIENCE_SECONDS)
            assert await phone.over(PATIENCE_SECONDS)
    assert int(asked.form["DialCallDuration"]) >= 2
    assert (taken.ended_ns - taken.answered_ns) // 1_000_000 >= 1950


@heard_in_time
async def test_with_answer_on_bridge_the_caller_rings_until_somebody_picks_up(
    stage: Stage, tmp_path: Path, voices: tuple[Path, Path]
) -> None:
    async with desk(tmp_path / "desk", Manner(voices[0], ring_seconds=1.5)) as agent:
        number = stage.number(f'<Dial answerOnBridge="true"><Sip>{agent.uri}</Sip></Dial>')
        async with stage.call(number) as phone:
            assert await phone.over(PATIENCE_SECONDS)
        taken = await agent.answering.finished()
    story = phone.story
    assert story.ringing_ms is not None
    assert story.answered_ms is not None
    assert story.answered_ms >= max(1500, story.ringing_ms)
    assert taken.answered_ns
    assert sound_of(phone, 31, 1500).score > 0.9


@pytest.mark.parametrize(("refusal", "status"), [(486, "busy"), (404, "failed"), (480, "no-answer")])
async def test_a_dial_that_is_refused_says_how_in_its_action(
    stage: Stage, tmp_path: Path, voices: tuple[Path, Path], refusal: int, status: str
) -> None:
    async with desk(tmp_path / "desk", Manner(voices[0], refuse=refusal)) as agent:
        number = stage.number(f'<Dial action="/refused-{refusal}"><Sip>{agent.uri}</Sip></Dial>')
        stage.documents.on(f"/refused-{refusal}", "<Hangup/>")
        async with stage.call(number):
            asked = await stage.documents.request(f"/refused-{refusal}")
    assert asked.form["DialCallStatus"] == status
    assert asked.form["DialSipResponseCode"] == str(refusal)
    assert asked.form["DialBridged"] == "false"


@heard_in_time
async def test_both_ends_of_a_bridge_hear_each_other_and_the_recording_holds_both(
    stage: Stage, tmp_path: Path, voices: tuple[Path, Path]
) -> None:
    async with desk(tmp_path / "desk", Manner(voices[0], ring_seconds=0.1, hang_up=False)) as agent:
        number = stage.number(
            f'<Dial record="record-from-answer-dual" action="/taped"><Sip>{agent.uri}</Sip></Dial>'
        )
        stage.documents.on("/taped", "<Hangup/>")
        async with stage.call(number) as phone:
            await connected(agent)
            await asyncio.sleep(1.0)
            await phone.speak(voices[1])
            await asyncio.sleep(0.5)
            await phone.hangup()
        await asyncio.wait_for(agent.answering.finished(), PATIENCE_SECONDS)
    asked: Asked = await stage.documents.request("/taped")
    assert likeness(read(agent.heard()), tune(32, 1500)).score > 0.9
    assert sound_of(phone, 31, 1500).score > 0.9
    path = asked.form["RecordingUrl"].removeprefix(stage.server.api)
    tape = tmp_path / "tape.wav"
    tape.write_bytes(await stage.server.bytes(f"{path}.wav?RequestedChannels=2"))
    assert likeness(read(tape, 0), tune(32, 1500)).score > 0.9
    assert likeness(read(tape, 1), tune(31, 1500)).score > 0.9


async def connected(agent: Desk) -> None:
    """Return when the desk has picked up."""
    await until(lambda: any(taken.answered_ns for taken in agent.answering.taken))
