"""What is heard in the sound a leg receives: voice and silence, keys, who answered."""

from __future__ import annotations

import asyncio
import random
from array import array
from itertools import pairwise
from pathlib import Path

import pytest

from callrouter.ports import (
    AnswerDetected,
    Answerer,
    CloseLeg,
    DetectAnswer,
    DigitReceived,
    LegClosed,
    Listen,
    Play,
    PlayEnd,
    PlayEnded,
    PlaySilence,
    RecordingEnd,
    RecordingEnded,
    RecordSource,
    StartRecording,
    StopDetecting,
    VoiceStarted,
    VoiceStopped,
)
from tests.integration.real_time import in_real_time
from tests.integration.rtp_peer import Room, Station, room
from tests.unit.media.sound import chatter, dtmf, silence, sine, to_mulaw


def hiss(samples: array[int], level: int = 250) -> array[int]:
    """The same on a noisy line (-42 dBFS)."""
    chance = random.Random(3)
    return array("h", (value + chance.randint(-level, level) for value in samples))


def started(here: Room, events: int | None = 101) -> Station:
    station = here.station()
    here.media.submit(station.remote(events=events))
    return station


def digits(station: Station) -> str:
    return "".join(event.digit for event in station.events if isinstance(event, DigitReceived))


@in_real_time
async def test_talk_and_silence_are_told_with_their_lengths() -> None:
    async with room() as here:
        station = started(here)
        here.media.submit(Listen(station.leg, voice=True))
        sound = silence(0.5) + chatter(1.0) + silence(0.8) + chatter(0.6) + silence(0.6)
        await station.peer.say(to_mulaw(hiss(sound, 40)))
        first, second = await station.told(VoiceStarted), await station.told(VoiceStarted, 2)
        assert abs(first.silent_ms - 500) <= 60
        assert abs((await station.told(VoiceStopped)).spoke_ms - 950) <= 150
        assert abs(second.silent_ms - 850) <= 150
        assert abs((second.at_ns - first.at_ns) / 1e9 - 1.8) < 0.15
        here.media.submit(Listen(station.leg))
        await station.peer.say(to_mulaw(chatter(0.5)))
        assert sum(isinstance(event, VoiceStarted) for event in station.events) == 2


@in_real_time
async def test_talk_that_the_network_cuts_off_is_over() -> None:
    async with room() as here:
        station = started(here)
        here.media.submit(Listen(station.leg, voice=True))
        await station.peer.say(to_mulaw(chatter(0.5)))
        assert 300 <= (await station.told(VoiceStopped)).spoke_ms <= 520


@in_real_time
async def test_silence_ends_a_recording_on_a_noisy_line(tmp_path: Path) -> None:
    async with room() as here:
        station = started(here)
        here.media.submit(
            StartRecording(
                station.leg,
                here.media.token(),
                tmp_path / "n.wav",
                ((RecordSource(station.leg),),),
                silence_ms=1000,
            )
        )
        await station.peer.say(to_mulaw(hiss(silence(0.8) + chatter(1.5) + silence(1.6))))
        ended = await station.told(RecordingEnded)
        assert ended.reason is RecordingEnd.SILENCE
        assert 3000 <= ended.duration_ms <= 3800


@in_real_time
async def test_keys_are_heard_as_tones_where_the_far_end_knows_no_events() -> None:
    async with room() as here:
        station = started(here, events=None)
        here.media.submit(Play(station.leg, here.media.token(), (PlaySilence(9000),), stop_digits="#"))
        keys = "0123456789*ABCD#"
        sound = silence(0.2)
        for key in keys:
            sound += dtmf(key, 0.06) + silence(0.06)
        await station.peer.say(to_mulaw(hiss(sound, 60)))
        assert digits(station) == keys
        for event in station.events:
            if isinstance(event, DigitReceived):
                assert abs(event.duration_ms - 60) <= 15
        assert (await station.told(PlayEnded)).reason is PlayEnd.DIGIT


@in_real_time
async def test_lost_packets_in_a_key_do_not_make_it_two() -> None:
    async with room() as here:
        station = started(here, events=None)
        words = to_mulaw(silence(0.1) + dtmf("7", 0.3) + silence(0.2))
        for number, at in enumerate(range(0, len(words), 160)):
            if number in (9, 13):
                station.peer.sequence += 1
                station.peer.timestamp += 160
                await asyncio.sleep(0.02)
            else:
                await station.peer.talk(words[at : at + 160], 1)
        await station.told(DigitReceived)
        await asyncio.sleep(0.1)
        assert digits(station) == "7"


