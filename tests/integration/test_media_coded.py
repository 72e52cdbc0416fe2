"""Legs in G.722 and Opus, with FFmpeg's codecs at the far end."""

from __future__ import annotations

import asyncio
import functools
import math
import random
import struct
from itertools import pairwise
from pathlib import Path

import pytest

from callrouter.ports import (
    AudioFile,
    CloseLeg,
    DigitReceived,
    Join,
    LegClosed,
    Play,
    PlayPrompt,
    RecordingEnded,
    RecordSource,
    SendDigits,
    StartRecording,
    StopRecording,
)
from tests.integration.coded_peer import PAYLOAD_TYPES, RATES, STEPS, decoded, encoded, remote, say
from tests.integration.real_time import in_real_time
from tests.integration.rtp_peer import EVENT, PCMU, SILENCE, Room, Station, room
from tests.patience import PATIENCE_SECONDS
from tests.unit.media.sound import mulaw, sine, tone_level, write_wav

CODECS = list(RATES)


def joined(here: Room, codec: str) -> tuple[Station, Station]:
    """A far end that speaks `codec`, and a telephone that speaks PCMU."""
    a, b = here.station(), here.station()
    here.media.submit(remote(a, codec), b.remote(), Join(a.leg, b.leg))
    return a, b


async def close(station: Station) -> dict[str, int]:
    station.media.submit(CloseLeg(station.leg))
    return dict((await station.told(LegClosed)).counters)


def share_of(samples: list[int], hertz: float, rate: int) -> float:
    """How much of the power is in one frequency."""
    power = sum(value * value for value in samples) / max(1, len(samples))
    return tone_level(samples, hertz, rate=rate) ** 2 / 2 / max(power, 1)


