"""A house in memory for call control: everything real but the engine, SIP, HTTP, speech and disk."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from callrouter.calls.control import Orders
from callrouter.calls.controller import Controller
from callrouter.calls.exchange import Exchange
from callrouter.calls.incoming import Incoming
from callrouter.calls.loops import Loops
from callrouter.calls.services import Services
from callrouter.calls.settings import Settings
from callrouter.identity.accounts import Account
from callrouter.identity.addresses import Address
from callrouter.ports import LegId
from callrouter.testing.engine import ScriptedMedia
from callrouter.testing.virtual_time import VirtualTimeLoop
from callrouter.testing.world import (
    Callee,
    CountedMetrics,
    CountingIds,
    LoopTime,
    ScriptedFetcher,
    ScriptedLeg,
    ScriptedSignalling,
    ScriptedSpeech,
)
from callrouter.verbs.program import compile_body
from dispatcher.dispatch import Dispatcher
from dispatcher.snapshot import Snapshot
from metering.interval import CallFacts, Cause, Holder

ACCOUNT = "AC" + "1" * 32
NUMBER = "+15550100"
VOICE = "http://app.test/voice"


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Any]:
    return {"virtual": VirtualTimeLoop}


@dataclass
class Track:
    rows: list[tuple[int, Holder, Cause]] = field(default_factory=list)
    end_ns: int | None = None

    def names(self) -> list[str]:
        return [f"{holder.module}:{holder.mode.value}" for _, holder, _ in self.rows]


class TrackingMeter:
    """The meter's contract, kept in lists: a track opens once, goes forwards, closes once."""

    def __init__(self) -> None:
        self.tracks: dict[str, Track] = {}
        self.dialogs: dict[str, str] = {}
        self.sessions: dict[str, str] = {}
        self.writable = True

    async def begin(self, call: CallFacts, holder: Holder, *, at_ns: int, cause: Cause) -> None:
        assert call.call_sid not in self.tracks, "a track begins once"
        self.tracks[call.call_sid] = Track([(at_ns, holder, cause)])
        await asyncio.sleep(0.001)

    async def transfer(
        self, call_sid: str, holder: Holder, *, at_ns: int, cause: Cause, session_sid: str = ""
    ) -> None:
        if session_sid:
            self.sessions[call_sid] = session_sid
        track = self.tracks[call_sid]
        if track.end_ns is None and holder != track.rows[-1][1]:
            track.rows.append((max(at_ns, track.rows[-1][0]), holder, cause))
        await asyncio.sleep(0.001)

    async def end(self, call_sid: str, *, at_ns: int, cause: Cause) -> None:
        self.post_end(call_sid, at_ns=at_ns, cause=cause)

    def post_end(self, call_sid: str, *, at_ns: int, cause: Cause) -> int:
        track = self.tracks[call_sid]
        if track.end_ns is None:
            track.end_ns = max(at_ns, track.rows[-1][0])
        return 1

    async def save_dialog(self, call_sid: str, state: str) -> None:
        self.dialogs[call_sid] = state

    def drop_dialog(self, call_sid: str) -> None:
        self.dialogs.pop(call_sid, None)


class ListedLog:
    """`CallLog` without a database."""

    def __init__(self) -> None:
        self.statuses: list[tuple[str, str]] = []
        self.warnings: list[tuple[int, str]] = []
        self.recordings: list[str] = []
        self.failed_requests: list[tuple[int, str]] = []
        self.measures: list[str] = []
        self.detections: list[tuple[str, str, int, str]] = []
        """Call, who answered it, after how long, and the URL that is told."""

    async def queued(self, call: Any) -> None:
        self.changed(call)

    def changed(self, call: Any) -> None:
        self.statuses.append((call.sid, call.status.value))

    def measured(self, call: Any) -> None:
        self.measures.append(call.sid)

    def detected(self, call: Any, told: Any) -> None:
        url = told.url if told is not None else ""
        self.detections.append((call.sid, call.answered_by, call.detection_ms, url))

    def fetched(self, *facts: Any) -> None: ...

    def fetch_failed(self, call: Any, order: Any, error: Any, at_ms: int) -> None:
        self.failed_requests.append((error.code, str(error)))

    def warned(self, call: Any, code: int, message: str, line: int, level: str) -> None:
        self.warnings.append((code, message))

    async def caught_up(self) -> None: ...

    def recording_started(self, call: Any, facts: Any) -> None:
        self.recordings.append(f"started {facts.sid}")

    def recording_ended(self, call: Any, facts: Any, event: Any) -> None:
        self.recordings.append(f"ended {facts.sid} {event.reason.value}")


class Plenty:
    async def available(self, account_sid: str) -> int:
        return 1_000_000_000


class WatchedExchange(Exchange):
    """Knows which controllers there have been, without keeping them."""

    def __init__(self) -> None:
        super().__init__()
        self.spawned: list[weakref.ref[Controller]] = []

    def _own(self, controller: Controller, task: asyncio.Task[None] | None) -> None:
        self.spawned.append(weakref.ref(controller))
        super()._own(controller, task)


