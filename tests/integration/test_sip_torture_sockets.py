"""The torture messages once more, as datagrams and over connections of a running server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from callrouter.ports import SipLeg
from tests.integration.sip_peer import Peer, peer
from tests.patience import PATIENCE_SECONDS
from tests.protocol.torture import RFC4475, RFC5118, Owed, read

TABLES = [("rfc4475", RFC4475), ("rfc5118", RFC5118)]


class Mailbox(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.inbox: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.inbox.put_nowait(data)


def refuse(leg: SipLeg) -> None:
    leg.reject(603)


def expected(owed: Owed, transport: str) -> list[str]:
    """Statuses as they are seen from outside: a call is a 603 here."""
    words = owed.over(transport).replace("call", "603").split()
    return [w for w in words if w.isdigit()]


def statuses(data: bytes) -> list[str]:
    lines = data.split(b"\r\n")
    return [line.split(b" ")[1].decode() for line in lines if line.startswith(b"SIP/2.0 ")]


@pytest.mark.parametrize(("folder", "table"), TABLES)
async def test_over_udp(folder: str, table: dict[str, Owed]) -> None:
    wrong = {}
    loop = asyncio.get_running_loop()
    for name, owed in table.items():
        # One server each: some messages share everything that makes a transaction.
        async with peer() as ours:
            ours.on_call = refuse
            transport, mailbox = await loop.create_datagram_endpoint(
                Mailbox, remote_addr=("127.0.0.1", ours.port())
            )
            transport.sendto(read(folder, name))
            transport.sendto(probe(name))
            got = []
            while True:
                data = await asyncio.wait_for(mailbox.inbox.get(), PATIENCE_SECONDS)
                if b"probe-" in data:
                    break
                got += statuses(data)
            transport.close()
            if got != expected(owed, "udp"):
                wrong[name] = (got, owed.udp)
            assert_no_accident(ours)
    assert wrong == {}


@pytest.mark.parametrize(("folder", "table"), TABLES)
async def test_over_tcp(folder: str, table: dict[str, Owed]) -> None:
    wrong = {}
    for name, owed in table.items():
        async with peer(head_timeout_seconds=0.2) as ours:
            ours.on_call = refuse
            reader, writer = await asyncio.open_connection("127.0.0.1", ours.port(1))
            writer.write(read(folder, name))
            if "close" not in owed.over("tcp") and "waits" not in owed.over("tcp"):
                writer.write_eof()
            received = await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
            writer.close()
            if statuses(received) != expected(owed, "tcp"):
                wrong[name] = (statuses(received), owed.over("tcp"))
            assert_no_accident(ours)
    assert wrong == {}


def probe(name: str) -> bytes:
    """An OPTIONS behind the message: when its answer is here, so is everything before it."""
    return (
        f"OPTIONS sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK{name}\r\n"
        f"From: <sip:probe@127.0.0.1>;tag=p\r\nTo: <sip:x@127.0.0.1>\r\nCall-ID: probe-{name}\r\n"
        "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def assert_no_accident(ours: Peer) -> None:
    assert not [key for key in ours.metrics.counts if "kind=internal" in key]


def test_the_messages_are_here() -> None:
    assert len(RFC4475) == 49
    assert len(RFC5118) == 12
    assert (Path(__file__).parents[1] / "data" / "rfc4475" / "README.md").exists()
