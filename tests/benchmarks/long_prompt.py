"""What an hour of prompt costs: `python -m tests.benchmarks.long_prompt`.

An hour is made as WAV (8 kHz) and as MP3 (44.1 kHz), and played to 100 legs that begin one after the
other.  Memory is that of the whole process, before the file is loaded and while it is played."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
import wave
from pathlib import Path
from typing import Final

import lameenc

from callrouter.media import RtpMedia
from callrouter.ports import AudioFile, CloseLeg, LegClosed, Play, PlayPrompt
from tests.integration.rtp_peer import Station, room
from tests.unit.media.sound import sine

LEGS: Final = 100
HOUR: Final = 3600
APART: Final = 0.1


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def make_wav(path: Path, seconds: int) -> None:
    minute = sine(440, 60.0).tobytes()
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        for _ in range(seconds // 60):
            out.writeframes(minute)


def make_mp3(path: Path, seconds: int) -> None:
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_channels(1)
    encoder.set_in_sample_rate(44_100)
    encoder.set_bit_rate(64)
    encoder.set_quality(9)
    minute = encoder.encode(sine(440, 60.0, rate=44_100).tobytes()) + encoder.flush()
    # One after the other, for every frame is whole without those before it but for a moment's sound.
    path.write_bytes(minute * (seconds // 60))


async def first_sound(media: RtpMedia, station: Station, audio: AudioFile) -> tuple[float, PlayPrompt]:
    """Milliseconds from the file to the first packet of its sound, and the prompt."""
    media.submit(station.remote())
    await asyncio.sleep(0.1)
    begun = time.monotonic()
    prompt = PlayPrompt(await media.prompt(audio))
    media.submit(Play(station.leg, media.token(), (prompt,)))
    while True:
        for packet in station.peer.heard:
            if packet.at > begun and set(packet.payload) != {0xFF}:
                return (packet.at - begun) * 1000, prompt
        await asyncio.sleep(0.001)


def forget(stations: list[Station]) -> None:
    """What was heard would count as memory."""
    for station in stations:
        station.peer.heard.clear()


async def measure(path: Path, content_type: str, legs: int, listen: float) -> None:
    async with room(last_port=43_999, prompt_dir=path.parent / "prompts") as here:
        stations = [here.station() for _ in range(legs)]
        await asyncio.sleep(0.5)
        before = resident_mb()
        audio = AudioFile(path, content_type, path.name)
        wait_ms, prompt = await first_sound(here.media, stations[0], audio)
        loaded = resident_mb()
        for station in stations[1:]:
            here.media.submit(station.remote(), Play(station.leg, here.media.token(), (prompt,)))
            await asyncio.sleep(APART)
            forget(stations)
        for _ in range(round(listen)):
            await asyncio.sleep(1.0)
            forget(stations)
        playing = resident_mb()
        here.media.submit(*(CloseLeg(station.leg) for station in stations))
        closed = [await station.told(LegClosed) for station in stations]
        late = sum(one.counters["late_prompts"] for one in closed)
        memory = f"{before:.1f} MB, {loaded:.1f} when it was loaded, {playing:.1f} with {legs} legs"
        print(f"{path.name}: first sound after {wait_ms:.0f} ms; memory {memory}; {late} frames late")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=HOUR, help="how long the prompt is")
    parser.add_argument("--legs", type=int, default=LEGS)
    parser.add_argument("--listen", type=float, default=12.0, help="seconds after the last leg began")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, make, content_type in (("wav", make_wav, "audio/wav"), ("mp3", make_mp3, "audio/mpeg")):
            path = Path(folder) / f"long.{name}"
            make(path, given.seconds)
            asyncio.run(measure(path, content_type, given.legs, given.listen))
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
