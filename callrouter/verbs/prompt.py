"""What Say, Play and Pause have in common: something to hear, fetched before it is heard.

Gather fetches all its prompts before the first is played, so preparing and
playing are two steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from callrouter.ports import LiveCall, PlayItem


@dataclass(frozen=True, slots=True)
class Prompt:
    """Ready to be played; empty `items` are nothing to play."""

    items: tuple[PlayItem, ...]
    loops: int = 1


class Prompting(Protocol):
    """A verb that may stand inside Gather."""

    async def prepare(self, call: LiveCall) -> Prompt:
        """Fetch or synthesise.  Raises `FetchFailed` or `AudioUnplayable`."""


async def play(call: LiveCall, prompt: Prompt) -> None:
    if prompt.items:
        await call.play(prompt.items, loops=prompt.loops)
