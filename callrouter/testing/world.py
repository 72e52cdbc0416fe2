"""A whole call in memory: engine, SIP, HTTP and speech that are a few lines each.

The dispatcher and the verbs are the real ones; everything outside the process is scripted.  Made
for `virtual_time`: a prompt of five seconds takes none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from callrouter.errors import FetchFailed, Unroutable
from callrouter.ports import (
    AUDIO_ALONE,
    Answered,
    AudioFile,
    CookieJar,
    EndCause,
    Ended,
    Failed,
    FetchedDocument,
    FetchOrder,
    History,
    MediaAddress,
    NegotiatedAudio,
    OutgoingCall,
    Passing,
    Redirect,
    Ringing,
    Route,
    SignalEvent,
    SignalSink,
    SipLeg,
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


class ScriptedLeg:
    """`SipLeg`: records what was asked of it."""

    def __init__(self, *, to: str = "+15550100", caller: str = "+15551234", received_ns: int = 0) -> None:
        self.call_id = "call-1"
        self.received_ns = received_ns
        self.request_uri = f"sip:{to}@127.0.0.1"
        self.from_uri = f"sip:{caller}@127.0.0.1"
        self.from_name = ""
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

    def progress(self, local: MediaAddress, codec: str = "") -> None:
        self._did(f"progress {codec}")

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

    def press(self, keys: str) -> None:
        self._did(f"press {keys}")

    takes_keys = False
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

    def tell_transfer(self, request: int, status: int) -> None:
        self.actions.append(f"told {request} {status}")

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

    def counter(self, name: str, **labels: str) -> Callable[[], None]:
        return lambda: self.count(name, 1, **labels)

    def observe(self, name: str, value: float, **labels: str) -> None:
        self.count(name, 1, **labels)

    def gauge(self, name: str, value: float, **labels: str) -> None:
        self.counts[name, tuple(sorted(labels.items()))] = value


def _ringing(callee: Callee) -> Ringing:
    return Ringing(_now(), 183, AUDIO) if callee.early else Ringing(_now(), 180, None)


def _now() -> int:
    return LoopTime().monotonic_ns()
