"""Rooms: everybody hears all the others, and what is done to one member is heard by whom it should."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from pathlib import Path

from callrouter.ports import (
    Announce,
    AudioFile,
    CloseLeg,
    EnterRoom,
    Hold,
    Join,
    LeaveRoom,
    LegClosed,
    Play,
    PlayEnd,
    PlayEnded,
    PlayPrompt,
    PromptId,
    RecordingEnded,
    RecordSource,
    Resume,
    RoomId,
    SetMember,
    SpeakerChanged,
    StartRecording,
    StopAnnouncement,
    StopRecording,
)
from tests.integration.real_time import in_real_time
from tests.integration.rtp_peer import PCMA, PCMU, SILENCE, Room, Station, room
from tests.unit.media.sound import alaw, channels_of, mulaw, sine, to_mulaw, tone_level, write_wav

ROOM = RoomId(1)
HERTZ = (400, 700, 1000, 1300, 1600, 1900)
"""One for each member; multiples of 50 Hz, so that 20 ms of each repeat without a seam."""


def voice(hertz: int, level: float = 4000) -> bytes:
    return to_mulaw(sine(hertz, 0.02, level=level))


def seat(here: Room, count: int, **changes: object) -> list[Station]:
    stations = [here.station() for _ in range(count)]
    for station in stations:
        here.media.submit(station.remote())
    for station in stations:
        here.media.submit(EnterRoom(station.leg, ROOM, **changes))  # type: ignore[arg-type]  # by name
    return stations


async def talk(stations: Sequence[Station], seconds: float = 1.0, level: float = 4000) -> None:
    frames = round(seconds * 50)
    await asyncio.gather(
        *(s.peer.talk(voice(hertz, level), frames) for s, hertz in zip(stations, HERTZ, strict=False))
    )


def heard(station: Station, seconds: float = 0.5) -> list[int]:
    """The last samples that a far end heard."""
    packets = [packet for packet in station.peer.heard if packet.payload_type in (PCMU, PCMA)]
    decode = alaw if packets[-1].payload_type == PCMA else mulaw
    return [decode(word) for packet in packets[-round(seconds * 50) :] for word in packet.payload]


def tones(station: Station, *, count: int = 6, least: float = 1500) -> list[int]:
    samples = heard(station)
    return [n for n in range(count) if tone_level(samples, HERTZ[n]) > least]


async def prompt(here: Room, folder: Path, hertz: float, seconds: float) -> PromptId:
    path = write_wav(folder / f"{hertz}.wav", sine(hertz, seconds, level=4000))
    return await here.media.prompt(AudioFile(path, "audio/wav", f"{hertz}-{seconds}"))


@in_real_time
async def test_everybody_hears_all_the_others_and_not_themselves() -> None:
    async with room() as here:
        stations = seat(here, 3)
        await talk(stations)
        assert [tones(station) for station in stations] == [[1, 2], [0, 2], [0, 1]]
        for station, other in zip(stations, [1, 2, 0], strict=True):
            assert abs(tone_level(heard(station), HERTZ[other]) - 4000) < 400, "as loud as it was said"
        assert all(tone_level(heard(s), HERTZ[n]) < 60 for n, s in enumerate(stations)), "no echo"
        assert all(station.peer.is_whole() for station in stations)


@in_real_time
async def test_members_of_either_law_hear_each_other() -> None:
    async with room() as here:
        a, b = here.station(), here.station()
        here.media.submit(a.remote("PCMA"), EnterRoom(a.leg, ROOM))
        here.media.submit(b.remote("PCMU"), EnterRoom(b.leg, ROOM))
        await talk([b])
        assert {packet.payload_type for packet in a.peer.heard} == {PCMA}
        assert tones(a) == [0]
        assert set(b.peer.audio()) == {0xFF}


@in_real_time
async def test_a_silent_room_is_digital_silence() -> None:
    async with room() as here:
        stations = seat(here, 3)
        hiss = to_mulaw([30 if n % 3 else -30 for n in range(160)])
        await asyncio.gather(*(station.peer.talk(hiss, 25) for station in stations))
        assert {packet.payload for s in stations for packet in s.peer.heard} == {SILENCE[PCMU]}


@in_real_time
async def test_too_many_loud_voices_are_turned_down_and_not_clipped() -> None:
    async with room() as here:
        stations = seat(here, 6)
        await talk(stations[:5], 1.5, level=15_000)
        samples = heard(stations[5])
        levels = [tone_level(samples, hertz) for hertz in HERTZ[:5]]
        assert max(abs(sample) for sample in samples) <= 32_124
        assert min(levels) > 0.8 * max(levels) > 3000
        power = sum(sample * sample for sample in samples) / len(samples)
        assert sum(level * level / 2 for level in levels) > 0.97 * power, "what clips sounds of more"


@in_real_time
async def test_the_muted_are_not_heard_and_gain_makes_louder() -> None:
    async with room() as here:
        a, b, c = seat(here, 3)
        here.media.submit(SetMember(a.leg, muted=True), SetMember(b.leg, gain_db=6))
        await talk([a, b])
        assert tones(c) == [1]
        assert abs(tone_level(heard(c), HERTZ[1]) - 8000) < 800
        assert tones(a) == [1]
        here.media.submit(SetMember(a.leg), SetMember(b.leg, gain_db=-20))
        await talk([a, b])
        assert tones(c) == [0]
        assert tone_level(heard(c), HERTZ[1]) < 600


@in_real_time
async def test_a_coach_is_heard_by_one_and_hears_all() -> None:
    async with room() as here:
        agent, caller, coach = seat(here, 3)
        here.media.submit(SetMember(coach.leg, coaching=agent.leg))
        await talk([agent, caller, coach])
        assert tones(agent) == [1, 2]
        assert tones(caller) == [0]
        assert tones(coach) == [0, 1]
        here.media.submit(SetMember(coach.leg))
        await talk([agent, caller, coach])
        assert tones(caller) == [0, 2]


@in_real_time
async def test_on_hold_a_member_hears_music_and_is_not_heard(tmp_path: Path) -> None:
    async with room() as here:
        a, b, c = seat(here, 3)
        music = await prompt(here, tmp_path, HERTZ[5], 0.4)
        token = here.media.token()
        here.media.submit(Hold(a.leg, token, (PlayPrompt(music),)))
        await talk([a, b, c])
        assert (tones(a), tones(b), tones(c)) == ([5], [2], [1])
        here.media.submit(Resume(a.leg))
        assert (await a.told(PlayEnded)).reason is PlayEnd.STOPPED
        await talk([a, b, c])
        assert (tones(a), tones(b)) == ([1, 2], [0, 2])
        assert all(station.peer.is_whole() for station in (a, b, c))


@in_real_time
async def test_what_is_announced_to_one_is_heard_by_one(tmp_path: Path) -> None:
    async with room() as here:
        a, b, c = seat(here, 3)
        said = await prompt(here, tmp_path, HERTZ[4], 0.9)
        here.media.submit(Play(a.leg, here.media.token(), (PlayPrompt(said),)))
        await talk([a, b, c], 0.8)
        assert (tones(a), tones(b)) == ([4], [0, 2]), "still heard while it listens to something else"
        assert (await a.told(PlayEnded)).reason is PlayEnd.FINISHED
        await talk([a, b, c])
        assert tones(a) == [1, 2]


@in_real_time
async def test_what_is_announced_to_all_is_heard_beside_the_voices(tmp_path: Path) -> None:
    async with room() as here:
        a, b, c = seat(here, 3)
        said = await prompt(here, tmp_path, HERTZ[5], 1.0)
        token = here.media.token()
        here.media.submit(Announce(a.leg, token, (PlayPrompt(said),)))
        await talk([a, b], 0.9)
        assert (tones(a), tones(b), tones(c)) == ([1, 5], [0, 5], [0, 1, 5])
        ended = await a.told(PlayEnded)
        assert (ended.token, ended.reason, ended.played_ms) == (token, PlayEnd.FINISHED, 1000)
        endless = here.media.token()
        here.media.submit(Announce(b.leg, endless, (PlayPrompt(said),), loops=0))
        await asyncio.sleep(0.1)
        here.media.submit(StopAnnouncement(b.leg, endless))
        assert (await b.told(PlayEnded)).reason is PlayEnd.STOPPED


@in_real_time
async def test_an_announcement_outlives_the_member_that_ordered_it(tmp_path: Path) -> None:
    async with room() as here:
        a, b = seat(here, 2)
        said = await prompt(here, tmp_path, HERTZ[5], 1.5)
        here.media.submit(Announce(a.leg, here.media.token(), (PlayPrompt(said),)))
        await asyncio.sleep(0.2)
        here.media.submit(CloseLeg(a.leg))
        await a.told(LegClosed)
        assert [type(event) for event in a.events[-2:]] == [PlayEnded, LegClosed]
        await asyncio.sleep(0.8)
        assert tones(b) == [5]


@in_real_time
async def test_an_announcement_outside_a_room_ends_at_once() -> None:
    async with room() as here:
        station = here.station()
        here.media.submit(station.remote(), Announce(station.leg, here.media.token(), ()))
        assert (await station.told(PlayEnded)).reason is PlayEnd.STOPPED


@in_real_time
async def test_tones_tell_of_those_who_enter_and_leave() -> None:
    async with room() as here:
        (a,) = seat(here, 1)
        b = here.station()
        here.media.submit(b.remote())
        for leaving in (LeaveRoom(b.leg), CloseLeg(b.leg)):
            here.media.submit(EnterRoom(b.leg, ROOM, enter_tone="enter", leave_tone="leave"))
            await asyncio.sleep(0.3)
            assert tone_level(heard(a, 0.2), 880) > 500
            here.media.submit(leaving)
            await asyncio.sleep(0.3)
            assert tone_level(heard(a, 0.2), 587) > 500
        await asyncio.sleep(0.2)
        assert set(heard(a, 0.1)) == {0}


@in_real_time
async def test_the_speaker_is_told_when_it_changes() -> None:
    async with room() as here:
        a, b = seat(here, 2)
        await talk([a], 0.5)
        assert (await a.told(SpeakerChanged)).room == ROOM
        await b.peer.talk(SILENCE[PCMU], 60)
        await b.peer.talk(voice(500), 25)
        await b.told(SpeakerChanged)
        await talk([a], 0.4)
        assert sum(isinstance(event, SpeakerChanged) for event in a.events) == 1, "too soon after the last"


@in_real_time
async def test_a_member_that_leaves_joins_or_enters_again_is_in_one_place_only() -> None:
    async with room() as here:
        a, b, c = seat(here, 3)
        here.media.submit(Join(a.leg, b.leg))
        await talk([a, b, c])
        assert (tones(a), tones(b), tones(c)) == ([1], [0], [])
        here.media.submit(EnterRoom(a.leg, ROOM))
        await talk([a, b, c])
        assert (tones(a), tones(b), tones(c)) == ([2], [], [0])
        here.media.submit(EnterRoom(a.leg, RoomId(2)), EnterRoom(b.leg, RoomId(2)), LeaveRoom(c.leg))
        await talk([a, b, c])
        assert (tones(a), tones(b), tones(c)) == ([1], [0], [])


async def test_rooms_and_members_move_between_threads_without_losing_a_packet() -> None:
    async with room(threads=3) as here:
        stations = [here.station() for _ in range(6)]
        for station in stations:
            here.media.submit(station.remote())
        talking = asyncio.create_task(talk(stations, 4.0))
        for turn in range(30):
            one, other = stations[turn % 6], stations[(turn * 5 + 3) % 6]
            where = RoomId(1 + turn % 3)
            here.media.submit(EnterRoom(one.leg, where), EnterRoom(other.leg, where))
            await asyncio.sleep(0.1)
        here.media.submit(*(EnterRoom(station.leg, RoomId(9)) for station in stations))
        await talking
        everybody = set(range(6))

        def is_everybody_heard() -> bool:
            return all(set(tones(station)) == everybody - {number} for number, station in enumerate(stations))

        talked = 200
        while not is_everybody_heard():
            # Somebody was held up: what was late is not heard, but what comes after it is.
            assert talked < 3000
            await talk(stations)
            talked += 50
        for station in stations:
            assert station.peer.is_whole()
            here.media.submit(CloseLeg(station.leg))
            counters = (await station.told(LegClosed)).counters
            assert (counters["packets_in"], counters["lost"]) == (talked, 0)


@in_real_time
async def test_what_is_said_in_a_room_is_recorded(tmp_path: Path) -> None:
    async with room() as here:
        stations = seat(here, 3)
        path, token = tmp_path / "room.wav", here.media.token()
        sources = ((RecordSource(stations[0].leg, "room"),),)
        here.media.submit(StartRecording(stations[0].leg, token, path, sources))
        await talk(stations)
        here.media.submit(StopRecording(stations[0].leg, token))
        await stations[0].told(RecordingEnded)
        (samples,) = channels_of(path)
        for hertz in HERTZ[:3]:
            assert abs(tone_level(samples[3200:6400], hertz) - 4000) < 400


@in_real_time
async def test_jitter_does_not_tear_a_voice() -> None:
    async with room() as here:
        a, b = seat(here, 2)
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for number in range(150):
            wobble = 0.03 * (math.sin(number * 12.9898) * 43758.5453 % 1)
            await asyncio.sleep(max(0, begin + number * 0.02 + wobble - loop.time()))
            a.peer.send(voice(HERTZ[0]))
        samples = heard(b, 1.0)
        assert tone_level(samples, HERTZ[0]) > 3500
        assert not any(set(samples[n : n + 8]) == {0} for n in range(len(samples)))
