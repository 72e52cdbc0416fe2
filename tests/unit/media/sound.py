"""Audio made for tests, and measured by them."""

from __future__ import annotations

import math
import random
import struct
import wave
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path


def sine(hertz: float, seconds: float, *, rate: int = 8000, level: float = 8000) -> array[int]:
    count = round(seconds * rate)
    return array("h", (round(level * math.sin(2 * math.pi * hertz * n / rate)) for n in range(count)))


def silence(seconds: float) -> array[int]:
    return array("h", [0] * round(seconds * 8000))


def write_wav(path: Path, samples: array[int], *, rate: int = 8000, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(samples.tobytes())
    return path


def channels_of(path: Path) -> list[list[int]]:
    """The samples of a recording, by channel."""
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getsampwidth()) == (8000, 2)
        samples = array("h", file.readframes(file.getnframes()))
        return [list(samples[n :: file.getnchannels()]) for n in range(file.getnchannels())]


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


def tone_level(samples: Sequence[float], hertz: float, *, rate: int = 8000) -> float:
    """Amplitude of one frequency in `samples`."""
    turn = 2 * math.pi * hertz / rate
    re = sum(value * math.cos(turn * n) for n, value in enumerate(samples))
    im = sum(value * math.sin(turn * n) for n, value in enumerate(samples))
    return 2 * math.hypot(re, im) / max(1, len(samples))


_MULAW_LEVELS = sorted((mulaw(word), word) for word in range(256) if word != 0x7F)
_ALAW_LEVELS = sorted((alaw(word), word) for word in range(256))


def _nearest(levels: list[tuple[int, int]], samples: list[int] | array[int]) -> bytes:
    values = [level for level, _ in levels]

    def nearest(sample: int) -> int:
        at = bisect_left(values, sample)
        around = levels[max(0, at - 1) : at + 1]
        return min(around, key=lambda pair: abs(pair[0] - sample))[1]

    return bytes(nearest(sample) for sample in samples)


def to_mulaw(samples: list[int] | array[int]) -> bytes:
    """The nearest µ-law word to each sample."""
    return _nearest(_MULAW_LEVELS, samples)


def to_alaw(samples: list[int] | array[int]) -> bytes:
    """The nearest A-law word to each sample."""
    return _nearest(_ALAW_LEVELS, samples)


def dtmf(key: str, seconds: float, *, level: float = 5000) -> array[int]:
    """A key as its two tones (ITU-T Q.23)."""
    row, column = divmod("123A456B789C*0#D".index(key), 4)
    low = sine((697, 770, 852, 941)[row], seconds, level=level)
    high = sine((1209, 1336, 1477, 1633)[column], seconds, level=level)
    return array("h", (a + b for a, b in zip(low, high, strict=True)))


def chatter(seconds: float, *, seed: int = 1, level: float = 6000) -> array[int]:
    """Syllables of a sort: bursts of harmonics with short gaps, never silent for 0.3 s."""
    chance = random.Random(seed)
    out = array("h")
    while len(out) < seconds * 8000:
        pitch, length = chance.uniform(90, 220), round(chance.uniform(0.08, 0.25) * 8000)
        weights = [chance.uniform(0.1, 1) / (k + 1) for k in range(8)]
        for n in range(length):
            swell = math.sin(math.pi * n / length)
            value = sum(w * math.sin(2 * math.pi * pitch * (k + 1) * n / 8000) for k, w in enumerate(weights))
            out.append(round(level * swell * value))
        out.extend([0] * round(chance.uniform(0.02, 0.12) * 8000))
    return out[: round(seconds * 8000)]
