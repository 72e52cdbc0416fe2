"""A phone as a web page is one: SIP over WebSocket, written by hand, and aiortc for its audio."""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from tests.integration.browser_end import BrowserEnd, browser_end

HOST = "df7jal23ls0d.invalid"
"""What browsers call themselves, who have no address (RFC 7118 §5)."""


class WebPhone:
    def __init__(
        self, wire: aiohttp.ClientWebSocketResponse, audio: BrowserEnd, user: str, *, is_secure: bool = False
    ) -> None:
        self.audio = audio
        self._transport = "WSS" if is_secure else "WS"
        self._wire = wire
        self._user = user
        self._sequence = 0
        self._call = ""
        """Lines that every request of the call has."""
        self._target = ""
        self._password = ""

    async def register(self, password: str) -> None:
        uri, lines = "sip:127.0.0.1", self._lines(f"{self._user}@127.0.0.1", "r")
        self._password = password
        await self._send("REGISTER", uri, lines)
        await self._send("REGISTER", uri, lines + await self._proof("REGISTER", uri))
        await self._heard("SIP/2.0 200")

    async def _proof(self, method: str, uri: str) -> str:
        """The answer to the challenge that comes."""
        challenge = await self._heard("SIP/2.0 401")
        realm, nonce = (_found(rf'{name}="([^"]*)"', challenge) for name in ("realm", "nonce"))
        secret = _md5(f"{self._user}:{realm}:{self._password}")
        answer = _md5(f"{secret}:{nonce}:00000001:c:auth:{_md5(f'{method}:{uri}')}")
        return (
            f'Authorization: Digest username="{self._user}", realm="{realm}", nonce="{nonce}", '
            f'uri="{uri}", response="{answer}", algorithm=MD5, qop=auth, nc=00000001, cnonce="c"\r\n'
        )

    async def call(self, number: str, *, events: bool = False) -> str:
        """Answered, when it returns; the answer."""
        uri, lines = f"sip:{number}@127.0.0.1", self._lines(f"{number}@127.0.0.1", "c")
        offer = await self.audio.offer(events=events)
        await self._send("INVITE", uri, lines, offer)
        if self._password:
            proof = await self._proof("INVITE", uri)
            await self._send("ACK", uri, lines, refused=True)
            await self._send("INVITE", uri, lines + proof, offer)
        answered = await self._heard("SIP/2.0 200")
        self._call = re.sub(r"(?m)^To: .*\r\n", f"To: {_found(r'(?m)^To: (.*)$', answered)}\r\n", lines)
        self._target = _found(r"(?m)^Contact: <([^>]*)>", answered)
        await self._send("ACK", uri, self._call)
        await self.audio.take_answer(_body(answered))
        return answered

    async def renew(self, direction: str, *, events: bool = False) -> str:
        """A later offer within the call; its answer."""
        self.audio.connection.getTransceivers()[0].direction = direction
        await self._send("INVITE", self._target, self._call, await self.audio.offer(events=events))
        answered = await self._heard("SIP/2.0 200")
        await self._send("ACK", self._target, self._call)
        await self.audio.take_answer(_body(answered))
        return answered

    async def hang_up(self) -> None:
        await self._send("BYE", self._target, self._call)
        await self._heard("SIP/2.0 200")

    async def take(self) -> str:
        """Answer the call that comes; its offer."""
        invite = await self._heard("INVITE ")
        answer = await self.audio.answer(_body(invite))
        kept = [
            line for line in invite.split("\r\n") if line.startswith(("Via:", "From:", "Call-ID:", "CSeq:"))
        ]
        to = _found(r"(?m)^To: (.*)$", invite)
        head = [
            "SIP/2.0 200 OK",
            *kept,
            f"To: {to};tag=t",
            f"Contact: <sip:{self._user}@{HOST};transport=ws>",
        ]
        await self._wire.send_str(_message(head, answer))
        await self._heard("ACK ")
        return invite

    async def until_bye(self) -> None:
        bye = await self._heard("BYE ")
        kept = [line for line in bye.split("\r\n") if re.match(r"(Via|From|To|Call-ID|CSeq):", line)]
        await self._wire.send_str(_message(["SIP/2.0 200 OK", *kept], b""))

    def _lines(self, to: str, call: str) -> str:
        return (
            f"From: <sip:{self._user}@127.0.0.1>;tag={self._user}\r\nTo: <sip:{to}>\r\n"
            f"Call-ID: {call}-{self._user}-{id(self):x}\r\n"
            f"Contact: <sip:{self._user}@{HOST};transport=ws>\r\nMax-Forwards: 70\r\n"
        )

    async def _send(
        self, method: str, uri: str, lines: str, body: bytes = b"", *, refused: bool = False
    ) -> None:
        """`refused`: an ACK for an INVITE that was, which is of its transaction."""
        if method != "ACK":
            self._sequence += 1
        branch = f"z9hG4bK{self._user}{'INVITE' if refused else method}{self._sequence}"
        head = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/{self._transport} {HOST};branch={branch}",
            *lines.split("\r\n")[:-1],
        ]
        await self._wire.send_str(_message([*head, f"CSeq: {self._sequence} {method}"], body))

    async def _heard(self, start: str, seconds: float = 20) -> str:
        """The next message that starts so; whatever comes before it is passed over."""
        async with asyncio.timeout(seconds):
            while True:
                message = await self._wire.receive()
                assert message.type is aiohttp.WSMsgType.TEXT, message
                text = str(message.data)
                assert start.startswith("SIP/2.0 4") or not re.match(r"SIP/2.0 [4-6]", text), text
                if text.startswith(start):
                    return text


def _message(head: list[str], body: bytes) -> str:
    kind = ["Content-Type: application/sdp"] if body else []
    return "\r\n".join([*head, *kind, f"Content-Length: {len(body)}", "", body.decode()])


def _body(message: str) -> bytes:
    return message.partition("\r\n\r\n")[2].encode()


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found is not None, (pattern, text)
    return found[1].rstrip("\r")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


@asynccontextmanager
async def web_phone(port: int, user: str, trust: ssl.SSLContext | None = None) -> AsyncIterator[WebPhone]:
    """`trust`: by secure WebSocket, whose certificate it judges."""
    url = f"ws://127.0.0.1:{port}/" if trust is None else f"wss://localhost:{port}/"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, protocols=("sip",), ssl=trust or True) as wire,
        browser_end() as audio,
    ):
        yield WebPhone(wire, audio, user, is_secure=trust is not None)
