"""Calls with SIPp, as caller and as callee, straight and through a network that loses things."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from callrouter.ports import Answered, Confirmed, Direction, Ended, Failed, MediaChanged, OutgoingCall
from tests.e2e.addresses import free_port, taken
from tests.integration.sip_peer import MEDIA, Peer, peer
from tests.patience import PATIENCE_SECONDS

SIPP = shutil.which("sipp")
SCENARIOS = Path(__file__).parents[1] / "data" / "sipp"
pytestmark = [pytest.mark.e2e, pytest.mark.skipif(SIPP is None, reason="SIPp is not installed")]


@asynccontextmanager
async def sipp(tmp_path: Path, *options: str, transport: str = "u1") -> AsyncIterator[None]:
    """SIPp in the background; at the end it must have ended well by itself."""
    assert SIPP is not None
    process = await asyncio.create_subprocess_exec(
        SIPP,
        *(
            "-i",
            "127.0.0.1",
            "-t",
            transport,
            "-nostdin",
            "-timeout",
            str(PATIENCE_SECONDS),
            "-timeout_error",
        ),
        *("-trace_err", "-error_file", str(tmp_path / "errors.log")),
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=tmp_path,
    )
    try:
        yield
        output, _ = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS + 10)
        errors = tmp_path / "errors.log"
        assert process.returncode == 0, (errors.read_text() if errors.exists() else output.decode())[-3000:]
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def server(ours: Peer, transport: str) -> str:
    return f"127.0.0.1:{ours.port(0 if transport == 'u1' else 1)}"


def scenario(name: str) -> tuple[str, str]:
    return "-sf", str(SCENARIOS / f"{name}.xml")


@pytest.mark.parametrize("transport", ["u1", "t1"])
async def test_fifty_plain_calls(transport: str, tmp_path: Path) -> None:
    async with peer() as ours:
        ours.feels_no_load()
        async with sipp(
            tmp_path, "-sn", "uac", server(ours, transport), "-m", "50", "-r", "100", "-d", "50",
            transport=transport,
        ):  # fmt: skip
            pass
        assert len(ours.legs) == 50
        await ours.wait(lambda: len(ours.told(Ended)) == 50)
        assert len(ours.told(Confirmed)) == 50


@pytest.mark.parametrize("transport", ["u1", "t1"])
async def test_a_late_offer_and_a_hold(transport: str, tmp_path: Path) -> None:
    async with peer() as ours:
        async with sipp(
            tmp_path, *scenario("late_offer_caller"), server(ours, transport), "-m", "1", transport=transport
        ):
            pass
        await ours.wait(lambda: bool(ours.told(Ended)))
        (confirmed,), (changed,) = ours.told(Confirmed), ours.told(MediaChanged)
        assert isinstance(confirmed, Confirmed)
        assert confirmed.audio is not None
        assert confirmed.audio.codec == "PCMA"
        assert isinstance(changed, MediaChanged)
        assert changed.audio.direction is Direction.RECVONLY


@pytest.mark.parametrize("transport", ["u1", "t1"])
async def test_calls_to_sipp(transport: str, tmp_path: Path) -> None:
    port = free_port()
    suffix = "" if transport == "u1" else ";transport=tcp"
    async with peer() as ours, sipp(tmp_path, "-sn", "uas", "-p", str(port), "-m", "20", transport=transport):
        await taken(port, "udp" if transport == "u1" else "tcp")
        call = OutgoingCall(f"sip:bob@127.0.0.1:{port}{suffix}", "+15550100", "", MEDIA)
        legs = [ours.signalling.place(call, ours.sink) for _ in range(20)]
        await ours.wait(lambda: len(ours.told(Answered)) == 20)
        for leg in legs:
            leg.hangup()


@pytest.mark.parametrize(("password", "outcome"), [("secret", Answered), ("wrong", Failed)])
async def test_sipp_checks_our_digest(password: str, outcome: type, tmp_path: Path) -> None:
    port = free_port()
    call = OutgoingCall(f"sip:bob@127.0.0.1:{port}", "+15550100", "", MEDIA, username="alice")
    async with peer() as ours, sipp(tmp_path, *scenario("digest_callee"), "-p", str(port), "-m", "1"):
        await taken(port)
        leg = ours.signalling.place(replace(call, password=password), ours.sink)
        await ours.wait(lambda: bool(ours.told(outcome)))
        if outcome is Failed:
            assert ours.told(Failed)[0].status == 403
        leg.hangup()


MOST_LOST = 3


class Relay(asyncio.DatagramProtocol):
    """Between one client and one server: loses, doubles and delays what passes."""

    def __init__(self, target: tuple[str, int], loss: float, chance: random.Random) -> None:
        self.target = target
        self.loss = loss
        self.chance = chance
        self.lost: Counter[bytes] = Counter()
        """How often in a row the same was; no network is as bad to one message alone."""
        self.client: tuple[str, int] | None = None
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if addr != self.target:
            self.client = addr
        to = self.client if addr == self.target else self.target
        for copies in range(2):
            roll = self.chance.random()
            if copies and not self.loss < roll < 2 * self.loss:
                continue
            if roll < self.loss and self.lost[data] < MOST_LOST:
                self.lost[data] += 1
                continue
            self.lost[data] = 0
            delay = self.chance.uniform(0, 0.05) if roll < 3 * self.loss else 0
            asyncio.get_running_loop().call_later(delay, self.pass_on, data, to)

    def pass_on(self, data: bytes, to: tuple[str, int] | None) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.sendto(data, to)


@pytest.mark.parametrize("loss", [0.01, 0.05, 0.20])
async def test_calls_through_a_relay_that_loses_and_doubles(loss: float, tmp_path: Path) -> None:
    """At 5 % no call is lost; never is one doubled.  SIPp's own caller repeats until it is heard."""
    calls = 40
    async with peer() as ours:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: Relay(("127.0.0.1", ours.port()), loss, random.Random(7)), local_addr=("127.0.0.1", 0)
        )
        port = transport.get_extra_info("sockname")[1]
        options = ("-sn", "uac", f"127.0.0.1:{port}", "-m", str(calls), "-r", "40", "-d", "100")
        try:
            async with sipp(tmp_path, *options, "-max_retrans", "10"):
                pass
        finally:
            transport.close()
        assert len(ours.legs) == calls
        assert len({leg.call_id for leg in ours.legs}) == calls
