"""One end of a call: its signalling and its audio, as things to await.

A leg exists from the moment its RTP socket is open until `close`.  After the far end is gone every
method that would need it raises `CallGone`; what was being awaited ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from callrouter.calls.playlist import Playlist
from callrouter.calls.referrer import Referrer
from callrouter.errors import CallGone
from callrouter.ports import (
    AnswerDetected,
    Answerer,
    AudioLost,
    Clock,
    CloseLeg,
    DetectAnswer,
    DigitBegan,
    DigitReceived,
    DigitsSent,
    FeedDigit,
    Held,
    InfoDigit,
    KeysRefused,
    LegClosed,
    LegId,
    LineEvent,
    LinesAnswered,
    LinesOffered,
    MachineDetection,
    Media,
    MediaAddress,
    MediaEvent,
    NegotiatedAudio,
    NotSecured,
    OpenedLine,
    Play,
    PlayEnded,
    PlayItem,
    RecordingEnd,
    RecordingEnded,
    RecordSource,
    ReferProgress,
    Referred,
    SendDigits,
    SetRemote,
    SignalEvent,
    SipLeg,
    StartRecording,
    StopPlay,
    StopRecording,
    Token,
)

if TYPE_CHECKING:
    from callrouter.calls.passage import Passage
    from callrouter.calls.tie import Tie

T = TypeVar("T")


class DigitQueue:
    """Keys pressed while somebody listens (the `Digits` of a verb)."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._is_down = False

    def begin(self) -> None:
        self._is_down = True

    def put(self, digit: str) -> None:
        self._is_down = False
        self._queue.put_nowait(digit)

    async def next(self) -> str:
        return await self._queue.get()

    async def held(self) -> str:
        return await self._queue.get() if self._is_down else ""


@dataclass(frozen=True, slots=True)
class RunningRecording:
    """A recording the engine is writing."""

    token: Token
    path: Path
    ended: asyncio.Future[RecordingEnded]


