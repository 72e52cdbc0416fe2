"""A relay between a far end and a leg that loses, delays and doubles what passes, on real sockets."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from callrouter.ports import MediaAddress


def _pair() -> tuple[socket.socket, socket.socket]:
    """RTP and RTCP: two sockets on ports beside each other."""
    while True:
        first, second = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        first.bind(("127.0.0.1", 0))
        try:
            second.bind(("127.0.0.1", first.getsockname()[1] + 1))
        except (OSError, OverflowError):
            first.close()
            second.close()
            continue
        first.setblocking(False)
        second.setblocking(False)
        return first, second


@dataclass(slots=True)
class Relay:
    """`near` faces the leg, `far` the far end: each side is sent to by the other's packets."""

    leg: MediaAddress
    far_end: MediaAddress
    loss: float = 0.0
    delay: float = 0.0
    """Seconds, either way."""
    jitter: float = 0.0
    """Seconds by which RTP of the far end may come later still: it is reordered by that."""
    doubling: float = 0.0
    spare: int = 0
    """The first so many RTP packets of the far end pass as they are."""
    seed: int = 1
    lost: int = 0
    passed: int = 0
    near: tuple[socket.socket, socket.socket] = field(default_factory=_pair)
    far: tuple[socket.socket, socket.socket] = field(default_factory=_pair)
    _chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    @property
    def for_leg(self) -> MediaAddress:
        """Where the leg is told that its far end is."""
        return MediaAddress("127.0.0.1", self.near[0].getsockname()[1])

    @property
    def for_far_end(self) -> tuple[str, int]:
        return "127.0.0.1", self.far[0].getsockname()[1]

    def read(self, port: int, is_to_leg: bool) -> None:
        source = (self.far if is_to_leg else self.near)[port]
        sink = (self.near if is_to_leg else self.far)[port]
        to = self.leg if is_to_leg else self.far_end
        while True:
            try:
                data = source.recv(2048)
            except BlockingIOError:
                return
            is_heard = is_to_leg and port == 0
            for _ in range(self._copies() if is_heard else 1):
                late = self.delay + (self._chance.random() * self.jitter if is_heard else 0)
                self._later(sink, data, (to.host, to.port + port), late)

    def _copies(self) -> int:
        self.passed += 1
        if self.passed <= self.spare:
            return 1
        if self._chance.random() < self.loss:
            self.lost += 1
            return 0
        return 2 if self._chance.random() < self.doubling else 1

    def _later(self, sink: socket.socket, data: bytes, to: tuple[str, int], seconds: float) -> None:
        if not seconds:
            sink.sendto(data, to)
        else:
            asyncio.get_running_loop().call_later(seconds, sink.sendto, data, to)


@contextmanager
def relayed(relay: Relay) -> Iterator[Relay]:
    loop = asyncio.get_running_loop()
    sides = [(relay.far[port], port, True) for port in (0, 1)]
    sides += [(relay.near[port], port, False) for port in (0, 1)]
    for sock, port, is_to_leg in sides:
        loop.add_reader(sock, relay.read, port, is_to_leg)
    try:
        yield relay
    finally:
        for sock, _, _ in sides:
            loop.remove_reader(sock)
            sock.close()
