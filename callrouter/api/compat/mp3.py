"""Recordings as MP3, made of their WAV when first asked for, and kept beside it."""

from __future__ import annotations

import os
import tempfile
import wave
from pathlib import Path
from typing import Final

import lameenc

_KBITS_PER_CHANNEL: Final = 32
"""Of a telephone's 8 kHz this leaves nothing out that LAME would find in it."""
_QUALITY: Final = 5
"""LAME's own choice between fast (9) and best (0)."""
_BLOCK_SECONDS: Final = 10


def beside(recording: Path) -> Path:
    """Where the MP3 of a WAV is kept."""
    return recording.with_suffix(".mp3")


def encode(recording: Path) -> Path:
    """The MP3 of `recording`, a 16-bit WAV of one or two channels.

    Blocks: some 20 ms a minute of sound, without holding the interpreter.  It appears whole or not at all.
    Raises `OSError` for a file that cannot be read or written, `wave.Error` for one that is no WAV.
    """
    target = beside(recording)
    if target.is_file():
        return target
    with wave.open(str(recording), "rb") as sound:
        encoder = _encoder(sound.getnchannels(), sound.getframerate())
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}.", suffix=".partial", dir=target.parent)
        partial = Path(name)
        try:
            with os.fdopen(handle, "wb") as out:
                while block := sound.readframes(sound.getframerate() * _BLOCK_SECONDS):
                    out.write(encoder.encode(block))
                out.write(encoder.flush())
            partial.replace(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    return target


def _encoder(channels: int, rate: int) -> lameenc.Encoder:
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_channels(channels)
    encoder.set_in_sample_rate(rate)
    encoder.set_out_sample_rate(rate)
    encoder.set_bit_rate(_KBITS_PER_CHANNEL * channels)
    encoder.set_quality(_QUALITY)
    return encoder
