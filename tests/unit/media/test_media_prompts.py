"""Audio files become prompts: every format we promise, decoded once, held while wanted."""

from __future__ import annotations

import asyncio
import struct
from array import array
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from callrouter._engine import Engine
from callrouter.errors import AudioUnplayable
from callrouter.media.prompts import Prompts, Shelf
from callrouter.ports import AudioFile
from tests.unit.media.sound import riff, sine, write_wav

MP3 = Path(__file__).with_name("tone_440hz.mp3")


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine(
        addresses=["127.0.0.1"],
        first_port=45000,
        last_port=45009,
        threads=1,
        quarantine_ms=0,
        rtp_timeout_ms=1000,
        report_interval_ms=1000,
    )
    yield engine
    engine.stop()


def pcm24(samples: array[int]) -> bytes:
    return b"".join(struct.pack("<i", value << 8)[:3] for value in samples)


def aiff(samples: array[int]) -> bytes:
    rate = b"\x40\x0b\xfa\x00\x00\x00\x00\x00\x00\x00"  # 8000 as an 80-bit float
    common = struct.pack(">hIh", 1, len(samples), 16) + rate
    data = struct.pack(">II", 0, 0) + struct.pack(f">{len(samples)}h", *samples)
    body = b"AIFFCOMM" + struct.pack(">I", 18) + common + b"SSND" + struct.pack(">I", len(data)) + data
    return b"FORM" + struct.pack(">I", len(body)) + body


SECOND = sine(440, 1.0)
FORMATS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "16-bit": ("audio/wav", lambda: riff(1, 16, SECOND.tobytes())),
    "8-bit": ("audio/x-wav", lambda: riff(1, 8, bytes((v >> 8) + 128 for v in SECOND))),
    "24-bit": ("audio/wave", lambda: riff(1, 24, pcm24(SECOND))),
    "mu-law in WAV": ("audio/wav", lambda: riff(7, 8, b"\xff" * 8000)),
    "A-law in WAV": ("audio/wav", lambda: riff(6, 8, b"\xd5" * 8000)),
    "stereo at 44.1 kHz": (
        "audio/wav; charset=binary",
        lambda: riff(1, 16, array("h", [0, 9] * 44100).tobytes(), rate=44100, channels=2),
    ),
    "48 kHz": ("audio/wav", lambda: riff(1, 16, sine(440, 1.0, rate=48000).tobytes(), rate=48000)),
    "AIFF": ("audio/aiff", lambda: aiff(SECOND)),
    "bare mu-law": ("audio/basic", lambda: b"\x20" * 8000),
    "bare mu-law by another name": ("audio/ulaw", lambda: b"\x20" * 8000),
    "WAV called mu-law": ("audio/basic", lambda: riff(7, 8, b"\x20" * 8000)),
    "a wrong type": ("application/octet-stream", lambda: riff(1, 16, SECOND.tobytes())),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_one_second_in_both_laws(name: str, engine: Engine, tmp_path: Path) -> None:
    content_type, make = FORMATS[name]
    path = tmp_path / "audio"
    path.write_bytes(make())
    _, size, rest = engine.load_prompt(path, content_type, 2000, tmp_path)
    assert (size, rest) == (2 * 8000, None)


def test_mp3_is_decoded(engine: Engine) -> None:
    _, size, _ = engine.load_prompt(MP3, "audio/mpeg", 2000, MP3.parent)
    assert 4000 <= size / 2 <= 4800, "half a second and the padding of its encoder"


