"""One call of the command line's telephone, against rooms that only note what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from callrouter.caller.phone import Phone
from callrouter.caller.story import EndedBy, Story
from callrouter.caller.voice import write_hum
from callrouter.ports import (
    Answered,
    AudioFile,
    CloseLeg,
    DigitsSent,
    EndCause,
    Ended,
    Failed,
    LegClosed,
    LegId,
    MediaAddress,
    MediaCommand,
    MediaSink,
    NegotiatedAudio,
    OpenedLeg,
    OutgoingCall,
    Play,
    PlayEnd,
    PlayEnded,
    PromptId,
    RecordingEnd,
    RecordingEnded,
    Ringing,
    Route,
    SendDigits,
    SetRemote,
    SignalSink,
    StartRecording,
    Token,
)

LINE = LegId(7)
AUDIO = NegotiatedAudio(MediaAddress("127.0.0.1", 4000), None, "PCMU", 0, 101)


class HandClock:
    def __init__(self) -> None:
        self.ns = 0

    def monotonic_ns(self) -> int:
        return self.ns

    def utc_ms(self) -> int:
        return self.ns // 1_000_000


class NotingLeg:
    call_id = "abc@phone"

    def __init__(self) -> None:
        self.hung_up = False

    def hangup(self, reason: str = "") -> None:
        self.hung_up = True


class NotingSignalling:
    def __init__(self) -> None:
        self.leg = NotingLeg()
        self.placed: list[OutgoingCall] = []
        self.sink: SignalSink = lambda _event: None

    async def route(self, target: str, trunk: str = "") -> Route:
        return Route(4)

    def place(self, call: OutgoingCall, sink: SignalSink) -> NotingLeg:
        self.placed.append(call)
        self.sink = sink
        return self.leg


class NotingMedia:
    """Carries out at once what takes no time; recordings end when the test says so."""

    def __init__(self) -> None:
        self.commands: list[MediaCommand] = []
        self.sink: MediaSink = lambda _event: None
        self.tokens = 0

    def open(self, family: Literal[4, 6], sink: MediaSink) -> OpenedLeg:
        self.sink = sink
        return OpenedLeg(LINE, MediaAddress("127.0.0.1", 5000))

    def token(self) -> Token:
        self.tokens += 1
        return Token(self.tokens)

    async def prompt(self, audio: AudioFile) -> PromptId:
        return PromptId(1)

    def submit(self, *commands: MediaCommand) -> None:
        for command in commands:
            self.commands.append(command)
            match command:
                case SendDigits():
                    self.sink(DigitsSent(LINE, 0, command.token))
                case Play():
                    self.sink(PlayEnded(LINE, 0, command.token, PlayEnd.FINISHED, "", 20))
                case CloseLeg():
                    self.sink(LegClosed(LINE, 0, {}))
                case _:
                    pass

    def of(self, kind: type[MediaCommand]) -> list[MediaCommand]:
        return [command for command in self.commands if isinstance(command, kind)]

    def end_recording(self, order: StartRecording) -> None:
        self.sink(RecordingEnded(LINE, 0, order.token, RecordingEnd.SILENCE, "", 900, 1, ""))


@pytest.fixture
def signalling() -> NotingSignalling:
    return NotingSignalling()


@pytest.fixture
def media() -> NotingMedia:
    return NotingMedia()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def phone(signalling: NotingSignalling, media: NotingMedia, clock: HandClock, tmp_path: Path) -> Phone:
    story = Story("+15550100", "127.0.0.1:5060")
    return Phone(signalling, media, clock, tmp_path, story)  # type: ignore[arg-type]  # doubles


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def dialled(phone: Phone, signalling: NotingSignalling, answer: bool = True) -> None:
    dialling = asyncio.create_task(phone.dial("sip:+15550100@127.0.0.1:5060", "+1555"))
    await until(lambda: signalling.placed)
    signalling.sink(Ringing(50_000_000, 180, None))
    if answer:
        signalling.sink(Answered(250_000_000, AUDIO, {}))
    else:
        signalling.sink(Failed(250_000_000, 486, "Busy Here", {}))
    assert await dialling is answer


async def test_an_answer_starts_the_audio_and_the_listening(
    phone: Phone, signalling: NotingSignalling, media: NotingMedia
) -> None:
    await dialled(phone, signalling)
    await until(lambda: media.of(StartRecording))
    assert media.of(SetRemote) == [SetRemote(LINE, AUDIO)]
    assert (phone.story.ringing_ms, phone.story.answered_ms) == (50, 250)
    await phone.hangup()
    assert signalling.leg.hung_up
    assert phone.story.ended_by is EndedBy.CALLER


async def test_a_refusal_is_told_with_its_status_and_closes_the_line(
    phone: Phone, signalling: NotingSignalling, media: NotingMedia
) -> None:
    await dialled(phone, signalling, answer=False)
    assert phone.story.ended_by is EndedBy.REFUSED
    assert phone.story.summary() == "not answered: 486 Busy Here"
    assert media.of(CloseLeg)
    await phone.hangup()
    assert not signalling.leg.hung_up


async def test_a_turn_comes_when_the_other_side_spoke_and_paused(
    phone: Phone, signalling: NotingSignalling, media: NotingMedia, clock: HandClock
) -> None:
    clock.ns = 0
    await dialled(phone, signalling)
    turn = asyncio.create_task(phone.turn())
    await until(lambda: media.of(StartRecording))
    first = media.of(StartRecording)[0]
    assert isinstance(first, StartRecording)
    await asyncio.to_thread(write_hum, first.path, 900)
    media.end_recording(first)
    assert await asyncio.wait_for(turn, 5) is True
    assert phone.story.heard[0].to_ms >= 850
    await phone.hangup()


async def test_silence_alone_gives_no_turn(
    phone: Phone, signalling: NotingSignalling, media: NotingMedia
) -> None:
    await dialled(phone, signalling)
    turn = asyncio.create_task(phone.turn())
    await until(lambda: media.of(StartRecording))
    first = media.of(StartRecording)[0]
    assert isinstance(first, StartRecording)
    await asyncio.to_thread(write_hum, first.path, 0)
    media.end_recording(first)
    await until(lambda: len(media.of(StartRecording)) == 2)
    assert not turn.done()
    signalling.sink(Ended(900_000_000, EndCause.BYE, ""))
    assert await asyncio.wait_for(turn, 5) is False
    assert phone.story.ended_by is EndedBy.CALLEE
    assert phone.story.talked_ms == 650
    await phone.hangup()


async def test_keys_and_speech_return_when_they_are_out(
    phone: Phone, signalling: NotingSignalling, media: NotingMedia, tmp_path: Path
) -> None:
    voice = tmp_path / "voice.wav"
    write_hum(voice, 20)
    await dialled(phone, signalling)
    await phone.press("12#")
    await phone.speak(voice)
    assert [command.digits for command in media.of(SendDigits) if isinstance(command, SendDigits)] == ["12#"]
    assert len(media.of(Play)) == 1
    await phone.hangup()


async def test_a_line_that_closes_meanwhile_releases_whoever_waits(
    phone: Phone, signalling: NotingSignalling, media: NotingMedia
) -> None:
    await dialled(phone, signalling)
    signalling.sink(Ended(900_000_000, EndCause.TRANSPORT, "gone"))
    await asyncio.wait_for(phone.press("1"), 5)
    assert phone.story.ended_by is EndedBy.FAILURE
    assert await phone.over(0.01)
    await phone.hangup()
