"""`Media` in a few lines: prompts last as long as they are said to, and nobody hears them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Literal

from callrouter.ports import (
    AnswerDetected,
    Answerer,
    AudioFile,
    CloseLeg,
    DetectAnswer,
    DigitReceived,
    DigitsSent,
    FeedDigit,
    Join,
    LegClosed,
    LegId,
    LineId,
    MediaAddress,
    MediaCommand,
    MediaEvent,
    MediaSink,
    OpenedLeg,
    OpenedLine,
    Part,
    Play,
    PlayEnd,
    PlayEnded,
    PlaySilence,
    PromptId,
    RecordingEnd,
    RecordingEnded,
    SendDigits,
    StartRecording,
    StopPlay,
    StopRecording,
    Token,
)
from callrouter.testing.world import LoopTime


@dataclass(slots=True)
class _EngineLeg:
    sink: MediaSink
    playing: tuple[Play, asyncio.TimerHandle | None] | None = None
    queued: list[Play] = field(default_factory=list)
    recordings: dict[Token, tuple[StartRecording, float, asyncio.TimerHandle | None]] = field(
        default_factory=dict
    )
    partner: LegId | None = None


class ScriptedMedia:
    """`Media`: prompts last as long as `prompt_seconds` says, recordings until something ends them."""

    def __init__(self, *, prompt_seconds: float = 2.0) -> None:
        self.prompt_seconds = prompt_seconds
        self.legs: dict[LegId, _EngineLeg] = {}
        self.commands: list[MediaCommand] = []
        self.prompts: list[AudioFile] = []
        self.answerer = Answerer.HUMAN
        self.detection_seconds = 1.5
        """Who answers, and how long it takes to find out."""
        self._next = 0

    def open(self, family: Literal[4, 6], sink: MediaSink) -> OpenedLeg:
        self._next += 1
        leg = LegId(self._next)
        self.legs[leg] = _EngineLeg(sink)
        return OpenedLeg(leg, MediaAddress("127.0.0.1", 20000 + 2 * self._next))

    def open_line(self, leg: OpenedLeg) -> OpenedLine:
        self._next += 1
        return OpenedLine(LineId(self._next), MediaAddress("127.0.0.1", 20000 + 2 * self._next))

    def token(self) -> Token:
        self._next += 1
        return Token(self._next)

    async def prompt(self, audio: AudioFile) -> PromptId:
        self.prompts.append(audio)
        return PromptId(len(self.prompts))

    def press(self, leg: LegId, digit: str) -> None:
        """The far end presses a key."""
        state = self.legs[leg]
        self._later(leg, DigitReceived(leg, _now(), digit, 100))
        if state.playing and digit in state.playing[0].stop_digits:
            self._end_play(leg, PlayEnd.DIGIT, digit)
        for token, (order, _, _) in list(state.recordings.items()):
            if digit in order.stop_digits:
                self._end_recording(leg, token, RecordingEnd.DIGIT, digit)

    def submit(self, *commands: MediaCommand) -> None:
        for command in commands:
            self.commands.append(command)
            self._apply(command)

    def _apply(self, command: MediaCommand) -> None:
        match command:
            case Play(leg=leg) if leg in self.legs:
                self._play(command)
            case StopPlay(leg=leg) if leg in self.legs:
                self._end_play(leg, PlayEnd.STOPPED)
            case StartRecording(leg=leg) if leg in self.legs:
                self._record(command)
            case StopRecording(leg=leg, token=token) if leg in self.legs:
                self._end_recording(leg, token, RecordingEnd.STOPPED)
            case SendDigits() | DetectAnswer() if command.leg in self.legs:
                self._promise(command)
            case FeedDigit(leg=leg, digit=digit) if leg in self.legs:
                self.press(leg, digit)
            case Join(a=a, b=b) if a in self.legs and b in self.legs:
                self._end_play(a, PlayEnd.REPLACED)
                self._end_play(b, PlayEnd.REPLACED)
                self._part(a)
                self._part(b)
                self.legs[a].partner, self.legs[b].partner = b, a
            case Part(leg=leg) if leg in self.legs:
                self._part(leg)
            case CloseLeg(leg=leg) if leg in self.legs:
                self._close(leg)
            case _:
                pass

    def _play(self, command: Play) -> None:
        state = self.legs[command.leg]
        if command.follows and state.playing is not None:
            state.queued.append(command)
        else:
            self._end_play(command.leg, PlayEnd.REPLACED)
            self._start_play(command)

    def _start_play(self, command: Play) -> None:
        seconds = sum(
            item.ms / 1000 if isinstance(item, PlaySilence) else self.prompt_seconds for item in command.items
        )
        loop = asyncio.get_running_loop()
        timer = None
        if command.loops:
            timer = loop.call_later(seconds * command.loops, self._end_play, command.leg, PlayEnd.FINISHED)
        self.legs[command.leg].playing = (command, timer)

    def _record(self, order: StartRecording) -> None:
        loop = asyncio.get_running_loop()
        limits = [ms / 1000 for ms in (order.max_ms, order.silence_ms) if ms]
        end = RecordingEnd.SILENCE if order.silence_ms else RecordingEnd.MAX_LENGTH
        timer = None
        if limits:
            timer = loop.call_later(min(limits), self._end_recording, order.leg, order.token, end)
        self.legs[order.leg].recordings[order.token] = (order, loop.time(), timer)

    def _promise(self, order: SendDigits | DetectAnswer) -> None:
        """What tells its end in its time."""
        if isinstance(order, SendDigits):
            self._later(order.leg, DigitsSent(order.leg, _now(), order.token))
        else:
            loop = asyncio.get_running_loop()
            loop.call_later(self.detection_seconds, self._detected, order.leg, order.token)

    def _detected(self, leg: LegId, token: Token) -> None:
        if leg in self.legs:
            ms = round(self.detection_seconds * 1000)
            self._later(leg, AnswerDetected(leg, _now(), token, self.answerer, ms))

    def _part(self, leg: LegId) -> None:
        partner = self.legs[leg].partner
        self.legs[leg].partner = None
        if partner is not None and partner in self.legs:
            self.legs[partner].partner = None

    def _close(self, leg: LegId) -> None:
        self._part(leg)
        self._end_play(leg, PlayEnd.CLOSED)
        for token in list(self.legs[leg].recordings):
            self._end_recording(leg, token, RecordingEnd.CLOSED)
        self._later(leg, LegClosed(leg, _now(), {"packets_in": 0}))
        del self.legs[leg]

    def _end_play(self, leg: LegId, reason: PlayEnd, digit: str = "") -> None:
        state = self.legs.get(leg)
        if state is None or state.playing is None:
            return
        order, timer = state.playing
        state.playing = None
        if timer is not None:
            timer.cancel()
        self._later(leg, PlayEnded(leg, _now(), order.token, reason, digit, 0))
        if reason is PlayEnd.FINISHED and state.queued:
            self._start_play(state.queued.pop(0))
        else:
            for waiting in state.queued:
                self._later(leg, PlayEnded(leg, _now(), waiting.token, reason, digit, 0))
            state.queued.clear()

    def _end_recording(self, leg: LegId, token: Token, reason: RecordingEnd, digit: str = "") -> None:
        state = self.legs.get(leg)
        if state is None or token not in state.recordings:
            return
        _, began, timer = state.recordings.pop(token)
        if timer is not None:
            timer.cancel()
        ms = round((asyncio.get_running_loop().time() - began) * 1000)
        self._later(leg, RecordingEnded(leg, _now(), token, reason, digit, ms, ms * 16, ""))

    def _later(self, leg: LegId, event: MediaEvent) -> None:
        sink = self.legs[leg].sink
        asyncio.get_running_loop().call_soon(sink, event)


def _now() -> int:
    return LoopTime().monotonic_ns()
