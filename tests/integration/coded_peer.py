"""Far ends that speak G.722 and Opus.  What FFmpeg's codecs make of a tone, and of what the engine sends,
shares no code with it."""

from __future__ import annotations

import asyncio
import random
from array import array
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction

import av

from callrouter.ports import SetRemote
from tests.integration.rtp_peer import FRAME_SECONDS, PCMU, Station
from tests.unit.media.sound import sine

RATES = {"G722": 16000, "OPUS": 48000}
_NAMES = {"G722": "g722", "OPUS": "libopus"}
PAYLOAD_TYPES = {"PCMU": PCMU, "G722": 9, "OPUS": 107}
STEPS = {"PCMU": 160, "G722": 160, "OPUS": 960}
"""RTP clock ticks of 20 ms."""


def remote(station: Station, codec: str) -> SetRemote:
    """What was agreed on with its far end."""
    order = station.remote()
    rate = 48000 if codec == "OPUS" else 8000
    audio = replace(order.audio, codec=codec, payload_type=PAYLOAD_TYPES[codec], dtmf_clock_rate=rate)
    return replace(order, audio=audio)


async def say(
    station: Station, codec: str, packets: list[bytes], *, lose: float = 0, jitter: float = 0
) -> None:
    """Packets of 20 ms by the clock; some are lost, some late."""
    loop, chance, peer = asyncio.get_running_loop(), random.Random(3), station.peer
    begin = loop.time()
    for index, packet in enumerate(packets):
        if chance.random() < lose:
            peer.sequence = (peer.sequence + 1) % 2**16
            peer.timestamp = (peer.timestamp + STEPS[codec]) % 2**32
        else:
            peer.send(packet, PAYLOAD_TYPES[codec], step=STEPS[codec])
        wait = begin + (index + 1) * FRAME_SECONDS + chance.random() * jitter - loop.time()
        await asyncio.sleep(max(0, wait))


def encoded(
    codec: str, hertz: float, seconds: float, application: str = "audio", beside: float = 0
) -> list[bytes]:
    """A tone, and one `beside` it, in packets of 20 ms.  Opus carries packets twice with `voip` only, which
    takes a tone that lasts for something to be rid of."""
    rate = RATES[codec]
    context = av.CodecContext.create(_NAMES[codec], "w")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout, context.format = rate, "mono", "s16"  # type: ignore[assignment]
    if codec == "OPUS":
        context.bit_rate = 24000 if application == "voip" else 64000
        context.options = {"application": application, "fec": "1", "packet_loss": "20", "vbr": "off"}
    samples = sine(hertz, seconds, rate=rate)
    if beside:
        other = sine(beside, seconds, rate=rate)
        samples = array("h", (one + two for one, two in zip(samples, other, strict=True)))
    size = rate // 50
    packets: list[bytes] = []
    for start in range(0, len(samples) - size + 1, size):
        frame = av.AudioFrame(format="s16", layout="mono", samples=size)
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        frame.planes[0].update(samples[start : start + size].tobytes())
        packets += [bytes(packet) for packet in context.encode(frame)]
    return packets


def decoded(codec: str, payloads: Iterable[bytes]) -> list[int]:
    """Samples at the codec's own rate."""
    context = av.CodecContext.create(_NAMES[codec], "r")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout = RATES[codec], "mono"  # type: ignore[assignment]
    samples: list[int] = []
    for payload in payloads:
        for frame in context.decode(av.Packet(payload)):
            count = frame.samples
            kind = "f" if "flt" in frame.format.name else "h"
            values = array(kind, bytes(frame.planes[0])[: count * (4 if kind == "f" else 2)])
            samples += [round(value * 32768) if kind == "f" else value for value in values]
    return samples
