"""Torture messages, and what is made of them by chance, at a server that has a call up."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from tests.e2e.plain_phone import PlainPhone
from tests.e2e.stage import open_stage
from tests.protocol.mutations import mutants, originals

pytestmark = [pytest.mark.e2e]

WELCOME = {"defence": {"requests_per_second": 100_000.0, "burst": 1_000_000}}
"""Nobody is banned: every message is read."""


async def by_tcp(data: bytes, port: int, *, reset: bool) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    if reset:
        writer.transport.abort()
    else:
        await writer.drain()
        writer.close()


async def test_broken_messages_harm_neither_the_server_nor_a_call(tmp_path: Path) -> None:
    async with open_stage(tmp_path, sip=WELCOME) as stage, PlainPhone() as a, PlainPhone() as b:
        dial = f'<Dial answerOnBridge="true"><Sip>sip:bob@{b.at}</Sip></Dial>'
        a.invite(f"sip:{stage.number(dial)}@{stage.server.sip}", a.describe(a.audio()))
        await b.agrees(b.audio())
        answered = await a.final()
        port = stage.server.sip_port
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for index, (_, data) in enumerate([*originals().items(), *mutants(3, 10)]):
                udp.sendto(data, ("127.0.0.1", port))
                if index % 5 == 0:
                    await by_tcp(data, port, reset=index % 2 == 0)
        a.request("INVITE", a.describe(a.audio()))
        assert (await a.final()).status == 200
        packets = [bytes((0x80, 0, 0, n, 0, 0, 0, n, 0, 0, 0, 9)) + bytes([n]) * 160 for n in range(20)]
        for packet in packets:
            a.send("audio", answered.port("audio"), packet)
            await asyncio.sleep(0.02)
        assert len(await b.heard("audio", 10)) == 10
        a.request("BYE")
        assert (await a.final("BYE")).status == 200
        await b.asked("BYE")
