"""A voice for a caller that has none: a hum with the rhythm of speech."""

from __future__ import annotations

import array
import math
import sys
import wave
from pathlib import Path

RATE = 8000
SYLLABLE_MS = 180
PITCHES = (140, 165, 150, 185, 130)
"""Fundamental of successive syllables in hertz."""
OVERTONES = ((1, 0.5), (2, 0.3), (4, 0.2), (7, 0.1))
LEVEL = 9000


def hum(ms: int) -> array.array[int]:
    """16-bit samples of `ms` milliseconds at 8 kHz; never silent for longer than a syllable's edge."""
    samples = array.array("h")
    per_syllable = RATE * SYLLABLE_MS // 1000
    for index in range(RATE * ms // 1000):
        syllable, offset = divmod(index, per_syllable)
        pitch = PITCHES[syllable % len(PITCHES)]
        swell = math.sin(math.pi * offset / per_syllable)
        tone = sum(share * math.sin(2 * math.pi * pitch * n * index / RATE) for n, share in OVERTONES)
        samples.append(int(LEVEL * swell * tone))
    return samples


def write_hum(path: Path, ms: int) -> None:
    samples = hum(ms)
    if sys.byteorder == "big":
        samples.byteswap()
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        writer.writeframes(samples.tobytes())
