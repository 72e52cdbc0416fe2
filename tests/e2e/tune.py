"""Tunes no two of which are alike, and how much of one is in what somebody heard."""

from __future__ import annotations

import array
import math
import operator
import random
import sys
import wave
from dataclasses import dataclass
from pathlib import Path

RATE = 8000
NOTE_MS = 80
LEVEL = 8000
COARSE = 4
"""Samples averaged into one for the search; every note lies far below the frequency left then."""
WINDOW_MS = 480


@dataclass(frozen=True, slots=True)
class Likeness:
    score: float
    """Normalised correlation over the whole tune, 1 for a perfect copy."""
    at_ms: int
    """Where it begins."""


def tune(seed: int, ms: int) -> array.array[int]:
    """16-bit samples at 8 kHz: notes of 200 to 700 Hz in an order that depends on `seed`."""
    chance = random.Random(seed)
    samples = array.array("h")
    phase = 0.0
    per_note = RATE * NOTE_MS // 1000
    pitch = 0.0
    for index in range(RATE * ms // 1000):
        if index % per_note == 0:
            pitch = chance.uniform(200, 700)
        phase += 2 * math.pi * pitch / RATE
        samples.append(int(LEVEL * math.sin(phase)))
    return samples


def write_tune(path: Path, seed: int, ms: int) -> Path:
    write(path, tune(seed, ms))
    return path


def write(path: Path, samples: array.array[int]) -> None:
    samples = array.array("h", samples)
    if sys.byteorder == "big":
        samples.byteswap()
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        writer.writeframes(samples.tobytes())


def read(path: Path, channel: int = 0) -> array.array[int]:
    with wave.open(str(path), "rb") as reader:
        assert reader.getsampwidth() == 2
        assert reader.getframerate() == RATE
        channels = reader.getnchannels()
        samples = array.array("h", reader.readframes(reader.getnframes()))
    if sys.byteorder == "big":
        samples.byteswap()
    return samples[channel::channels]


def likeness(heard: array.array[int], wanted: array.array[int]) -> Likeness:
    """How much `heard` holds of `wanted`, wherever it begins.  A packet lost, repeated or swapped
    anywhere in it moves the rest and so the score."""
    where = _find(_coarse(heard), _coarse(wanted[: RATE * WINDOW_MS // 1000])) * COARSE
    around = range(max(0, where - 2 * COARSE), where + 2 * COARSE + 1)
    score, at = max((_alike(heard, wanted, at), at) for at in around)
    return Likeness(score, at * 1000 // RATE)


def _coarse(samples: array.array[int]) -> list[float]:
    whole = len(samples) // COARSE * COARSE
    parts = [samples[first:whole:COARSE] for first in range(COARSE)]
    return [sum(column) / COARSE for column in zip(*parts, strict=True)]


def _find(heard: list[float], window: list[float]) -> int:
    best, found = -1.0, 0
    for at in range(max(1, len(heard) - len(window) + 1)):
        part = heard[at : at + len(window)]
        energy = sum(map(operator.mul, part, part))
        if energy <= 0:
            continue
        score = sum(map(operator.mul, part, window)) / math.sqrt(energy)
        if score > best:
            best, found = score, at
    return found


def _alike(heard: array.array[int], wanted: array.array[int], at: int) -> float:
    part = heard[at : at + len(wanted)]
    if len(part) < len(wanted):
        part = part + array.array("h", bytes(2 * (len(wanted) - len(part))))
    energy = sum(map(operator.mul, part, part)) * sum(map(operator.mul, wanted, wanted))
    return sum(map(operator.mul, part, wanted)) / math.sqrt(energy) if energy else 0.0
