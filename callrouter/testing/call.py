"""A `LiveCall` that follows a script and writes down what was done to it.

    call = FakeCall(Script(keys=((0.4, "1"), (0.9, "#")), callees=(Callee(after=2),)))
    outcome = await perform(verb, call)
    assert call.acts == ["0.0 answer", "0.0 play say:Hello"]

Instants are seconds after the call was made; use it in a virtual-time loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urljoin

from callrouter.errors import CallError, DocumentError
from callrouter.ports import (
    ChildCall,
    DialTarget,
    Parameters,
    PlayDigits,
    Played,
    PlayEnd,
    PlayItem,
    PlayPrompt,
    PlaySilence,
    PlayTone,
    PromptId,
    Recorded,
    RecordingEnd,
    RecordOrder,
    Referred,
)
from callrouter.testing.child import Callee, FakeChild


@dataclass(frozen=True, slots=True)
class Speaker:
    """How a recording goes: it ends by itself after `seconds`, for `reason`."""

    seconds: float = 4.0
    reason: RecordingEnd = RecordingEnd.SILENCE
    digit: str = ""


@dataclass(frozen=True, slots=True)
class Script:
    """What the world does to a call."""

    keys: tuple[tuple[float, str], ...] = ()
    """The caller's keys, each with its instant."""
    held: tuple[tuple[float, float, str], ...] = ()
    """Keys that are held, from when until when."""
    callees: tuple[Callee, ...] = ()
    """Who answers the calls it places, in their order."""
    speaker: Speaker = Speaker()
    base: str = "http://app.test/voice/start"
    """Address of the document, "" for one without."""
    is_answered: bool = False
    is_screening: bool = False
    is_sip_origin: bool = False
    prompt_seconds: float = 1.0
    """How long each text and file lasts."""
    fetch_seconds: float = 0.0
    fault: CallError | None = None
    """What fetching and speaking fail with."""


class FakeDigits:
    def __init__(self) -> None:
        self.queue: asyncio.Queue[str] = asyncio.Queue()
        self.is_down = False

    async def next(self) -> str:
        return await self.queue.get()

    async def held(self) -> str:
        return await self.queue.get() if self.is_down else ""


