"""Connections: their limits, their keep-alives, and where messages go when they are gone."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

import pytest
from structlog.testing import capture_logs

from callrouter.ports import Answered, Confirmed, Ended, Failed, OutgoingCall
from callrouter.sip.settings import Listen
from tests.e2e.addresses import free_port
from tests.integration.sip_authority import listens
from tests.integration.sip_peer import MEDIA, UNLIMITED, Peer, hurry_no_answer, peer
from tests.patience import PATIENCE_SECONDS, punctually, until

SDP = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40002 RTP/AVP 0\r\n"


def request(
    method: str, sequence: int = 1, *, via: str = "client.invalid", to_tag: str = "", transport: str = "TCP"
) -> bytes:
    body = SDP if method == "INVITE" else b""
    tag = f";tag={to_tag}" if to_tag else ""
    return (
        f"{method} sip:callrouter SIP/2.0\r\n"
        f"Via: SIP/2.0/{transport} {via};branch=z9hG4bK{method}{sequence}\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=a1\r\nTo: <sip:callrouter>{tag}\r\n"
        f"Call-ID: stream-1\r\nCSeq: {sequence} {method}\r\n"
        f"Contact: <sip:alice@127.0.0.1:9;transport=tcp>\r\n"
        f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


@asynccontextmanager
async def connection(
    ours: Peer, index: int = 0
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", ours.port(index))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def message(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(PATIENCE_SECONDS):
        head = await reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"Content-Length: (\d+)", head)
        return head + await reader.readexactly(int(found[1]) if found else 0)


async def ended(reader: asyncio.StreamReader) -> bool:
    """The server closes the connection without another octet."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        with contextlib.suppress(ConnectionResetError):
            return await reader.read() == b""
        return True


# -- limits


async def test_an_address_gets_so_many_connections_and_a_closed_one_makes_room() -> None:
    async with peer(listen=listens("tcp"), max_connections_per_address=2) as ours:
        async with connection(ours) as (first, writer), connection(ours) as (second, _):
            writer.write(request("OPTIONS"))
            await message(first)
            with capture_logs() as said:
                for _ in range(2):
                    async with connection(ours) as (third, _):
                        assert await ended(third)
            (warned,) = [entry for entry in said if entry["event"] == "sip_connections_full"]
            assert (warned["setting"], warned["limit"]) == ("sip.max_connections_per_address", 2)
            refused = ("sip_connections_refused", "reason=too_many_from_address", "transport=tcp")
            assert ours.metrics.counts[refused] == 2
            assert ours.metrics.gauges["sip_connections", "transport=tcp"] == 2
            assert not second.at_eof()
        await ours.wait_for_no_connection("tcp")
        async with connection(ours) as (reader, writer):
            writer.write(request("OPTIONS", 2))
            assert (await message(reader)).startswith(b"SIP/2.0 200")


async def test_connections_are_limited_altogether() -> None:
    async with (
        peer(listen=listens("tcp", "ws"), max_connections=1) as ours,
        connection(ours) as (first, writer),
    ):
        writer.write(request("OPTIONS"))
        await message(first)
        async with connection(ours, 1) as (second, _):
            assert await ended(second)
        assert ours.metrics.counts["sip_connections_refused", "reason=too_many", "transport=ws"] == 1
        ours.signalling.place(
            OutgoingCall("sip:bob@127.0.0.1:9;transport=tcp", "+15550100", "", MEDIA), ours.sink
        )
        await ours.wait(lambda: bool(ours.told(Failed)))


async def test_a_connection_that_never_says_anything_is_closed() -> None:
    async with (
        peer(listen=listens("tcp"), first_message_seconds=0.2) as ours,
        connection(ours) as (reader, _),
    ):
        assert await ended(reader)
        assert ours.metrics.counts["sip_connections_refused", "reason=silent", "transport=tcp"] == 1


async def test_a_head_that_drips_is_not_waited_for() -> None:
    async with peer(listen=listens("tcp"), head_timeout_seconds=0.3) as ours:
        async with connection(ours) as (reader, writer):
            writer.write(request("OPTIONS"))
            await message(reader)
            for octet in request("OPTIONS", 2)[:4]:
                writer.write(bytes([octet]))
                await asyncio.sleep(0.05)
            assert await ended(reader)
        assert ours.metrics.counts["sip_connections_refused", "reason=slow_writer", "transport=tcp"] == 1


async def test_a_quiet_connection_is_closed_unless_a_call_came_by_it() -> None:
    async with peer(listen=listens("tcp"), idle_seconds=0.3) as ours:
        async with connection(ours) as (reader, writer):
            writer.write(request("OPTIONS"))
            await message(reader)
            assert await ended(reader)
        assert ours.metrics.counts["sip_connections_refused", "reason=idle", "transport=tcp"] == 1
        async with connection(ours) as (reader, writer):
            writer.write(request("INVITE"))
            answer = await message(reader)
            tag = re.search(rb"To: .*;tag=(\w+)", answer)
            assert tag is not None
            writer.write(request("ACK", to_tag=tag[1].decode()))
            await ours.wait(lambda: bool(ours.told(Confirmed)))
            await asyncio.sleep(0.8)
            ours.legs[0].hangup()
            assert (await message(reader)).startswith(b"BYE ")


