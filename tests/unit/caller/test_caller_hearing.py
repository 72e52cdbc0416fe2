"""Finding sound in recordings."""

from __future__ import annotations

import array
import wave
from pathlib import Path

import pytest

from callrouter.caller.hearing import Heard, sounds, sounds_in
from callrouter.caller.voice import hum, write_hum

RATE = 8000


def silence(ms: int, level: int = 0) -> array.array[int]:
    return array.array("h", [level, -level] * (RATE * ms // 2000))


def test_silence_holds_no_sound() -> None:
    assert sounds(silence(2000), RATE) == ()


def test_the_noise_of_a_companded_line_is_not_sound() -> None:
    assert sounds(silence(2000, level=8), RATE) == ()


def test_an_utterance_is_found_where_it_is() -> None:
    (found,) = sounds(silence(500) + hum(900) + silence(500), RATE)
    assert abs(found.from_ms - 500) <= 40
    assert abs(found.to_ms - 1400) <= 40


def test_short_pauses_lie_within_an_utterance_and_long_ones_between_two() -> None:
    short = sounds(hum(540) + silence(200) + hum(540), RATE)
    long = sounds(hum(540) + silence(600) + hum(540), RATE)
    assert (len(short), len(long)) == (1, 2)


def test_the_spare_voice_never_pauses() -> None:
    (found,) = sounds(hum(5000), RATE)
    assert found.to_ms - found.from_ms >= 4900


def test_one_channel_of_a_file_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "two.wav"
    left, right = silence(1000), hum(1000)
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(2)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        writer.writeframes(
            array.array("h", [s for pair in zip(left, right, strict=True) for s in pair]).tobytes()
        )
    assert sounds_in(path, 0) == ()
    assert len(sounds_in(path, 1)) == 1


def test_samples_of_another_size_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bytes.wav"
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(1)
        writer.setframerate(RATE)
        writer.writeframes(bytes(800))
    with pytest.raises(ValueError, match="samples of 1 bytes"):
        sounds_in(path)


def test_the_written_voice_can_be_heard(tmp_path: Path) -> None:
    write_hum(tmp_path / "hum.wav", 1000)
    assert sounds_in(tmp_path / "hum.wav")[0].to_ms >= 940


def test_moving_a_stretch_keeps_its_length() -> None:
    assert Heard(100, 350).later(50) == Heard(150, 400)
