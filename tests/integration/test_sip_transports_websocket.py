"""Browser phones: SIP over WebSockets (RFC 7118), spoken by an independent client."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from callrouter.ports import Answered, Confirmed, Ended, Failed
from callrouter.sip.protocol.hop import Hop
from tests.integration.sip_authority import Authority, listens
from tests.integration.sip_peer import UNLIMITED, Peer, peer
from tests.patience import PATIENCE_SECONDS, punctually, until

HOST = "df7jal23ls0d.invalid"
SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40002 RTP/AVP 0\r\n"


def request(method: str, sequence: int, *, to_tag: str = "", body: str = "", transport: str = "WS") -> str:
    tag = f";tag={to_tag}" if to_tag else ""
    kind = "Content-Type: application/sdp\r\n" if body else ""
    return (
        f"{method} sip:callrouter SIP/2.0\r\n"
        f"Via: SIP/2.0/{transport} {HOST};branch=z9hG4bK{method}{sequence}\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=a1\r\nTo: <sip:callrouter>{tag}\r\n"
        f"Call-ID: browser-1\r\nCSeq: {sequence} {method}\r\n"
        f"Contact: <sip:alice@{HOST};transport=ws>\r\n{kind}Content-Length: {len(body)}\r\n\r\n{body}"
    )


@asynccontextmanager
async def browser(
    ours: Peer, url: str = "", protocols: tuple[str, ...] = ("sip",), **options: Any
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            url or f"ws://127.0.0.1:{ours.port()}/any", protocols=protocols, **options
        ) as connection,
    ):
        yield connection


async def heard(connection: aiohttp.ClientWebSocketResponse, start: str = "") -> str:
    """The next message that starts so; whatever comes before it is passed over."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            message = await connection.receive()
            assert message.type is aiohttp.WSMsgType.TEXT, message
            if message.data.startswith(start):
                return str(message.data)


def tag_of(message: str) -> str:
    found = re.search(r"^To: .*;tag=(\S+)\r$", message, re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("transport", ["ws", "wss"])
async def test_a_browser_calls_and_is_hung_up_on_over_its_connection(transport: str, tmp_path: Path) -> None:
    """Its Contact is a host that does not exist: everything has to come back the way it went."""
    authority = Authority(tmp_path)
    tls = authority.tls(authority.issue("server.pem", "localhost"))
    async with peer(listen=listens(transport), tls=tls) as ours:
        url = f"{transport}://localhost:{ours.port()}/"
        async with browser(ours, url, ssl=authority.client()) as connection:
            assert connection.protocol == "sip"
            name = transport.upper()
            await connection.send_str(request("INVITE", 1, body=SDP, transport=name))
            answer = await heard(connection, "SIP/2.0 200")
            assert f"Via: SIP/2.0/{name} {HOST};branch=z9hG4bKINVITE1;received=127.0.0.1" in answer
            assert ";transport=ws>" in answer
            await connection.send_str(request("ACK", 1, to_tag=tag_of(answer), transport=name))
            await ours.wait(lambda: bool(ours.told(Confirmed)))
            assert ours.legs[0].transport == transport
            ours.legs[0].hangup()
            bye = await heard(connection, "BYE ")
            assert bye.startswith(f"BYE sip:alice@{HOST};transport=ws SIP/2.0\r\n")
            assert f"Via: SIP/2.0/{name} 127.0.0.1:{ours.port()};" in bye


async def test_a_browser_ends_its_call_and_octets_that_are_no_text_come_as_binary() -> None:
    async with peer(listen=listens("ws")) as ours, browser(ours) as connection:
        await connection.send_bytes(request("INVITE", 1, body=SDP).encode())
        answer = await heard(connection, "SIP/2.0 200")
        await connection.send_bytes(request("ACK", 1, to_tag=tag_of(answer)).encode())
        await connection.send_bytes(request("BYE", 2, to_tag=tag_of(answer)).encode())
        await heard(connection, "SIP/2.0 200")
        await ours.wait(lambda: bool(ours.told(Ended)))
        strange = request("OPTIONS", 3).replace("<sip:alice@", "M\udcfcller <sip:alice@")
        await connection.send_bytes(strange.encode("utf-8", "surrogateescape"))
        async with asyncio.timeout(PATIENCE_SECONDS):
            message = await connection.receive()
        assert message.type is aiohttp.WSMsgType.BINARY
        assert b"M\xfcller" in message.data


async def test_a_call_to_a_browser_goes_over_the_connection_it_opened() -> None:
    async with peer(listen=listens("ws")) as ours, browser(ours) as connection:
        await connection.send_str(request("OPTIONS", 1))
        await heard(connection, "SIP/2.0 200")
        session = ours.place_at(f"sip:alice@{HOST};transport=ws", Hop("ws", "127.0.0.1", 1, 0, 1))
        invite = await heard(connection, "INVITE ")
        lines = invite.split("\r\n")
        kept = [line for line in lines if line.startswith(("Via:", "From:", "Call-ID:", "CSeq:"))]
        to = next(line for line in lines if line.startswith("To:"))
        await connection.send_str(
            "\r\n".join(["SIP/2.0 200 OK", *kept, f"{to};tag=b1", f"Contact: <sip:alice@{HOST};transport=ws>",
                         "Content-Type: application/sdp", f"Content-Length: {len(SDP)}", "", SDP])
        )  # fmt: skip
        assert (await heard(connection, "ACK ")).startswith(f"ACK sip:alice@{HOST};transport=ws SIP/2.0")
        await ours.wait(lambda: bool(ours.told(Answered)))
        session.hangup()
        await heard(connection, "BYE ")


async def test_a_browser_that_has_gone_cannot_be_called_and_nobody_looks_for_its_name() -> None:
    async with peer(listen=listens("ws")) as ours:
        ours.place_at(f"sip:alice@{HOST};transport=ws", Hop("ws", "127.0.0.1", 1, 0, 7))
        await ours.wait(lambda: bool(ours.told(Failed)))
        assert ours.told(Failed)[0].status == 503


async def test_a_call_whose_browser_goes_can_still_be_hung_up() -> None:
    async with peer(listen=listens("ws")) as ours:
        async with browser(ours) as connection:
            await connection.send_str(request("INVITE", 1, body=SDP))
            answer = await heard(connection, "SIP/2.0 200")
            await connection.send_str(request("ACK", 1, to_tag=tag_of(answer)))
            await ours.wait(lambda: bool(ours.told(Confirmed)))
        await ours.wait_for_no_connection("ws")
        ours.legs[0].hangup()
        await until(lambda: not ours.signalling._agent.sessions)


async def test_a_client_that_does_not_speak_sip_is_told_so_in_the_handshake() -> None:
    async with peer(listen=listens("ws")) as ours:
        for protocols in ((), ("chat",)):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with browser(ours, protocols=protocols):
                    pass
            assert refused.value.status == 400
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{ours.port()}/") as answer,
        ):
            assert answer.status == 426