BAD: dict[str, tuple[str, bytes]] = {
    "nothing": ("audio/wav", b""),
    "a web page": ("audio/mpeg", b"<html><body>not found</body></html>" * 20),
    "a header alone": ("audio/wav", riff(1, 16, b"")),
    "an absurd rate": ("audio/wav", riff(1, 16, bytes(1000), rate=4_000_000)),
    "GSM": ("audio/x-gsm", bytes(330)),
    "zeros": ("audio/mpeg", bytes(5000)),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_cannot_be_played_is_named_with_the_reason(
    name: str, engine: Engine, tmp_path: Path
) -> None:
    content_type, content = BAD[name]
    path = tmp_path / "greeting.bin"
    path.write_bytes(content)
    with ThreadPoolExecutor(1) as executor:
        prompts = Prompts(engine, executor, executor, shelf(tmp_path))
        with pytest.raises(AudioUnplayable, match=r"cannot play greeting\.bin \(audio/.*\): \w") as caught:
            await prompts.get(AudioFile(path, content_type, name))
        assert caught.value.code == 13420


async def test_a_file_that_is_gone_is_not_playable(engine: Engine, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as executor:
        prompts = Prompts(engine, executor, executor, shelf(tmp_path))
        with pytest.raises(AudioUnplayable, match="cannot be read"):
            await prompts.get(AudioFile(tmp_path / "gone.wav", "audio/wav", "k"))


def test_damaged_files_never_escape_as_anything_but_an_error(engine: Engine, tmp_path: Path) -> None:
    import random

    chance = random.Random(5)
    wholes = [riff(1, 16, sine(440, 0.2).tobytes()), MP3.read_bytes(), aiff(sine(440, 0.2))]
    path = tmp_path / "damaged"
    for turn in range(150):
        content = bytearray(wholes[turn % 3])
        for _ in range(chance.randrange(1, 20)):
            content[chance.randrange(min(len(content), 200 if turn % 2 else 10**6))] = chance.randrange(256)
        path.write_bytes(content[: chance.randrange(20, len(content))])
        with suppress(ValueError):
            engine.load_prompt(path, "audio/mpeg", 2000, tmp_path)


def shelf(folder: Path, memory: int = 1_000_000, disk: int = 1_000_000) -> Shelf:
    return Shelf(memory, disk, 2000, folder)


def no_files(folder: Path) -> bool:
    return not [path for path in folder.iterdir() if path.name.startswith(".prompt")]


async def test_a_long_one_is_kept_in_a_file_without_a_name(engine: Engine, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "long.wav", sine(440, 5.5))
    number, size, rest = engine.load_prompt(path, "audio/wav", 2000, tmp_path)
    assert size == 2 * 16_000, "its first two seconds"
    assert rest is not None
    assert rest.finish() == 2 * 44_000
    assert engine.has_prompt(number)
    assert no_files(tmp_path)


async def test_what_is_left_of_a_long_one_is_not_decoded_when_it_is_stopped(
    engine: Engine, tmp_path: Path
) -> None:
    path = write_wav(tmp_path / "long.wav", sine(440, 60.0))
    _, _, rest = engine.load_prompt(path, "audio/wav", 2000, tmp_path)
    assert rest is not None
    rest.stop()
    assert rest.finish() < 2 * 4 * 8000


async def test_a_folder_that_cannot_be_written_is_named(engine: Engine, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "long.wav", sine(440, 5.5))
    occupied = tmp_path / "occupied"
    occupied.write_text("a file")
    with ThreadPoolExecutor(1) as executor:
        prompts = Prompts(engine, executor, executor, shelf(occupied))
        with pytest.raises(AudioUnplayable, match=r"long\.wav .*: it cannot be kept in /.*occupied: "):
            await prompts.get(AudioFile(path, "audio/wav", "k"))


@dataclass
class CountingRest:
    """The rest of a long prompt, which takes as much on disk as it is told to, or no more fits on it."""

    size: int
    stopped: bool = False

    def finish(self) -> int:
        if self.size < 0:
            raise OSError("No space left on device")
        return self.size

    def stop(self) -> None:
        self.stopped = True


@dataclass
class CountingEngine:
    """Stands in for the engine: each file is as large as its name says; one with a `-` is a long prompt,
    and the second number what it takes on disk (`x`: more than there is)."""

    loaded: list[str] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)

    def load_prompt(
        self, path: Path, content_type: str, longest_ms: int, folder: Path
    ) -> tuple[int, int, CountingRest | None]:
        self.loaded.append(path.name)
        memory, _, disk = path.name.partition("-")
        rest = CountingRest(-1 if disk == "x" else int(disk)) if disk else None
        return len(self.loaded), int(memory), rest

    def drop_prompt(self, prompt: int) -> None:
        self.dropped.append(prompt)


def audio(key: str, size: int | str) -> AudioFile:
    return AudioFile(Path(str(size)), "audio/wav", key)


@pytest.fixture
def counting() -> CountingEngine:
    return CountingEngine()


@pytest.fixture
async def cache(counting: CountingEngine) -> AsyncIterator[Prompts]:
    with ThreadPoolExecutor(2) as executor:
        prompts = Prompts(counting, executor, executor, shelf(Path("x"), 250, 500))  # type: ignore[arg-type]  # a double of the engine
        yield prompts
        await prompts.stop()


async def test_equal_content_is_decoded_once_however_many_ask_at_once(
    cache: Prompts, counting: CountingEngine
) -> None:
    numbers = await asyncio.gather(*(cache.get(audio("same", 10)) for _ in range(20)))
    assert set(numbers) == {1}
    assert counting.loaded == ["10"]


async def test_the_least_recently_used_goes_first_when_memory_is_short(
    cache: Prompts, counting: CountingEngine
) -> None:
    for key in ("a", "b", "a", "c", "d"):
        await cache.get(audio(key, 100))
    assert counting.dropped == [2]
    await cache.get(audio("b", 100))
    assert len(counting.loaded) == 5, "a, b, c, d and b again"


async def test_a_prompt_in_somebodys_hands_stays(cache: Prompts, counting: CountingEngine) -> None:
    held = await cache.get(audio("held", 100))
    for key in "abcdef":
        await cache.get(audio(key, 100))
    assert held not in counting.dropped
    del held
    for key in "ghij":
        await cache.get(audio(key, 100))
    assert 1 in counting.dropped


async def test_one_who_stops_waiting_does_not_take_the_prompt_from_another(
    cache: Prompts, counting: CountingEngine
) -> None:
    first = asyncio.create_task(cache.get(audio("k", 10)))
    second = asyncio.create_task(cache.get(audio("k", 10)))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 1
    assert counting.loaded == ["10"]


def test_a_prompt_is_known_until_it_is_dropped(engine: Engine, tmp_path: Path) -> None:
    sound = write_wav(tmp_path / "a.wav", sine(440, 0.1))
    number, _, _ = engine.load_prompt(sound, "audio/wav", 2000, tmp_path)
    assert engine.has_prompt(number)
    engine.drop_prompt(number)
    assert not engine.has_prompt(number)


async def test_long_ones_have_a_limit_of_their_own(cache: Prompts, counting: CountingEngine) -> None:
    await cache.get(audio("short", 200))
    for key in ("a", "b", "c"):
        await cache.get(audio(key, "100-200"))
        await cache.get(audio(key, "100-200"))
        async with asyncio.timeout(5):
            while cache._rests:
                await asyncio.sleep(0.001)
    await cache.get(audio("d", 10))
    assert counting.dropped == [2], "the oldest long one, and none for memory"


async def test_one_that_does_not_fit_on_the_disk_is_decoded_again_next_time(
    cache: Prompts, counting: CountingEngine
) -> None:
    await cache.get(audio("k", "100-x"))
    async with asyncio.timeout(5):
        while not counting.dropped:
            await asyncio.sleep(0.001)
    assert await cache.get(audio("k", "100-200")) == 2