class FakeCall:
    """`ports.LiveCall` on a script."""

    referred = Referred(202, 200)
    """What becomes of asking its far end to call somebody else."""
    sid = "CA" + "0" * 32
    account_sid = "AC" + "0" * 32
    from_ = "+15550001111"
    to = "+15550002222"

    def __init__(self, script: Script = Script()) -> None:
        self.is_answered = script.is_answered
        self.is_screening = script.is_screening
        self.is_sip_origin = script.is_sip_origin
        self.acts: list[str] = []
        self.warnings: list[tuple[int, int]] = []
        """(line, code)"""
        self.order: RecordOrder | None = None
        self.last_recording: Recorded | None = None
        self.placed: list[FakeChild] = []
        self.listeners: list[FakeDigits] = []
        self.playing: asyncio.Future[Played] | None = None
        self.recording = False
        self._script = script
        self._callees = list(script.callees)
        self._names: dict[PromptId, str] = {}
        self._stop_digits = ""
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        for at, key in script.keys:
            self._loop.call_later(at, self.press, key)
        for down, up, key in script.held:
            self._loop.call_later(down, self.begin, key)
            self._loop.call_later(up, self.press, key)

    def press(self, key: str) -> None:
        """The caller presses `key` now, or lets it go."""
        for listener in self.listeners:
            listener.is_down = False
            listener.queue.put_nowait(key)
        self._stop_with(key)

    def begin(self, key: str) -> None:
        """The caller holds `key` from now on."""
        for listener in self.listeners:
            listener.is_down = True
        self._stop_with(key)

    def _stop_with(self, key: str) -> None:
        if self.playing is not None and not self.playing.done() and key in self._stop_digits:
            self.playing.set_result(Played(PlayEnd.DIGIT, key))

    # ------------------------------------------------------------------ LiveCall

    def resolve(self, url: str) -> str:
        if ":" in url.partition("/")[0]:
            return url
        if not self._script.base:
            raise DocumentError(f"{url!r} is relative and the document has no address", code=11100)
        return urljoin(self._script.base, url)

    async def answer(self) -> None:
        if not self.is_answered:
            self._act("answer")
            self.is_answered = True

    async def ring(self) -> None:
        self._act("ring")

    async def sleep(self, seconds: float) -> None:
        self._act(f"sleep {seconds:g}")
        await asyncio.sleep(seconds)

    async def speech(self, text: str, *, voice: str, language: str) -> PlayItem:
        return await self._prompt(f"say:{text}" + ("" if voice == "man" else f" ({voice} {language})"))

    async def audio(self, url: str) -> PlayItem:
        return await self._prompt(f"file:{url}")

    async def play(self, items: Sequence[PlayItem], *, loops: int = 1, stop_digits: str = "") -> Played:
        await self.answer()
        self._act("play " + " ".join(map(self._name, items)) + (f" x{loops}" if loops != 1 else ""))
        playing: asyncio.Future[Played] = self._loop.create_future()
        seconds = loops * sum(map(self._seconds, items))
        self.playing, self._stop_digits = playing, stop_digits
        timer = self._loop.call_later(seconds, _finish, playing) if seconds else None
        try:
            return await playing
        finally:
            if timer is not None:
                timer.cancel()
            if playing.cancelled():
                self._act("stop")
            self.playing = None

    @contextmanager
    def listen(self) -> Iterator[FakeDigits]:
        digits = FakeDigits()
        self.listeners.append(digits)
        try:
            yield digits
        finally:
            self.listeners.remove(digits)

    async def record(self, order: RecordOrder) -> Recorded:
        await self.answer()
        self.order = order
        self.recording = True
        began = self._loop.time()
        self._act("record")
        reason, digit = RecordingEnd.STOPPED, ""
        try:
            await asyncio.sleep(min(self._script.speaker.seconds, order.max_seconds))
            reason, digit = self._script.speaker.reason, self._script.speaker.digit
        finally:
            await asyncio.sleep(0)
            self.recording = False
            seconds = round(self._loop.time() - began)
            self.last_recording = Recorded("RE1", "http://app.test/RE1", seconds, reason, digit)
        return self.last_recording

    async def refer(self, target: str, told: Callable[[int], None] | None = None) -> Referred:
        self._act(f"refer {target}")
        return self.referred

    async def place(self, target: DialTarget) -> ChildCall:
        callee = self._callees.pop(0) if self._callees else Callee()
        child = FakeChild(f"CA{len(self.placed) + 1}", target, callee)
        self._act(f"place {target.uri}")
        self.placed.append(child)
        return child

    async def ringback(self, tone: PlayItem) -> None:
        if self.is_answered:
            await self.play((tone,), loops=0)

    async def hear(self, child: ChildCall, tone: PlayItem) -> None:
        ringing = asyncio.ensure_future(self.ringback(tone))
        try:
            await next(placed for placed in self.placed if placed is child).early_audio()
        finally:
            ringing.cancel()
            await asyncio.wait((ringing,))
        self._act(f"hear {child.sid}")
        await child.answered()

    def parameters_of(self, child: ChildCall) -> Parameters:
        return (("DialCallSid", child.sid),)

    def warn(self, code: int, message: str, line: int = 0) -> None:
        self.warnings.append((line, code))

    # ------------------------------------------------------------------ the scope

    async def release(self, keep: ChildCall | None = None) -> None:
        """What the controller does when a verb ends: unclaimed children end."""
        for child in self.placed:
            if child is not keep and not child.over:
                await child.end()

    def leftovers(self, keep: ChildCall | None = None) -> list[str]:
        """What a verb should not have left behind, after `release`."""
        return [
            *(["audio playing"] if self.playing is not None else []),
            *(["recording"] if self.recording else []),
            *(["keys collected"] if self.listeners else []),
            *(f"{child.sid} alive" for child in self.placed if child is not keep and not child.over),
        ]

    # ------------------------------------------------------------------ behind the scenes

    async def _prompt(self, name: str) -> PlayItem:
        if self._script.fetch_seconds:
            await asyncio.sleep(self._script.fetch_seconds)
        if self._script.fault is not None:
            raise self._script.fault
        prompt = PromptId(len(self._names) + 1)
        self._names[prompt] = name
        return PlayPrompt(prompt)

    def _act(self, what: str) -> None:
        self.acts.append(f"{self._loop.time() - self._began:.1f} {what}")

    def _name(self, item: PlayItem) -> str:
        match item:
            case PlayPrompt():
                return self._names[item.prompt]
            case PlaySilence():
                return f"silence:{item.ms}"
            case PlayTone():
                return f"tone:{item.name}"
            case PlayDigits():
                return f"digits:{item.digits}"

    def _seconds(self, item: PlayItem) -> float:
        return item.ms / 1000 if isinstance(item, PlaySilence) else self._script.prompt_seconds


def _finish(playing: asyncio.Future[Played]) -> None:
    if not playing.done():
        playing.set_result(Played(PlayEnd.FINISHED, ""))
