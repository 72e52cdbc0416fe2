"""A recording in other forms than its WAV: as MP3, and with its channels mixed into one.

Each is made when first asked for, and kept beside the recording."""

from __future__ import annotations

import asyncio
import os
import tempfile
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Final

import lameenc

from callrouter.ports import MixDown
from callrouter.singleflight import SingleFlight

_KBITS_PER_CHANNEL: Final = 32
"""Of a telephone's 8 kHz this leaves nothing out that LAME would find in it."""
_QUALITY: Final = 5
"""LAME's own choice between fast (9) and best (0)."""
_BLOCK_SECONDS: Final = 10


class Renditions:
    """Makes each once, however many ask at once."""

    def __init__(self, mix_down: MixDown) -> None:
        self._mix_down = mix_down
        self._making: SingleFlight[Path] = SingleFlight()

    async def mono(self, recording: Path) -> Path:
        """A WAV of one channel.  Raises `OSError` for a file that cannot be read or written."""
        return await self._made(_mono(recording), lambda partial: self._mix_down(recording, partial))

    async def mp3(self, recording: Path) -> Path:
        """The MP3 of a WAV.  Raises `OSError` as `mono`, `wave.Error` for one that is no WAV."""
        return await self._made(_mp3(recording), lambda partial: _encode(recording, partial))

    async def _made(self, target: Path, make: Callable[[Path], None]) -> Path:
        return await self._making.do(str(target), lambda: asyncio.to_thread(_whole, target, make))


def files(recording: Path) -> tuple[Path, ...]:
    """The recording, and where its other forms are if there are any."""
    mono = _mono(recording)
    return recording, _mp3(recording), mono, _mp3(mono)


def _mono(recording: Path) -> Path:
    return recording.with_suffix(".mono.wav")


def _mp3(recording: Path) -> Path:
    return recording.with_suffix(".mp3")


def _whole(target: Path, make: Callable[[Path], None]) -> Path:
    """`target`, which appears whole or not at all."""
    if target.is_file():
        return target
    handle, name = tempfile.mkstemp(prefix=f".{target.stem}.", suffix=".partial", dir=target.parent)
    os.close(handle)
    partial = Path(name)
    try:
        make(partial)
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return target


def _encode(recording: Path, target: Path) -> None:
    """Some 20 ms a minute of sound, without holding the interpreter."""
    with wave.open(str(recording), "rb") as sound, target.open("wb") as out:
        encoder = _encoder(sound.getnchannels(), sound.getframerate())
        while block := sound.readframes(sound.getframerate() * _BLOCK_SECONDS):
            out.write(encoder.encode(block))
        out.write(encoder.flush())


def _encoder(channels: int, rate: int) -> lameenc.Encoder:
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_channels(channels)
    encoder.set_in_sample_rate(rate)
    encoder.set_out_sample_rate(rate)
    encoder.set_bit_rate(_KBITS_PER_CHANNEL * channels)
    encoder.set_quality(_QUALITY)
    return encoder
