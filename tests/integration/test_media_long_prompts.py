"""Prompts that are too long for memory are played from a file, to the word."""

from __future__ import annotations

import asyncio
import random
from array import array
from pathlib import Path

from callrouter.ports import AudioFile, CloseLeg, LegClosed, Play, PlayEnd, PlayEnded, PlayPrompt, PlayTone
from tests.integration.real_time import in_real_time
from tests.integration.rtp_peer import Station, room
from tests.unit.media.sound import alaw, mulaw, write_wav

WORDS = [word for word in range(256) if word != 0x7F]
"""All of µ-law but its second zero: each decoded is a sample that is encoded as it."""


@in_real_time
async def test_many_legs_hear_all_of_a_long_prompt_wherever_each_is(tmp_path: Path) -> None:
    chance = random.Random(4)
    said = bytes(chance.choice(WORDS) for _ in range(34_123))
    path = write_wav(tmp_path / "long.wav", array("h", map(mulaw, said)))
    async with room(long_prompt_seconds=2, prompt_dir=tmp_path / "prompts") as here:
        prompt = PlayPrompt(await here.media.prompt(AudioFile(path, "audio/wav", "long")))
        path.unlink()
        stations = [here.station() for _ in range(6)]
        for number, station in enumerate(stations):
            items = (PlayTone("enter"), prompt) if number == 5 else (prompt,)
            codec = "PCMA" if number == 4 else "PCMU"
            here.media.submit(station.remote(codec), Play(station.leg, here.media.token(), items))
            await asyncio.sleep(0.05)
        for number, station in enumerate(stations):
            ended = await station.told(PlayEnded)
            assert (ended.reason, ended.played_ms // 10) == (PlayEnd.FINISHED, 444 if number == 5 else 426)
        for station in stations[:4]:
            assert heard(station)[: len(said)] == said
        assert heard(stations[5])[1440 : 1440 + len(said)] == said, "joined to the tone without a seam"
        for word, wanted in zip(heard(stations[4]), said, strict=False):
            assert abs(alaw(word) - mulaw(wanted)) <= max(16, abs(mulaw(wanted)) / 16)
        here.media.submit(*(CloseLeg(station.leg) for station in stations))
        closed = [await station.told(LegClosed) for station in stations]
        assert [one.counters["late_prompts"] for one in closed] == [0] * 6
        assert list((tmp_path / "prompts").iterdir()) == [], "the file has no name"


def heard(station: Station) -> bytes:
    assert station.peer.is_whole()
    return station.peer.audio()
