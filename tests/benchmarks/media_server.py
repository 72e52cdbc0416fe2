"""The process whose processor time `media.py` measures: one engine and nothing else.

    media_server MODE THREADS PROMPT FAR [PORT]

Reads the far ends' ports from standard input, prints its own, serves until its input ends, and
prints what it counted as JSON.  A further line of ports is of browsers with `pcmu` that come later; it
is answered in the same way.  PROMPT is a file of μ-law words, FAR what the far ends are (`plain`,
or browsers' with `pcmu` or `opus`), PORT where taps go."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import tempfile
import wave
from array import array
from binascii import b2a_base64
from collections import deque
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import uvloop
from aiohttp import ClientSession, ClientWebSocketResponse, TCPConnector

from callrouter.media import RtpMedia, Settings
from callrouter.ports import (
    AudioFile,
    BrowserPeer,
    CloseLeg,
    EnterRoom,
    Join,
    Listen,
    MediaAddress,
    MediaCommand,
    MediaEvent,
    NegotiatedAudio,
    OpenedLeg,
    Play,
    PlayPrompt,
    PromptId,
    RoomId,
    SetRemote,
    StartTap,
    TapFrames,
)

CHURN_RATE = 500
CHURN_OPEN = 50
"""Legs that come and go: so many a second, so many at once."""
PAGE_CERTIFICATE = Path(__file__).parents[2] / "callrouter/media/engine/tests/data/one.certificate.der"
"""What the load generator's browsers show."""
TOTALS_AGE = 0.6
"""Sums are brought up to date twice a second."""


class Streams:
    """A WebSocket for each tapped leg, and the frames of the leg as JSON with base64 on it."""

    def __init__(self, session: ClientSession, sockets: list[ClientWebSocketResponse]) -> None:
        self._session = session
        self._waiting: list[asyncio.Queue[TapFrames]] = [asyncio.Queue() for _ in sockets]
        self._tasks = [
            asyncio.create_task(self._write(socket, queue, f"MZ{n:032x}"))
            for n, (socket, queue) in enumerate(zip(sockets, self._waiting, strict=True))
        ]

    @classmethod
    async def open(cls, count: int) -> Streams:
        """`count` connections to the receiver whose port is the last argument."""
        session = ClientSession(connector=TCPConnector(limit=0))
        url = f"ws://127.0.0.1:{sys.argv[5]}/"
        return cls(session, [await session.ws_connect(url, compress=0) for _ in range(count)])

    def sink(self, number: int) -> Callable[[MediaEvent], None]:
        queue = self._waiting[number]

        def take(event: MediaEvent) -> None:
            if isinstance(event, TapFrames):
                queue.put_nowait(event)

        return take

    async def _write(
        self, socket: ClientWebSocketResponse, queue: asyncio.Queue[TapFrames], sid: str
    ) -> None:
        sequence = 0
        while True:
            for frame in (await queue.get()).frames:
                sequence += 1
                payload = b2a_base64(frame.audio, newline=False).decode()
                await socket.send_str(
                    f'{{"event":"media","sequenceNumber":"{sequence}","media":{{"track":"inbound",'
                    f'"chunk":"{frame.number + 1}","timestamp":"{frame.number * 20}",'
                    f'"payload":"{payload}"}},"streamSid":"{sid}"}}'
                )

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._session.close()


def ignore(event: MediaEvent) -> None:
    """The engine's events are read, as they are in the server; nobody acts on them."""


def linear(word: int) -> int:
    """A sample of 16 bits (G.711, μ-law)."""
    word ^= 0xFF
    size = (((word & 0x0F) * 2 + 33) << (word >> 4 & 7)) - 33
    return -4 * size if word & 0x80 else 4 * size


def prompt_file(folder: Path, words: bytes) -> Path:
    path = folder / "prompt.wav"
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes(array("h", map(linear, words)).tobytes())
    return path


