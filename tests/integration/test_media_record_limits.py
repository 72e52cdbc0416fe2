"""Recordings that pause, reach a size, or fill the disk."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from callrouter.ports import (
    CloseLeg,
    LegClosed,
    PauseRecording,
    RecordingEnd,
    RecordingEnded,
    RecordSource,
    ResumeRecording,
    StartRecording,
    StopRecording,
    partial_recording,
)
from tests.integration.real_time import in_real_time
from tests.integration.rtp_peer import Room, Station, room
from tests.integration.test_media_record import LOUD, mono, sounding
from tests.unit.media.sound import channels_of


def started(here: Room) -> Station:
    station = here.station()
    here.media.submit(station.remote())
    return station


@pytest.mark.parametrize("with_silence", [True, False], ids=["silence", "skip"])
@in_real_time
async def test_what_is_said_during_a_pause_is_not_recorded(tmp_path: Path, with_silence: bool) -> None:
    async with room() as here:
        station = started(here)
        path, token = tmp_path / "p.wav", here.media.token()
        here.media.submit(StartRecording(station.leg, token, path, mono(station.leg)))
        talking = asyncio.create_task(station.peer.talk(LOUD, 150))
        await asyncio.sleep(1.0)
        here.media.submit(PauseRecording(station.leg, token, with_silence))
        await asyncio.sleep(1.0)
        here.media.submit(ResumeRecording(station.leg, token))
        await talking
        here.media.submit(StopRecording(station.leg, token))
        ended = await station.told(RecordingEnded)
        (samples,) = channels_of(path)
        loud = sum(abs(sample) > 1000 for sample in samples)
        whole = 3000 if with_silence else 2000
        assert abs(ended.duration_ms - whole) < 150
        assert abs(loud / 8 / 2000 - 1) < 0.08
        first, last = sounding(samples)
        quiet = last - first - loud
        assert abs(quiet - (8000 if with_silence else 0)) < 800


@in_real_time
async def test_a_pause_left_out_counts_for_no_limit_and_two_may_follow_each_other(tmp_path: Path) -> None:
    async with room() as here:
        station = started(here)
        path, token = tmp_path / "l.wav", here.media.token()
        here.media.submit(
            StartRecording(station.leg, token, path, mono(station.leg), max_ms=600, silence_ms=500)
        )
        here.media.submit(PauseRecording(station.leg, token), PauseRecording(station.leg, token))
        await station.peer.talk(b"\xff" * 160, 40)
        here.media.submit(ResumeRecording(station.leg, token), ResumeRecording(station.leg, token))
        await station.peer.talk(LOUD, 40)
        ended = await station.told(RecordingEnded)
        assert (ended.reason, ended.duration_ms) == (RecordingEnd.MAX_LENGTH, 600)


@in_real_time
async def test_a_recording_ends_before_its_file_grows_too_large(tmp_path: Path) -> None:
    async with room() as here:
        station = started(here)
        path = tmp_path / "s.wav"
        both = ((RecordSource(station.leg),), (RecordSource(station.leg, "sent"),))
        here.media.submit(
            StartRecording(station.leg, here.media.token(), path, both, max_ms=9000, max_size_bytes=10_001)
        )
        await station.peer.talk(LOUD, 30)
        ended = await station.told(RecordingEnded)
        assert ended.reason is RecordingEnd.MAX_SIZE
        assert 10_001 - 4 < path.stat().st_size == ended.size_bytes <= 10_001


@in_real_time
async def test_half_a_recording_lies_where_it_is_looked_for_after_a_crash(tmp_path: Path) -> None:
    async with room() as here:
        station = started(here)
        path, token = tmp_path / "account" / "h.wav", here.media.token()
        here.media.submit(StartRecording(station.leg, token, path, mono(station.leg)))
        async with asyncio.timeout(10):
            while not partial_recording(path).exists():
                await station.peer.talk(LOUD, 5)
        assert not path.exists()
        here.media.submit(StopRecording(station.leg, token))
        assert (await station.told(RecordingEnded)).reason is RecordingEnd.STOPPED
        assert [left.name for left in path.parent.iterdir()] == [path.name]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """64 kB, of which nothing is left after four seconds of one channel."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting a file system takes more rights than there are")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@in_real_time
async def test_a_full_disk_ends_the_recording_and_not_the_call(tiny_disk: Path) -> None:
    async with room() as here:
        station = started(here)
        sources = (mono(station.leg)[0],) * 2
        token = here.media.token()
        here.media.submit(StartRecording(station.leg, token, tiny_disk / "full.wav", sources))
        await station.peer.talk(LOUD, 150)
        ended = await station.told(RecordingEnded)
        assert (ended.token, ended.reason) == (token, RecordingEnd.FAILED)
        assert "full.wav" in ended.error
        assert "space" in ended.error
        assert list(tiny_disk.iterdir()) == [], "what cannot be completed makes room"
        before = len(station.peer.heard)
        await station.peer.talk(LOUD, 10)
        assert len(station.peer.heard) - before >= 8
        assert station.peer.is_whole()
        here.media.submit(CloseLeg(station.leg))
        assert (await station.told(LegClosed)).counters["lost"] == 0
        assert sum(isinstance(event, RecordingEnded) for event in station.events) == 1
