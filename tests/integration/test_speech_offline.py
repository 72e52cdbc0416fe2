"""Offline speech with the real engine in real child processes."""

from __future__ import annotations

import asyncio
import os
import signal
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from callrouter.errors import SpeechFailed, StartupError
from callrouter.speech import voices
from callrouter.speech.offline import OfflineSpeech
from callrouter.speech.pool import Worker, WorkerPool
from callrouter.speech.settings import Settings
from tests.patience import PATIENCE_SECONDS


@asynccontextmanager
async def speaking(folder: Path, **settings: object) -> AsyncIterator[OfflineSpeech]:
    speech = OfflineSpeech(Settings.model_validate({"cache_dir": folder, **settings}))
    await speech.start()
    try:
        yield speech
    finally:
        await speech.stop()


def loudest(path: Path) -> int:
    with wave.open(str(path)) as file:
        frames = memoryview(file.readframes(file.getnframes())).cast("h")
    return max(abs(frame) for frame in frames)


async def test_text_becomes_a_wav_that_can_be_heard(tmp_path: Path) -> None:
    async with speaking(tmp_path) as speech:
        audio = await speech.synthesize("Hello, welcome to Acme.", voice="man", language="en-US")
    with wave.open(str(audio.path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        assert file.getframerate() >= 8000
        assert 1 < file.getnframes() / file.getframerate() < 5
    assert loudest(audio.path) > 3000
    assert audio.content_type == "audio/wav"


async def test_same_text_and_voice_is_spoken_once_even_across_restarts(tmp_path: Path) -> None:
    keys = set()
    for text in ("Hello  there", " Hello there\n"):
        async with speaking(tmp_path) as speech:
            one, two = await asyncio.gather(
                speech.synthesize(text, voice="man", language="en-US"),
                speech.synthesize(text, voice="man", language="en-us"),
            )
            keys |= {one.key, two.key}
            written = one.path.stat().st_ino
            assert written == two.path.stat().st_ino
    assert len(keys) == 1
    assert len(list(tmp_path.iterdir())) == 1


async def test_voice_language_and_text_each_make_another_recording(tmp_path: Path) -> None:
    async with speaking(tmp_path) as speech:
        audio = [
            await speech.synthesize("Eins zwei", voice="man", language="de-DE"),
            await speech.synthesize("Eins zwei", voice="woman", language="de-DE"),
            await speech.synthesize("Eins zwei", voice="man", language="en-US"),
            await speech.synthesize("Eins drei", voice="man", language="de-DE"),
        ]
    assert len({one.path.read_bytes() for one in audio}) == len({one.key for one in audio}) == 4


@pytest.mark.parametrize(("text", "code"), [("", 13520), (" \n\0 ", 13520), ("x" * 4097, 13521)])
async def test_text_that_cannot_be_spoken_has_a_code(tmp_path: Path, text: str, code: int) -> None:
    async with speaking(tmp_path) as speech:
        with pytest.raises(SpeechFailed) as raised:
            await speech.synthesize(text, voice="man", language="en-US")
    assert raised.value.code == code


@pytest.mark.parametrize(
    "text", ["<Say> & [[hello]] \\", "\ud800 lone surrogate", "日本語 😀 ñ", "word " * 800]
)
async def test_any_text_of_allowed_length_is_spoken(tmp_path: Path, text: str) -> None:
    async with speaking(tmp_path) as speech:
        audio = await speech.synthesize(text, voice="man", language="en-US")
    assert audio.path.stat().st_size > 44


async def test_every_voice_of_the_table_exists(tmp_path: Path) -> None:
    pool = WorkerPool(1, 10)
    await pool.start()
    for name in sorted(set(voices._LANGUAGES.values())):
        for variant in ("", voices._FEMALE_VARIANT):
            assert await pool.speak("12", name + variant, tmp_path / "voice.wav") > 0, name
    with pytest.raises(SpeechFailed, match="no voice"):
        await pool.speak("12", "xx/nowhere", tmp_path / "voice.wav")
    await pool.stop()


async def test_killed_child_is_replaced_and_the_order_still_carried_out(tmp_path: Path) -> None:
    pool = WorkerPool(1, 10)
    await pool.start()
    child = pool._idle[0]
    os.kill(child.pid, signal.SIGKILL)
    assert await pool.speak("Still here", "gmw/en-US", tmp_path / "a.wav") > 0
    assert pool._idle[0].pid != child.pid
    await pool.stop()
    assert not Path(f"/proc/{child.pid}").exists()


async def test_child_that_hangs_costs_its_order_not_the_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = WorkerPool(1, 0.3)
    await pool.start()
    start = Worker.start

    async def start_with_time() -> Worker:
        pool._order_seconds = PATIENCE_SECONDS
        return await start()

    monkeypatch.setattr(Worker, "start", start_with_time)
    os.kill(pool._idle[0].pid, signal.SIGSTOP)
    assert await pool.speak("Still here", "gmw/en-US", tmp_path / "a.wav") > 0
    await pool.stop()


async def test_cancelled_order_leaves_no_child_that_would_answer_late(tmp_path: Path) -> None:
    pool = WorkerPool(1, 10)
    await pool.start()
    os.kill(pool._idle[0].pid, signal.SIGSTOP)
    order = asyncio.create_task(pool.speak("one", "gmw/en-US", tmp_path / "a.wav"))
    await asyncio.sleep(0.05)
    order.cancel()
    with pytest.raises(asyncio.CancelledError):
        await order
    assert await pool.speak("two", "gmw/en-US", tmp_path / "b.wav") > 0
    await pool.stop()


async def test_orders_beyond_the_pool_wait_their_turn(tmp_path: Path) -> None:
    async with speaking(tmp_path, workers=2) as speech:
        texts = [f"Number {number}" for number in range(12)]
        audio = await asyncio.gather(
            *(speech.synthesize(text, voice="man", language="en-US") for text in texts)
        )
        assert len(speech._pool._idle) <= 2
    assert len({one.key for one in audio}) == 12


async def test_children_end_with_the_pool(tmp_path: Path) -> None:
    child = await Worker.start()
    await child.stop()
    assert not Path(f"/proc/{child.pid}").exists()


async def test_cache_stays_within_its_size(tmp_path: Path) -> None:
    async with speaking(tmp_path, cache_bytes=200_000) as speech:
        for number in range(8):
            last = await speech.synthesize(f"This is number {number}.", voice="man", language="en-US")
    assert last.path.exists()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 200_000


async def test_unusable_cache_folder_is_named_at_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match=r"speech\.cache_dir"):
        async with speaking(tmp_path / "file" / "speech"):
            pass
