"""The scripted telephone that answers, in virtual time, which stands still while it reads files."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from callrouter.caller.answering import Answering, Manner
from callrouter.caller.voice import write_hum
from callrouter.ports import CloseLeg, EndCause, Ended, Play, SendDigits, SetRemote, StartRecording
from callrouter.testing.engine import ScriptedMedia
from callrouter.testing.world import LoopTime, ScriptedLeg, ScriptedSignalling


@pytest.fixture
def voice(tmp_path: Path) -> Path:
    path = tmp_path / "voice.wav"
    write_hum(path, 40)
    return path


class Desk:
    """A telephone with its rooms, and one call arriving."""

    def __init__(self, folder: Path, manner: Manner) -> None:
        self.signalling = ScriptedSignalling()
        self.media = ScriptedMedia(prompt_seconds=0.2)
        self.answering = Answering(self.signalling, self.media, LoopTime(), folder, manner)
        self.leg = ScriptedLeg(to="agent")
        assert self.signalling.handler is not None
        self.signalling.handler(self.leg)

    def did(self, kind: type) -> int:
        return sum(isinstance(command, kind) for command in self.media.commands)


async def test_it_rings_answers_speaks_and_hangs_up(tmp_path: Path, voice: Path) -> None:
    desk = Desk(tmp_path, Manner(voice, ring_seconds=0.05))
    taken = await desk.answering.finished()
    assert desk.leg.actions == ["ring", "answer", "hangup"]
    assert (desk.did(Play), desk.did(SetRemote), desk.did(CloseLeg)) == (1, 1, 1)
    assert taken.ended_ns - taken.answered_ns == 200_000_000


async def test_it_may_stay_until_the_other_side_hangs_up(tmp_path: Path, voice: Path) -> None:
    desk = Desk(tmp_path, Manner(voice, ring_seconds=0, hang_up=False))
    await asyncio.sleep(60)
    assert "hangup" not in desk.leg.actions
    desk.leg.bye()
    taken = await desk.answering.finished()
    assert taken.ended_ns == LoopTime().monotonic_ns()


async def test_a_caller_who_gives_up_is_not_answered(tmp_path: Path, voice: Path) -> None:
    desk = Desk(tmp_path, Manner(voice, ring_seconds=60))
    await asyncio.sleep(0.1)
    desk.leg.say(Ended(0, EndCause.CANCEL, ""))
    taken = await desk.answering.finished()
    assert desk.leg.actions == ["ring"]
    assert (taken.answered_ns, desk.did(StartRecording), desk.did(CloseLeg)) == (0, 0, 1)


async def test_it_presses_keys_to_get_past_a_prompt(tmp_path: Path, voice: Path) -> None:
    desk = Desk(tmp_path, Manner(voice, ring_seconds=0, keys="1", keys_after_seconds=0.05))
    await desk.answering.finished()
    assert desk.did(SendDigits) == 1


async def test_it_may_refuse(tmp_path: Path, voice: Path) -> None:
    desk = Desk(tmp_path, Manner(voice, refuse=486))
    await asyncio.sleep(0.1)
    assert desk.leg.actions == ["reject 486"]
    assert desk.answering.taken == []


async def test_closing_hangs_up_whatever_is_up(tmp_path: Path, voice: Path) -> None:
    desk = Desk(tmp_path, Manner(voice, ring_seconds=0, hang_up=False))
    await asyncio.sleep(0.6)
    await desk.answering.close()
    assert desk.leg.actions[-1] == "hangup"
    assert desk.did(CloseLeg) == 1
