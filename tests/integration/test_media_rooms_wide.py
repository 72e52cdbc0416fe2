"""Rooms of 16 and 48 kHz: members hear each other as well as their codecs can."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest

from callrouter.ports import (
    CloseLeg,
    EnterRoom,
    Hold,
    LegClosed,
    PlayTone,
    RecordingEnded,
    RecordSource,
    Resume,
    RoomId,
    SetMember,
    StartRecording,
    StopRecording,
)
from tests.integration.coded_peer import RATES, decoded, encoded, remote, say
from tests.integration.real_time import in_real_time
from tests.integration.rtp_peer import EVENT, Room, Station, room
from tests.unit.media.sound import channels_of, mulaw, sine, to_mulaw, tone_level

ROOM = RoomId(7)


def enter(here: Room, codec: str, **changes: object) -> Station:
    station = here.station()
    entry = EnterRoom(station.leg, ROOM, **changes)  # type: ignore[arg-type]  # by name
    here.media.submit(remote(station, codec), entry)
    return station


def packets_of(codec: str, hertz: float, seconds: float = 1.2) -> list[bytes]:
    if codec in RATES:
        # What a voice has above 4 kHz comes with something below, which is what is listened for.
        return encoded(codec, hertz, seconds, beside=300.0 if hertz > 4000 else 0.0)
    words = to_mulaw(sine(hertz, seconds))
    return [words[at : at + 160] for at in range(0, len(words), 160)]


def heard(station: Station, codec: str, seconds: float = 0.5) -> list[int]:
    """The last samples a far end heard while the others spoke, at its codec's rate."""
    payloads = [packet.payload for packet in station.peer.heard if packet.payload_type != EVENT]
    samples = decoded(codec, payloads) if codec in RATES else [mulaw(w) for p in payloads for w in p]
    rate = RATES.get(codec, 8000)
    end = len(samples) - round(0.15 * rate)
    return samples[end - round(seconds * rate) : end]


def level(station: Station, codec: str, hertz: float) -> float:
    return tone_level(heard(station, codec), hertz, rate=RATES.get(codec, 8000))


async def talk(*said: tuple[Station, str, float]) -> None:
    """All at once: what each of them says is encoded before the first one begins."""
    ready = [(station, codec, packets_of(codec, hertz)) for station, codec, hertz in said]
    await asyncio.gather(*(say(*each) for each in ready))
    await asyncio.sleep(0.03)


@pytest.mark.parametrize(("codec", "high"), [("G722", 6000), ("OPUS", 10_000)])
@in_real_time
async def test_members_of_a_wide_codec_hear_each_other_at_its_full_width(codec: str, high: float) -> None:
    async with room() as here:
        a, b, c = enter(here, codec), enter(here, codec), enter(here, "PCMU")
        await talk((a, codec, high), (b, codec, 1000), (c, "PCMU", 600))
        assert math.isclose(level(b, codec, high), 8000, rel_tol=0.3), "beyond what a telephone carries"
        assert math.isclose(level(a, codec, 1000), 8000, rel_tol=0.2)
        assert math.isclose(level(a, codec, 600), 8000, rel_tol=0.2)
        assert level(a, codec, high) < 400, "no echo"
        assert math.isclose(level(c, "PCMU", 1000), 8000, rel_tol=0.2)
        folded = 8000 - high % 8000
        assert level(c, "PCMU", folded) < 150, "what its codec cannot carry is not folded into it"
        assert all(station.peer.is_whole() for station in (a, b, c))


@in_real_time
async def test_the_best_that_two_have_is_the_rooms() -> None:
    async with room() as here:
        wide, other, plain = enter(here, "OPUS"), enter(here, "G722"), enter(here, "PCMU")
        await talk((other, "G722", 6000), (wide, "OPUS", 6500), (plain, "PCMU", 1000))
        assert math.isclose(level(wide, "OPUS", 6000), 8000, rel_tol=0.3)
        assert math.isclose(level(other, "G722", 6500), 8000, rel_tol=0.3)
        here.media.submit(CloseLeg(other.leg))
        await other.told(LegClosed)
        await talk((plain, "PCMU", 1000), (wide, "OPUS", 700))
        assert math.isclose(level(wide, "OPUS", 1000), 8000, rel_tol=0.2)
        assert math.isclose(level(plain, "PCMU", 700), 8000, rel_tol=0.2)


@pytest.mark.parametrize("rate", [8000, 16_000, 48_000])
@in_real_time
async def test_a_room_can_be_made_for_a_rate(rate: int) -> None:
    async with room() as here:
        first = enter(here, "PCMU", rate=rate)
        a, b = enter(here, "G722"), enter(here, "OPUS")
        await talk((first, "PCMU", 1000), (a, "G722", 6000))
        for station, codec in ((a, "G722"), (b, "OPUS")):
            assert math.isclose(level(station, codec, 1000), 8000, rel_tol=0.2)
        assert (level(b, "OPUS", 6000) > 5000) == (rate > 8000)


@in_real_time
async def test_holds_whispers_gains_and_recordings_are_as_in_any_room(tmp_path: Path) -> None:
    path = tmp_path / "room.wav"
    async with room() as here:
        a, b, c = (enter(here, "OPUS") for _ in range(3))
        token = here.media.token()
        sources = ((RecordSource(a.leg, "room"),), (RecordSource(b.leg, "sent"),))
        here.media.submit(
            SetMember(c.leg, coaching=a.leg),
            SetMember(b.leg, gain_db=-6),
            StartRecording(a.leg, token, path, sources),
        )
        await talk((a, "OPUS", 500), (b, "OPUS", 800), (c, "OPUS", 1100))
        here.media.submit(StopRecording(a.leg, token))
        await a.told(RecordingEnded)
        assert math.isclose(level(a, "OPUS", 800), 4000, rel_tol=0.2)
        assert math.isclose(level(a, "OPUS", 1100), 8000, rel_tol=0.2)
        assert level(b, "OPUS", 1100) < 200
        here.media.submit(Hold(a.leg, here.media.token(), (PlayTone("ringback-us"),)))
        await talk((b, "OPUS", 800))
        assert level(a, "OPUS", 800) < 200
        assert level(a, "OPUS", 440) > 1000
        here.media.submit(Resume(a.leg), SetMember(b.leg))
        await talk((b, "OPUS", 800))
        assert math.isclose(level(a, "OPUS", 800), 8000, rel_tol=0.2)
    said, sent = channels_of(path)
    assert math.isclose(tone_level(said[4000:8000], 500), 8000, rel_tol=0.2)
    assert math.isclose(tone_level(said[4000:8000], 800), 4000, rel_tol=0.2)
    assert math.isclose(tone_level(sent[4000:8000], 500), 8000, rel_tol=0.2)
