"""Prompts: each audio file decoded once, kept while anybody holds it, and after that for as long
as the memory set aside for it lasts."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from concurrent.futures import Executor
from dataclasses import dataclass
from weakref import WeakValueDictionary

from callrouter.errors import AudioUnplayable
from callrouter.media._engine import Engine
from callrouter.ports import AudioFile, PromptId
from callrouter.singleflight import SingleFlight


class _Hold:
    """Lives as long as anybody has the prompt's id."""


class _HeldPrompt(int):
    """A prompt's id that can be seen to be in somebody's hands (an int has no weak references)."""

    hold: _Hold


@dataclass(frozen=True, slots=True)
class _Entry:
    number: int
    size: int


class Prompts:
    """The cache.  `limit` is in bytes, and binds what is neither held nor playing."""

    def __init__(self, engine: Engine, executor: Executor, limit: int) -> None:
        self._engine = engine
        self._executor = executor
        self._limit = limit
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._held: WeakValueDictionary[str, _Hold] = WeakValueDictionary()
        self._loading: SingleFlight[PromptId] = SingleFlight()

    async def get(self, audio: AudioFile) -> PromptId:
        """The prompt with the content of `audio`; loaded once, however many ask at once."""
        if audio.key in self._entries:
            return self._hand_out(audio.key)
        return await self._loading.do(audio.key, lambda: self._load(audio))

    async def stop(self) -> None:
        """Give up on files that are being decoded."""
        await self._loading.stop()

    async def _load(self, audio: AudioFile) -> PromptId:
        loop = asyncio.get_running_loop()
        try:
            number, size = await loop.run_in_executor(
                self._executor, self._engine.load_prompt, audio.path, audio.content_type
            )
        except ValueError as error:
            raise AudioUnplayable(f"cannot play {audio.path.name} ({audio.content_type}): {error}") from error
        self._entries[audio.key] = _Entry(number, size)
        prompt = self._hand_out(audio.key)
        self._evict()
        return prompt

    def _hand_out(self, key: str) -> PromptId:
        self._entries.move_to_end(key)
        prompt = _HeldPrompt(self._entries[key].number)
        prompt.hold = self._held.get(key) or _Hold()
        self._held[key] = prompt.hold
        return PromptId(prompt)

    def _evict(self) -> None:
        free = [(key, entry) for key, entry in self._entries.items() if key not in self._held]
        total = sum(entry.size for _, entry in free)
        for key, entry in free:
            if total <= self._limit:
                return
            total -= entry.size
            del self._entries[key]
            self._engine.drop_prompt(entry.number)
