"""The process whose processor time `media.py` measures: one engine and nothing else.

Reads the far ends' ports from standard input, prints its own, serves until its input ends."""

from __future__ import annotations

import asyncio
import math
import sys
import tempfile
import wave
from array import array
from pathlib import Path

from callrouter.media import RtpMedia, Settings
from callrouter.ports import (
    AudioFile,
    Join,
    MediaAddress,
    MediaCommand,
    MediaEvent,
    NegotiatedAudio,
    OpenedLeg,
    Play,
    PlayPrompt,
    SetRemote,
)


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
    prompt = await media.prompt(AudioFile(prompt_file(folder), "audio/wav", "prompt"))
    return [Play(opened.leg, media.token(), (PlayPrompt(prompt),), loops=0) for opened in legs]


async def serve(mode: str, threads: int) -> None:
    media = RtpMedia(Settings(first_port=10000, last_port=18999, threads=threads, port_quarantine_seconds=0))
    await media.start()
    remotes = [MediaAddress("127.0.0.1", int(port)) for port in sys.stdin.readline().split()]
    legs = [media.open(4, ignore) for _ in remotes]
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
    print(totals.counts["late_sends"], totals.counts["skipped_sends"], totals.counts["digits"], flush=True)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
