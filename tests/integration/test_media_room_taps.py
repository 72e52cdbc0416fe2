"""A room's mix handed to Python in frames, and sound handed back to everybody in it."""

from __future__ import annotations

import asyncio
import random

import pytest

from callrouter.ports import (
    ClearFeed,
    EnterRoom,
    FeedAudio,
    FeedMark,
    LeaveRoom,
    MarkReached,
    OpenFeed,
    PlayEnd,
    PlayEnded,
    RoomId,
    StartTap,
    StopAnnouncement,
    StopTap,
    TapEnded,
    TapFrames,
)
from tests.integration.real_time import in_real_time
from tests.integration.rtp_peer import Room, Station, room
from tests.unit.media.sound import mulaw, sine, to_mulaw, tone_level

ROOM = RoomId(3)
WORDS = [word for word in range(256) if 0 < abs(mulaw(word)) < 30_000]
"""What a room does not have to turn down."""


def members(here: Room, count: int, rate: int = 0) -> list[Station]:
    stations = [here.station() for _ in range(count)]
    for station in stations:
        here.media.submit(station.remote(), EnterRoom(station.leg, ROOM, rate=rate))  # type: ignore[arg-type]  # one of the three
    return stations


def tapped(station: Station) -> bytes:
    events = [event for event in station.events if isinstance(event, TapFrames)]
    frames = [frame for event in events for frame in event.frames]
    assert [frame.number for frame in frames] == list(range(len(frames)))
    assert not any(frame.sent for frame in frames)
    return b"".join(frame.audio for frame in frames)


@pytest.mark.parametrize("rate", [8000, 48_000])
@in_real_time
async def test_a_tap_of_a_room_hears_all_of_its_members_also_the_one_that_has_it(rate: int) -> None:
    async with room() as here:
        one, two, three = members(here, 3, rate)
        token = here.media.token()
        here.media.submit(StartTap(one.leg, token, "room"))
        await asyncio.gather(
            one.peer.say(to_mulaw(sine(440, 1.0, level=4000))),
            two.peer.say(to_mulaw(sine(1000, 1.0, level=4000))),
            three.peer.talk(b"\xff" * 160, 50),
        )
        here.media.submit(StopTap(one.leg, token))
        await one.told(TapEnded)
        heard = [mulaw(word) for word in tapped(one)]
        begin = next(n for n, sample in enumerate(heard) if abs(sample) > 1000)
        middle = heard[begin + 800 : begin + 4800]
        for hertz in (440, 1000):
            assert 3700 < tone_level(middle, hertz) < 4300
        assert tone_level(middle, 700) < 60


@in_real_time
async def test_what_is_handed_to_a_room_is_heard_by_all_to_the_word_and_tapped_as_well() -> None:
    chance = random.Random(8)
    said = bytes(chance.choice(WORDS) for _ in range(8 * 500 + 77))
    async with room() as here:
        one, two = members(here, 2)
        token, tap = here.media.token(), here.media.token()
        here.media.submit(StartTap(two.leg, tap, "room"), OpenFeed(one.leg, token, "room"))
        here.media.submit(FeedMark(one.leg, token, 1))
        for at in range(0, len(said), 333):
            here.media.submit(FeedAudio(one.leg, token, said[at : at + 333]))
        here.media.submit(FeedMark(one.leg, token, 2))
        second = await one.told(MarkReached, 2)
        assert [(event.mark, event.cleared) for event in marks(one)] == [(1, False), (2, False)]
        assert second.token == token
        await asyncio.sleep(0.15)
        assert said in one.peer.audio()
        assert said in two.peer.audio()
        assert said in tapped(two)
        here.media.submit(StopAnnouncement(one.leg, token))
        ended = await one.told(PlayEnded)
        assert (ended.token, ended.reason, ended.played_ms) == (token, PlayEnd.STOPPED, len(said) // 8)


@in_real_time
async def test_handed_over_sound_can_be_cleared_and_ends_when_its_member_leaves() -> None:
    async with room() as here:
        one, two = members(here, 2)
        token = here.media.token()
        here.media.submit(
            OpenFeed(one.leg, token, "room"),
            FeedAudio(one.leg, token, b"\x20" * 80_000),
            FeedMark(one.leg, token, 7),
        )
        await asyncio.sleep(0.3)
        here.media.submit(ClearFeed(one.leg, token))
        assert (await one.told(MarkReached)).cleared
        await asyncio.sleep(0.1)
        assert 1500 < two.peer.audio().count(0x20) < 8000
        here.media.submit(FeedAudio(one.leg, token, b"\x21" * 80_000), FeedMark(one.leg, token, 8))
        await asyncio.sleep(0.1)
        here.media.submit(LeaveRoom(one.leg))
        assert (await one.told(PlayEnded)).reason is PlayEnd.CLOSED
        assert [(event.mark, event.cleared) for event in marks(one)] == [(7, True), (8, True)]
        heard = two.peer.audio().count(0x21)
        assert heard > 0
        await asyncio.sleep(0.2)
        assert two.peer.audio().count(0x21) <= heard + 480
        here.media.submit(OpenFeed(one.leg, token, "room"))
        assert (await one.told(PlayEnded, 2)).reason is PlayEnd.STOPPED, "it is in no room"


def marks(station: Station) -> list[MarkReached]:
    return [event for event in station.events if isinstance(event, MarkReached)]
