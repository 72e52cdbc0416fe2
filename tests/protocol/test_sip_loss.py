"""Calls over a network that loses, doubles and delays: every call is set up once and ends clean."""

from __future__ import annotations

import random

import pytest

from callrouter.ports import Answered, Confirmed, Ended, Failed
from callrouter.sip.protocol.incoming import IncomingSession
from callrouter.sip.protocol.timers import LIFETIME, MS
from tests.protocol.wire import CALLEE_MEDIA, SECOND, Wire

LOST: tuple[int, ...] = ()
TWICE = (0, 3 * MS)
LATE = (700 * MS,)


@pytest.mark.parametrize(
    "fates",
    [
        {("caller", 0): LOST},
        {("caller", 0): TWICE},
        {("caller", 0): LATE},
        {("callee", 0): LOST},
        {("callee", 0): TWICE},
        {("callee", 0): LATE},
        {("caller", 1): LOST},
        {("caller", 1): TWICE},
        {("caller", 1): LATE},
        {("caller", 0): LOST, ("caller", 1): LOST, ("callee", 0): LOST},
    ],
)
def test_a_lost_doubled_or_late_message_costs_no_call_and_makes_no_second(
    fates: dict[tuple[str, int], tuple[int, ...]],
) -> None:
    wire = Wire()
    wire.fates = fates
    wire.answering()
    session = wire.invite()
    wire.run(8 * SECOND)
    assert len(wire.callee.calls) == 1
    assert len(wire.caller.told(Answered)) == 1
    assert len(wire.callee.told(Confirmed)) == 1
    session.hangup("", wire.now)
    wire.run(8 * SECOND)
    assert len(wire.callee.told(Ended)) == 1
    wire.settle()


@pytest.mark.parametrize("seed", range(60))
def test_random_loss_doubling_and_delay(seed: int) -> None:
    """A fifth of everything is lost, a tenth doubled, a tenth late."""
    chance = random.Random(seed)
    wire = Wire()
    for party in ("caller", "callee"):
        for index in range(200):
            roll = chance.random()
            if roll < 0.4:
                wire.fates[party, index] = LOST if roll < 0.2 else TWICE if roll < 0.3 else LATE

    def ring_and_answer(incoming: IncomingSession, now: int) -> None:
        incoming.ring(now)
        incoming.answer(CALLEE_MEDIA, now)

    wire.callee.on_call = ring_and_answer
    session = wire.invite()
    wire.run(20 * SECOND)
    assert len(wire.callee.calls) == 1
    assert len(wire.caller.told(Answered)) == 1
    session.hold(True, wire.now)
    wire.run(20 * SECOND)
    ends = [session, wire.callee.calls[0]]
    chance.choice(ends).hangup("", wire.now)
    wire.run(LIFETIME)
    assert len(wire.caller.told(Ended)) + len(wire.callee.told(Ended)) == 1
    wire.settle()


@pytest.mark.parametrize("seed", range(40))
def test_cancel_at_any_moment_under_loss_leaves_nothing(seed: int) -> None:
    chance = random.Random(seed)
    wire = Wire()
    wire.drop = lambda seen: chance.random() < 0.15
    answer_after = chance.randrange(0, 1500) * MS

    def pick_up_later(session: object, now: int) -> None:
        wire.callee.agent.timers.start(
            now + answer_after, lambda at: wire.callee.calls[0].answer(CALLEE_MEDIA, at)
        )

    wire.callee.on_call = pick_up_later
    session = wire.invite()
    wire.run(chance.randrange(0, 2000) * MS)
    session.hangup("", wire.now)
    wire.run(2 * LIFETIME)
    assert len(wire.callee.calls) <= 1
    assert len(wire.caller.told(Failed)) == (0 if wire.caller.told(Answered) else 1)
    wire.settle()
