"""Audio made for tests, and measured by them."""

from __future__ import annotations

import math
import struct
import wave
from array import array
from pathlib import Path


def sine(hertz: float, seconds: float, *, rate: int = 8000, level: float = 8000) -> array[int]:
    count = round(seconds * rate)
    return array("h", (round(level * math.sin(2 * math.pi * hertz * n / rate)) for n in range(count)))


def write_wav(path: Path, samples: array[int], *, rate: int = 8000, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(samples.tobytes())
    return path


def riff(format_tag: int, bits: int, data: bytes, *, rate: int = 8000, channels: int = 1) -> bytes:
    """A WAV file of any encoding."""
    block = channels * bits // 8
    form = struct.pack("<HHIIHHH", format_tag, channels, rate, rate * block, block, bits, 0)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def mulaw(word: int) -> int:
    """G.711 µ-law, decoded by the formula rather than by a table."""
    word = ~word & 0xFF
    magnitude = (((word & 15) << 3) + 132 << (word >> 4 & 7)) - 132
    return -magnitude if word & 128 else magnitude


def alaw(word: int) -> int:
    """G.711 A-law, likewise."""
    word ^= 0x55
    step, segment = (word & 15) << 4, word >> 4 & 7
    magnitude = step + 8 if segment == 0 else step + 264 << segment - 1
    return magnitude if word & 128 else -magnitude


def tone_level(samples: list[int], hertz: float, *, rate: int = 8000) -> float:
    """Amplitude of one frequency in `samples`."""
    turn = 2 * math.pi * hertz / rate
    re = sum(value * math.cos(turn * n) for n, value in enumerate(samples))
    im = sum(value * math.sin(turn * n) for n, value in enumerate(samples))
    return 2 * math.hypot(re, im) / max(1, len(samples))