@pytest.mark.parametrize("version", ["Sec-WebSocket-Version: 8\r\n", ""])
async def test_a_client_of_another_version_is_told_ours(version: str) -> None:
    async with peer(listen=listens("ws")) as ours:
        reader, writer = await asyncio.open_connection("127.0.0.1", ours.port())
        writer.write(HANDSHAKE.replace("Sec-WebSocket-Version: 13\r\n", version).encode())
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 426 ")
        assert b"\r\nSec-WebSocket-Version: 13\r\n" in answer
        assert b"\r\nUpgrade: websocket\r\n" in answer
        writer.close()


async def test_pages_of_other_origins_are_kept_out() -> None:
    async with peer(listen=listens("ws", origins=("https://phone.example",))) as ours:
        async with browser(ours, origin="https://phone.example"):
            pass
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with browser(ours, origin="https://evil.example"):
                pass
        assert refused.value.status == 403


@pytest.mark.parametrize(
    ("sent", "code"), [("hello", 1002), ("x" * 200_000, 1009), (b"\0" * 200_000, 1009), (b"\0\1", 1002)]
)
async def test_what_is_no_sip_message_or_too_large_ends_the_connection(sent: str | bytes, code: int) -> None:
    async with peer(listen=listens("ws")) as ours, browser(ours) as connection:
        await (connection.send_str(sent) if isinstance(sent, str) else connection.send_bytes(sent))
        async with asyncio.timeout(PATIENCE_SECONDS):
            message = await connection.receive()
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert message.data == code
        assert ours.metrics.counts["sip_connections_refused", "reason=protocol", "transport=ws"] == 1


async def test_fragments_make_a_message_and_endless_empty_ones_do_not() -> None:
    async with peer(listen=listens("ws")) as ours:
        reader, writer = await raw_handshake(ours)
        text = request("OPTIONS", 1).encode()
        writer.write(frame(0x01, text[:50]) + frame(0x00, text[50:90]) + frame(0x80, text[90:]))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await reader.readuntil(b"SIP/2.0 200")
            writer.write(frame(0x01, b"") + frame(0x00, b"") * 300)
            assert b"\x03\xf1too many fragments" in await reader.read()
        writer.close()


async def test_pings_and_crlf_are_answered_and_an_unanswered_ping_ends_the_connection() -> None:
    async with peer(listen=listens("ws"), ping_seconds=0.2) as ours:
        async with browser(ours, autoping=False) as connection:
            await connection.send_str("\r\n\r\n")
            assert await heard(connection) == "\r\n"
            await connection.ping(b"there?")
            async with asyncio.timeout(PATIENCE_SECONDS):
                said = [await connection.receive() for _ in range(3)]
            assert (aiohttp.WSMsgType.PONG, b"there?") in [(one.type, one.data) for one in said[:2]]
            assert aiohttp.WSMsgType.PING in [one.type for one in said[:2]]
            assert said[2].type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        assert ours.metrics.counts["sip_connections_refused", "reason=idle", "transport=ws"] == 1


