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
from tests.integration.rtp_peer import FRAME_SECONDS, PCMA, PCMU, Station
from tests.unit.media.sound import alaw, mulaw, sine, to_alaw, to_mulaw

FRAME = 160
RATES = {"G722": 16000, "OPUS": 48000}
_NAMES = {"G722": "g722", "OPUS": "libopus"}
PAYLOAD_TYPES = {"PCMU": PCMU, "PCMA": PCMA, "G722": 9, "OPUS": 107}
STEPS = {"PCMU": 160, "PCMA": 160, "G722": 160, "OPUS": 960}
"""RTP clock ticks of 20 ms."""
LAWS = {"PCMU": (to_mulaw, mulaw), "PCMA": (to_alaw, alaw)}
"""How G.711 is written and read."""


def remote(station: Station, codec: str) -> SetRemote:
    """What was agreed on with its far end."""
    order = station.remote()
    rate = 48000 if codec == "OPUS" else 8000
    audio = replace(order.audio, codec=codec, payload_type=PAYLOAD_TYPES[codec], dtmf_clock_rate=rate)
    return replace(order, audio=audio)


async def say(
    station: Station, codec: str, packets: list[bytes], *, lose: float = 0, jitter: float = 0
) -> float:
    """Packets of 20 ms by the clock; some are lost, some late.  By how many seconds the one that was
    latest came later than that."""
    loop, chance, peer = asyncio.get_running_loop(), random.Random(3), station.peer
    begin = loop.time()
    latest = 0.0
    for index, packet in enumerate(packets):
        latest = max(latest, loop.time() - begin - index * FRAME_SECONDS)
        if chance.random() < lose:
            peer.sequence = (peer.sequence + 1) % 2**16
            peer.timestamp = (peer.timestamp + STEPS[codec]) % 2**32
        else:
            peer.send(packet, PAYLOAD_TYPES[codec], step=STEPS[codec])
        wait = begin + (index + 1) * FRAME_SECONDS + chance.random() * jitter - loop.time()
        await asyncio.sleep(max(0, wait))
    return latest


def encoded(
    codec: str, hertz: float, seconds: float, application: str = "audio", beside: float = 0
) -> list[bytes]:
    """A tone, and one `beside` it, in packets of 20 ms."""
    samples = sine(hertz, seconds, rate=RATES[codec])
    if beside:
        other = sine(beside, seconds, rate=RATES[codec])
        samples = array("h", (one + two for one, two in zip(samples, other, strict=True)))
    return packets_of(codec, samples, application)


def packets_of(codec: str, samples: array[int], application: str = "audio") -> list[bytes]:
    """Samples at the codec's own rate in packets of 20 ms.  Opus carries packets twice with `voip` only,
    which takes a tone that lasts for something to be rid of."""
    if codec in LAWS:
        words = LAWS[codec][0](samples)
        return [words[n : n + FRAME] for n in range(0, len(words) - FRAME + 1, FRAME)]
    context = av.CodecContext.create(_NAMES[codec], "w")
    assert isinstance(context, av.AudioCodecContext)
    rate = RATES[codec]
    context.sample_rate, context.layout, context.format = rate, "mono", "s16"
    if codec == "OPUS":
        context.bit_rate = 24000 if application == "voip" else 64000
        context.options = {"application": application, "fec": "1", "packet_loss": "20", "vbr": "off"}
    size = rate // 50
    packets: list[bytes] = []
    for start in range(0, len(samples) - size + 1, size):
        frame = _frame(samples[start : start + size], rate, start)
        packets += [bytes(packet) for packet in context.encode(frame)]
    return packets


def _frame(samples: array[int], rate: int, start: int = 0) -> av.AudioFrame:
    frame = av.AudioFrame(format="s16", layout="mono", samples=len(samples))
    frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
    frame.planes[0].update(samples.tobytes())
    return frame


def at_rate(samples: array[int], rate: int, wanted: int) -> array[int]:
    """The same sound at another rate, by FFmpeg."""
    if rate == wanted:
        return samples
    resampler = av.AudioResampler(format="s16", layout="mono", rate=wanted)
    out = array("h")
    for frame in [*resampler.resample(_frame(samples, rate)), *resampler.resample(None)]:
        out.frombytes(bytes(frame.planes[0])[: frame.samples * 2])
    return out


def described(noise: array[int]) -> bytes:
    """What a packet of comfort noise says of `noise`, at 8 kHz, by FFmpeg (RFC 3389)."""
    context = av.CodecContext.create("comfortnoise", "w")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout, context.format = 8000, "mono", "s16"
    context.open()
    packets = context.encode(_frame(noise[: context.frame_size], 8000))
    return bytes(packets[0])


def decoded(codec: str, payloads: Iterable[bytes]) -> list[int]:
    """Samples at the codec's own rate."""
    if codec in LAWS:
        return [LAWS[codec][1](word) for payload in payloads for word in payload]
    context = av.CodecContext.create(_NAMES[codec], "r")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout = RATES[codec], "mono"
    samples: list[int] = []
    for payload in payloads:
        for frame in context.decode(av.Packet(payload)):
            count = frame.samples
            kind = "f" if "flt" in frame.format.name else "h"
            values = array(kind, bytes(frame.planes[0])[: count * (4 if kind == "f" else 2)])
            samples += [round(value * 32768) if kind == "f" else value for value in values]
    return samples
