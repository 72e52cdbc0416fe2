"""Whether silence is described instead of sent (comfort noise, RFC 3389)."""

from __future__ import annotations

import enum

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


def noise_number(
    codec: str,
    known: tuple[Codec, ...],
    policy: NoisePolicy,
    *,
    before: NegotiatedAudio | None,
    is_answer: bool,
) -> int | None:
    """The number of comfort noise beside `codec`, if `known`, the formats of its line, have one with
    its clock (§4) and it may be used.  An answer has a say only in what was offered."""
    is_offered = policy is NoisePolicy.OFFER or (before is not None and before.noise_payload_type is not None)
    if codec == "OPUS" or policy is NoisePolicy.OFF or (is_answer and not is_offered):
        return None
    for each in known:
        if each.name == "CN" and each.clock_rate == COMFORT_NOISE.clock_rate:
            return each.payload_type
    return None
