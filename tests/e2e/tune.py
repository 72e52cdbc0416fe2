"""Tunes no two of which are alike, and how much of one is in what somebody heard."""

from __future__ import annotations

import array
import math
import operator
import random
import sys
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

RATE = 8000
NOTE_MS = 80
LEVEL = 8000
COARSE = 4
"""Samples averaged into one for the search; every note lies far below the frequency left then."""
WINDOW_MS = 480
SLIP = RATE * 120 // 1000
UNHARMED = 0.97
"""Correlation with the original that every codec and MP3 stay above."""


@dataclass(frozen=True, slots=True)
class Likeness:
    score: float
    """Share of the notes that were heard unharmed, one after the other."""
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
    """How much `heard` holds of `wanted`, wherever it begins.

    Each note counts that is heard unharmed in its place; the place may slip by `SLIP` samples, as it does
    where a machine with other work lets a packet wait for longer than a listener waits for it."""
    coarse = _coarse(heard)
    where = _anchor(coarse, wanted)
    if where is None:
        return Likeness(0.0, 0)
    size = RATE * NOTE_MS // 1000
    starts = range(0, len(wanted) - size + 1, size)
    found, at = 0, where
    for start in starts:
        note = wanted[start : start + size]
        if not _is_there(heard, note, at + start):
            at = (
                _after_slip(coarse, wanted[start + size : start + 5 * size], at + start + size) - start - size
            )
        found += _is_there(heard, note, at + start)
    return Likeness(found / len(starts), where * 1000 // RATE)


def _anchor(coarse: list[float], wanted: array.array[int]) -> int | None:
    """Where `wanted` seems to begin: found by its beginning, or by a later part if that is harmed."""
    size = RATE * WINDOW_MS // 1000
    found: list[tuple[float, int]] = []
    for start in range(0, max(1, len(wanted) - size + 1), max(size, len(wanted) // 3)):
        window = _coarse(wanted[start : start + size])
        places = range(len(coarse) - len(window) + 1)
        if not places:
            continue
        at = _best(coarse, window, places)
        score = _correlation(coarse[at : at + len(window)], window)
        found.append((score, at * COARSE - start))
        if score > UNHARMED:
            break
    return max(found)[1] if found else None


def _is_there(heard: array.array[int], note: array.array[int], at: int) -> bool:
    nearly = range(max(0, at - 2 * COARSE), at + 2 * COARSE + 1)
    return any(_correlation(heard[exact : exact + len(note)], note) > UNHARMED for exact in nearly)


def _after_slip(coarse: list[float], following: array.array[int], expected: int) -> int:
    """Where what follows a harmed note begins."""
    window = _coarse(following)
    places = range(
        max(0, (expected - SLIP) // COARSE), min(len(coarse) - len(window), (expected + SLIP) // COARSE) + 1
    )
    return _best(coarse, window, places) * COARSE if window and places else expected


def _coarse(samples: array.array[int]) -> list[float]:
    whole = len(samples) // COARSE * COARSE
    parts = [samples[first:whole:COARSE] for first in range(COARSE)]
    return [sum(column) / COARSE for column in zip(*parts, strict=True)]


def _best(heard: list[float], window: list[float], places: range) -> int:
    """The place where `heard` is most like `window`."""
    best, found = -2.0, places[0]
    for at in places:
        score = _correlation(heard[at : at + len(window)], window)
        if score > best:
            best, found = score, at
    return found


def _correlation(part: Sequence[float], wanted: Sequence[float]) -> float:
    energy = sum(map(operator.mul, part, part)) * sum(map(operator.mul, wanted, wanted))
    return sum(map(operator.mul, part, wanted)) / math.sqrt(energy) if energy else 0.0
