"""Whether silence is described instead of sent (comfort noise, RFC 3389)."""

from __future__ import annotations

import enum
from dataclasses import replace

from callrouter.ports import NegotiatedAudio
from callrouter.sip.protocol.sdp import Codec

COMFORT_NOISE = Codec(13, "CN", 8000)
"""As we offer it, for the codecs that have this clock."""


class NoisePolicy(enum.Enum):
    """Whether far ends may leave silence out."""

    OFF = "off"
    MIRROR = "mirror"
    """Where they offer it."""
    OFFER = "offer"
    """Where they agree, and we offer it."""


def with_noise(
    audio: NegotiatedAudio,
    known: tuple[Codec, ...],
    policy: NoisePolicy,
    *,
    before: NegotiatedAudio | None,
    is_answer: bool,
) -> NegotiatedAudio:
    """`audio` with the number of comfort noise, if `known`, the formats of its line, have one with the
    codec's clock (§4) and it may be used.  An answer has a say only in what was offered."""
    is_offered = policy is NoisePolicy.OFFER or (before is not None and before.noise_payload_type is not None)
    if audio.codec == "OPUS" or policy is NoisePolicy.OFF or (is_answer and not is_offered):
        return audio
    found = (codec for codec in known if codec.name == "CN" and codec.clock_rate == COMFORT_NOISE.clock_rate)
    noise = next(found, None)
    return audio if noise is None else replace(audio, noise_payload_type=noise.payload_type)
