"""Text to speech without a network: espeak-ng in child processes, spoken texts kept on disk."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import structlog

from callrouter.cachefolder import CacheFolder
from callrouter.errors import SpeechFailed, StartupError
from callrouter.ports import AudioFile, Metrics
from callrouter.singleflight import SingleFlight
from callrouter.speech.pool import WorkerPool
from callrouter.speech.settings import Settings
from callrouter.speech.voices import choose

log = structlog.get_logger(__name__)

_TOO_LONG = 13521


class OfflineSpeech:
    """Fits `ports.Speech`.  Call `start` on the event loop before anything else, `stop` once."""

    def __init__(self, settings: Settings, metrics: Metrics | None = None) -> None:
        self._settings = settings
        self._metrics = metrics
        self._folder = CacheFolder(settings.cache_dir, ".wav", settings.cache_bytes)
        self._pool = WorkerPool(settings.workers, settings.order_seconds)
        self._flights: SingleFlight[Path] = SingleFlight()

    async def start(self) -> None:
        """Raises `StartupError` when the cache folder or the engine cannot be used."""
        try:
            await asyncio.to_thread(self._folder.prepare)
        except OSError as error:
            raise StartupError(
                f"the speech cache {self._folder.path} cannot be used: {error}; "
                "set speech.cache_dir to a folder this user may write to"
            ) from error
        await self._pool.start()

    async def stop(self) -> None:
        await self._flights.stop()
        await self._pool.stop()

    async def synthesize(self, text: str, *, voice: str, language: str) -> AudioFile:
        """A 16-bit mono WAV at the engine's rate.

        Raises `SpeechFailed` 13520 for a text with nothing to say, 13521 for one that is too long.
        """
        try:
            path, spoken_now = await self._audio(text, voice, language)
        except SpeechFailed:
            self._count("failed")
            raise
        self._count("spoken" if spoken_now else "cached")
        return AudioFile(path=path, content_type="audio/wav", key=path.stem)

    def _count(self, outcome: str) -> None:
        if self._metrics is not None:
            self._metrics.count("speech_syntheses", outcome=outcome)

    async def _audio(self, text: str, voice: str, language: str) -> tuple[Path, bool]:
        """The audio of a text, and whether it had to be spoken first."""
        text = " ".join(text.encode("utf-8", "replace").decode().replace("\0", " ").split())
        if not text:
            raise SpeechFailed("There is no text to speak")
        if len(text) > self._settings.max_characters:
            limit = self._settings.max_characters
            raise SpeechFailed(f"The text has {len(text)} characters; {limit} are allowed", code=_TOO_LONG)
        chosen = choose(voice, language)
        key = hashlib.sha256(
            "\0".join((self._pool.engine, chosen, text)).encode("utf-8", "replace")
        ).hexdigest()
        path = self._folder.find(key)
        if path is not None:
            return path, False
        return await self._flights.do(key, lambda: self._speak(text, chosen, key)), True

    async def _speak(self, text: str, voice: str, key: str) -> Path:
        try:
            partial = self._folder.partial()
            try:
                if await self._pool.speak(text, voice, partial) == 0:
                    raise SpeechFailed("The text has nothing in it that can be spoken")
                return await asyncio.to_thread(self._folder.publish, partial, key)
            finally:
                _discard(partial)
        except OSError as error:
            log.error("speech_cache_unwritable", error=str(error))
            raise SpeechFailed(f"The speech cache cannot be written: {error}") from error


def _discard(partial: Path) -> None:
    partial.unlink(missing_ok=True)
