"""A SIP telephone of plain sockets and strings, which says exactly what a test has it say: session
descriptions with video and fax above all.  It shares no code with the server."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
from dataclasses import dataclass, field

from tests.patience import PATIENCE_SECONDS

CODECS = {
    "PCMU": (0, "PCMU/8000"),
    "PCMA": (8, "PCMA/8000"),
    "G722": (9, "G722/8000"),
    "OPUS": (96, "opus/48000/2"),
    "EVENTS": (101, "telephone-event/8000"),
}
MEDIA = ("audio", "video", "video-rtcp", "image")


@dataclass(frozen=True, slots=True)
class Message:
    first: str
    fields: tuple[tuple[str, str], ...]
    body: str

    def get(self, name: str) -> str:
        return next((value for key, value in self.fields if key.lower() == name.lower()), "")

    @property
    def status(self) -> int:
        return int(self.first.split()[1]) if self.first.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        return self.get("CSeq").split()[1]

    def line(self, kind: str) -> str:
        """The `m=` line of a kind with all that belongs to it; "" when there is none."""
        sections = re.split(r"(?m)^(?=m=)", self.body)
        return next((s for s in sections if s.startswith(f"m={kind} ")), "")

    def port(self, kind: str) -> int:
        found = self.line(kind)
        return int(found.split()[1]) if found else -1

    def kinds(self) -> list[str]:
        return re.findall(r"(?m)^m=(\w+) ", self.body)


def _parsed(data: bytes) -> Message:
    head, _, body = data.decode().partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    return Message(
        first, tuple((n.strip(), v.strip()) for n, _, v in (s.partition(":") for s in lines)), body
    )


def _socket(host: str, port: int = 0) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind((host, port))
    return sock


@dataclass(slots=True, eq=False)
class PlainPhone:
    """One telephone in one call."""

    host: str = "127.0.0.1"
    allow: str = "INVITE, ACK, BYE, UPDATE"
    """Methods that it takes."""
    sip: socket.socket = field(init=False)
    media: dict[str, socket.socket] = field(init=False)
    seen: list[Message] = field(default_factory=list)
    late_answer: str = ""
    """The body of the next ACK: the answer to an offer in a 200."""
    _unread: list[Message] = field(default_factory=list)
    _tag: str = field(default_factory=lambda: secrets.token_hex(4))
    _call_id: str = field(default_factory=lambda: secrets.token_hex(8))
    _local: str = ""
    _remote: str = ""
    _target: str = ""
    _peer: tuple[str, int] = ("", 0)
    _sequence: int = 0
    _version: int = 0
    _branch: str = ""
    _invite: Message | None = None
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> PlainPhone:
        self.sip = _socket(self.host)
        self.media = {kind: _socket(self.host) for kind in MEDIA}
        asyncio.get_running_loop().add_reader(self.sip, self._read)
        return self

    async def __aexit__(self, *_error: object) -> None:
        asyncio.get_running_loop().remove_reader(self.sip)
        for sock in (self.sip, *self.media.values()):
            sock.close()

    @property
    def at(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.sip.getsockname()[1]}"

    @property
    def named(self) -> str:
        """What a Replaces header names its call by, seen from the other end."""
        local, remote = (re.sub(r".*;tag=", "", value) for value in (self._local, self._remote))
        return f"{self._call_id};to-tag={remote};from-tag={local}"

    def port(self, kind: str) -> int:
        return int(self.media[kind].getsockname()[1])

    # -- descriptions

    def describe(self, *lines: str) -> str:
        family = "IP6" if ":" in self.host else "IP4"
        self._version += 1
        address = f"IN {family} {self.host}"
        head = f"v=0\r\no=- 7 {self._version} {address}\r\ns=-\r\nc={address}\r\nt=0 0\r\n"
        return head + "".join(lines)

    def audio(self, *more: str, on: bool = True, codecs: tuple[str, ...] = ("PCMU",)) -> str:
        """`more` are further lines, `a=sendonly` or `c=IN IP4 0.0.0.0` among them."""
        maps = [CODECS[name] for name in codecs]
        formats = " ".join(str(number) for number, _ in maps)
        rtpmaps = tuple(f"a=rtpmap:{number} {name}" for number, name in maps)
        head = f"m=audio {self.port('audio') if on else 0} RTP/AVP {formats}\r\n"
        ordered = sorted((*rtpmaps, *more), key=lambda line: not line.startswith("c="))
        return head + "".join(f"{line}\r\n" for line in ordered)

    def video(self, *more: str, on: bool = True, profile: str = "RTP/AVPF") -> str:
        attributes = ("rtpmap:97 H264/90000", "fmtp:97 profile-level-id=42801F", "rtcp-fb:97 nack pli", *more)
        return (
            f"m=video {self.port('video') if on else 0} {profile} 97\r\nb=AS:1024\r\n"
            + "".join(f"a={value}\r\n" for value in attributes)
            + f"a=rtcp:{self.port('video-rtcp')}\r\na=candidate:1 1 UDP 1 192.0.2.9 9 typ host\r\n"
        )

    def fax(self, *, on: bool = True) -> str:
        return (
            f"m=image {self.port('image') if on else 0} udptl t38\r\na=T38FaxVersion:0\r\n"
            "a=T38MaxBitRate:14400\r\na=T38FaxUdpEC:t38UDPRedundancy\r\na=T38FaxTranscodingMMR\r\n"
        )

    # -- requests

    def invite(self, uri: str, body: str, more: str = "", *, kind: str = "application/sdp") -> None:
        host, _, port = uri.partition("@")[2].rpartition(":")
        self._peer = (host.strip("[]"), int(port))
        self._target = uri
        self._local, self._remote = f"<sip:alice@{self.at}>;tag={self._tag}", f"<{uri}>"
        self.request("INVITE", body, more=more, kind=kind)

    def request(
        self, method: str, body: str = "", *, sequence: int = 0, kind: str = "application/sdp", more: str = ""
    ) -> int:
        """`kind` is the body's type; `more` are further header lines, each with its end."""
        if not sequence:
            self._sequence += 1
        number = sequence or self._sequence
        self._branch = f"z9hG4bK{secrets.token_hex(6)}"
        self._request(method, body, number, kind, more)
        return number

    def cancel(self) -> None:
        """The last request, which was an INVITE."""
        self._request("CANCEL", "", self._sequence)

    def _request(
        self, method: str, body: str, number: int, kind: str = "application/sdp", more: str = ""
    ) -> None:
        kind = f"{more}Content-Type: {kind}\r\n" if body else more
        self._send(
            f"{method} {self._target} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {self.at};branch={self._branch}\r\n"
            f"Max-Forwards: 70\r\nFrom: {self._local}\r\nTo: {self._remote}\r\nCall-ID: {self._call_id}\r\n"
            f"CSeq: {number} {method}\r\nContact: <sip:me@{self.at}>\r\nAllow: {self.allow}\r\n"
            f"{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        )

    def answer(self, request: Message, status: int, body: str = "") -> None:
        copied = "".join(
            f"{n}: {v}\r\n" for n, v in request.fields if n in ("Via", "From", "Call-ID", "CSeq")
        )
        to = request.get("To")
        if "tag=" not in to:
            to += f";tag={self._tag}"
            self._local, self._remote = to, request.get("From")
            self._call_id = request.get("Call-ID")
            self._target = re.sub(r"^<|>.*$", "", request.get("Contact"))
        kind = "Content-Type: application/sdp\r\n" if body else ""
        self._send(
            f"SIP/2.0 {status} Whatever\r\n{copied}To: {to}\r\nContact: <sip:me@{self.at}>\r\n"
            f"Allow: {self.allow}\r\n{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        )

    def _send(self, text: str) -> None:
        self.sip.sendto(text.encode(), self._peer)

    # -- what comes

    def _read(self) -> None:
        while True:
            try:
                data, peer = self.sip.recvfrom(65536)
            except BlockingIOError:
                return
            self._peer = peer[:2]
            message = _parsed(data)
            if message in self.seen:
                continue
            self.seen.append(message)
            self._unread.append(message)
            if message.status >= 200 and message.method == "INVITE":
                self._remote = message.get("To")
                if message.status < 300:
                    self._target = re.sub(r"^<|>.*$", "", message.get("Contact"))
                late, self.late_answer = self.late_answer, ""
                self.request("ACK", late, sequence=int(message.get("CSeq").split()[0]))
            elif not message.status and message.method == "BYE":
                self.answer(message, 200)
            self._arrived.set()

    async def final(self, method: str = "INVITE") -> Message:
        """The final response to the last request."""
        return await self._next(lambda m: m.status >= 200 and m.method == method)

    async def asked(self, method: str = "INVITE") -> Message:
        return await self._next(lambda m: not m.status and m.method == method)

    async def agrees(self, *lines: str) -> Message:
        """Answer the next offer with these lines, and wait for the ACK; the offer."""
        offer = await self.asked()
        self.answer(offer, 200, self.describe(*lines))
        await self.asked("ACK")
        return offer

    async def _next(self, fits: object) -> Message:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                for message in self._unread:
                    if fits(message):  # type: ignore[operator]  # a predicate
                        self._unread.remove(message)
                        return message
                self._arrived.clear()
                await self._arrived.wait()

    # -- media

    def send(self, kind: str, to: int, datagram: bytes) -> None:
        self.media[kind].sendto(datagram, (self.host, to))

    async def heard(self, kind: str, count: int = 1) -> list[bytes]:
        """So many datagrams that came to a port."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE_SECONDS):
            return [await loop.sock_recv(self.media[kind], 65536) for _ in range(count)]

    def is_quiet(self, kind: str) -> bool:
        try:
            self.media[kind].recv(65536)
        except BlockingIOError:
            return True
        return False
