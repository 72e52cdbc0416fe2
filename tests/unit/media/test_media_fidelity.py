"""The measure itself: noise that was added is found, whatever delay and loudness are beside it."""

from __future__ import annotations

import math
import random
from array import array

import pytest

from tests.unit.media.fidelity import fidelity
from tests.unit.media.sound import chatter


def noisy(samples: array[int], snr_db: float, gain: float, delay: int) -> list[int]:
    chance = random.Random(5)
    middle = samples[len(samples) // 4 : len(samples) * 3 // 4]
    power = sum(value * value for value in middle) / len(middle)
    spread = math.sqrt(power / 10 ** (snr_db / 10))
    return [0] * delay + [round(gain * (value + chance.gauss(0, spread))) for value in samples]


@pytest.mark.parametrize(("snr_db", "gain", "delay"), [(6, 1, 0), (20, 0.5, 777), (35, 1.4, 1500)])
def test_noise_is_measured_whatever_the_delay_and_the_loudness(snr_db: int, gain: float, delay: int) -> None:
    said = chatter(1.2)
    measured = fidelity(said, [*noisy(said, snr_db, gain, delay), *[0] * 800])
    assert measured.snr_db == pytest.approx(snr_db, abs=0.6)
    assert measured.gain_db == pytest.approx(20 * math.log10(gain), abs=0.3)
    assert measured.delay == delay


def test_a_delay_by_part_of_a_sample_is_no_noise() -> None:
    said = [round(5000 * math.sin(n * n / 60_000)) for n in range(9600)]
    heard = [round(5000 * math.sin((n - 40.5) ** 2 / 60_000)) for n in range(10_400)]
    measured = fidelity(said, heard)
    assert measured.delay == 40.5
    assert measured.snr_db > 55


def test_another_sound_is_none() -> None:
    assert fidelity(chatter(1.2, seed=1), chatter(1.5, seed=2)).snr_db < 3
