"""A `Signalling` on loopback with a test's own hands on it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from callrouter.clock import SystemClock
from callrouter.ids import RandomIds
from callrouter.ports import MediaAddress, SignalEvent, SipLeg
from callrouter.sip.defence_settings import Defence
from callrouter.sip.leg import Leg
from callrouter.sip.protocol.hop import Hop
from callrouter.sip.protocol.outgoing import Invitation
from callrouter.sip.settings import Listen, Settings, Trunk
from callrouter.sip.signalling import Signalling
from tests.narrowing import those

E = TypeVar("E")

UNLIMITED = Defence(requests_per_second=100_000, burst=1_000_000)
MEDIA = MediaAddress("127.0.0.1", 40000)


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

    def __init__(self, signalling: Signalling, metrics: CountingMetrics) -> None:
        self.signalling = signalling
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

    async def wait(self, ready: Callable[[], bool], seconds: float = 5) -> None:
        async with asyncio.timeout(seconds):
            while not ready():
                self._changed.clear()
                await self._changed.wait()

    async def wait_for_count(self, *name: str) -> None:
        """Until a counter has moved; labels in alphabetical order."""
        async with asyncio.timeout(5):
            while not self.metrics.counts[name]:
                await asyncio.sleep(0.01)

    def place_at(self, uri: str, hop: Hop) -> Leg:
        """A call that takes the way of `hop`, as one to a registered contact does."""
        agent, endpoint, clock = self.signalling._agent, self.signalling._endpoint, SystemClock()
        invitation = Invitation(uri, "<sip:callrouter@127.0.0.1>", "callrouter", MEDIA)
        session = agent.call(invitation, RandomIds().token(16))
        leg = Leg(session, clock, endpoint.pump)
        leg.attach(self.sink)
        session.start(hop, clock.monotonic_ns())
        endpoint.pump()
        return leg

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
    signalling = Signalling(Settings(trunks=trunks, **settings), SystemClock(), RandomIds(), metrics)
    await signalling.start()
    try:
        yield Peer(signalling, metrics)
    finally:
        await signalling.stop()