async def test_answered_pings_keep_a_quiet_connection_open() -> None:
    async def answers() -> None:
        async with browser(ours) as connection:
            await connection.send_str("\r\n\r\n")
            assert await heard(connection) == "\r\n"
            receiving = asyncio.create_task(connection.receive())  # answers pings meanwhile
            await asyncio.sleep(0.6)
            assert not receiving.done()
            await connection.send_str(request("OPTIONS", 1))
            async with asyncio.timeout(PATIENCE_SECONDS):
                said = await receiving
            assert said.type is aiohttp.WSMsgType.TEXT, said
            assert said.data.startswith("SIP/2.0 200")

    async with peer(listen=listens("ws"), ping_seconds=0.1) as ours:
        await punctually(answers, 0.03)


async def test_a_browser_that_does_not_read_is_cut_off() -> None:
    async with peer(listen=listens("ws"), max_unread_bytes=1 << 16, defence=UNLIMITED) as ours:
        _, writer = await raw_handshake(ours, receive_buffer=4096)
        message = frame(0x81, request("OPTIONS", 1).encode())
        flood = asyncio.create_task(write_for_ever(writer, message))
        await ours.wait_for_count("sip_connections_refused", "reason=slow_reader", "transport=ws")
        flood.cancel()
        await asyncio.gather(flood, return_exceptions=True)
        writer.close()


async def test_a_handshake_may_take_no_longer_than_it_should() -> None:
    async with peer(listen=listens("ws"), first_message_seconds=0.2) as ours:
        _, slow = await asyncio.open_connection("127.0.0.1", ours.port())
        slow.write(b"GET / HTTP/1.1\r\n")
        await ours.wait_for_count("sip_connections_refused", "reason=silent", "transport=ws")
        slow.close()


async def test_a_handshake_may_say_no_more_than_it_should() -> None:
    async with peer(listen=listens("ws")) as ours:
        _, long = await asyncio.open_connection("127.0.0.1", ours.port())
        long.write(b"GET / HTTP/1.1\r\n" + b"X-Padding: 0123456789\r\n" * 2000)
        await ours.wait_for_count("sip_connections_refused", "reason=handshake", "transport=ws")
        long.close()


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(b"", id="handshake"),
        pytest.param(b"\x81", id="head of a frame"),
        pytest.param(b"\x81\x90" + bytes(4), id="head alone"),
        pytest.param(b"\x01\x84" + bytes(4) + b"OPTI", id="one fragment"),
        pytest.param(b"\x01\x84" + bytes(4) + b"OPTI" + b"\x89\x80" + bytes(4), id="a ping behind it"),
    ],
)
async def test_what_was_begun_has_to_be_completed_in_time(begun: bytes) -> None:
    async with peer(listen=listens("ws"), head_timeout_seconds=0.2) as ours:
        if begun:
            reader, writer = await raw_handshake(ours)
            writer.write(frame(0x81, request("OPTIONS", 1).encode()))
            await reader.readuntil(b"SIP/2.0 200")
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", ours.port())
        writer.write(begun or HANDSHAKE[:20].encode())
        await ours.wait_for_count("sip_connections_refused", "reason=slow_writer", "transport=ws")
        writer.close()


async def test_whoever_completes_what_it_begins_is_not_hurried() -> None:
    async def completes() -> None:
        reader, writer = await raw_handshake(ours)
        for number in (1, 2):
            written = frame(0x81, request("OPTIONS", number).encode())
            writer.write(written[:9])
            await asyncio.sleep(0.01)
            writer.write(written[9:])
            await reader.readuntil(b"SIP/2.0 200")
            await asyncio.sleep(0.3)
        assert not reader.at_eof()
        writer.close()

    async with peer(listen=listens("ws"), head_timeout_seconds=0.2) as ours:
        await punctually(completes, 0.1)


async def test_a_server_that_stops_says_that_it_is_going_away() -> None:
    async with peer(listen=listens("ws")) as ours, browser(ours) as connection:
        await connection.send_str("\r\n\r\n")
        await heard(connection)
        stopping = asyncio.create_task(ours.signalling.stop())
        async with asyncio.timeout(PATIENCE_SECONDS):
            message = await connection.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)
        await stopping


# -- WebSockets by hand, for what clients do not do


HANDSHAKE = (
    "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: sip\r\n\r\n"
)


def frame(first: int, payload: bytes) -> bytes:
    """A masked frame; `first`: FIN and opcode."""
    length = len(payload)
    size = struct.pack("!B", 0x80 | length) if length < 126 else struct.pack("!BH", 0x80 | 126, length)
    return bytes([first]) + size + b"\0\0\0\0" + payload


async def write_for_ever(writer: asyncio.StreamWriter, message: bytes) -> None:
    for number in range(10_000_000):
        writer.write(message.replace(b"OPTIONS1", b"O%07d" % number))
        await writer.drain()


async def raw_handshake(
    ours: Peer, receive_buffer: int = 0
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    plain = socket.socket()
    plain.setblocking(False)
    if receive_buffer:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", ours.port()))
    reader, writer = await asyncio.open_connection(sock=plain, limit=4096)
    writer.write(HANDSHAKE.encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    return reader, writer
