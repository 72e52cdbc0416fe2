"""More calls than there is room for: those that are up can end, those that were let in are served, and
the others hear so at once."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from pathlib import Path
from typing import cast

import pytest

from callrouter.sip.protocol.message import Response, parse
from tests.e2e.stage import open_stage
from tests.patience import PATIENCE_SECONDS

pytestmark = [pytest.mark.e2e]
SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"
    "a=rtpmap:0 PCMU/8000\r\n"
)
FLOOD = 3000
UP = 5


class Crowd(asyncio.DatagramProtocol):
    """Callers behind one socket."""

    def __init__(self, number: str) -> None:
        self._uri = f"sip:{number}@127.0.0.1"
        self._transport: asyncio.DatagramTransport | None = None
        self._heard: dict[tuple[str, str], asyncio.Future[Response]] = {}
        self.statuses: dict[str, set[int]] = {}
        """Of all final answers to INVITEs, by Call-ID."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        message = parse(data)
        if not isinstance(message, Response) or message.status < 200:
            return
        if message.cseq.method == "INVITE":
            self.statuses.setdefault(message.call_id, set()).add(message.status)
        heard = self._answer(message.cseq.method, message.call_id)
        if not heard.done():
            heard.set_result(message)

    def _answer(self, method: str, call: str) -> asyncio.Future[Response]:
        """The first final one."""
        return self._heard.setdefault((method, call), asyncio.get_running_loop().create_future())

    def send(self, method: str, call: str, *, to: str = "", branch: str = "") -> None:
        assert self._transport is not None
        body = SDP if method == "INVITE" else ""
        number = 2 if method == "BYE" else 1
        kind = "Content-Type: application/sdp\r\n" if body else ""
        self._transport.sendto(
            (
                f"{method} {self._uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;rport;"
                f"branch=z9hG4bK{call}{branch or method}\r\nFrom: <sip:crowd@127.0.0.1>;tag={call}\r\n"
                f"To: {to or f'<{self._uri}>'}\r\nCall-ID: {call}\r\nCSeq: {number} {method}\r\n"
                f"Contact: <sip:crowd@127.0.0.1:9>\r\nMax-Forwards: 70\r\n{kind}"
                f"Content-Length: {len(body)}\r\n\r\n{body}"
            ).encode()
        )

    async def final(self, method: str, call: str, *, to: str = "") -> Response:
        """The answer to a request that is sent until there is one."""
        heard = self._answer(method, call)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not heard.done():
                self.send(method, call, to=to)
                await asyncio.wait((heard,), timeout=0.5)
        return heard.result()

    async def invite(self, call: str) -> tuple[int, str]:
        """Place a call and acknowledge what comes of it; the status, and the To of its dialog."""
        answer = await self.final("INVITE", call)
        to = answer.get("To") or ""
        self.send("ACK", call, to=to, branch="ACK" if answer.status == 200 else "INVITE")
        if answer.status != 200:
            assert answer.status == 503
            assert 5 <= int(answer.get("Retry-After") or 0) <= 30
        return answer.status, to

    async def bye(self, call: str, to: str) -> int:
        return (await self.final("BYE", call, to=to)).status


async def test_a_flood_of_calls_costs_neither_those_that_are_up_nor_those_that_were_let_in(
    tmp_path: Path,
) -> None:
    async with open_stage(tmp_path) as stage:
        number = stage.number('<Gather timeout="60"/>')
        transport, crowd = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Crowd(number), remote_addr=("127.0.0.1", stage.server.sip_port)
        )
        up = {f"up{index}": (await crowd.invite(f"up{index}"))[1] for index in range(UP)}
        byes = []
        for index in range(FLOOD):
            crowd.send("INVITE", f"flood{index}")
            if index % 100 == 0:
                crowd.send("INVITE", "up0")
                await asyncio.sleep(0.005)
            if index % (FLOOD // UP) == 100:
                call = f"up{index * UP // FLOOD}"
                byes.append(asyncio.create_task(crowd.bye(call, up[call])))
        assert await asyncio.gather(*byes) == [200] * UP
        assert crowd.statuses["up0"] == {200}, "an INVITE that was let in may come again"

        calls = [f"flood{index}" for index in range(FLOOD)]
        outcomes = await asyncio.gather(*map(crowd.invite, calls))
        answered = [(call, to) for call, (status, to) in zip(calls, outcomes, strict=True) if status == 200]
        counts = Counter(status for status, _ in outcomes)
        assert counts[503] > FLOOD / 10, counts
        assert counts[200] >= 20, counts
        assert set(await asyncio.gather(*(crowd.bye(*each) for each in answered))) == {200}
        assert all(crowd.statuses[call] == {200} for call, _ in answered), "let in is let in"

        assert await stage.server.figure('callrouter_sip_errors_total{kind="overload"}') >= counts[503]
        labels = 'direction="in",method="ACK",transport="udp",trunk=""'
        acks = await stage.server.figure(f"callrouter_sip_messages_total{{{labels}}}")
        assert acks <= UP + counts[200], "the ACK of a 503 is nobody's business"
        transport.close()
