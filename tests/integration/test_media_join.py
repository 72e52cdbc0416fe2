"""Two legs joined: audio and keys pass under each leg's own numbers, and nothing is torn."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import pairwise

import pytest

from callrouter.ports import (
    CloseLeg,
    DigitReceived,
    Direction,
    Join,
    LegClosed,
    Part,
    Play,
    PlayEnd,
    PlayEnded,
    PlayTone,
)
from tests.integration.real_time import in_real_time
from tests.integration.rtp_peer import EVENT, PCMA, PCMU, SILENCE, Peer, Room, Station, room
from tests.patience import until
from tests.unit.media.sound import alaw, mulaw


def pair(here: Room, one: str = "PCMU", other: str = "PCMU") -> tuple[Station, Station]:
    """Two stations that know their far ends; with two threads they are on different ones."""
    a, b = here.station(), here.station()
    here.media.submit(a.remote(one))
    here.media.submit(b.remote(other))
    return a, b


def spoken(peer: Peer) -> list[bytes]:
    return [p.payload for p in peer.heard if p.payload != SILENCE.get(p.payload_type)]


async def hears(peer: Peer, count: int) -> list[bytes]:
    """What a far end hears but silence, once it is so much or as much as will ever come."""
    with suppress(TimeoutError):
        await until(lambda: len(spoken(peer)) >= count)
    await asyncio.sleep(0.05)
    return spoken(peer)


async def hears_on(peer: Peer, count: int = 10) -> None:
    """So many more packets come, whatever they say."""
    before = len(peer.heard)
    await until(lambda: len(peer.heard) >= before + count)


def numbered(count: int) -> list[bytes]:
    return [bytes((n + k) % 120 for k in range(160)) for n in range(count)]


async def say(peer: Peer, frames: list[bytes], payload_type: int = PCMU) -> None:
    for frame in frames:
        await peer.talk(frame, 1, payload_type)


@pytest.mark.parametrize("threads", [1, 2])
async def test_audio_passes_both_ways_unchanged_under_each_legs_own_numbers(threads: int) -> None:
    async with room(threads=threads) as here:
        a, b = pair(here)
        await asyncio.sleep(0.1)
        here.media.submit(Join(a.leg, b.leg))
        await asyncio.sleep(0.05)
        frames = numbered(50)
        await asyncio.gather(say(a.peer, frames), say(b.peer, frames[::-1]))
        assert await hears(b.peer, 50) == frames
        assert await hears(a.peer, 50) == frames[::-1]
        for peer in (a.peer, b.peer):
            steps = list(pairwise(peer.heard))
            assert {(y.sequence - x.sequence) % 2**16 for x, y in steps} == {1}
            assert len({p.ssrc for p in peer.heard}) == 1
            jumps = {(y.timestamp - x.timestamp + 2**31) % 2**32 - 2**31 for x, y in steps}
            # Below nought where this process stood still, and silence was sent in place of what is late.
            assert all(abs(jump) < 4000 for jump in jumps)


@pytest.mark.parametrize("ahead", [0, -7, 5, 200])
async def test_a_new_partner_is_heard_whole_even_under_the_numbers_of_the_one_before(ahead: int) -> None:
    async with room() as here:
        a, b = pair(here)
        c = here.station()
        here.media.submit(c.remote())
        assert c.peer.ssrc == b.peer.ssrc
        frames = numbered(30)
        here.media.submit(Join(a.leg, b.leg))
        await say(b.peer, frames[:10])
        here.media.submit(Join(a.leg, c.leg))
        c.peer.sequence = (b.peer.sequence + ahead) % 2**16
        c.peer.timestamp = (b.peer.timestamp + ahead * 160) % 2**32
        await asyncio.sleep(0.1)
        await say(c.peer, frames[10:])
        assert await hears(a.peer, 30) == frames
        assert a.peer.is_whole()


async def test_a_far_end_that_begins_another_stream_is_heard_whole() -> None:
    async with room() as here:
        a, b = pair(here)
        here.media.submit(Join(a.leg, b.leg))
        await asyncio.sleep(0.05)
        frames = numbered(40)
        for part in range(4):
            b.peer.ssrc, b.peer.sequence, b.peer.timestamp = 900 + part, 21_000 * part, 77_000 * part
            await say(b.peer, frames[10 * part : 10 * part + 10])
        assert await hears(a.peer, 40) == frames
        assert a.peer.is_whole()


@pytest.mark.parametrize("threads", [1, 2])
async def test_each_frame_is_heard_by_whom_it_was_said_to_however_fast_they_change(threads: int) -> None:
    async with room(threads=threads) as here:
        a, *others = (here.station() for _ in range(4))
        for station in (a, *others):
            here.media.submit(station.remote())
        frames = numbered(120)
        for turn, frame in enumerate(frames):
            other = others[turn * 7 % 5 % 3]
            here.media.submit(Join(a.leg, other.leg))
            a.peer.send(frame)
            other.peer.send(frame[::-1])
            if turn % 8 == 0:
                await asyncio.sleep(0.01)
        assert await hears(a.peer, len(frames)) == [frame[::-1] for frame in frames]
        for number, other in enumerate(others):
            said = [frame for turn, frame in enumerate(frames) if turn * 7 % 5 % 3 == number]
            assert await hears(other.peer, len(said)) == said


@in_real_time
async def test_loss_and_order_pass_through_to_whoever_can_conceal_them() -> None:
    async with room() as here:
        a, b = pair(here)
        here.media.submit(Join(a.leg, b.leg))
        await asyncio.sleep(0.05)
        frames = numbered(12)
        base, time = a.peer.sequence, a.peer.timestamp
        for index in (0, 1, 2, 5, 4, 6, 6, 9, 10, 11):
            a.peer.sequence, a.peer.timestamp = (base + index) % 2**16, (time + 160 * index) % 2**32
            a.peer.send(frames[index])
        await hears(b.peer, 9)
        heard = [p for p in b.peer.heard if p.payload != SILENCE[PCMU]]
        assert [p.payload for p in heard] == [frames[n] for n in (0, 1, 2, 5, 4, 6, 9, 10, 11)]
        assert [(p.sequence - heard[0].sequence) % 2**16 for p in heard] == [0, 1, 2, 5, 4, 6, 9, 10, 11]
        assert [(p.timestamp - heard[0].timestamp) % 2**32 // 160 for p in heard] == [
            0,
            1,
            2,
            5,
            4,
            6,
            9,
            10,
            11,
        ]


async def test_the_laws_are_translated_where_they_differ() -> None:
    async with room() as here:
        a, b = pair(here, "PCMU", "PCMA")
        here.media.submit(Join(a.leg, b.leg))
        await asyncio.sleep(0.05)
        frames = numbered(10)
        await asyncio.gather(say(a.peer, frames), say(b.peer, frames, PCMA))
        await hears(a.peer, 10)
        await hears(b.peer, 10)
        assert {p.payload_type for p in b.peer.heard} == {PCMA}
        at_b, at_a = b"".join(spoken(b.peer)), b"".join(spoken(a.peer))
        said = b"".join(frames)
        assert len(at_a) == len(at_b) == len(said)
        for word_in, to_b, to_a in zip(said, at_b, at_a, strict=True):
            assert abs(alaw(to_b) - mulaw(word_in)) <= 8 + abs(mulaw(word_in)) / 16
            assert abs(mulaw(to_a) - alaw(word_in)) <= 8 + abs(alaw(word_in)) / 16


async def test_keys_pass_and_are_still_told_of() -> None:
    async with room() as here:
        a, b = pair(here)
        here.media.submit(Join(a.leg, b.leg))
        await a.peer.talk(SILENCE[PCMU], 5)
        await a.peer.press("7")
        await a.told(DigitReceived)
        await hears(b.peer, 7)
        events = [p for p in b.peer.heard if p.payload_type == EVENT]
        assert [p.payload[0] for p in events] == [7] * 7
        assert len({p.timestamp for p in events}) == 1
        assert b.events == []


async def test_a_silent_or_absent_source_is_made_up_for_with_silence() -> None:
    async with room() as here:
        a, b = pair(here)
        here.media.submit(Join(a.leg, b.leg))
        await hears_on(b.peer)
        assert spoken(b.peer) == []
        frames = numbered(20)
        await say(a.peer, frames[:10])
        assert await hears(b.peer, 10) == frames[:10]
        await hears_on(b.peer)
        await say(a.peer, frames[10:])
        assert await hears(b.peer, 20) == frames
        assert b.peer.is_whole()


async def test_a_join_ends_what_was_played_and_a_play_ends_the_join() -> None:
    async with room() as here:
        a, b = pair(here)
        here.media.submit(Play(b.leg, here.media.token(), (PlayTone("ringback-us"),)))
        here.media.submit(Join(a.leg, b.leg))
        assert (await b.told(PlayEnded)).reason is PlayEnd.REPLACED
        here.media.submit(Play(a.leg, here.media.token(), (PlayTone("beep"),)))
        await a.peer.talk(b"\x20" * 160, 5)
        assert (await a.told(PlayEnded)).reason is PlayEnd.FINISHED
        await hears_on(b.peer)
        assert b"\x20" * 160 not in spoken(b.peer)


@pytest.mark.parametrize("which", range(3))
async def test_parting_and_closing_leave_the_other_end_with_silence(which: int) -> None:
    async with room() as here:
        a, b = pair(here)
        here.media.submit(Join(a.leg, b.leg))
        before = [b"\x20" * 160] * 5
        await say(a.peer, before)
        here.media.submit((Part(a.leg), Part(b.leg), CloseLeg(a.leg))[which])
        await a.peer.talk(b"\x30" * 160, 5)
        assert await hears(b.peer, 5) == before
        await hears_on(b.peer)
        assert spoken(b.peer) == before
        if which == 2:
            await a.told(LegClosed)


async def test_a_held_end_hears_nothing() -> None:
    async with room() as here:
        a, b = pair(here)
        here.media.submit(Join(a.leg, b.leg))
        await say(a.peer, [b"\x20" * 160])
        here.media.submit(b.remote(direction=Direction.INACTIVE))
        await a.peer.talk(b"\x30" * 160, 5)
        here.media.submit(b.remote())
        await a.peer.talk(b"\x40" * 160, 5)
        assert await hears(b.peer, 6) == [b"\x20" * 160] + [b"\x40" * 160] * 5


async def test_legs_wander_between_threads_without_losing_a_packet() -> None:
    async with room(threads=2) as here:
        stations = [here.station() for _ in range(4)]
        here.media.submit(stations[0].remote(), stations[2].remote())
        here.media.submit(stations[1].remote(), stations[3].remote())
        talking = [asyncio.create_task(say(s.peer, numbered(100))) for s in stations]
        order = [(0, 1), (2, 3), (0, 3), (1, 2), (0, 2), (1, 3)]
        for turn in range(18):
            a, b = order[turn % len(order)]
            here.media.submit(Join(stations[a].leg, stations[b].leg))
            await asyncio.sleep(0.1)
        await asyncio.gather(*talking)
        for station in stations:
            here.media.submit(CloseLeg(station.leg))
            closed = await station.told(LegClosed)
            assert closed.counters["packets_in"] == 100
            assert closed.counters["lost"] == closed.counters["duplicates"] == 0
            heard = station.peer.heard
            assert all((y.sequence - x.sequence) % 2**16 == 1 for x, y in pairwise(heard))
