"""What the core makes of a connection that is gone."""

from __future__ import annotations

import pytest

from callrouter.ports import Failed
from callrouter.sip.protocol.dialog import Dialog
from callrouter.sip.protocol.hop import Hop
from callrouter.sip.protocol.message import Request
from callrouter.sip.protocol.outgoing import Invitation
from tests.narrowing import as_a, only
from tests.protocol.stranger import Stranger, invite
from tests.protocol.wire import CALLER_MEDIA, SECOND


def connection(number: int, port: int = 5060) -> Hop:
    return Hop("tcp", "192.0.2.9", port, connection=number)


@pytest.mark.parametrize(("lost", "left"), [(7, 0), (8, 7)])
def test_a_call_that_came_by_it_looks_for_another_way(lost: int, left: int) -> None:
    stranger = Stranger("tcp")
    stranger.hop = connection(7)
    stranger.send(invite())
    stranger.picks_up()
    stranger.agent.connection_lost(connection(lost), stranger.now)
    session = stranger.calls[0]
    assert as_a(Dialog, session.dialog).hop.connection == left
    session.hangup("", stranger.now)
    assert stranger.agent.layer.out[0].hop[:3] == ("tcp", "192.0.2.9", 5060)
    assert only(Request, stranger.take()).method == "BYE"


@pytest.mark.parametrize(("port", "statuses"), [(5060, [503]), (5070, [])])
def test_a_request_that_went_out_on_it_fails_at_once(port: int, statuses: list[int]) -> None:
    stranger = Stranger("tcp")
    invitation = Invitation("sip:bob@192.0.2.9", "<sip:us@192.0.2.2>", "us", CALLER_MEDIA)
    stranger.agent.call(invitation, "ours-1").start(connection(0), stranger.now)
    stranger.take()
    stranger.run(SECOND)
    stranger.agent.connection_lost(connection(7, port), stranger.now)
    stranger.take()
    assert [event.status for event in stranger.events if isinstance(event, Failed)] == statuses
