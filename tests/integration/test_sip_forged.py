"""Requests that only look as if they belonged to a call: they cost those that do neither time nor room."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

from callrouter.sip.protocol.message import Response, parse
from tests.integration.sip_peer import UNLIMITED, peer
from tests.patience import PATIENCE_SECONDS

SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"
CALLS = 10
FORGED = 12_000
"""More than wait at the door, of whatever kind."""


class Phone:
    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.setblocking(False)
        self._server = ("127.0.0.1", port)
        self._own = "{}:{}".format(*self._socket.getsockname())

    def send(self, method: str, call: str, *, sequence: int = 1, to_tag: str = "", body: str = "") -> None:
        tag = f";tag={to_tag}" if to_tag else ""
        self._socket.sendto(
            (
                f"{method} sip:bob@127.0.0.1 SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {self._own};rport;branch=z9hG4bK{call}{method}{sequence}\r\n"
                f"From: <sip:alice@127.0.0.1>;tag={call}\r\nTo: <sip:bob@127.0.0.1>{tag}\r\n"
                f"Call-ID: {call}\r\nCSeq: {sequence} {method}\r\nContact: <sip:alice@{self._own}>\r\n"
                f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            ).encode(),
            self._server,
        )

    async def hears(self, method: str) -> Response:
        """The next final answer to such a request."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                message = parse(await asyncio.get_running_loop().sock_recv(self._socket, 65536))
                if not isinstance(message, Response) or message.status < 200:
                    continue
                if message.cseq.method == method:
                    return message

    async def calls(self, call: str) -> str:
        """The tag of the other end."""
        self.send("INVITE", call, body=SDP)
        tag = (await self.hears("INVITE")).to_tag
        self.send("ACK", call, to_tag=tag)
        return tag

    def close(self) -> None:
        self._socket.close()


def until_read(port: int) -> None:
    """Block, the event loop too, until nothing waits in the socket's own buffer: what is lost there
    says nothing about the door."""
    while True:
        for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
            local, queues = line.split()[1], line.split()[4]
            if local == f"0100007F:{port:04X}" and int(queues.partition(":")[2], 16):
                break
        else:
            return
        time.sleep(0.0002)


async def test_a_flood_of_forged_requests_from_one_source_costs_no_bye_of_another() -> None:
    async with peer(defence=UNLIMITED) as ours:
        port = ours.port()
        phone, forger = Phone("127.0.0.1", port), Phone("127.0.0.2", port)
        tags = {f"call{number}": await phone.calls(f"call{number}") for number in range(CALLS)}
        for number in range(FORGED):  # the server's loop stands still meanwhile, as under load
            method = ("BYE", "ACK", "INVITE")[number % 3]
            forger.send(method, f"call{number % CALLS}", sequence=number + 2, to_tag=f"{number:024x}")
            if number % 100 == 0:
                until_read(port)
        for call, tag in tags.items():
            phone.send("BYE", call, sequence=2, to_tag=tag)
        statuses = {answer.call_id: answer.status for answer in [await phone.hears("BYE") for _ in tags]}
        assert statuses == dict.fromkeys(tags, 200), "each was sent once, and answered"
        assert ours.signalling._endpoint.udp.counts[2] > FORGED / 2, "the flood has found no room"
        phone.close()
        forger.close()
