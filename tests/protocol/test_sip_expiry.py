"""How long an invitation is good for (RFC 3261 §13.3.1)."""

from __future__ import annotations

import pytest

from callrouter.ports import EndCause, Ended
from callrouter.sip.protocol.message import Response
from tests.protocol.stranger import Stranger, invite
from tests.protocol.wire import SECOND


def test_an_invitation_is_good_for_as_long_as_it_says() -> None:
    stranger = Stranger()
    stranger.send(invite("Expires: 20"))
    stranger.calls[0].ring(stranger.now)
    stranger.take()
    assert not [m for m in stranger.run(19 * SECOND) if isinstance(m, Response) and m.status >= 200]
    assert [m.status for m in stranger.run(1 * SECOND) if isinstance(m, Response)] == [487]
    (ended,) = stranger.events
    assert isinstance(ended, Ended)
    assert ended.cause is EndCause.CANCEL


@pytest.mark.parametrize("expires", ["Expires: 20", "Expires: soon", "Expires: 99999999999"])
def test_an_answer_outlives_the_invitation(expires: str) -> None:
    stranger = Stranger()
    stranger.send(invite(expires))
    stranger.picks_up()
    stranger.run(30 * SECOND)
    assert not [e for e in stranger.events if isinstance(e, Ended)]
