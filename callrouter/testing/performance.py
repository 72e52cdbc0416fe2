"""Verbs run as the controller runs them: interrupted once, their scope released, then asked."""

from __future__ import annotations

import asyncio

from callrouter.documents.parse import parse
from callrouter.ports import ChildCall, Connect, Interrupt, Next, Outcome, Verb
from callrouter.testing.call import FakeCall
from callrouter.verbs.program import Program, compile_document


class LeftBehind(AssertionError):
    """A verb ended and something it had created was still there, or failed with nobody to hear it."""


async def perform(
    verb: Verb, call: FakeCall, interrupt: tuple[float, Interrupt] | None = None
) -> Outcome | None:
    """The outcome of `verb`, or what it still owes when interrupted after so many seconds.  Raises
    what the verb raises, and `LeftBehind`."""
    loop = asyncio.get_running_loop()
    reported: list[str] = []
    loop.set_exception_handler(lambda _, context: reported.append(str(context)))
    running = asyncio.create_task(verb.run(call))
    if interrupt is not None:
        await asyncio.wait((running,), timeout=interrupt[0])
        running.cancel()
    await asyncio.wait((running,))
    keep = None
    if not running.cancelled() and running.exception() is None:
        outcome = running.result()
        keep = outcome.child if isinstance(outcome, Connect) else None
    await call.release(keep)
    await asyncio.sleep(0)
    loop.set_exception_handler(None)
    _refuse_leftovers(call, keep, reported)
    if interrupt is not None and running.cancelled():
        return verb.interrupted(call, interrupt[1])
    return running.result()


async def perform_all(verbs: tuple[Verb, ...], call: FakeCall) -> Outcome:
    """Run `verbs` in order; the first outcome that is not `Next`, or `Next` when they run out."""
    for verb in verbs:
        outcome = await perform(verb, call)
        if outcome is not None and not isinstance(outcome, Next):
            return outcome
    return Next()


def _refuse_leftovers(call: FakeCall, keep: ChildCall | None, reported: list[str]) -> None:
    tasks = [str(task.get_coro()) for task in asyncio.all_tasks() - {asyncio.current_task()}]
    if left := call.leftovers(keep) + tasks + reported:
        raise LeftBehind(f"left behind: {left}")


def compiled(inside: str) -> Program:
    """The program of a document with `inside` in its `<Response>`, which is line 1."""
    return compile_document(parse(f"<Response>{inside}</Response>".encode()))
