"""Taps and feeds: a leg's sound handed to Python in frames, and sound taken back with marks."""

from __future__ import annotations

import asyncio
import time

from callrouter.ports import (
    ClearFeed,
    CloseLeg,
    FeedAudio,
    FeedMark,
    Join,
    LegClosed,
    MarkReached,
    OpenFeed,
    Play,
    PlayEnd,
    PlayEnded,
    PlayTone,
    StartTap,
    StopPlay,
    StopTap,
    TapEnded,
    TapFrame,
    TapFrames,
)
from tests.integration.real_time import in_real_time
from tests.integration.rtp_peer import PCMU, SILENCE, Room, Station, room
from tests.unit.media.sound import alaw, mulaw


def started(here: Room, codec: str = "PCMU") -> Station:
    station = here.station()
    here.media.submit(station.remote(codec))
    return station


def frames(station: Station) -> list[TapFrame]:
    return [frame for event in station.events if isinstance(event, TapFrames) for frame in event.frames]


def side(station: Station, *, sent: bool) -> bytes:
    return b"".join(frame.audio for frame in frames(station) if frame.sent == sent)


def numbered(count: int) -> list[bytes]:
    return [bytes((n + k) % 100 for k in range(160)) for n in range(count)]


@in_real_time
async def test_what_is_received_is_handed_over_to_the_sample() -> None:
    async with room() as here:
        station = started(here)
        token = here.media.token()
        here.media.submit(StartTap(station.leg, token))
        said = numbered(50)
        await station.peer.say(b"".join(said))
        await asyncio.sleep(0.1)
        here.media.submit(StopTap(station.leg, token))
        assert (await station.told(TapEnded)).dropped == 0
        assert b"".join(said) in side(station, sent=False)
        told = frames(station)
        assert [frame.number for frame in told] == list(range(len(told)))
        assert abs(len(told) - 57) <= 6
        assert {len(frame.audio) for frame in told} == {160}
        assert all(event.token == token for event in station.events if isinstance(event, TapFrames))
        count = len(station.events)
        await station.peer.talk(said[0], 5)
        assert len(station.events) == count


@in_real_time
async def test_both_sides_come_in_step_even_of_a_relay_between_two_laws() -> None:
    async with room() as here:
        a, b = started(here), started(here, "PCMA")
        here.media.submit(Join(a.leg, b.leg), StartTap(a.leg, here.media.token(), "both"))
        await a.told(TapFrames)  # what is said before the tap begins is not of it
        await asyncio.gather(a.peer.talk(b"\x20" * 160, 40), b.peer.talk(b"\x25" * 160, 40, 8))
        await asyncio.sleep(0.2)
        received, sent = side(a, sent=False), side(a, sent=True)
        assert len(received) == len(sent)
        assert received.count(b"\x20") == 40 * 160
        near = [word for word in sent if abs(mulaw(word) - alaw(0x25)) < 500]
        assert len(near) >= 39 * 160


@in_real_time
async def test_frames_come_in_batches_and_a_stalled_taker_costs_the_oldest_only() -> None:
    async with room() as here:
        station = started(here)
        token = here.media.token()
        here.media.submit(StartTap(station.leg, token))
        await station.told(TapFrames)
        time.sleep(2.6)
        await asyncio.sleep(0.3)
        here.media.submit(StopTap(station.leg, token))
        ended = await station.told(TapEnded)
        numbers = [frame.number for frame in frames(station)]
        assert numbers == sorted(set(numbers))
        missing = set(range(numbers[-1])) - set(numbers)
        assert len(missing) == ended.dropped
        assert 15 <= ended.dropped <= 45
        assert max(len(event.frames) for event in station.events if isinstance(event, TapFrames)) == 100
        here.media.submit(CloseLeg(station.leg))
        counters = (await station.told(LegClosed)).counters
        assert counters["skipped_sends"] == 0, "nobody hears it"


@in_real_time
async def test_a_tap_ends_with_its_leg_and_its_last_frames_come_before() -> None:
    async with room() as here:
        station = started(here)
        here.media.submit(StartTap(station.leg, here.media.token(), "sent"))
        await asyncio.sleep(0.2)
        here.media.submit(CloseLeg(station.leg))
        await station.told(LegClosed)
        assert [type(event) for event in station.events[-2:]] == [TapEnded, LegClosed]
        assert 8 <= len(frames(station)) <= 16


@in_real_time
async def test_audio_of_any_size_is_played_without_a_seam_and_marks_come_back() -> None:
    async with room() as here:
        station = started(here)
        token = here.media.token()
        said = bytes(n * 7 % 100 for n in range(8000))
        here.media.submit(OpenFeed(station.leg, token))
        sizes = [1, 100, 500, 160, 2000, 39, 5200]
        at = 0
        for mark, size in enumerate(sizes):
            here.media.submit(
                FeedAudio(station.leg, token, said[at : at + size]), FeedMark(station.leg, token, mark)
            )
            at += size
        last = await station.told(MarkReached, len(sizes))
        marks = [event for event in station.events if isinstance(event, MarkReached)]
        assert [event.mark for event in marks] == list(range(len(sizes)))
        assert not any(event.cleared for event in marks)
        assert abs((last.at_ns - marks[0].at_ns) / 1e9 - 1.0) < 0.1
        await asyncio.sleep(0.1)
        assert said in station.peer.audio()
        here.media.submit(FeedAudio(station.leg, token, said[:320]))
        await asyncio.sleep(0.1)
        here.media.submit(StopPlay(station.leg))
        ended = await station.told(PlayEnded)
        assert (ended.token, ended.reason, ended.played_ms) == (token, PlayEnd.STOPPED, 1040)
        assert station.peer.is_whole()


@in_real_time
async def test_clearing_throws_away_what_waits_and_sends_its_marks_back() -> None:
    async with room() as here:
        station = started(here)
        token = here.media.token()
        here.media.submit(
            OpenFeed(station.leg, token),
            FeedAudio(station.leg, token, b"\x20" * 80_000),
            FeedMark(station.leg, token, 1),
        )
        await asyncio.sleep(0.3)
        here.media.submit(ClearFeed(station.leg, token), FeedAudio(station.leg, token, b"\x30" * 1600))
        assert (await station.told(MarkReached)).cleared
        await asyncio.sleep(0.4)
        audio = station.peer.audio()
        assert 800 < audio.count(b"\x20") < 5000
        assert audio.count(b"\x30") == 1600
        assert station.peer.heard[-1].payload == SILENCE[PCMU]


@in_real_time
async def test_a_feed_is_replaced_like_anything_that_is_played() -> None:
    async with room() as here:
        station = started(here, "PCMA")
        token = here.media.token()
        here.media.submit(
            OpenFeed(station.leg, token),
            FeedAudio(station.leg, token, b"\x20" * 8000),
            FeedMark(station.leg, token, 5),
        )
        await asyncio.sleep(0.1)
        assert any(abs(alaw(p.payload[0]) - mulaw(0x20)) < 500 for p in station.peer.heard)
        here.media.submit(Play(station.leg, here.media.token(), (PlayTone("beep"),)))
        assert (await station.told(PlayEnded)).reason is PlayEnd.REPLACED
        assert (await station.told(MarkReached)).cleared
        here.media.submit(FeedAudio(station.leg, token, b"\x20" * 160), FeedMark(station.leg, token, 6))
        assert (await station.told(MarkReached, 2)).cleared, "nobody waits for it for ever"
        here.media.submit(CloseLeg(station.leg))
        assert (await station.told(LegClosed)).counters["feed_dropped"] == 1