async def test_who_closes_one_half_is_answered_before_the_other_is_closed() -> None:
    async with peer(transports=("tcp",)) as ours:
        ours.on_call = lambda leg: leg.ring()
        async with connection(ours) as (reader, writer):
            writer.write(request("OPTIONS") + request("INVITE", 2) + b"INVITE sip:unfinished")
            writer.write_eof()
            assert (await message(reader)).startswith(b"SIP/2.0 200 ")
            assert (await message(reader)).startswith(b"SIP/2.0 180 ")
            ours.legs[0].answer(MEDIA)
            answer = await message(reader)
            assert answer.startswith(b"SIP/2.0 200 ")
            assert b"CSeq: 2 INVITE" in answer
            assert await ended(reader)
        async with connection(ours) as (reader, writer):
            writer.write_eof()
            assert await ended(reader), "nothing is owed"


async def test_pings_keep_a_connection_open_and_each_gets_one_pong() -> None:
    async def pings() -> None:
        async with connection(ours) as (reader, writer):
            for _ in range(8):
                writer.write(b"\r\n\r\n")
                async with asyncio.timeout(PATIENCE_SECONDS):
                    assert await reader.readexactly(2) == b"\r\n"
                await asyncio.sleep(0.1)
            writer.write(request("OPTIONS"))
            assert (await message(reader)).startswith(b"SIP/2.0 200")

    async with peer(listen=listens("tcp"), idle_seconds=0.4, first_message_seconds=0.2) as ours:
        await punctually(pings, 0.1)


async def test_a_peer_that_does_not_read_is_cut_off() -> None:
    async with peer(listen=listens("tcp"), max_unread_bytes=1 << 16, defence=UNLIMITED) as ours:
        plain = socket.socket()
        plain.setblocking(False)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", ours.port()))
        _, writer = await asyncio.open_connection(sock=plain, limit=4096)
        flood = asyncio.create_task(write_for_ever(writer))
        await ours.wait_for_count("sip_connections_refused", "reason=slow_reader", "transport=tcp")
        flood.cancel()
        await asyncio.gather(flood, return_exceptions=True)
        writer.close()


async def write_for_ever(writer: asyncio.StreamWriter) -> None:
    for number in range(10_000_000):
        writer.write(request("OPTIONS", number))
        await writer.drain()


# -- when the connection is gone


async def test_a_response_finds_the_port_that_via_names_at_the_address_it_came_from() -> None:
    """RFC 3261 §18.2.2: the connection broke while the phone rang."""
    came: asyncio.Queue[bytes] = asyncio.Queue()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.put_nowait(await message(reader))
        writer.close()

    callback = await asyncio.start_server(accepted, "127.0.0.1", 0)
    port = callback.sockets[0].getsockname()[1]
    async with callback, peer(listen=listens("tcp")) as ours:
        ours.on_call = lambda leg: leg.ring()
        async with connection(ours) as (reader, writer):
            writer.write(request("INVITE", via=f"192.0.2.99:{port}"))
            assert (await message(reader)).startswith(b"SIP/2.0 180")
            to_be_reset = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, to_be_reset)
        await ours.wait_for_no_connection("tcp")
        ours.legs[0].reject(486)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert (await came.get()).startswith(b"SIP/2.0 486")


# -- requests too large for a datagram


def large(port: int) -> OutgoingCall:
    headers = tuple((f"X-Padding-{n}", "0123456789" * 10) for n in range(10))
    return OutgoingCall(f"sip:bob@127.0.0.1:{port}", "+15550100", "", MEDIA, headers=headers)


async def test_a_large_request_goes_by_tcp_and_its_call_goes_on_where_the_contact_says() -> None:
    port = free_port()
    listen = tuple(Listen(port=port, transport=transport) for transport in ("udp", "tcp"))
    async with peer() as ours, peer(listen=listen) as theirs:
        leg = ours.signalling.place(large(port), ours.sink)
        await ours.wait(lambda: bool(ours.told(Answered)))
        assert theirs.legs[0].transport == "tcp"
        leg.hangup()
        await theirs.wait(lambda: bool(theirs.told(Ended)))
        counts = theirs.metrics.counts
        assert counts["sip_messages", "direction=in", "method=INVITE", "transport=tcp", "trunk="] == 1
        assert counts["sip_messages", "direction=in", "method=ACK", "transport=tcp", "trunk="] == 1
        assert counts["sip_messages", "direction=in", "method=BYE", "transport=tcp", "trunk="] == 1


def has_answered(ours: Peer, calls: int) -> bool:
    return len(ours.told(Answered)) == calls


async def test_a_large_request_goes_by_udp_where_tcp_is_refused_and_so_does_the_next() -> None:
    without_tcp = (Listen(port=free_port()),)
    async with peer() as ours, peer(listen=without_tcp) as theirs:
        for number in (1, 2):
            ours.signalling.place(large(theirs.port()), ours.sink)
            await ours.wait(partial(has_answered, ours, number))
        assert [leg.transport for leg in theirs.legs] == ["udp", "udp"]
        assert ours.metrics.counts["sip_errors", "kind=send"] == 1