@in_real_time
async def test_where_events_were_agreed_on_tones_are_no_keys_unless_asked_for() -> None:
    async with room() as here:
        station = started(here)
        sound = to_mulaw(dtmf("5", 0.1) + silence(0.1))
        await station.peer.say(sound)
        assert digits(station) == ""
        here.media.submit(Listen(station.leg, keys="always"))
        await station.peer.say(sound)
        assert (await station.told(DigitReceived)).digit == "5"
        here.media.submit(Listen(station.leg, keys="never"), station.remote(events=None))
        await station.peer.say(sound)
        assert digits(station) == "5"


@in_real_time
async def test_a_key_sent_as_event_and_as_tone_is_one_press() -> None:
    async with room() as here:
        station = started(here)
        here.media.submit(Listen(station.leg, keys="always"))
        peer = station.peer
        tone = to_mulaw(dtmf("3", 0.1) + silence(0.2))
        for _ in range(3):
            for number in range(15):
                peer.send(tone[number * 160 : number * 160 + 160])
                if number < 7:
                    peer.timestamp -= 160 * (number + 1)
                    peer.send_event(3, min(number + 1, 5) * 160, end=number >= 4)
                    peer.timestamp += 160 * (number + 1)
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.4)
        assert digits(station) == "333"


@in_real_time
async def test_a_key_that_is_down_when_the_leg_closes_is_told_first() -> None:
    async with room() as here:
        station = started(here, events=None)
        await station.peer.say(to_mulaw(dtmf("2", 0.2)))
        here.media.submit(CloseLeg(station.leg))
        await station.told(LegClosed)
        assert [type(event) for event in station.events[-2:]] == [DigitReceived, LegClosed]


HELLO = silence(0.3) + chatter(0.7) + silence(2.0)
GREETING = silence(0.2) + chatter(3.0) + silence(0.4)


@pytest.mark.parametrize(
    ("to_end", "sound", "answerer", "earliest", "latest"),
    [
        (False, HELLO, Answerer.HUMAN, 1700, 2500),
        (False, GREETING, Answerer.MACHINE_START, 2400, 3000),
        (True, GREETING + sine(1000, 0.4) + silence(0.5), Answerer.MACHINE_END_BEEP, 3900, 4200),
        (True, GREETING + silence(2.0), Answerer.MACHINE_END_SILENCE, 4900, 5500),
        (False, silence(0.3) + sine(1100, 0.5) + silence(1.0), Answerer.FAX, 600, 900),
    ],
    ids=lambda value: value.value if isinstance(value, Answerer) else "",
)
@in_real_time
async def test_who_answered_is_told_once_with_the_time_it_took(
    to_end: bool, sound: array[int], answerer: Answerer, earliest: int, latest: int
) -> None:
    async with room() as here:
        station = started(here)
        token = here.media.token()
        here.media.submit(DetectAnswer(station.leg, token, to_end))
        await station.peer.say(to_mulaw(hiss(sound, 60)))
        told = await station.told(AnswerDetected)
        assert (told.token, told.answerer) == (token, answerer)
        assert earliest <= told.after_ms <= latest
        here.media.submit(StopDetecting(station.leg), CloseLeg(station.leg))
        await station.told(LegClosed)
        assert sum(isinstance(event, AnswerDetected) for event in station.events) == 1


@in_real_time
async def test_a_far_end_that_sends_nothing_at_all_is_unknown_after_the_silence_time_out() -> None:
    async with room() as here:
        station = started(here)
        here.media.submit(DetectAnswer(station.leg, here.media.token(), silence_ms=600))
        told = await station.told(AnswerDetected)
        assert told.answerer is Answerer.UNKNOWN
        assert 600 <= told.after_ms <= 620


@in_real_time
async def test_a_detection_that_is_given_up_or_cut_off_is_unknown() -> None:
    async with room() as here:
        station = started(here)
        tokens = [here.media.token() for _ in range(3)]
        here.media.submit(DetectAnswer(station.leg, tokens[0]), StopDetecting(station.leg))
        here.media.submit(DetectAnswer(station.leg, tokens[1]), DetectAnswer(station.leg, tokens[2]))
        here.media.submit(CloseLeg(station.leg))
        await station.told(LegClosed)
        told = [event for event in station.events if isinstance(event, AnswerDetected)]
        assert [event.token for event in told] == tokens
        assert {event.answerer for event in told} == {Answerer.UNKNOWN}
        assert all(x.at_ns <= y.at_ns for x, y in pairwise(told))
