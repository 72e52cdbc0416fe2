"""One outgoing call: dial, listen for one's turn, press, speak, hang up.

Sound is found by recording: the engine ends a recording when it has heard nothing for `PAUSE_MS`,
which is the moment to answer, and the recording says whether there was anything to answer to.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import structlog

from callrouter.caller.hearing import Heard, sounds_in
from callrouter.caller.story import EndedBy, Story
from callrouter.ports import (
    Answered,
    AudioFile,
    AudioLost,
    AudioStarted,
    Clock,
    CloseLeg,
    Confirmed,
    DigitReceived,
    DigitsSent,
    Ended,
    Failed,
    InfoDigit,
    KeysRefused,
    LegClosed,
    LegId,
    Media,
    MediaChanged,
    MediaCommand,
    MediaEvent,
    NegotiatedAudio,
    OutgoingCall,
    Play,
    PlayEnded,
    PlayPrompt,
    RecordingEnded,
    RecordSource,
    Ringing,
    SendDigits,
    SetRemote,
    SignalEvent,
    Signalling,
    SipLeg,
    StartRecording,
    Token,
)

_log = structlog.get_logger(__name__)

PAUSE_MS = 800
"""Silence after which the other side is taken to wait for us."""
SEGMENT_MS = 60_000
CLOSING_SECONDS = 5.0


class Phone:
    """A phone for one call.  Everything it learns goes into `story`."""

    def __init__(
        self, signalling: Signalling, media: Media, clock: Clock, folder: Path, story: Story
    ) -> None:
        self.story = story
        self._signalling = signalling
        self._media = media
        self._clock = clock
        self._folder = folder
        self._placed_ns = clock.monotonic_ns()
        self._leg: SipLeg | None = None
        self._audio: LegId | None = None
        self._answered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._over = asyncio.Event()
        self._closed = asyncio.Event()
        self._waiting: dict[Token, asyncio.Future[MediaEvent | None]] = {}
        self._pause = asyncio.Event()
        self._paused_at_ms = -1
        self._listening: asyncio.Task[None] | None = None
        self._recording: asyncio.Future[MediaEvent | None] | None = None

    # ------------------------------------------------------------------ what a caller does

    async def dial(self, target: str, caller: str, record: Path | None = None) -> bool:
        """Place the call and wait for the outcome; True when it was answered."""
        route = await self._signalling.route(target)
        opened = self._media.open(route.family, self._media_event)
        self._audio = opened.leg
        self._placed_ns = self._clock.monotonic_ns()
        order = OutgoingCall(target=target, caller=caller, caller_name="", local=opened.local)
        self.story.note(0, "calling", target)
        self._leg = self._signalling.place(order, self._signal_event)
        self.story.call_id = self._leg.call_id
        if not await self._answered:
            return False
        if record is not None:
            self._recording = self._start_recording(record, silence_ms=0)
            self.story.recording = str(record)
        self._listening = asyncio.create_task(self._listen(), name="phone-listening")
        return True

    async def turn(self, after_ms: int = -1) -> bool:
        """Wait until the other side has spoken (after `after_ms`) and paused; False: it hung up."""
        while True:
            if self._over.is_set():
                return False
            if self._pause.is_set() and self._paused_at_ms > after_ms:
                self._pause.clear()
                return True
            self._pause.clear()
            await self._pause.wait()

    async def press(self, digits: str) -> None:
        """Send keys by RFC 4733 and return when the last has gone out."""
        self.story.note(self.now_ms(), "pressed", digits)
        token = self._media.token()
        await self._carried_out(token, SendDigits(self._line, token, digits))

    async def speak(self, voice: Path) -> None:
        """Play a WAV file to the other side, to its end."""
        key = hashlib.sha256(await asyncio.to_thread(voice.read_bytes)).hexdigest()
        prompt = await self._media.prompt(AudioFile(voice, "audio/wav", key))
        self.story.note(self.now_ms(), "speaking", voice.name)
        token = self._media.token()
        await self._carried_out(token, Play(self._line, token, (PlayPrompt(prompt),)))

    async def over(self, seconds: float) -> bool:
        """Wait up to `seconds` for the end of the call; True if it came."""
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            return False
        return True

    async def hangup(self, why: str = "") -> None:
        """End the call from our side and wait until its sockets are closed.  Safe to repeat."""
        if self._leg is not None and not self._over.is_set():
            self._leg.hangup()
            self._end(EndedBy.CALLER, self.now_ms(), why)
        if self._audio is not None:
            self._media.submit(CloseLeg(self._audio))
            async with asyncio.timeout(CLOSING_SECONDS):
                await self._closed.wait()
            self._audio = None
        if self._recording is not None:
            await self._recording
            self._recording = None
        if self._listening is not None:
            listening, self._listening = self._listening, None
            await listening

    def now_ms(self) -> int:
        """Since the call was placed."""
        return self._ms(self._clock.monotonic_ns())

    # ------------------------------------------------------------------ what it hears

    async def _listen(self) -> None:
        number = 0
        while not self._over.is_set():
            number += 1
            path = self._folder / f"segment-{number}.wav"
            started_ms = self.now_ms()
            ended = await self._start_recording(path, silence_ms=PAUSE_MS)
            if ended is None:
                break
            found = await asyncio.to_thread(_consume, path)
            for heard in found:
                self._remember(heard.later(started_ms))
            if found:
                self._pause.set()

    def _remember(self, heard: Heard) -> None:
        self.story.heard.append(heard)
        self._paused_at_ms = heard.to_ms
        detail = f"sound from {heard.from_ms / 1000:.2f} s to {heard.to_ms / 1000:.2f} s"
        self.story.note(self.now_ms(), "heard", detail)

    def _start_recording(self, path: Path, *, silence_ms: int) -> asyncio.Future[MediaEvent | None]:
        token = self._media.token()
        order = StartRecording(
            leg=self._line,
            token=token,
            path=path,
            channels=((RecordSource(self._line, "received"),),),
            max_ms=SEGMENT_MS if silence_ms else 0,
            silence_ms=silence_ms,
        )
        return self._carried_out(token, order)

    # ------------------------------------------------------------------ events of the rooms below

    def _carried_out(self, token: Token, order: MediaCommand) -> asyncio.Future[MediaEvent | None]:
        """Submit `order`; the future gets the event that echoes `token`, None if the leg closed first."""
        future: asyncio.Future[MediaEvent | None] = asyncio.get_running_loop().create_future()
        if self._closed.is_set():
            future.set_result(None)
            return future
        self._waiting[token] = future
        self._media.submit(order)
        return future

    def _media_event(self, event: MediaEvent) -> None:
        match event:
            case AudioStarted():
                self.story.note(self._ms(event.at_ns), "audio", "the first packet arrived")
            case AudioLost():
                self.story.note(self._ms(event.at_ns), "audio lost", f"{event.silent_ms} ms without a packet")
            case DigitReceived():
                self.story.note(self._ms(event.at_ns), "key heard", event.digit)
            case LegClosed():
                self._closed.set()
                for future in self._waiting.values():
                    _settle(future, None)
                self._waiting.clear()
            case PlayEnded() | DigitsSent() | RecordingEnded():
                if isinstance(event, RecordingEnded) and event.error:
                    _log.error("recording_failed", error=event.error)
                future_of = self._waiting.pop(event.token, None)
                if future_of is not None:
                    _settle(future_of, event)

    def _signal_event(self, event: SignalEvent) -> None:
        at_ms = self._ms(event.at_ns)
        match event:
            case Ringing():
                if self.story.ringing_ms is None:
                    self.story.ringing_ms = at_ms
                    self.story.note(at_ms, "ringing", str(event.status))
                self._use(event.early)
            case Answered():
                self.story.status, self.story.answered_ms = 200, at_ms
                self.story.note(at_ms, "answered", event.audio.codec)
                self._use(event.audio)
                if not self._answered.done():
                    self._answered.set_result(True)
            case Failed():
                self.story.status, self.story.reason = event.status, event.reason
                self._end(EndedBy.REFUSED, at_ms, f"{event.status} {event.reason}")
            case Ended():
                by = EndedBy.CALLEE if event.cause.value == "bye" else EndedBy.FAILURE
                self._end(by, at_ms, event.detail or event.cause.value)
            case MediaChanged():
                self.story.note(at_ms, "media changed", event.audio.direction.value)
                self._use(event.audio)
            case Confirmed() | InfoDigit() | KeysRefused():
                pass

    @property
    def _line(self) -> LegId:
        if self._audio is None:
            raise RuntimeError("a phone that has not dialled has no line")
        return self._audio

    def _use(self, audio: NegotiatedAudio | None) -> None:
        if audio is not None and self._audio is not None:
            self._media.submit(SetRemote(self._audio, audio))

    def _end(self, by: EndedBy, at_ms: int, detail: str) -> None:
        if self._over.is_set():
            return
        self.story.ended_by, self.story.ended_ms = by, at_ms
        self.story.note(at_ms, "over", f"{by.value}{f' ({detail})' if detail else ''}")
        self._over.set()
        self._pause.set()
        if not self._answered.done():
            self._answered.set_result(False)
        if self._audio is not None:
            self._media.submit(CloseLeg(self._audio))

    def _ms(self, at_ns: int) -> int:
        return (at_ns - self._placed_ns) // 1_000_000


def _settle(future: asyncio.Future[MediaEvent | None], event: MediaEvent | None) -> None:
    if not future.done():
        future.set_result(event)


def _consume(segment: Path) -> tuple[Heard, ...]:
    if not segment.exists():
        return ()
    found = sounds_in(segment)
    segment.unlink()
    return found