@pytest.mark.parametrize("codec", CODECS)
@in_real_time
async def test_a_prompt_is_heard_in_the_far_ends_codec(codec: str, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "tone.wav", sine(1000, 1.5))
    async with room() as here:
        station = here.station()
        prompt = await here.media.prompt(AudioFile(path, "audio/wav", "tone"))
        here.media.submit(
            remote(station, codec), Play(station.leg, here.media.token(), (PlayPrompt(prompt),))
        )
        await asyncio.sleep(1.2)
        counters = await close(station)
    heard = station.peer.heard
    assert {packet.payload_type for packet in heard} == {PAYLOAD_TYPES[codec]}
    steps = {(y.timestamp - x.timestamp) % 2**32 for x, y in pairwise(heard)}
    assert steps == {STEPS[codec]}
    samples = decoded(codec, (packet.payload for packet in heard))
    middle = samples[len(samples) // 4 : len(samples) * 3 // 4]
    assert share_of(middle, 1000, RATES[codec]) > 0.98
    assert math.isclose(tone_level(middle, 1000, rate=RATES[codec]), 8000, rel_tol=0.15)
    assert counters["encoded"] == counters["packets_out"]


@pytest.mark.parametrize("codec", CODECS)
@in_real_time
async def test_what_the_far_end_says_is_recorded(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "said.wav"
    async with room() as here:
        station = here.station()
        token = here.media.token()
        here.media.submit(
            remote(station, codec),
            StartRecording(station.leg, token, path, ((RecordSource(station.leg),),)),
        )
        await say(station, codec, encoded(codec, 700, 1.5))
        await asyncio.sleep(0.1)
        here.media.submit(StopRecording(station.leg, token))
        await station.told(RecordingEnded)
        counters = await close(station)
    data = path.read_bytes()[44:]
    samples = list(struct.unpack(f"<{len(data) // 2}h", data))[4000:10000]
    assert share_of(samples, 700, 8000) > 0.97
    assert math.isclose(tone_level(samples, 700), 8000, rel_tol=0.15)
    assert counters["lost"] == 0
    assert counters["decoded"] >= 70
    assert counters["jitter_us"] < 50_000, "counted in the clock of the codec"


@pytest.mark.parametrize("codec", CODECS)
@in_real_time
async def test_it_is_joined_with_g711_both_ways(codec: str) -> None:
    async with room() as here:
        a, b = joined(here, codec)
        await asyncio.sleep(0.05)
        words = bytes(map(to_mulaw, sine(500, 1.2)))
        tone = [words[n : n + 160] for n in range(0, len(words), 160)]

        async def answer() -> None:
            for frame in tone:
                await b.peer.talk(frame, 1)

        await asyncio.gather(say(a, codec, encoded(codec, 900, 1.2)), answer())
        await asyncio.sleep(0.1)
        counters = await close(a)
    at_b = [mulaw(word) for packet in b.peer.heard for word in packet.payload]
    assert share_of(at_b[3200:8000], 900, 8000) > 0.95
    at_a = decoded(codec, (packet.payload for packet in a.peer.heard))
    quarter = len(at_a) // 4
    assert share_of(at_a[quarter : 3 * quarter], 500, RATES[codec]) > 0.9
    assert counters["decoded"] > 40
    assert counters["encoded"] > 40


@pytest.mark.parametrize("codec", CODECS)
@in_real_time
async def test_two_of_the_same_codec_are_relayed_unread(codec: str) -> None:
    async with room() as here:
        a, b = here.station(), here.station()
        here.media.submit(remote(a, codec))
        here.media.submit(remote(b, codec))
        here.media.submit(Join(a.leg, b.leg))
        await asyncio.sleep(0.05)
        said = encoded(codec, 900, 1.0)
        await asyncio.gather(say(a, codec, said), say(b, codec, said))
        await asyncio.sleep(0.1)
        metrics_of = here.media.totals()
        one, other = await close(a), await close(b)
    for station in (a, b):
        heard = [packet.payload for packet in station.peer.heard]
        assert [payload for payload in heard if payload in set(said)] == said
    assert one["decoded"] + other["decoded"] <= 4
    assert metrics_of.legs_live == 2


@pytest.mark.parametrize("codec", CODECS)
@in_real_time
async def test_loss_and_jitter_are_concealed(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "said.wav"
    async with room() as here:
        station = here.station()
        token = here.media.token()
        here.media.submit(
            remote(station, codec),
            StartRecording(station.leg, token, path, ((RecordSource(station.leg),),)),
        )
        await say(station, codec, encoded(codec, 700, 3.0, "voip"), lose=0.05, jitter=0.03)
        await asyncio.sleep(0.2)
        here.media.submit(StopRecording(station.leg, token))
        await station.told(RecordingEnded)
        counters = await close(station)
    assert counters["lost"] >= 3
    if codec == "OPUS":
        assert counters["recovered"] >= 1, "the packet behind carries it once more"
    else:
        assert counters["concealed"] >= 3
    data = path.read_bytes()[44:]
    samples = list(struct.unpack(f"<{len(data) // 2}h", data))[4000:20000]
    silent = sum(max(map(abs, samples[n : n + 80])) < 100 for n in range(0, len(samples), 80))
    assert silent <= 4, "holes are filled"


@pytest.mark.parametrize(("codec", "scale"), [("G722", 1), ("OPUS", 6)])
@in_real_time
async def test_keys_keep_their_length_whatever_the_clock(codec: str, scale: int) -> None:
    async with room() as here:
        station = here.station()
        here.media.submit(remote(station, codec))
        await say(station, codec, encoded(codec, 700, 0.2))
        peer = station.peer
        for index in range(7):
            duration = min(index + 1, 5) * 160 * scale
            peer.send(struct.pack("!BBH", 7, 138 if index >= 4 else 10, duration), EVENT, step=0)
            await asyncio.sleep(0.02)
        assert (await station.told(DigitReceived)).duration_ms == 100
        peer.heard.clear()
        here.media.submit(SendDigits(station.leg, here.media.token(), "5"))
        await asyncio.sleep(0.4)
        events = [packet.payload for packet in peer.heard if packet.payload_type == EVENT]
        lengths = [int.from_bytes(payload[2:4], "big") for payload in events]
        assert lengths[0] == 160 * scale
        assert all(later >= earlier for earlier, later in pairwise(lengths))
        await close(station)


@in_real_time
async def test_a_key_passes_from_a_clock_to_another() -> None:
    async with room() as here:
        a, b = joined(here, "OPUS")
        await b.peer.talk(SILENCE[PCMU], 5)
        await b.peer.press("6")
        await asyncio.sleep(0.1)
        events = [packet for packet in a.peer.heard if packet.payload_type == EVENT]
        assert len(events) == 7
        assert len({packet.timestamp for packet in events}) == 1
        assert int.from_bytes(events[-1].payload[2:4], "big") == 800 * 6


@in_real_time
async def test_a_key_beside_transcoded_audio_is_one_key() -> None:
    """Three seconds of it at 48 kHz, in segments, after and before audio that is decoded."""
    async with room() as here:
        a, b = joined(here, "OPUS")
        tone = encoded("OPUS", 900, 0.4)
        await say(a, "OPUS", tone)
        down, step = a.peer.timestamp, 0
        for packet in range(1, 151):
            if packet * 960 - step > 0xFFFF:
                a.peer.timestamp = (down + step) % 2**32
                a.peer.send_event(9, 0xFFFF, end=False)
                step += 0xFFFF
            a.peer.timestamp = (down + step) % 2**32
            a.peer.send_event(9, packet * 960 - step, end=packet == 150)
            await asyncio.sleep(0.02)
        a.peer.timestamp = (down + 151 * 960) % 2**32
        await say(a, "OPUS", tone)
        await asyncio.sleep(0.1)
        pressed = [event for event in a.events if isinstance(event, DigitReceived)]
    events = [packet for packet in b.peer.heard if packet.payload_type == EVENT]
    assert len({packet.timestamp for packet in events}) == 1
    assert [packet.marker for packet in events] == [True] + [False] * (len(events) - 1)
    assert int.from_bytes(events[-1].payload[2:4], "big") == 3 * 8000
    assert b.peer.is_whole(), "the numbers go on through audio and keys"
    assert [(event.digit, event.duration_ms) for event in pressed] == [("9", 3000)]


@in_real_time
async def test_comfort_noise_is_taken_for_what_it_is(tmp_path: Path) -> None:
    async with room() as here:
        station = here.station()
        here.media.submit(station.remote())
        await station.peer.talk(SILENCE[PCMU], 3)
        station.peer.send(b"\x40", 13)
        await station.peer.talk(SILENCE[PCMU], 3)
        counters = await close(station)
        assert (counters["comfort_noise"], counters["wrong_type"], counters["lost"]) == (1, 0, 0)


@in_real_time
async def test_garbage_in_the_place_of_coded_audio_hurts_nothing() -> None:
    chance = random.Random(4)
    for codec in CODECS:
        async with room() as here:
            a, b = joined(here, codec)
            await say(a, codec, [chance.randbytes(chance.randrange(1, 1200)) for _ in range(60)])
            counters = await close(a)
            assert counters["packets_in"] == 60
            gaps = [y.at - x.at for x, y in pairwise(b.peer.heard)]
            assert max(gaps) < 0.2


async def test_transcoding_is_counted_and_limited() -> None:
    async with room(max_transcoding=2) as here:
        stations = [here.station() for _ in range(2)]
        assert here.media.may_transcode()
        here.media.submit(remote(stations[0], "OPUS"))
        assert here.media.may_transcode()
        here.media.submit(remote(stations[1], "G722"))
        assert not here.media.may_transcode(), "at once"
        async with asyncio.timeout(PATIENCE_SECONDS):
            while here.media.totals().legs_transcoding < 2:
                await asyncio.sleep(0.1)
        assert not here.media.may_transcode()
        await close(stations[0])
        assert here.media.may_transcode(), "at once as well"
        here.media.submit(stations[1].remote())
        assert here.media.may_transcode()


@functools.cache
def to_mulaw(sample: int) -> int:
    """By search: the word whose value is nearest."""
    return min(range(256), key=lambda word: abs(mulaw(word) - sample))
