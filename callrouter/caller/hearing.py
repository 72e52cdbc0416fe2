"""Where in a recording somebody can be heard."""

from __future__ import annotations

import array
import sys
import wave
from dataclasses import dataclass
from pathlib import Path

FRAME_MS = 20
LOUD = 250
"""Mean absolute 16-bit sample above which a frame counts as sound: about −42 dBFS, well over the
quantising noise of G.711 and well under speech."""
JOIN_MS = 300
"""Pauses shorter than this lie within one utterance."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A stretch of sound, in milliseconds of whatever the samples started at."""

    from_ms: int
    to_ms: int

    def later(self, ms: int) -> Heard:
        return Heard(self.from_ms + ms, self.to_ms + ms)


def sounds(samples: array.array[int], rate: int, join_ms: int = JOIN_MS) -> tuple[Heard, ...]:
    """Stretches of sound in 16-bit mono `samples`."""
    frame = rate * FRAME_MS // 1000
    found: list[Heard] = []
    for index in range(len(samples) // frame):
        chunk = samples[index * frame : (index + 1) * frame]
        if sum(map(abs, chunk)) < LOUD * frame:
            continue
        start = index * FRAME_MS
        if found and start - found[-1].to_ms < join_ms:
            start = found.pop().from_ms
        found.append(Heard(start, (index + 1) * FRAME_MS))
    return tuple(found)


def sounds_in(path: Path, channel: int = 0) -> tuple[Heard, ...]:
    """Stretches of sound in one channel of a 16-bit WAV file."""
    with wave.open(str(path), "rb") as reader:
        if reader.getsampwidth() != 2:
            raise ValueError(f"{path} has samples of {reader.getsampwidth()} bytes, not of 2")
        channels, rate = reader.getnchannels(), reader.getframerate()
        samples = array.array("h", reader.readframes(reader.getnframes()))
    if sys.byteorder == "big":
        samples.byteswap()
    return sounds(samples[channel::channels], rate)