class Churn:
    """Legs that are opened, hear a prompt for a moment, and are closed, so many a second."""

    def __init__(self, media: RtpMedia, prompt: PromptId, rate: float) -> None:
        self._media = media
        self._prompt = prompt
        self._rate = rate
        self.opened = 0
        self._seconds = 0.0
        self._sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sink.bind(("127.0.0.1", 0))
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        remote = MediaAddress("127.0.0.1", self._sink.getsockname()[1])
        loop = asyncio.get_running_loop()
        begin = loop.time()
        open_legs: deque[OpenedLeg] = deque()
        while True:
            leg = self._media.open(4, ignore)
            play = Play(leg.leg, self._media.token(), (PlayPrompt(self._prompt),), loops=0)
            self._media.submit(SetRemote(leg.leg, NegotiatedAudio(remote, None, "PCMU", 0, 101)), play)
            open_legs.append(leg)
            if len(open_legs) > CHURN_OPEN:
                self._media.submit(CloseLeg(open_legs.popleft().leg))
            self.opened += 1
            self._seconds = loop.time() - begin
            await asyncio.sleep(max(0.0, self.opened / self._rate - self._seconds))

    @property
    def trouble(self) -> str:
        """Why no more legs come, if so."""
        return repr(self._task.exception()) if self._task.done() else ""

    def stop(self) -> None:
        self._task.cancel()

    def figures(self) -> dict[str, float]:
        return {"opened": self.opened, "opened_per_second": self.opened / self._seconds}


def resident_kb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1000


def agreed(remote: MediaAddress, far: str) -> NegotiatedAudio:
    """As offer and answer would with such a far end; the load generator knows the same names."""
    if far == "plain":
        return NegotiatedAudio(remote, None, "PCMU", 0, 101)
    digest = sha256(PAGE_CERTIFICATE.read_bytes()).digest()
    page = BrowserPeer("server", "a-password-for-benchmarks", "loader", "sha-256", digest, is_client=True)
    if far == "opus":
        return NegotiatedAudio(remote, None, "OPUS", 111, None, browser=page)
    return NegotiatedAudio(remote, None, "PCMU", 0, 101, browser=page)


async def commands(media: RtpMedia, mode: str, legs: list[OpenedLeg], prompt: PromptId) -> list[MediaCommand]:
    if mode == "bridge":
        return [Join(a.leg, b.leg) for a, b in zip(legs[::2], legs[1::2], strict=True)]
    if mode.startswith("room"):
        size = int(mode.removeprefix("room"))
        return [EnterRoom(opened.leg, RoomId(1 + n // size)) for n, opened in enumerate(legs)]
    if mode == "tap":
        return [StartTap(opened.leg, media.token()) for opened in legs]
    plays: list[MediaCommand] = [
        Play(opened.leg, media.token(), (PlayPrompt(prompt),), loops=0) for opened in legs
    ]
    listens = [Listen(opened.leg, keys="always") for opened in legs] if mode == "keys" else []
    return plays + listens


async def serve(mode: str, threads: int) -> None:
    media = RtpMedia(Settings(first_port=10000, last_port=18999, threads=threads, port_quarantine_seconds=0))
    await media.start()
    remotes = [MediaAddress("127.0.0.1", int(port)) for port in sys.stdin.readline().split()]
    streams = await Streams.open(len(remotes)) if mode == "tap" else None
    with tempfile.TemporaryDirectory() as folder:
        prompt = await media.prompt(
            AudioFile(prompt_file(Path(folder), Path(sys.argv[3]).read_bytes()), "audio/wav", "prompt")
        )
    before_kb = resident_kb()
    legs = [media.open(4, ignore if streams is None else streams.sink(n)) for n in range(len(remotes))]
    orders = await commands(media, mode, legs, prompt)
    for opened, remote in zip(legs, remotes, strict=True):
        media.submit(SetRemote(opened.leg, agreed(remote, sys.argv[4])))
    for order in orders:
        media.submit(order)
    churn = Churn(media, prompt, CHURN_RATE) if mode == "churn" else None
    digest = media.fingerprint.partition(" ")[2].replace(":", "")
    print(*([] if sys.argv[4] == "plain" else [digest]), *(opened.local.port for opened in legs), flush=True)
    while line := await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        late = [(media.open(4, ignore), MediaAddress("127.0.0.1", int(port))) for port in line.split()]
        for opened, remote in late:
            play = Play(opened.leg, media.token(), (PlayPrompt(prompt),), loops=0)
            media.submit(SetRemote(opened.leg, agreed(remote, "pcmu")), play)
        print(digest, *(opened.local.port for opened, _ in late), flush=True)
    figures = {"kb_per_leg": (resident_kb() - before_kb) / len(legs)}
    if churn is not None:
        churn.stop()
        figures |= churn.figures()
    await asyncio.sleep(TOTALS_AGE)
    counts = media.totals().counts
    await media.stop()
    if streams is not None:
        await streams.close()
    figures |= {name: counts[name] for name in ("late_sends", "skipped_sends", "digits")}
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))