class Leg:
    """Signalling and audio of one call.  `sip` is set once the INVITE exists."""

    spoken = ""
    """The codec that was agreed on last, with early media or with the answer; "" = none yet."""
    has_early_media = False
    """Its far end hears us, though it is not answered."""
    sip: SipLeg | None = None
    gone = False
    on_lost: Callable[[int], None] | None = None
    """Told, once, for how many milliseconds nothing was received."""
    on_unsecured: Callable[[str], None] | None = None
    """Told why there will be no audio with a browser."""
    on_mute: Callable[[], None] | None = None
    """Told that the far end, which has other media in place of its audio, refuses to go back."""
    on_measured: Callable[[], None] | None = None
    """Told once `counters` are known: the leg has closed."""
    on_lines: Callable[[LineEvent], None] | None = None
    """Told what the far end wants passed on, and what it says to what we want."""
    passage: Passage | None = None
    """What it exchanges with who placed it, beside the audio."""
    tie: Tie | None = None
    """To the leg it is joined with: told what the far end does."""

    def __init__(self, media: Media, clock: Clock, family: Literal[4, 6]) -> None:
        """Binds the RTP socket.  Raises `MediaUnavailable`."""
        self._media = media
        self._clock = clock
        opened = media.open(family, self._on_media)
        self._opened = opened
        self.family = family
        self.id: LegId = opened.leg
        self.local: MediaAddress = opened.local
        self.near: MediaAddress = opened.near or opened.local
        """Where other legs on this machine reach it."""
        self.counters: dict[str, int] = {}
        self._playing: Playlist | None = None
        self._plays: dict[Token, asyncio.Future[PlayEnded | None]] = {}
        """None: the call has ended first.  As an exception that would keep the frame that awaits it, and
        that the future: both would wait for the collector."""
        self._sends: dict[Token, asyncio.Future[None]] = {}
        self._recordings: dict[Token, asyncio.Future[RecordingEnded]] = {}
        self._detections: dict[Token, tuple[int, Callable[[Answerer, int], None]]] = {}
        """When each began, and who is told."""
        self._listeners: list[DigitQueue] = []
        self._reclaiming: asyncio.Future[None] | None = None
        self.referrer = Referrer()
        """Hears what its far end makes of a REFER."""
        self._closed = asyncio.Event()

    # ------------------------------------------------------------------ audio

    @property
    def audio(self) -> NegotiatedAudio | None:
        """What its far end speaks; None: not known yet."""
        return None if self.sip is None else self.sip.audio

    def connect(self, audio: NegotiatedAudio, *, is_early: bool = False) -> None:
        """`is_early`: the call is not answered yet."""
        self.spoken = audio.codec
        self._media.submit(SetRemote(self.id, audio, is_early))
        if self.tie is not None:
            self.tie.speaks(audio)

    def open_line(self) -> OpenedLine:
        """Ports for media that is passed on unread.  Raises `MediaUnavailable`."""
        return self._media.open_line(self._opened)

    def told_lines(self, event: LineEvent) -> None:
        if self.on_lines is not None:
            self.on_lines(event)
        elif isinstance(event, LinesOffered) and self.sip is not None:
            self.sip.answer_lines(200)
        elif isinstance(event, LinesAnswered):
            _resolve(self._reclaiming, None)
            if event.status != 200 and not event.answered.has_audio and self.on_mute is not None:
                self.on_mute()

    def reclaim(self) -> asyncio.Future[None] | None:
        """Nobody is there to pass anything to: back to audio alone.  What is returned is done when there
        is audio again; None: there is."""
        sip = self.sip
        if sip is None or self.on_lines is not None:
            return None
        sip.withdraw_lines()
        if sip.passed_to_us.has_audio:
            return None
        if self._reclaiming is None or self._reclaiming.done():
            self._reclaiming = asyncio.get_running_loop().create_future()
        return self._reclaiming

    def told(self, event: InfoDigit | KeysRefused | Held | ReferProgress) -> None:
        """By signalling: a key of the far end, or what it does not take, that it wants to hear nothing, or
        to hear again, or how far it got with what it was asked."""
        if isinstance(event, ReferProgress):
            self.referrer.told(event)
        elif isinstance(event, InfoDigit):
            self._media.submit(FeedDigit(self.id, event.digit, event.duration_ms))
            if self.tie is not None:
                self.tie.fed(event.digit)
        elif isinstance(event, KeysRefused):
            self.start_digits(event.keys)
        elif self.tie is not None:
            self.tie.holds(event.on)

    async def play(self, items: Sequence[PlayItem], *, loops: int = 1, stop_digits: str = "") -> PlayEnded:
        """Returns how it ended; cancelling stops it.  Raises `CallGone` when the leg ends first."""
        with self.playlist() as playlist:
            return await playlist.play(items, loops, stop_digits)

    @contextmanager
    def playlist(self) -> Iterator[Playlist]:
        """What is played one behind the other; left before its end, it stops."""
        playlist = self._playing = Playlist(self._start_play)
        try:
            yield playlist
        finally:
            if self._playing is playlist:
                self._playing = None
                if playlist.is_heard:
                    self._media.submit(StopPlay(self.id))

    def _start_play(
        self, items: Sequence[PlayItem], loops: int, stop_digits: str, *, follows: bool
    ) -> asyncio.Future[PlayEnded | None]:
        self._need()
        token = self._media.token()
        ended: asyncio.Future[PlayEnded | None] = asyncio.get_running_loop().create_future()
        self._plays[token] = ended
        ended.add_done_callback(lambda _: self._plays.pop(token, None))
        self._media.submit(Play(self.id, token, tuple(items), loops, stop_digits, follows))
        return ended

    async def send_digits(self, digits: str) -> None:
        self._need()
        await self.start_digits(digits)

    def start_digits(self, digits: str) -> asyncio.Future[None]:
        """Send keys instead of those under way; done when the last has gone out, or the leg with it."""
        token = self._media.token()
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sends[token] = sent
        sent.add_done_callback(lambda _: self._sends.pop(token, None))
        self._media.submit(SendDigits(self.id, token, digits))
        return sent

    def detect(self, wanted: MachineDetection, told: Callable[[Answerer, int], None]) -> None:
        """Find out who answered.  `told` is called once, with the milliseconds it took; when the far
        end goes before it is known, it is unknown."""
        self._need()
        token = self._media.token()
        self._detections[token] = self._clock.monotonic_ns(), told
        self._media.submit(
            DetectAnswer(
                self.id,
                token,
                to_end=wanted.to_end,
                timeout_ms=wanted.timeout_seconds * 1000,
                speech_ms=wanted.speech_ms,
                speech_end_ms=wanted.speech_end_ms,
                silence_ms=wanted.silence_ms,
            )
        )

    @contextmanager
    def listen(self) -> Iterator[DigitQueue]:
        queue = DigitQueue()
        self._listeners.append(queue)
        try:
            yield queue
        finally:
            self._listeners.remove(queue)

    def record(
        self,
        path: Path,
        channels: tuple[tuple[RecordSource, ...], ...],
        *,
        max_ms: int = 0,
        silence_ms: int = 0,
        stop_digits: str = "",
        trim_silence: bool = False,
    ) -> RunningRecording:
        self._need()
        token = self._media.token()
        ended: asyncio.Future[RecordingEnded] = asyncio.get_running_loop().create_future()
        self._recordings[token] = ended
        self._media.submit(
            StartRecording(self.id, token, path, channels, max_ms, silence_ms, stop_digits, trim_silence)
        )
        return RunningRecording(token, path, ended)

    def stop_recording(self, recording: RunningRecording) -> None:
        self._media.submit(StopRecording(self.id, recording.token))

    async def refer(self, target: str, told: Callable[[int], None] | None = None) -> Referred:
        """Ask the far end to call `target` itself.  Raises `CallGone`."""
        self._need()
        if self.sip is None:
            raise CallGone("the call has no signalling")
        return await self.referrer.ask(self.sip, target, told)

    # ------------------------------------------------------------------ end

    def depart(self) -> None:
        """The far end is gone: whoever awaits the leg is told, the socket stays until `close`."""
        if self.gone:
            return
        self.gone = True
        for ended in list(self._plays.values()):
            _resolve(ended, None)
        self.referrer.depart()
        for sent in list(self._sends.values()):
            if not sent.done():
                sent.set_exception(CallGone("the call ended"))
                sent.exception()
        detections, self._detections = self._detections, {}
        for began_ns, told in detections.values():
            told(Answerer.UNKNOWN, (self._clock.monotonic_ns() - began_ns) // 1_000_000)

    def close(self) -> None:
        self.depart()
        self._media.submit(CloseLeg(self.id))
        self._fall_silent()

    def _fall_silent(self) -> None:
        """Tell nobody of the call any more: who knows the leg and is known by it would wait for the
        collector."""
        self.on_lost = self.on_unsecured = self.on_mute = self.on_lines = self.passage = None
        if self.sip is not None:
            self.sip.attach(_unheard)

    async def closed(self) -> None:
        """Return when the engine let go of the leg: its recordings are on disk by then."""
        await self._closed.wait()

    def _need(self) -> None:
        if self.gone:
            raise CallGone("the call has ended")

    # ------------------------------------------------------------------ events

    def _on_media(self, event: MediaEvent) -> None:
        match event:
            case PlayEnded():
                _resolve(self._plays.get(event.token), event)
            case DigitBegan():
                for listener in self._listeners:
                    listener.begin()
            case DigitReceived():
                self._on_digit(event.digit)
            case DigitsSent():
                _resolve(self._sends.get(event.token), None)
            case RecordingEnded():
                _resolve(self._recordings.pop(event.token, None), event)
            case AnswerDetected():
                self._on_answerer(event)
            case AudioLost() | NotSecured() | LegClosed():
                self._on_trouble(event)

    def _on_digit(self, digit: str) -> None:
        for listener in self._listeners:
            listener.put(digit)
        if self.tie is not None:
            self.tie.heard(digit)

    def _on_answerer(self, event: AnswerDetected) -> None:
        if event.token in self._detections:
            _, told = self._detections.pop(event.token)
            told(event.answerer, event.after_ms)

    def _on_trouble(self, event: AudioLost | NotSecured | LegClosed) -> None:
        """Audio that is not there, or not any more."""
        match event:
            case AudioLost():
                if self.on_lost is not None:
                    self.on_lost(event.silent_ms)
            case NotSecured():
                if self.on_unsecured is not None:
                    self.on_unsecured(event.reason)
            case LegClosed():
                self._on_closed(event)

    def _on_closed(self, event: LegClosed) -> None:
        self.counters = dict(event.counters)
        self.depart()
        for token, ended in self._recordings.items():
            lost = RecordingEnded(
                self.id, event.at_ns, token, RecordingEnd.FAILED, "", 0, 0, "the leg closed before its file"
            )
            _resolve(ended, lost)
        self._recordings.clear()
        self._closed.set()
        told, self.on_measured = self.on_measured, None
        if told is not None:
            told()


def _unheard(_: SignalEvent) -> None:
    """Sink of a far end that nobody is there for."""


def _resolve(future: asyncio.Future[T] | None, value: T) -> None:
    if future is not None and not future.done():
        future.set_result(value)
