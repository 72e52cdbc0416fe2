"""A whole call in memory: engine, SIP, HTTP and speech that are a few lines each.

The dispatcher and the verbs are the real ones; everything outside the process is scripted.  Made
for `virtual_time`: a prompt of five seconds takes none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from callrouter.errors import FetchFailed, Unroutable
from callrouter.ports import (
    AUDIO_ALONE,
    AnswerDetected,
    Answered,
    Answerer,
    AudioFile,
    CloseLeg,
    CookieJar,
    DetectAnswer,
    DigitReceived,
    DigitsSent,
    EndCause,
    Ended,
    Failed,
    FeedDigit,
    FetchedDocument,
    FetchOrder,
    History,
    Join,
    LegClosed,
    LegId,
    LineId,
    MediaAddress,
    MediaCommand,
    MediaEvent,
    MediaSink,
    NegotiatedAudio,
    OpenedLeg,
    OpenedLine,
    OutgoingCall,
    Part,
    Passing,
    Play,
    PlayEnd,
    PlayEnded,
    PromptId,
    RecordingEnd,
    RecordingEnded,
    Redirect,
    Ringing,
    Route,
    SendDigits,
    SignalEvent,
    SignalSink,
    SipLeg,
    StartRecording,
    StopPlay,
    StopRecording,
    Token,
)
from callrouter.ports.causes import NORMAL

AUDIO = NegotiatedAudio(MediaAddress("192.0.2.1", 4000), None, "PCMU", 0, 101)


class LoopTime:
    """`Clock` of the running loop, virtual or not."""

    EPOCH_MS = 1_700_000_000_000

    def monotonic_ns(self) -> int:
        return round(asyncio.get_running_loop().time() * 1e9)

    def utc_ms(self) -> int:
        return self.EPOCH_MS + self.monotonic_ns() // 1_000_000


class CountingIds:
    def __init__(self) -> None:
        self._count = 0

    def sid(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count:032x}"

    def token(self, size: int = 16) -> str:
        self._count += 1
        return f"{self._count:0{size * 2}x}"


@dataclass(slots=True)
class _EngineLeg:
    sink: MediaSink
    playing: tuple[Play, asyncio.TimerHandle | None] | None = None
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
                self._end_play(leg, PlayEnd.REPLACED)
                seconds = self.prompt_seconds * max(1, len(command.items)) * command.loops
                loop = asyncio.get_running_loop()
                timer = (
                    loop.call_later(seconds, self._end_play, leg, PlayEnd.FINISHED) if command.loops else None
                )
                self.legs[leg].playing = (command, timer)
            case StopPlay(leg=leg) if leg in self.legs:
                self._end_play(leg, PlayEnd.STOPPED)
            case StartRecording(leg=leg, token=token) if leg in self.legs:
                loop = asyncio.get_running_loop()
                limits = [ms / 1000 for ms in (command.max_ms, command.silence_ms) if ms]
                end = RecordingEnd.SILENCE if command.silence_ms else RecordingEnd.MAX_LENGTH
                timer = loop.call_later(min(limits), self._end_recording, leg, token, end) if limits else None
                self.legs[leg].recordings[token] = (command, loop.time(), timer)
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


class ScriptedLeg:
    """`SipLeg`: records what was asked of it."""

    def __init__(self, *, to: str = "+15550100", caller: str = "+15551234", received_ns: int = 0) -> None:
        self.call_id = "call-1"
        self.received_ns = received_ns
        self.request_uri = f"sip:{to}@127.0.0.1"
        self.from_uri = f"sip:{caller}@127.0.0.1"
        self.from_name = ""
        self.to_uri = self.request_uri
        self.registered_as: tuple[str, ...] = ()
        self.identity = ""
        self.history = History()
        self.source = MediaAddress("127.0.0.1", 5070)
        self.transport = "udp"
        self.family: Literal[4, 6] = 4
        self.headers: Mapping[str, str] = {}
        self.audio: NegotiatedAudio | None = AUDIO
        self.actions: list[str] = []
        self.causes: list[int] = []
        """Of Q.850, given with each hang-up."""
        self.passed_to_us = AUDIO_ALONE
        self.is_passage_open = False
        self._sink: SignalSink | None = None
        self._waiting: list[SignalEvent] = []
        self.is_over = False

    def attach(self, sink: SignalSink) -> None:
        self._sink = sink
        for event in self._waiting:
            sink(event)

    def say(self, event: SignalEvent) -> None:
        """The far end does something."""
        if isinstance(event, Ended | Failed):
            self.is_over = True
        if self._sink is None:
            self._waiting.append(event)
        else:
            self._sink(event)

    def bye(self) -> None:
        self.say(Ended(_now(), EndCause.BYE, ""))

    def ring(self) -> None:
        self._did("ring")

    def progress(self, local: MediaAddress) -> None:
        self._did("progress")

    def answer(self, local: MediaAddress, passing: Passing = AUDIO_ALONE, codec: str = "") -> None:
        self._did("answer")

    def reject(self, status: int, reason: str = "", headers: tuple[tuple[str, str], ...] = ()) -> None:
        self._did(f"reject {status}")
        self.is_over = True

    def hangup(self, reason: str = "", q850: int = NORMAL) -> None:
        self._did("hangup")
        self.causes.append(q850)
        self.is_over = True

    def hold(self, on: bool) -> None:
        self._did(f"hold {on}")

    is_held = False
    passes = frozenset({"video", "image"})
    is_passing = False
    audio_slot = 0
    slots = 1

    def open_passage(self, is_open: bool) -> None:
        self.is_passage_open = is_open

    def offer_lines(self, passing: Passing, *, is_relayed: bool = False) -> None:
        self._did(f"offer {_shown(passing)}")

    def recall_lines(self) -> None:
        self._did("recall")

    def answer_lines(self, status: int, passing: Passing = AUDIO_ALONE) -> None:
        self._did(f"answer lines {status} {_shown(passing)}")

    def withdraw_lines(self) -> None:
        if self.is_passing:
            self._did("withdraw")

    def refer(self, target: str, replaces: str = "") -> None:
        self._did(f"refer {target}")

    def replaces_value(self) -> str:
        return "call-1"

    def is_dialog(self, replaces: str) -> bool:
        return replaces.startswith(f"{self.call_id};")

    def settle_transfer(self, request: int, status: int) -> None:
        self._did(f"settle {request} {status}")

    def conclude_transfer(self, request: int, status: int) -> None:
        self._did(f"conclude {request} {status}")

    def dialog_state(self) -> str:
        return '{"call_id": "call-1"}'

    def _did(self, action: str) -> None:
        if not self.is_over:
            self.actions.append(action)


@dataclass(frozen=True, slots=True)
class Callee:
    """How a dialled address behaves; times are seconds after the INVITE, None = never."""

    rings_after: float | None = 0.1
    early: bool = False
    """Whether it is heard from then on: 183 with audio instead of 180."""
    answers_after: float | None = 1.0
    status: int = 0
    """A final refusal sent instead of an answer."""
    q850: int = 0
    """The cause in its Reason."""
    redirects: tuple[Redirect, ...] = ()
    """Whom to call instead, as a 3xx says."""
    redirected_by: tuple[str, ...] = ()
    hangs_up_after: float | None = None
    """Counted from the answer."""


def _failed(callee: Callee) -> Failed:
    return Failed(
        _now(),
        callee.status,
        "",
        {},
        callee.q850,
        redirects=callee.redirects,
        redirected_by=callee.redirected_by,
    )


def _shown(passing: Passing) -> str:
    lines = [f"{line.slot}:{line.kind}" for line in passing.lines]
    return " ".join([*(["audio"] if passing.has_audio else []), *lines])


class ScriptedSignalling:
    """`Signalling`: calls go to `callees` by their URI."""

    def __init__(self, callees: Mapping[str, Callee] | None = None) -> None:
        self.callees = dict(callees or {})
        self.placed: list[tuple[OutgoingCall, ScriptedLeg]] = []
        self.orphans: list[str] = []
        self.handler: Callable[[SipLeg], None] | None = None

    def on_incoming(self, handler: Callable[[SipLeg], None]) -> None:
        self.handler = handler

    async def route(self, target: str, trunk: str = "") -> Route:
        if target not in self.callees:
            raise Unroutable(f"nobody is reachable at {target}")
        return Route(4)

    def is_ours(self, target: str) -> bool:
        """Those that nobody else is reachable at."""
        return target not in self.callees

    def place(self, call: OutgoingCall, sink: SignalSink) -> SipLeg:
        leg = ScriptedLeg(to=call.target)
        leg.attach(sink)
        self.placed.append((call, leg))
        callee = self.callees[call.target]
        loop = asyncio.get_running_loop()
        if callee.rings_after is not None:
            loop.call_later(callee.rings_after, self._unless_over, leg, lambda: _ringing(callee))
        if callee.answers_after is not None:
            loop.call_later(callee.answers_after, self._finally, leg, callee)
        return leg

    def _finally(self, leg: ScriptedLeg, callee: Callee) -> None:
        if callee.status:
            self._unless_over(leg, lambda: _failed(callee))
            return
        self._unless_over(leg, lambda: Answered(_now(), AUDIO, {}))
        if callee.hangs_up_after is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(
                callee.hangs_up_after, self._unless_over, leg, lambda: Ended(_now(), EndCause.BYE, "")
            )

    @staticmethod
    def _unless_over(leg: ScriptedLeg, event: Callable[[], SignalEvent]) -> None:
        if not leg.is_over:
            leg.say(event())

    def end_orphan(self, dialog_state: str, reason: str) -> None:
        self.orphans.append(dialog_state)


class ScriptedFetcher:
    """`Fetcher`: each URL answers with the next of its bodies, the last one for ever; an exception
    is raised instead.  `requests` keeps what was asked."""

    def __init__(
        self, pages: Mapping[str, str | Exception | list[str | Exception]], *, seconds: float = 0.05
    ) -> None:
        self.pages = {url: list(page) if isinstance(page, list) else [page] for url, page in pages.items()}
        self._seconds = seconds
        self.requests: list[FetchOrder] = []

    def jar(self) -> CookieJar:
        return _NO_COOKIES

    async def document(self, order: FetchOrder, jar: CookieJar) -> FetchedDocument:
        self.requests.append(order)
        await asyncio.sleep(self._seconds)
        pages = self.pages.get(order.url)
        if not pages:
            raise FetchFailed(f"nothing is served at {order.url}", url=order.url, code=11200, status=404)
        page = pages.pop(0) if len(pages) > 1 else pages[0]
        if isinstance(page, Exception):
            raise page
        return FetchedDocument(order.url, 200, "text/xml", page.encode(), 50)

    async def media(self, url: str) -> AudioFile:
        await asyncio.sleep(self._seconds)
        return AudioFile(Path("/nowhere.wav"), "audio/wav", url)

    async def callback(self, order: FetchOrder) -> int:
        self.requests.append(order)
        return 200


class _Cookies:
    """Nothing to keep."""


_NO_COOKIES = _Cookies()


class ScriptedSpeech:
    """`Speech`: remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    async def synthesize(self, text: str, *, voice: str, language: str) -> AudioFile:
        self.said.append(text)
        return AudioFile(Path("/nowhere.wav"), "audio/wav", text)


class CountedMetrics:
    """`Metrics` that anybody can look into."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        key = (name, tuple(sorted(labels.items())))
        self.counts[key] = self.counts.get(key, 0) + amount

    def observe(self, name: str, value: float, **labels: str) -> None:
        self.count(name, 1, **labels)

    def gauge(self, name: str, value: float, **labels: str) -> None:
        self.counts[name, tuple(sorted(labels.items()))] = value


def _ringing(callee: Callee) -> Ringing:
    return Ringing(_now(), 183, AUDIO) if callee.early else Ringing(_now(), 180, None)


def _now() -> int:
    return LoopTime().monotonic_ns()
