"""A bad network between a SIP program and the server: datagrams get lost, arrive twice, or late."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from tests.e2e.addresses import free_port

Address = tuple[str, int]
LATEST_SECONDS = 0.3
"""Behind what was sent later; below T1 and above it with what the program itself waits."""


@dataclass(slots=True)
class Fates:
    """What becomes of one datagram after the other; the same for the same seed.  Each share of `rate`
    is lost, doubled, or late."""

    rate: float
    chance: random.Random
    lost: int = 0
    doubled: int = 0
    late: int = 0
    passed: int = 0

    def delays(self) -> tuple[float, ...]:
        """Seconds until each copy of the next datagram arrives."""
        roll, later = self.chance.random(), self.chance.uniform(0.02, LATEST_SECONDS)
        if roll < self.rate:
            self.lost += 1
            return ()
        if roll < 2 * self.rate:
            self.doubled += 1
            return 0.0, later
        if roll < 3 * self.rate:
            self.late += 1
            return (later,)
        self.passed += 1
        return (0.0,)


class _Side(asyncio.DatagramProtocol):
    def __init__(self, received: Callable[[bytes], None]) -> None:
        self._received = received
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, _addr: Address) -> None:
        self._received(data)

    def send(self, data: bytes, to: Address) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data, to)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


@dataclass(slots=True)
class Lossy:
    """`for_program` is where the program finds the server, `for_server` where the server finds it."""

    program: Address
    server: Address
    to_server: Fates
    to_program: Fates
    for_program: int = field(default_factory=free_port)
    for_server: int = field(default_factory=free_port)

    async def open(self) -> list[_Side]:
        loop = asyncio.get_running_loop()
        near = _Side(lambda data: self._carry(data, self.to_server, far, self.server))
        far = _Side(lambda data: self._carry(data, self.to_program, near, self.program))
        for side, port in ((near, self.for_program), (far, self.for_server)):
            await loop.create_datagram_endpoint(
                lambda side=side: side,  # type: ignore[misc]  # mypy takes no default for a lambda
                local_addr=("127.0.0.1", port),
            )
        return [near, far]

    @staticmethod
    def _carry(data: bytes, fates: Fates, through: _Side, to: Address) -> None:
        for delay in fates.delays():
            asyncio.get_running_loop().call_later(delay, through.send, data, to)

    @property
    def words(self) -> str:
        both = (self.to_server, self.to_program)
        counts = {name: sum(getattr(f, name) for f in both) for name in ("passed", "lost", "doubled", "late")}
        return ", ".join(f"{count} {name}" for name, count in counts.items())


@asynccontextmanager
async def lossy(program_port: int, server_port: int, rate: float, seed: int) -> AsyncIterator[Lossy]:
    """Between a program and the server on this machine."""
    relay = Lossy(
        ("127.0.0.1", program_port),
        ("127.0.0.1", server_port),
        Fates(rate, random.Random(seed)),
        Fates(rate, random.Random(seed + 1)),
    )
    sides = await relay.open()
    try:
        yield relay
    finally:
        for side in sides:
            side.close()