async def test_a_large_request_goes_by_udp_when_there_is_nothing_but_udp_here() -> None:
    async with peer(transports=("udp",)) as ours, peer() as theirs:
        ours.signalling.place(large(theirs.port()), ours.sink)
        await ours.wait(lambda: bool(ours.told(Answered)))
        assert theirs.legs[0].transport == "udp"


# -- NAT


class Phone(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.inbox: asyncio.Queue[bytes] = asyncio.Queue()
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.inbox.put_nowait(data)

    async def heard(self) -> bytes:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.inbox.get()


@asynccontextmanager
async def phone(port: int) -> AsyncIterator[Phone]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(Phone, remote_addr=("127.0.0.1", port))
    try:
        yield protocol
    finally:
        transport.close()


async def test_stun_on_the_sip_port_tells_a_phone_where_it_is_seen() -> None:
    async with peer(transports=("udp",)) as ours, phone(ours.port()) as ua:
        asked = struct.pack("!HHI", 1, 0, 0x2112A442) + b"transaction!"
        ua.transport.sendto(asked)
        answer = await ua.heard()
        assert answer[:2] == b"\1\1"
        port = struct.unpack_from("!H", answer, 26)[0] ^ 0x2112
        assert port == ua.transport.get_extra_info("sockname")[1]
        ua.transport.sendto(b"\0\1garbage")
        ua.transport.sendto(b"\r\n\r\n")
        ua.transport.sendto(request("OPTIONS", transport="UDP"))
        assert (await ua.heard()).startswith(b"SIP/2.0 200")


@pytest.mark.parametrize(
    ("via", "stamped"),
    [
        ("10.0.0.7:5062;rport", "10.0.0.7:5062;branch=z9hG4bKOPTIONS1;received=127.0.0.1;rport={port}"),
        ("127.0.0.1;rport", "127.0.0.1;branch=z9hG4bKOPTIONS1;received=127.0.0.1;rport={port}"),
    ],
)
async def test_a_phone_behind_nat_is_told_where_it_was_seen(via: str, stamped: str) -> None:
    async with peer(transports=("udp",)) as ours, phone(ours.port()) as ua:
        ua.transport.sendto(request("OPTIONS", via=via, transport="UDP"))
        answer = (await ua.heard()).decode()
        port = ua.transport.get_extra_info("sockname")[1]
        assert set(answer.split("\r\n")[1].split(" ")[2].split(";")) == set(
            stamped.format(port=port).split(";")
        )


async def test_each_transport_names_the_address_it_is_reached_at() -> None:
    """Contact and Via say what is advertised, not what is bound."""
    listen = (
        Listen(port=free_port(), advertise="198.51.100.1", advertise_port=5060),
        Listen(port=0, transport="tcp", advertise="sip.example.com"),
    )
    async with (
        peer(listen=listen) as ours,
        phone(listen[0].port) as ua,
        connection(ours, 1) as (reader, writer),
    ):
        ua.transport.sendto(request("INVITE", transport="UDP"))
        assert b"\r\nContact: <sip:198.51.100.1:5060>\r\n" in await ua.heard()
        writer.write(request("INVITE", 2).replace(b"stream-1", b"stream-2"))
        contact = f"\r\nContact: <sip:sip.example.com:{ours.port(1)};transport=tcp>\r\n"
        assert contact.encode() in await message(reader)
        target = f"sip:bob@127.0.0.1:{ua.transport.get_extra_info('sockname')[1]}"
        ours.signalling.place(OutgoingCall(target, "+15550100", "", MEDIA), ours.sink)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (invite := await ua.inbox.get()).startswith(b"INVITE "):
                pass
        assert b"\r\nVia: SIP/2.0/UDP 198.51.100.1:5060;" in invite


# -- seeing it


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_both_ends_of_a_call_remember_what_was_said(
    transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry_no_answer(monkeypatch)
    async with peer() as ours, peer() as theirs:
        port = theirs.port(0 if transport == "udp" else 1)
        target = f"sip:bob@127.0.0.1:{port};transport={transport}"
        leg = ours.signalling.place(OutgoingCall(target, "+15550100", "", MEDIA), ours.sink)
        await ours.wait(lambda: bool(ours.told(Answered)))
        leg.hangup()
        await theirs.wait(lambda: bool(theirs.told(Ended)))
        await until(lambda: len(ours.signalling.trace(leg.call_id)[0]) == 5)
        sent, _ = ours.signalling.trace(leg.call_id)
        received, _ = theirs.signalling.trace(leg.call_id)
        starts = [one.text.partition("\r\n")[0].partition(" sip:")[0] for one in sent]
        assert starts == ["INVITE", "SIP/2.0 200 OK", "ACK", "BYE", "SIP/2.0 200 OK"]
        assert [one.is_sent for one in sent] == [True, False, True, True, False]
        assert [one.text for one in received] == [one.text for one in sent]
        assert {one.transport for one in received} == {transport}
        assert "\r\n\r\nv=0\r\n" in sent[0].text
