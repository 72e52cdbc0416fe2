"""A `Signalling` on loopback with a test's own hands on it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest

from callrouter.clock import SystemClock
from callrouter.ids import RandomIds
from callrouter.ports import MediaAddress, SignalEvent, SipLeg
from callrouter.sip.defence_settings import Defence
from callrouter.sip.leg import Leg
from callrouter.sip.protocol import awaited_ack
from callrouter.sip.protocol.hop import Hop
from callrouter.sip.protocol.outgoing import Invitation
from callrouter.sip.protocol.timers import LIFETIME
from callrouter.sip.protocol.transactions import client, server
from callrouter.sip.settings import Listen, Settings, Trunk
from callrouter.sip.signalling import Signalling
from tests.narrowing import those
from tests.patience import PATIENCE_SECONDS, until

E = TypeVar("E")

UNLIMITED = Defence(requests_per_second=100_000, burst=1_000_000)
MEDIA = MediaAddress("127.0.0.1", 40000)


def hurry_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent a second time, however long a slow machine takes to answer it: for tests that
    count messages."""
    for module in (client, server, awaited_ack):
        monkeypatch.setattr(module, "T1", LIFETIME)


class SkippingClock(SystemClock):
    """A test does not wait for minutes."""

    ahead_ns = 0

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + self.ahead_ns


class CountingMetrics:
    def __init__(self) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.gauges: dict[tuple[str, ...], float] = {}

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        self.counts[(name, *(f"{k}={v}" for k, v in sorted(labels.items())))] += int(amount)

    def counter(self, name: str, **labels: str) -> Callable[[], None]:
        return lambda: self.count(name, 1, **labels)

    def observe(self, name: str, value: float, **labels: str) -> None:
        raise AssertionError("SIP observes nothing")

    def gauge(self, name: str, value: float, **labels: str) -> None:
        self.gauges[(name, *(f"{k}={v}" for k, v in sorted(labels.items())))] = value


class Peer:
    """A server whose calls are handled by `on_call`."""

    def __init__(self, signalling: Signalling, metrics: CountingMetrics, clock: SkippingClock) -> None:
        self.signalling = signalling
        self._clock = clock
        self.metrics = metrics
        self.legs: list[SipLeg] = []
        self.events: list[SignalEvent] = []
        self.on_call: Callable[[SipLeg], None] = lambda leg: leg.answer(MEDIA)
        self._changed = asyncio.Event()
        signalling.on_incoming(self._incoming)

    def _incoming(self, leg: SipLeg) -> None:
        self.legs.append(leg)
        leg.attach(self.sink)
        self.on_call(leg)
        self._changed.set()

    def sink(self, event: SignalEvent) -> None:
        self.events.append(event)
        self._changed.set()

    def told(self, kind: type[E]) -> list[E]:
        return those(kind, self.events)

    async def wait(self, ready: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not ready():
                self._changed.clear()
                await self._changed.wait()

    async def wait_for_count(self, *name: str) -> None:
        """Until a counter has moved; labels in alphabetical order."""
        await until(lambda: self.metrics.counts[name])

    async def wait_for_no_connection(self, transport: str) -> None:
        """Until the last one is known to be gone."""
        await until(lambda: self.metrics.gauges.get(("sip_connections", f"transport={transport}")) == 0)

    def place_at(self, uri: str, hop: Hop) -> Leg:
        """A call that takes the way of `hop`, as one to a registered contact does."""
        agent, endpoint, clock = self.signalling._agent, self.signalling._endpoint, self._clock
        invitation = Invitation(uri, "<sip:callrouter@127.0.0.1>", "callrouter", MEDIA)
        session = agent.call(invitation, RandomIds().token(16))
        leg = Leg(session, clock, endpoint.pump)
        leg.attach(self.sink)
        session.start(hop, clock.monotonic_ns())
        endpoint.pump()
        return leg

    def skip(self, seconds: float) -> None:
        """Let so much time pass at once."""
        self._clock.ahead_ns += round(seconds * 1e9)
        self.signalling._endpoint._fire()

    def feels_no_load(self) -> None:
        """Takes every call, however slow the machine is."""
        self.signalling._heartbeat.stop()

    def port(self, index: int = 0) -> int:
        return self.signalling.listeners[index].port


@asynccontextmanager
async def peer(
    host: str = "127.0.0.1",
    transports: tuple[str, ...] = ("udp", "tcp"),
    trunks: tuple[Trunk, ...] = (),
    **settings: Any,
) -> AsyncIterator[Peer]:
    metrics = CountingMetrics()
    settings.setdefault("listen", tuple(Listen(host=host, port=0, transport=t) for t in transports))
    clock = SkippingClock()
    signalling = Signalling(Settings(trunks=trunks, **settings), clock, RandomIds(), metrics)
    await signalling.start()
    try:
        yield Peer(signalling, metrics, clock)
    finally:
        await signalling.stop()
