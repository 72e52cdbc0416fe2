"""Hold and listening while two legs are joined: switched in one step, the stream unbroken."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

from callrouter.ports import (
    AudioFile,
    CloseLeg,
    DigitReceived,
    Hold,
    Join,
    LegClosed,
    Listen,
    PlayEnd,
    PlayEnded,
    PlayPrompt,
    Resume,
    VoiceStarted,
)
from tests.integration.real_time import in_real_time
from tests.integration.rtp_peer import PCMU, SILENCE, Peer, Room, Station, room
from tests.unit.media.sound import dtmf, sine, to_mulaw, write_wav

VOICE = to_mulaw(sine(500, 0.02, level=5000))
OTHER = to_mulaw(sine(900, 0.02, level=5000))


async def pair(here: Room, events: int | None = 101) -> tuple[Station, Station]:
    a, b = here.station(), here.station()
    here.media.submit(a.remote(events=events), b.remote(events=events), Join(a.leg, b.leg))
    # What comes before this is carried out belongs to nobody.
    await asyncio.sleep(0.05)
    return a, b


def since(peer: Peer, mark: int) -> list[bytes]:
    return [packet.payload for packet in peer.heard[mark:]]


async def check_books(station: Station, sent: int) -> None:
    """Nothing we sent was missed, nothing we were sent is missing."""
    assert station.peer.is_whole()
    station.media.submit(CloseLeg(station.leg))
    counters = (await station.told(LegClosed)).counters
    assert (counters["packets_in"], counters["lost"], counters["duplicates"]) == (sent, 0, 0)


@in_real_time
async def test_on_hold_a_party_hears_music_and_the_other_silence_and_back_without_a_packet_lost(
    tmp_path: Path,
) -> None:
    async with room() as here:
        a, b = await pair(here)
        tune = write_wav(tmp_path / "m.wav", sine(1500, 0.5))
        music = await here.media.prompt(AudioFile(tune, "audio/wav", "m"))
        address = a.opened.local
        talking = asyncio.gather(a.peer.talk(VOICE, 300), b.peer.talk(OTHER, 300))
        await asyncio.sleep(0.5)
        for _ in range(4):
            here.media.submit(Hold(a.leg, here.media.token(), (PlayPrompt(music),)))
            await asyncio.sleep(0.1)
            marks = len(a.peer.heard), len(b.peer.heard)
            await asyncio.sleep(0.4)
            assert OTHER not in since(a.peer, marks[0])
            assert SILENCE[PCMU] not in since(a.peer, marks[0]), "music without a hole"
            assert set(since(b.peer, marks[1])) == {SILENCE[PCMU]}
            here.media.submit(Resume(a.leg))
            await asyncio.sleep(0.1)
            marks = len(a.peer.heard), len(b.peer.heard)
            await asyncio.sleep(0.4)
            assert set(since(a.peer, marks[0])) == {OTHER}
            assert set(since(b.peer, marks[1])) == {VOICE}
        await talking
        ended = [event for event in a.events if isinstance(event, PlayEnded)]
        assert [event.reason for event in ended] == [PlayEnd.STOPPED] * 4
        assert a.opened.local == address
        for station in (a, b):
            times = [packet.at for packet in station.peer.heard]
            expected = (times[-1] - times[0]) / 0.02
            assert abs(len(times) - expected) < 12, "fifty a second throughout"
            stamps = [packet.timestamp for packet in station.peer.heard]
            assert all(0 < (y - x) % 2**32 < 4000 for x, y in pairwise(stamps))
            await check_books(station, 300)


async def test_every_packet_said_after_a_resume_is_passed_on() -> None:
    async with room() as here:
        a, b = await pair(here)
        await asyncio.gather(a.peer.talk(VOICE, 25), b.peer.talk(OTHER, 25))
        here.media.submit(Hold(b.leg, here.media.token()))
        await a.peer.talk(VOICE, 20)
        assert set(since(b.peer, len(b.peer.heard) - 10)) == {SILENCE[PCMU]}
        await asyncio.sleep(0.05)
        here.media.submit(Resume(b.leg))
        await asyncio.sleep(0.02)
        marks = len(b.peer.heard)
        frames = [bytes((n + k) % 100 for k in range(160)) for n in range(40)]
        for frame in frames:
            await a.peer.talk(frame, 1)
        await asyncio.sleep(0.1)
        assert [payload for payload in since(b.peer, marks) if payload != SILENCE[PCMU]] == frames
        await check_books(a, 25 + 20 + 40)


async def test_keys_of_a_held_party_are_told_and_not_passed_on() -> None:
    async with room() as here:
        a, b = await pair(here)
        here.media.submit(Hold(a.leg, here.media.token()))
        await a.peer.press("4")
        assert (await a.told(DigitReceived)).digit == "4"
        await asyncio.sleep(0.05)
        assert {packet.payload_type for packet in b.peer.heard} == {PCMU}


async def test_listening_begins_and_ends_while_the_relay_goes_on_untouched() -> None:
    async with room() as here:
        a, b = await pair(here)
        frames = [bytes((n + k) % 100 for k in range(160)) for n in range(120)]
        for number, frame in enumerate(frames):
            if number % 20 == 10:
                listens = number % 40 == 10
                here.media.submit(Listen(a.leg, voice=listens, keys="always" if listens else "needed"))
            await a.peer.talk(frame, 1)
        await asyncio.sleep(0.1)
        passed = [packet.payload for packet in b.peer.heard if packet.payload != SILENCE[PCMU]]
        assert passed == frames
        assert sum(isinstance(event, VoiceStarted) for event in a.events) == 3
        await check_books(a, 120)


async def test_keys_heard_as_tones_during_a_relay_are_told_and_still_pass_as_sound() -> None:
    async with room() as here:
        a, b = await pair(here, events=None)
        words = b"".join(to_mulaw(dtmf(key, 0.1)) + b"\xff" * 800 for key in "159#")
        await a.peer.say(words)
        await a.told(DigitReceived, 4)
        assert [event.digit for event in a.events if isinstance(event, DigitReceived)] == list("159#")
        # Where this process is held up, silence is sent between the packets of a tone.
        sounding = [packet.payload for packet in b.peer.heard if packet.payload != SILENCE[PCMU]]
        assert b"".join(sounding[:5]) == words[:800]


async def test_a_hold_ends_with_a_new_join_and_with_the_leg(tmp_path: Path) -> None:
    async with room() as here:
        a, b = await pair(here)
        tune = write_wav(tmp_path / "m.wav", sine(1500, 0.5))
        music = (PlayPrompt(await here.media.prompt(AudioFile(tune, "audio/wav", "m"))),)
        here.media.submit(Hold(a.leg, here.media.token(), music))
        here.media.submit(Hold(a.leg, here.media.token(), music))
        assert (await a.told(PlayEnded)).reason is PlayEnd.REPLACED
        here.media.submit(Join(a.leg, b.leg))
        assert (await a.told(PlayEnded, 2)).reason is PlayEnd.REPLACED
        await b.peer.talk(OTHER, 10)
        assert OTHER in since(a.peer, 0)
        here.media.submit(Hold(a.leg, here.media.token(), music, loops=1))
        assert (await a.told(PlayEnded, 3)).reason is PlayEnd.FINISHED
        here.media.submit(Hold(a.leg, here.media.token(), music), CloseLeg(a.leg))
        assert (await a.told(PlayEnded, 4)).reason is PlayEnd.CLOSED
