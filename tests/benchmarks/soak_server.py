"""The process that `soak.py` watches: one engine whose legs do everything at once.

    soak_server THREADS PROMPT CHURN

CHURN: how many legs a second come and go.  Reads how many far ends there are of each kind and
their ports, prints the legs' ports in the same order, then figures as JSON at each line of its
input, and once more when that ends."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import uvloop

from callrouter.media import RtpMedia, Settings
from callrouter.ports import (
    AudioFile,
    EnterRoom,
    Join,
    LegId,
    MediaAddress,
    MediaEvent,
    NegotiatedAudio,
    OpenedLeg,
    Play,
    PlayPrompt,
    RecordingEnded,
    RecordSource,
    RoomId,
    SetRemote,
    SrtpKeys,
    StartRecording,
)
from metering.prometheus import PrometheusMetrics
from tests.benchmarks.media_server import Churn, prompt_file, resident_kb

KINDS = ("prompt", "bridge", "room", "protected")
ROOM_SIZE = 4
RECORDED = 20
"""Bridged calls that are recorded, in pieces of so long, again and again:"""
PIECE_MS = 10_000
TOTALS_AGE = 0.6
COUNTED = ("skipped_sends", "late_sends", "send_errors", "digits", "bad_tags", "replays", "duplicates")
KEY_A, KEY_B = bytes(range(30)), bytes(range(30, 60))
SUITE = "AES_CM_128_HMAC_SHA1_80"


class Mix:
    def __init__(self, media: RtpMedia, folder: Path) -> None:
        self._media = media
        self._folder = folder
        self._pieces = 0
        self._recorded: dict[LegId, tuple[OpenedLeg, OpenedLeg, Path]] = {}
        self.is_over = False
        self.recordings: Counter[str] = Counter()
        """Complete ones, and errors of the others."""

    def open(self, count: int) -> list[OpenedLeg]:
        return [self._media.open(4, self._hear) for _ in range(count)]

    def connect(self, legs: Sequence[OpenedLeg], remotes: Sequence[MediaAddress]) -> None:
        for opened, remote in zip(legs, remotes, strict=True):
            self._media.submit(SetRemote(opened.leg, NegotiatedAudio(remote, None, "PCMU", 0, 101)))

    def bridge(self, legs: Sequence[OpenedLeg]) -> None:
        for number, (a, b) in enumerate(zip(legs[::2], legs[1::2], strict=True)):
            self._media.submit(Join(a.leg, b.leg))
            if number < RECORDED:
                self._record(a, b)

    def _record(self, a: OpenedLeg, b: OpenedLeg) -> None:
        """Both sides in step, from now on in pieces that follow each other."""
        self._pieces += 1
        path = self._folder / f"{self._pieces}.wav"
        self._recorded[a.leg] = a, b, path
        sides = ((RecordSource(a.leg),), (RecordSource(b.leg),))
        self._media.submit(StartRecording(a.leg, self._media.token(), path, sides, max_ms=PIECE_MS))

    def rooms(self, legs: Sequence[OpenedLeg]) -> None:
        for number, opened in enumerate(legs):
            self._media.submit(EnterRoom(opened.leg, RoomId(1 + number // ROOM_SIZE)))

    def protect(self, legs: Sequence[OpenedLeg]) -> None:
        """Between two parties who speak plain RTP, two legs who speak SRTP with each other."""
        for a, b in zip(legs[::2], legs[1::2], strict=True):
            near, far = self.open(2)
            for one, other, keys in (
                (near, far, SrtpKeys(SUITE, KEY_A, KEY_B)),
                (far, near, SrtpKeys(SUITE, KEY_B, KEY_A)),
            ):
                audio = NegotiatedAudio(other.local, None, "PCMU", 0, 101, keys=keys)
                self._media.submit(SetRemote(one.leg, audio))
            self._media.submit(Join(a.leg, near.leg))
            self._media.submit(Join(far.leg, b.leg))

    def _hear(self, event: MediaEvent) -> None:
        if isinstance(event, RecordingEnded):
            self.recordings[event.error or "complete"] += 1
            a, b, path = self._recorded[event.leg]
            path.unlink(missing_ok=True)
            if not self.is_over:
                self._record(a, b)


def figures(media: RtpMedia, mix: Mix, churn: Churn) -> str:
    totals = media.totals()
    told: dict[str, object] = {name: totals.counts[name] for name in COUNTED}
    told |= {
        "legs": totals.legs_live,
        "resident_kb": resident_kb(),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "opened": churn.opened,
        "trouble": churn.trouble,
        "recordings": dict(mix.recordings),
    }
    return json.dumps(told)


async def serve(folder: Path, threads: int) -> None:
    media = RtpMedia(Settings(first_port=20000, last_port=29999, threads=threads, port_quarantine_seconds=1))
    await media.start()
    words = Path(sys.argv[2]).read_bytes()
    prompt = await media.prompt(AudioFile(prompt_file(folder, words), "audio/wav", "prompt"))
    counts = [int(word) for word in sys.stdin.readline().split()]
    remotes = [MediaAddress("127.0.0.1", int(port)) for port in sys.stdin.readline().split()]
    mix = Mix(media, folder)
    legs = mix.open(len(remotes))
    mix.connect(legs, remotes)
    kinds: dict[str, list[OpenedLeg]] = {}
    begin = 0
    for kind, count in zip(KINDS, counts, strict=True):
        kinds[kind], begin = legs[begin : begin + count], begin + count
    for opened in kinds["prompt"]:
        media.submit(Play(opened.leg, media.token(), (PlayPrompt(prompt),), loops=0))
    mix.bridge(kinds["bridge"])
    mix.rooms(kinds["room"])
    mix.protect(kinds["protected"])
    churn = Churn(media, prompt, float(sys.argv[3]))
    metrics = PrometheusMetrics()
    print(*(opened.local.port for opened in legs), flush=True)
    while await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        # Figures of closed legs wait for whoever counts, which in the server is every few seconds.
        media.report(metrics)
        print(figures(media, mix, churn), flush=True)
    await asyncio.sleep(TOTALS_AGE)
    print(figures(media, mix, churn), flush=True)
    churn.stop()
    mix.is_over = True
    await media.stop()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        uvloop.run(serve(Path(name), int(sys.argv[1])))
