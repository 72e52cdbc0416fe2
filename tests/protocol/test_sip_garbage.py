"""What a call leaves behind is gone with its last reference: the collector, which holds everybody up
while it looks for what refers to itself, has nothing to find."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator

import pytest

from callrouter.sip.protocol.message import Response
from callrouter.sip.protocol.session import Session
from tests.protocol.stranger import Stranger, invite, text
from tests.protocol.wire import SECOND


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def refused(stranger: Stranger) -> None:
    stranger.calls[0].reject(404, "", (), stranger.now)


def cancelled(stranger: Stranger) -> None:
    stranger.calls[0].ring(stranger.now)
    stranger.send(text("CANCEL"))


def answered_and_ended(stranger: Stranger) -> None:
    ok = stranger.picks_up()
    stranger.calls[0].hold(True, stranger.now)
    stranger.send(text("BYE", to_tag=ok.to_tag, cseq="2 BYE", branch="z9hG4bKb"))


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("course", [refused, cancelled, answered_and_ended])
def test_nothing_of_a_call_refers_to_itself(course: Callable[[Stranger], None]) -> None:
    stranger = Stranger()
    stranger.send(invite("Expires: 60", "Supported: timer, 100rel"))
    known: weakref.ref[Session] = weakref.ref(stranger.calls[0])
    course(stranger)
    stranger.run(40 * SECOND)
    stranger.calls.clear()
    stranger.events.clear()
    assert known() is None


@pytest.mark.usefixtures("without_collector")
def test_nothing_but_what_absorbs_repetitions_outlives_a_call() -> None:
    stranger = Stranger()
    stranger.send(invite())
    known: weakref.ref[Session] = weakref.ref(stranger.calls[0])
    ok = stranger.picks_up()
    bye = text("BYE", to_tag=ok.to_tag, cseq="2 BYE", branch="z9hG4bKb")
    stranger.send(bye)
    stranger.calls.clear()
    stranger.events.clear()
    assert known() is None
    assert stranger.send(invite()) == []
    assert stranger.status(bye) == 200
    stranger.run(33 * SECOND)
    assert stranger.agent.is_idle
    assert stranger.status(bye) == 481


def test_a_cancel_behind_the_end_is_answered_with_the_tag_of_the_call() -> None:
    stranger = Stranger()
    stranger.send(invite())
    ok = stranger.picks_up()
    stranger.send(text("BYE", to_tag=ok.to_tag, cseq="2 BYE", branch="z9hG4bKb"))
    (late,) = stranger.send(text("CANCEL"))
    assert isinstance(late, Response)
    assert (late.status, late.to_tag) == (200, ok.to_tag)
