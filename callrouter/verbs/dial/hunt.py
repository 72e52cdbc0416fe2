"""Looking for somebody who answers: all destinations at once, or one after the other.

Whoever accepts first wins: who answers or, where a document screens the callee, whoever is still
there when that document has run.  The others ring on until then.  Children that lose are not waited
for: they belong to the scope of the verb, which ends them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from callrouter.documents.attributes import Method
from callrouter.ports import ChildCall, DialTarget, LiveCall
from callrouter.verbs.beside import stop


@dataclass(frozen=True, slots=True)
class Attempt:
    """A target, and the absolute URL of the document that screens whoever answers ("" for none)."""

    target: DialTarget
    screen_url: str = ""
    screen_method: Method = "POST"

    async def place(self, call: LiveCall) -> ChildCall:
        return await call.place(self.target)

    async def accepted(self, child: ChildCall) -> bool:
        if not await child.answered():
            return False
        return not self.screen_url or await child.screen(self.screen_url, self.screen_method)


async def in_turn(call: LiveCall, attempts: Sequence[Attempt]) -> ChildCall | None:
    for attempt in attempts:
        child = await attempt.place(call)
        if await attempt.accepted(child):
            return child
    return None


async def all_at_once(call: LiveCall, attempts: Sequence[Attempt]) -> ChildCall | None:
    children = [await attempt.place(call) for attempt in attempts]
    tasks = [
        asyncio.create_task(attempt.accepted(child))
        for attempt, child in zip(attempts, children, strict=True)
    ]
    pending = set(tasks)
    try:
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            # In document order, for those that answer in the same instant.
            for task, child in zip(tasks, children, strict=True):
                if task in done and task.result():
                    return child
        return None
    finally:
        await stop(tasks)
