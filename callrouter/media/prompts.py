"""Prompts: each audio file decoded once, kept while anybody holds it, and after that for as long
as the space set aside for it lasts: memory for most, a file for long ones."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

import structlog

from callrouter._engine import Engine, Rest
from callrouter.errors import AudioUnplayable
from callrouter.ports import AudioFile, PromptId
from callrouter.singleflight import SingleFlight

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where prompts are kept."""

    memory: int
    """Bytes for what is neither held nor playing."""
    disk: int
    """The same for long prompts, in their files."""
    longest_ms: int
    """What is longer is a long prompt."""
    folder: Path
    """Where its file is made."""


class _Hold:
    """Lives as long as anybody has the prompt's id."""


class _HeldPrompt(int):
    """A prompt's id that can be seen to be in somebody's hands (an int has no weak references)."""

    hold: _Hold


@dataclass(slots=True)
class _Entry:
    number: int
    memory: int
    disk: int = 0


class Prompts:
    """The cache.  Files are decoded by `executor`, what follows the beginning of long ones by `later`."""

    def __init__(self, engine: Engine, executor: Executor, later: Executor, shelf: Shelf) -> None:
        self._engine = engine
        self._executor = executor
        self._later = later
        self._shelf = shelf
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._held: WeakValueDictionary[str, _Hold] = WeakValueDictionary()
        self._loading: SingleFlight[PromptId] = SingleFlight()
        self._rests: dict[asyncio.Task[None], Rest] = {}

    async def get(self, audio: AudioFile) -> PromptId:
        """The prompt with the content of `audio`; loaded once, however many ask at once.  A long one
        can be played as soon as its beginning has been decoded."""
        if audio.key in self._entries:
            return self._hand_out(audio.key)
        return await self._loading.do(audio.key, lambda: self._load(audio))

    async def stop(self) -> None:
        """Give up on files that are being decoded."""
        await self._loading.stop()
        for rest in self._rests.values():
            rest.stop()
        await asyncio.gather(*self._rests)

    async def _load(self, audio: AudioFile) -> PromptId:
        loop, shelf = asyncio.get_running_loop(), self._shelf
        try:
            number, memory, rest = await loop.run_in_executor(
                self._executor,
                self._engine.load_prompt,
                audio.path,
                audio.content_type,
                shelf.longest_ms,
                shelf.folder,
            )
        except ValueError as error:
            raise AudioUnplayable(f"cannot play {audio.path.name} ({audio.content_type}): {error}") from error
        self._entries[audio.key] = _Entry(number, memory)
        if rest is not None:
            task = loop.create_task(self._finish(audio, rest), name=f"prompt-{audio.key[:40]}")
            self._rests[task] = rest
            task.add_done_callback(self._rests.pop)
        prompt = self._hand_out(audio.key)
        self._evict()
        return prompt

    async def _finish(self, audio: AudioFile, rest: Rest) -> None:
        try:
            size = await asyncio.get_running_loop().run_in_executor(self._later, rest.finish)
        except OSError as error:
            # Who plays it hears what there is; the next one has it decoded again.
            _log.error(
                "prompt_cut_short", file=str(audio.path), folder=str(self._shelf.folder), error=str(error)
            )
            self._drop(audio.key)
            return
        if entry := self._entries.get(audio.key):
            entry.disk = size
            self._evict()

    def _hand_out(self, key: str) -> PromptId:
        self._entries.move_to_end(key)
        prompt = _HeldPrompt(self._entries[key].number)
        prompt.hold = self._held.get(key) or _Hold()
        self._held[key] = prompt.hold
        return PromptId(prompt)

    def _evict(self) -> None:
        self._make_room(self._shelf.memory, lambda entry: 0 if entry.disk else entry.memory)
        self._make_room(self._shelf.disk, lambda entry: entry.disk)

    def _make_room(self, limit: int, size: Callable[[_Entry], int]) -> None:
        """Drop the least recently used of what nobody holds and `size` gives a size to."""
        free = [(key, size(entry)) for key, entry in self._entries.items() if key not in self._held]
        total = sum(taken for _, taken in free)
        for key, taken in free:
            if total <= limit:
                return
            if taken:
                total -= taken
                self._drop(key)

    def _drop(self, key: str) -> None:
        if entry := self._entries.pop(key, None):
            self._engine.drop_prompt(entry.number)
