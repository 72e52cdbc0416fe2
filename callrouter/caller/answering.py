"""A scripted telephone that answers: rings, picks up, speaks, hangs up."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from callrouter.caller.hearing import Heard, sounds_in
from callrouter.ports import (
    AudioFile,
    Clock,
    CloseLeg,
    Confirmed,
    Ended,
    LegClosed,
    LegId,
    Media,
    MediaChanged,
    MediaEvent,
    NegotiatedAudio,
    Play,
    PlayEnded,
    PlayPrompt,
    RecordSource,
    SendDigits,
    SetRemote,
    SignalEvent,
    Signalling,
    SipLeg,
    StartRecording,
)

_log = structlog.get_logger(__name__)

CLOSING_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Manner:
    """How a call is taken."""

    voice: Path
    """16-bit WAV spoken once after picking up."""
    ring_seconds: float = 0.3
    keys: str = ""
    """Pressed before speaking, to get past a screening prompt."""
    keys_after_seconds: float = 0.0
    hang_up: bool = True
    """Hang up after speaking; otherwise stay until the other side does."""
    refuse: int = 0
    """Answer with this SIP status instead of picking up."""


@dataclass(slots=True)
class Taken:
    """A call that was taken; times are monotonic nanoseconds, 0 where it did not come to that."""

    call_id: str
    caller: str
    received_ns: int
    answered_ns: int = 0
    ended_ns: int = 0
    heard: list[Heard] = field(default_factory=list)
    """Sound from the other side, in milliseconds since picking up."""


class Answering:
    """Takes every call that reaches `signalling` in the same manner."""

    def __init__(
        self, signalling: Signalling, media: Media, clock: Clock, folder: Path, manner: Manner
    ) -> None:
        self.taken: list[Taken] = []
        self._media = media
        self._clock = clock
        self._folder = folder
        self._manner = manner
        self._tasks: set[asyncio.Task[None]] = set()
        self._finished: asyncio.Queue[Taken] = asyncio.Queue()
        signalling.on_incoming(self._incoming)

    async def finished(self) -> Taken:
        """The next call that is over."""
        return await self._finished.get()

    async def close(self) -> None:
        """Hang up whatever is up."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _incoming(self, leg: SipLeg) -> None:
        task = asyncio.create_task(self._take(leg), name=f"answering-{leg.call_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self, leg: SipLeg) -> None:
        if self._manner.refuse:
            leg.reject(self._manner.refuse)
            return
        taken = Taken(leg.call_id, leg.from_uri, leg.received_ns)
        self.taken.append(taken)
        conversation = _Conversation(leg, self._media, taken, self._clock)
        try:
            await conversation.hold(self._manner, self._folder / f"heard-{len(self.taken)}.wav")
        except Exception:  # noqa: BLE001 - the boundary of this task; one bad call must not stop the next
            _log.exception("answering_failed", call_id=leg.call_id)
        finally:
            self._finished.put_nowait(taken)


class _Conversation:
    """One call being taken."""

    def __init__(self, leg: SipLeg, media: Media, taken: Taken, clock: Clock) -> None:
        self._leg = leg
        self._media = media
        self._taken = taken
        self._clock = clock
        self._audio: LegId | None = None
        self._over = asyncio.Event()
        self._spoken = asyncio.Event()
        self._closed = asyncio.Event()

    async def hold(self, manner: Manner, heard: Path) -> None:
        key = hashlib.sha256(await asyncio.to_thread(manner.voice.read_bytes)).hexdigest()
        prompt = await self._media.prompt(AudioFile(manner.voice, "audio/wav", key))
        opened = self._media.open(self._leg.family, self._media_event)
        self._audio = opened.leg
        try:
            self._leg.attach(self._signal_event)
            self._leg.ring()
            if await self._over_within(manner.ring_seconds):
                return
            self._use(self._leg.audio)
            self._leg.answer(opened.local)
            self._taken.answered_ns = self._clock.monotonic_ns()
            source = (RecordSource(opened.leg, "received"),)
            self._media.submit(StartRecording(opened.leg, self._media.token(), heard, (source,)))
            await self._press(opened.leg, manner)
            self._media.submit(Play(opened.leg, self._media.token(), (PlayPrompt(prompt),)))
            await self._spoken_or_over()
            if not manner.hang_up:
                await self._over.wait()
        finally:
            self._leg.hangup()
            self._taken.ended_ns = self._taken.ended_ns or self._clock.monotonic_ns()
            await self._close(opened.leg)
            self._taken.heard.extend(await asyncio.to_thread(sounds_of, heard))

    async def _press(self, line: LegId, manner: Manner) -> None:
        if manner.keys and not await self._over_within(manner.keys_after_seconds):
            self._media.submit(SendDigits(line, self._media.token(), manner.keys))

    async def _spoken_or_over(self) -> None:
        waits = [asyncio.create_task(event.wait()) for event in (self._spoken, self._over)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _over_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            return False
        return True

    async def _close(self, line: LegId) -> None:
        self._media.submit(CloseLeg(line))
        async with asyncio.timeout(CLOSING_SECONDS):
            await self._closed.wait()

    def _media_event(self, event: MediaEvent) -> None:
        if isinstance(event, PlayEnded):
            self._spoken.set()
        elif isinstance(event, LegClosed):
            self._closed.set()

    def _signal_event(self, event: SignalEvent) -> None:
        if isinstance(event, Ended):
            self._taken.ended_ns = event.at_ns
            self._over.set()
        elif isinstance(event, Confirmed | MediaChanged):
            self._use(event.audio)

    def _use(self, audio: NegotiatedAudio | None) -> None:
        if audio is not None and self._audio is not None:
            self._media.submit(SetRemote(self._audio, audio))


def sounds_of(recording: Path) -> tuple[Heard, ...]:
    """Nothing was recorded where the caller gave up before we picked up."""
    return sounds_in(recording) if recording.exists() else ()
