"""The demonstration's one call: a caller who presses 1, talks to an agent, and answers a survey."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from house import Fault

from callrouter.caller.answering import Answering, Manner, Taken
from callrouter.caller.line import open_line
from callrouter.caller.phone import Phone
from callrouter.caller.story import EndedBy, Moment, Story

CALLER = "+15550199"
SCORE = "5"
AGENT_SECONDS = 60.0
END_SECONDS = 30.0
SETTLED_MS = 500
"""Sound later than this after the agent left is the survey's, not the agent's, and after a key that cut a
prompt short, what comes next."""


@dataclass(frozen=True, slots=True)
class Scene:
    number: str
    server: str
    """`host:port`"""
    agent_host: str
    agent_port: int
    agent_voice: Path
    comment: Path
    folder: Path


@dataclass(frozen=True, slots=True)
class Outcome:
    story: Story
    agent: Taken


@asynccontextmanager
async def at_the_desk(scene: Scene) -> AsyncIterator[Answering]:
    """The agent, taking every call that comes."""
    async with open_line(scene.agent_host, scene.agent_port) as desk:
        manner = Manner(scene.agent_voice, ring_seconds=0.5)
        agent = Answering(desk.signalling, desk.media, desk.clock, scene.folder, manner)
        try:
            yield agent
        finally:
            await agent.close()


async def play(scene: Scene, tell: Callable[[Moment], None]) -> Outcome:
    """Raises `Fault` where the call leaves the script."""
    host = scene.server.rpartition(":")[0].strip("[]")
    async with at_the_desk(scene) as agent, open_line(host) as line:
        story = Story(scene.number, scene.server, tell)
        phone = Phone(line.signalling, line.media, line.clock, scene.folder, story)
        try:
            taken = await _converse(scene, phone, agent)
        finally:
            await phone.hangup()
    if story.ended_by is not EndedBy.CALLEE:
        raise Fault(f"the survey did not end the call: it was ended by {story.ended_by.value}")
    return Outcome(story, taken)


async def _converse(scene: Scene, phone: Phone, agent: Answering) -> Taken:
    story = phone.story
    if not await phone.dial(f"sip:{scene.number}@{scene.server}", CALLER, scene.folder / "heard.wav"):
        raise Fault(f"the call was not answered: {story.status} {story.reason}")
    await _turn(phone, "the menu")
    await phone.press("1")
    try:
        async with asyncio.timeout(AGENT_SECONDS):
            taken = await agent.finished()
    except TimeoutError:
        raise Fault(f"the agent's telephone did not ring within {AGENT_SECONDS:g} s") from None
    left_ms = phone.now_ms()
    story.note(left_ms, "agent left")
    await _turn(phone, "the survey's question", left_ms + SETTLED_MS)
    await phone.press(SCORE)
    await _turn(phone, "the survey's request for a comment", phone.now_ms() + SETTLED_MS)
    await phone.speak(scene.comment)
    await phone.press("#")
    if not await phone.over(END_SECONDS):
        raise Fault(f"the survey did not hang up within {END_SECONDS:g} s")
    return taken


async def _turn(phone: Phone, what: str, after_ms: int = -1) -> None:
    if not await phone.turn(after_ms):
        raise Fault(f"the call ended before {what} was heard")
