"""The process whose processor time `media.py` measures: one engine and nothing else.

Reads the far ends' ports from standard input, prints its own, serves until its input ends."""

from __future__ import annotations

import asyncio
import math
import sys
import tempfile
import wave
from array import array
from binascii import b2a_base64
from collections.abc import Callable
from pathlib import Path

import uvloop
from aiohttp import ClientSession, ClientWebSocketResponse, TCPConnector

from callrouter.media import RtpMedia, Settings
from callrouter.ports import (
    AudioFile,
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
    RoomId,
    SetRemote,
    StartTap,
    TapFrames,
)


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
        """`count` connections to the receiver whose port is the third argument."""
        session = ClientSession(connector=TCPConnector(limit=0))
        url = f"ws://127.0.0.1:{sys.argv[3]}/"
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


def prompt_file(folder: Path) -> Path:
    path = folder / "prompt.wav"
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes(array("h", (round(6000 * math.sin(n / 3)) for n in range(80_000))).tobytes())
    return path


async def commands(media: RtpMedia, mode: str, legs: list[OpenedLeg], folder: Path) -> list[MediaCommand]:
    if mode == "bridge":
        return [Join(a.leg, b.leg) for a, b in zip(legs[::2], legs[1::2], strict=True)]
    if mode.startswith("room"):
        size = int(mode.removeprefix("room"))
        return [EnterRoom(opened.leg, RoomId(1 + n // size)) for n, opened in enumerate(legs)]
    if mode == "tap":
        return [StartTap(opened.leg, media.token()) for opened in legs]
    prompt = await media.prompt(AudioFile(prompt_file(folder), "audio/wav", "prompt"))
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
    legs = [media.open(4, ignore if streams is None else streams.sink(n)) for n in range(len(remotes))]
    with tempfile.TemporaryDirectory() as folder:
        orders = await commands(media, mode, legs, Path(folder))
        for opened, remote in zip(legs, remotes, strict=True):
            media.submit(SetRemote(opened.leg, NegotiatedAudio(remote, None, "PCMU", 0, 101)))
        for order in orders:
            media.submit(order)
        print(*(opened.local.port for opened in legs), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    totals = media.totals()
    await media.stop()
    if streams is not None:
        await streams.close()
    print(totals.counts["late_sends"], totals.counts["skipped_sends"], totals.counts["digits"], flush=True)


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))
