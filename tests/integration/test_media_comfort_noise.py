"""Far ends that describe their silence instead of sending it (RFC 3389)."""

from __future__ import annotations

import asyncio
import math
import random
from array import array
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from callrouter.ports import (
    CloseLeg,
    EnterRoom,
    Join,
    LegClosed,
    Listen,
    RecordingEnd,
    RecordingEnded,
    RecordSource,
    RoomId,
    SetRemote,
    StartRecording,
    VoiceStarted,
    VoiceStopped,
)
from tests.integration.coded_peer import described
from tests.integration.real_time import in_real_time
from tests.integration.rtp_peer import PCMA, PCMU, SILENCE, Room, Station, room
from tests.unit.media.sound import alaw, channels_of, mulaw, sine, to_mulaw

CN = 13
DBOV = 40
DULLNESS = 0.7
LEVEL = 32768 * 10 ** (-DBOV / 20)
TALK = to_mulaw(sine(440, 0.6, level=6000))


def opened(here: Room, codec: str = "PCMU", *, agrees: bool = True) -> Station:
    station = here.station()
    remote = station.remote(codec)
    audio = replace(remote.audio, noise_payload_type=CN if agrees else None)
    here.media.submit(SetRemote(station.leg, audio))
    return station


async def talk_with_a_pause(station: Station, seconds: float = 1.0, sounding: bytes = bytes([DBOV])) -> None:
    """Speak, say how the pause sounds, and speak again: nothing is sent between."""
    await station.peer.say(TALK)
    station.peer.send(sounding, CN, step=round(seconds * 8000))
    await asyncio.sleep(seconds)
    await station.peer.say(TALK)


def effective(samples: Sequence[int]) -> float:
    return math.sqrt(sum(sample * sample for sample in samples) / max(1, len(samples)))


def is_noise(samples: Sequence[int]) -> bool:
    """As loud as it was said to be, and no other sound of the same level."""
    turns = sum((a < 0) != (b < 0) for a, b in pairwise(samples))
    return 0.85 < effective(samples) / LEVEL < 1.15 and 0.4 < turns / len(samples) < 0.6


def pause_in(samples: Sequence[int]) -> Sequence[int]:
    """What lies between the two times of talk, its edges left out."""
    loud = [n for n, sample in enumerate(samples) if abs(sample) > 4000]
    begin, end = max(pairwise(loud), key=lambda pair: pair[1] - pair[0])
    return samples[begin + 320 : end - 320]


def murmur() -> array[int]:
    """A second of noise as loud as `LEVEL` that is dull, as that of a room is."""
    chance, last, out = random.Random(3), 0.0, array("h")
    for _ in range(8000):
        last = chance.gauss(0, LEVEL * math.sqrt(1 - DULLNESS**2)) + DULLNESS * last
        out.append(round(last))
    return out


def dullness(samples: Sequence[int]) -> float:
    """How alike neighbours are: 0 of white noise."""
    return sum(a * b for a, b in pairwise(samples)) / sum(sample * sample for sample in samples)


@in_real_time
async def test_a_pause_that_is_described_is_recorded_as_noise_and_is_neither_loss_nor_voice(
    tmp_path: Path,
) -> None:
    """By FFmpeg, which was given a noise to describe: what is recorded is as loud and as dull."""
    async with room() as here:
        station = opened(here)
        path = tmp_path / "pause.wav"
        order = StartRecording(station.leg, here.media.token(), path, ((RecordSource(station.leg),),))
        here.media.submit(order, Listen(station.leg, voice=True))
        await talk_with_a_pause(station, sounding=described(murmur()))
        here.media.submit(CloseLeg(station.leg))
        closed = await station.told(LegClosed)
        (samples,) = channels_of(path)
        heard = pause_in(samples)
        assert abs(len(heard) - 7360) < 800
        assert math.isclose(effective(heard[800:6000]), effective(murmur()), rel_tol=0.15)
        assert math.isclose(dullness(heard[800:6000]), dullness(murmur()), abs_tol=0.08)
        counters = closed.counters
        assert (counters["comfort_noise"], counters["lost"], counters["gaps"]) == (1, 0, 0)
        turns = [event for event in station.events if isinstance(event, VoiceStarted | VoiceStopped)]
        assert [type(turn) for turn in turns] == [VoiceStarted, VoiceStopped, VoiceStarted, VoiceStopped]


@in_real_time
async def test_silence_that_is_described_ends_a_recording_as_silence_that_is_sent(tmp_path: Path) -> None:
    async with room() as here:
        station = opened(here)
        sources = ((RecordSource(station.leg),),)
        order = StartRecording(
            station.leg, here.media.token(), tmp_path / "ends.wav", sources, silence_ms=700
        )
        here.media.submit(order)
        await station.peer.say(TALK)
        station.peer.send(bytes([DBOV]), CN)
        assert (await station.told(RecordingEnded)).reason is RecordingEnd.SILENCE


@in_real_time
async def test_who_did_not_agree_hears_noise_without_a_gap() -> None:
    async with room() as here:
        one, other = opened(here), opened(here, "PCMA", agrees=False)
        here.media.submit(Join(one.leg, other.leg))
        await asyncio.sleep(0.1)
        await talk_with_a_pause(one)
        await asyncio.sleep(0.1)
        assert {packet.payload_type for packet in other.peer.heard} == {PCMA}
        assert other.peer.is_whole()
        heard = pause_in([alaw(word) for word in other.peer.audio()])
        assert abs(len(heard) - 7360) < 1200
        assert is_noise(heard[800:5600])


@in_real_time
async def test_who_agreed_is_told_the_same_and_sent_nothing_until_there_is_sound(tmp_path: Path) -> None:
    async with room() as here:
        one, other = opened(here), opened(here)
        path = tmp_path / "sent.wav"
        source = ((RecordSource(other.leg, "sent"),),)
        here.media.submit(
            Join(one.leg, other.leg), StartRecording(other.leg, here.media.token(), path, source)
        )
        await asyncio.sleep(0.1)
        await talk_with_a_pause(one)
        await asyncio.sleep(0.2)
        heard = other.peer.heard
        noise = next(n for n, packet in enumerate(heard) if packet.payload_type == CN)
        told, after = heard[noise], heard[noise + 1]
        assert told.payload == bytes([DBOV])
        assert 0.9 < after.at - told.at < 1.3, "nothing in between"
        assert abs((after.timestamp - told.timestamp) % 2**32 - 8000) < 400
        assert other.peer.is_whole()
        said = b"".join(packet.payload for packet in heard[noise + 1 :] if packet.payload_type == PCMU)
        assert said.startswith(TALK)
        assert SILENCE[PCMU] in said[len(TALK) :], "when nobody speaks and nobody says so, silence is sent"
        here.media.submit(CloseLeg(other.leg))
        await other.told(RecordingEnded)
        (samples,) = channels_of(path)
        assert is_noise(pause_in(samples)[800:5600])


@in_real_time
async def test_a_room_goes_on_and_words_end_in_noise() -> None:
    async with room() as here:
        one, other = opened(here), opened(here)
        here.media.submit(EnterRoom(one.leg, RoomId(5)), EnterRoom(other.leg, RoomId(5)))
        await asyncio.sleep(0.1)
        await talk_with_a_pause(one)
        await asyncio.sleep(0.2)
        samples = [mulaw(word) for word in other.peer.audio()]
        pause = pause_in(samples)
        assert is_noise(pause[160:1500]), "for as long as a word may end softly"
        assert effective(pause[-2000:-400]) == 0, "after that it costs nothing"
