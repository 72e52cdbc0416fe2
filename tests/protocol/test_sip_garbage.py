"""What a call leaves behind is gone with its last reference: the collector, which holds everybody up
while it looks for what refers to itself, has nothing to find."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator

import pytest

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