class House:
    """Build with the pages and callees of a story, then `call()`."""

    def __init__(
        self,
        pages: Mapping[str, Any],
        callees: Mapping[str, Callee] | None = None,
        *,
        folder: Path,
        target: str = VOICE,
        fallback: str = "",
        status_callback: str = "",
        snapshot: Mapping[str, Any] | None = None,
        more_accounts: Sequence[Account] = (),
        more_addresses: Sequence[Address] = (),
    ) -> None:
        self.media = ScriptedMedia()
        self.signalling = ScriptedSignalling(callees)
        self.fetcher = ScriptedFetcher(pages)
        self.speech = ScriptedSpeech()
        self.meter = TrackingMeter()
        self.log = ListedLog()
        self.metrics = CountedMetrics()
        self.exchange = WatchedExchange()
        address = Address(NUMBER, ACCOUNT, NUMBER, target, fallback=fallback, status_callback=status_callback)
        known = Snapshot(
            accounts=[Account(ACCOUNT, "demo", "Demo", token="t" * 32), *more_accounts],
            addresses=[address, *more_addresses],
            **(snapshot or {}),
        )
        self.services = Services(
            clock=LoopTime(),
            ids=CountingIds(),
            metrics=self.metrics,
            media=self.media,
            signalling=self.signalling,
            fetcher=self.fetcher,
            speech=self.speech,
            dispatcher=Dispatcher(known, Plenty()),
            meter=self.meter,
            log=cast(Any, self.log),
            exchange=self.exchange,
            compile=compile_body,
            settings=Settings(),
            recordings=folder,
            loops=Loops("of this house", 8),
            public_url="http://callrouter.test",
        )
        self.incoming = Incoming(self.services)
        self.orders = Orders(self.services)

    async def call(self, **facts: Any) -> ScriptedLeg:
        """A call comes in; returns when its controller runs."""
        leg = self.ring(**facts)
        await self.begun()
        return leg

    def ring(self, **facts: Any) -> ScriptedLeg:
        """An INVITE arrives; nothing has been done about it yet."""
        leg = ScriptedLeg(received_ns=LoopTime().monotonic_ns(), **facts)
        self.incoming(leg)
        return leg

    async def begun(self) -> None:
        """Return when the controllers of the calls that came in run."""
        for _ in range(5):
            await asyncio.sleep(0)

    async def idle(self) -> None:
        """Return when every call is over and everything is released."""
        while len(self.services.exchange):
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.1)

    @property
    def root(self) -> Any:
        return next(c for c in self.services.exchange if not c.call.facts.parent_sid)

    def call_of(self, sip: ScriptedLeg) -> Any:
        return next(c.call for c in self.services.exchange if c.call.leg and c.call.leg.sip is sip)

    def media_leg_of(self, sip: ScriptedLeg) -> LegId:
        """The engine's leg of a call."""
        return LegId(self.call_of(sip).leg.id)

    def told_at(self, path: str) -> dict[str, str]:
        """The parameters of the one request for a document."""
        (request,) = [order for order in self.fetcher.requests if order.url.endswith(path)]
        return dict(request.parameters)

    def press(self, digit: str) -> None:
        self.media.press(self.root.call.leg.id, digit)

    def check_nothing_left(self) -> None:
        """No leg, task, recording, dialog or open interval is left behind."""
        assert len(self.services.exchange) == 0
        assert self.media.legs == {}
        assert self.meter.dialogs == {}
        for sid, track in self.meter.tracks.items():
            assert track.end_ns is not None, f"the track of {sid} is open"
            starts = [start for start, _, _ in track.rows]
            assert starts == sorted(starts)
            assert starts[-1] <= track.end_ns
        started = [row.split()[1] for row in self.log.recordings if row.startswith("started")]
        ended = [row.split()[1] for row in self.log.recordings if row.startswith("ended")]
        assert sorted(started) == sorted(ended), "a recording was left running"
        for _, leg in self.signalling.placed:
            assert leg.is_over, "a dialled leg was left up"

    def check_nothing_to_collect(self) -> None:
        """A call is gone with its last reference: the collector, which holds everybody up while it looks
        for what refers to itself, has nothing to find."""
        left = [known for known in self.exchange.spawned if known() is not None]
        if left:
            gc.collect()
        in_circles = sum(known() is None for known in left)
        assert not in_circles, f"{in_circles} of {len(self.exchange.spawned)} calls waited for the collector"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Any]:
    houses: list[House] = []

    def build(
        pages: Mapping[str, Any] | str, callees: Mapping[str, Callee] | None = None, **rest: Any
    ) -> House:
        if isinstance(pages, str):
            pages = {VOICE: pages}
        houses.append(House(pages, callees, folder=tmp_path, **rest))
        return houses[-1]

    gc.disable()
    yield build
    gc.enable()
    for built in houses:
        built.check_nothing_left()
        built.check_nothing_to_collect()
