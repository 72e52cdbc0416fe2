"""How much of what was said is heard: signal to noise in decibels, for two tracks of the same sound."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import mul

_PROBE = 480
"""Samples that are looked for in what is heard."""
_CANDIDATES = 40
"""Places where they may be."""
_PARTS = 8
"""Of a sample: how finely a delay is told."""
_REACH = 12
"""Samples on either side that the sound between two samples is made of."""


@dataclass(frozen=True, slots=True)
class Fidelity:
    snr_db: float
    """Of what is heard the part that was said, against all else in it."""
    gain_db: float
    delay: float
    """Samples."""


def fidelity(said: Sequence[int], heard: Sequence[int], *, latest: int = 6000) -> Fidelity:
    """Compare the middle half of `said` with where it is in `heard`, at most `latest` samples later, made
    as loud, and delayed by parts of a sample as well.  Both are of one rate."""
    told, got = list(map(float, said)), list(map(float, heard))
    quarter = len(told) // 4
    probe = max(range(quarter, 3 * quarter, _PROBE), key=lambda at: _power(told[at : at + _PROBE]))
    rough = _rough_delay(told, got, probe, latest)
    parts = range(-_PARTS, _PARTS + 1)
    near = [_compare(told, got, probe, probe + _PROBE, rough + part / _PARTS) for part in parts]
    delay = max(near, key=lambda one: one.snr_db).delay
    return _compare(told, got, quarter, 3 * quarter, delay)


def _product(one: Sequence[float], other: Sequence[float]) -> float:
    products: Iterable[float] = map(mul, one, other)
    return sum(products)


def _power(samples: Sequence[float]) -> float:
    return _product(samples, samples)


def _rough_delay(said: Sequence[float], heard: Sequence[float], begin: int, latest: int) -> int:
    """The whole number of samples at which both are most alike: near those at which every other sample of
    a part of them is, for a voice repeats itself from period to period."""
    likely = _likeness(said, heard, begin, begin + _PROBE, 2)
    whole = _likeness(said, heard, len(said) // 4, len(said) * 3 // 4, 1)
    last = min(latest, len(heard) - len(said) * 3 // 4)
    candidates = sorted(range(0, last, 2), key=likely)[-_CANDIDATES:]
    best = max(candidates, key=whole)
    return max(range(max(0, best - 2), best + 3), key=whole)


def _likeness(
    said: Sequence[float], heard: Sequence[float], begin: int, end: int, step: int
) -> Callable[[int], float]:
    probe = said[begin:end:step]

    def likeness(delay: int) -> float:
        piece = heard[begin + delay : end + delay : step]
        return _product(probe, piece) / math.sqrt(_power(piece) + 1)

    return likeness


def _compare(said: Sequence[float], heard: Sequence[float], begin: int, end: int, delay: float) -> Fidelity:
    whole = math.floor(delay)
    reference = _shifted(said, begin, end, delay - whole)
    track = heard[begin + whole : end + whole]
    power = _power(reference)
    gain = sum(map(mul, reference, track)) / power
    noise = _power([h - gain * r for r, h in zip(reference, track, strict=True)])
    snr = 10 * math.log10(gain * gain * power / max(noise, 1e-9))
    return Fidelity(snr, 20 * math.log10(max(abs(gain), 1e-9)), delay)


def _shifted(samples: Sequence[float], begin: int, end: int, part: float) -> Sequence[float]:
    """The same sound, later by part of a sample (a windowed sinc)."""
    if not part:
        return samples[begin:end]
    places = [n + part for n in range(-_REACH, _REACH + 1)]
    taps = [
        (0.5 + 0.5 * math.cos(math.pi * at / (_REACH + 1))) * math.sin(math.pi * at) / (math.pi * at)
        for at in places
    ]
    return [sum(map(mul, taps, samples[n - _REACH : n + _REACH + 1])) for n in range(begin, end)]
