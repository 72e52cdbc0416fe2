"""Recordings: what is in the file, when it ends, and what a disk can do to a call (nothing)."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from callrouter.ports import (
    AudioFile,
    CloseLeg,
    Join,
    LegClosed,
    LegId,
    Play,
    PlayPrompt,
    RecordingEnd,
    RecordingEnded,
    RecordSource,
    StartRecording,
    StopRecording,
)
from tests.integration.real_time import in_real_time
from tests.integration.rtp_peer import PCMU, SILENCE, Room, Station, room
from tests.unit.media.sound import channels_of, mulaw, sine, tone_level, write_wav

LOUD = bytes(0x10 if n % 8 < 4 else 0x90 for n in range(160))
"""A square wave of 1 kHz."""


def started(here: Room, **settings: object) -> Station:
    station = here.station()
    here.media.submit(station.remote())
    return station


def mono(leg: LegId) -> tuple[tuple[RecordSource, ...], ...]:
    return ((RecordSource(leg),),)


def sounding(samples: list[int]) -> tuple[int, int]:
    """First and last sample that is not silence."""
    loud = [n for n, value in enumerate(samples) if abs(value) > 1000]
    return loud[0], loud[-1]


@in_real_time
async def test_what_was_said_is_recorded_to_the_sample(tmp_path: Path) -> None:
    async with room() as here:
        station = started(here)
        path = tmp_path / "one.wav"
        token = here.media.token()
        here.media.submit(StartRecording(station.leg, token, path, mono(station.leg)))
        frames = [bytes((n * 7 + k) % 100 for k in range(160)) for n in range(25)]
        for frame in frames:
            await station.peer.talk(frame, 1)
        await asyncio.sleep(0.1)
        assert not path.exists(), "it appears when it is complete"
        here.media.submit(StopRecording(station.leg, token))
        ended = await station.told(RecordingEnded)
        assert (ended.token, ended.reason, ended.error) == (token, RecordingEnd.STOPPED, "")
        assert ended.size_bytes == path.stat().st_size
        (samples,) = channels_of(path)
        assert abs(ended.duration_ms - len(samples) / 8) < 1
        said = [mulaw(word) for frame in frames for word in frame]
        begin, _ = sounding(samples)
        assert samples[begin : begin + len(said)] == said
        assert os.listdir(tmp_path) == ["one.wav"]


@in_real_time
async def test_a_call_is_recorded_in_two_channels_in_step(tmp_path: Path) -> None:
    async with room() as here:
        a, b = started(here), started(here)
        path = tmp_path / "dual.wav"
        token = here.media.token()
        here.media.submit(
            Join(a.leg, b.leg),
            StartRecording(a.leg, token, path, ((RecordSource(a.leg),), (RecordSource(b.leg),))),
        )
        for _ in range(3):
            await asyncio.gather(a.peer.talk(LOUD, 10), b.peer.talk(SILENCE[PCMU], 10))
            await asyncio.gather(b.peer.talk(LOUD, 10), a.peer.talk(SILENCE[PCMU], 10))
        here.media.submit(CloseLeg(a.leg), CloseLeg(b.leg))
        ended = await a.told(RecordingEnded)
        assert ended.reason is RecordingEnd.CLOSED
        await a.told(LegClosed)
        assert isinstance(a.events[-1], LegClosed)
        left, right = channels_of(path)
        both = sum(abs(x) > 1000 and abs(y) > 1000 for x, y in zip(left, right, strict=True))
        assert both < 400, "they took turns"
        assert abs(len(left) - 1.2 * 8000) < 1000
        assert sum(abs(x) > 1000 for x in left) > 4000
        assert sum(abs(y) > 1000 for y in right) > 4000


@in_real_time
async def test_what_a_leg_hears_is_recorded_beside_what_it_says(tmp_path: Path) -> None:
    async with room() as here:
        station = started(here)
        prompt = await here.media.prompt(
            AudioFile(write_wav(tmp_path / "p.wav", sine(440, 1.0)), "audio/wav", "p")
        )
        path = tmp_path / "both.wav"
        sources = (RecordSource(station.leg), RecordSource(station.leg, "sent"))
        here.media.submit(
            Play(station.leg, here.media.token(), (PlayPrompt(prompt),)),
            StartRecording(station.leg, here.media.token(), path, (sources, sources[1:]), max_ms=1000),
        )
        await station.peer.talk(LOUD, 55)
        ended = await station.told(RecordingEnded)
        assert (ended.reason, ended.duration_ms) == (RecordingEnd.MAX_LENGTH, 1000)
        mixed, sent = (channel[1600:6400] for channel in channels_of(path))
        assert abs(tone_level(mixed, 440) - 8000) < 400
        assert tone_level(mixed, 1000) > 4000
        assert abs(tone_level(sent, 440) - 8000) < 400
        assert tone_level(sent, 1000) < 100


@in_real_time
async def test_silence_ends_a_recording_but_a_gap_in_the_network_does_not(tmp_path: Path) -> None:
    async with room() as here:
        station = started(here)
        here.media.submit(
            StartRecording(
                station.leg, here.media.token(), tmp_path / "s.wav", mono(station.leg), silence_ms=300
            )
        )
        await station.peer.talk(LOUD, 5)
        await asyncio.sleep(0.6)
        assert not any(isinstance(event, RecordingEnded) for event in station.events)
        await station.peer.talk(SILENCE[PCMU], 10)
        await station.peer.talk(LOUD, 5)
        assert not any(isinstance(event, RecordingEnded) for event in station.events)
        await station.peer.talk(SILENCE[PCMU], 17)
        assert (await station.told(RecordingEnded)).reason is RecordingEnd.SILENCE


@in_real_time
async def test_a_far_end_that_sends_nothing_for_long_is_silent(tmp_path: Path) -> None:
    async with room() as here:
        station = started(here)
        here.media.submit(
            StartRecording(
                station.leg, here.media.token(), tmp_path / "n.wav", mono(station.leg), silence_ms=1200
            )
        )
        await station.peer.talk(LOUD, 10)
        ended = await station.told(RecordingEnded)
        assert ended.reason is RecordingEnd.SILENCE
        assert 1300 <= ended.duration_ms <= 2000


@in_real_time
async def test_a_stop_digit_ends_it_and_is_named(tmp_path: Path) -> None:
    async with room() as here:
        station = started(here)
        here.media.submit(
            StartRecording(
                station.leg, here.media.token(), tmp_path / "d.wav", mono(station.leg), stop_digits="#*"
            )
        )
        await station.peer.talk(LOUD, 10)
        await station.peer.press("1")
        await station.peer.press("*")
        ended = await station.told(RecordingEnded)
        assert (ended.reason, ended.digit) == (RecordingEnd.DIGIT, "*")


@in_real_time
async def test_silence_before_and_after_is_trimmed(tmp_path: Path) -> None:
    async with room() as here:
        station = started(here)
        path = tmp_path / "t.wav"
        token = here.media.token()
        here.media.submit(StartRecording(station.leg, token, path, mono(station.leg), trim_silence=True))
        await station.peer.talk(SILENCE[PCMU], 40)
        await station.peer.talk(LOUD, 20)
        await station.peer.talk(SILENCE[PCMU], 40)
        here.media.submit(StopRecording(station.leg, token))
        ended = await station.told(RecordingEnded)
        (samples,) = channels_of(path)
        first, last = sounding(samples)
        assert 400 <= ended.duration_ms <= 900
        assert first <= 1760
        assert len(samples) - last <= 1760
        assert abs(last - first - 3200) <= 8


@in_real_time
async def test_a_recording_of_nothing_but_silence_is_trimmed_to_nothing(tmp_path: Path) -> None:
    async with room() as here:
        station = started(here)
        here.media.submit(
            StartRecording(
                station.leg,
                here.media.token(),
                tmp_path / "n.wav",
                mono(station.leg),
                silence_ms=400,
                trim_silence=True,
            )
        )
        await station.peer.talk(SILENCE[PCMU], 25)
        ended = await station.told(RecordingEnded)
        assert (ended.reason, ended.duration_ms, ended.size_bytes) == (RecordingEnd.SILENCE, 0, 44)


@in_real_time
async def test_a_disk_that_refuses_ends_the_recording_and_not_the_call(tmp_path: Path) -> None:
    async with room() as here:
        station = started(here)
        (tmp_path / "file").write_text("no folder")
        missing = tmp_path / "file" / "x.wav"
        here.media.submit(StartRecording(station.leg, here.media.token(), missing, mono(station.leg)))
        ended = await station.told(RecordingEnded)
        assert ended.reason is RecordingEnd.FAILED
        assert str(missing) in ended.error
        before = len(station.peer.heard)
        await asyncio.sleep(0.2)
        assert len(station.peer.heard) - before >= 8
        here.media.submit(CloseLeg(station.leg))
        await station.told(LegClosed)
        assert sum(isinstance(event, RecordingEnded) for event in station.events) == 1


@in_real_time
async def test_two_recordings_of_one_leg_are_apart(tmp_path: Path) -> None:
    async with room() as here:
        station = started(here)
        tokens = [here.media.token(), here.media.token()]
        for token in tokens:
            here.media.submit(
                StartRecording(station.leg, token, tmp_path / f"{token}.wav", mono(station.leg))
            )
        await station.peer.talk(LOUD, 10)
        here.media.submit(StopRecording(station.leg, tokens[0]))
        assert (await station.told(RecordingEnded)).token == tokens[0]
        await station.peer.talk(LOUD, 10)
        await here.media.stop()
        assert (await station.told(RecordingEnded, 2)).reason is RecordingEnd.CLOSED
        lengths = [len(channels_of(tmp_path / f"{token}.wav")[0]) for token in tokens]
        assert lengths[1] - lengths[0] > 1200
        (longer,) = channels_of(tmp_path / f"{tokens[1]}.wav")
        first, last = sounding(longer)
        assert last - first > 2800, "the end of one does not deafen the other"
