"""Keys by INFO to a far end that takes them so."""

from __future__ import annotations

import pytest

from callrouter.ports import Ended, KeysRefused
from callrouter.sip.protocol.incoming import IncomingSession
from callrouter.sip.protocol.message import Request, Response
from tests.narrowing import only
from tests.protocol.stranger import Stranger, invite, reply, text
from tests.protocol.wire import CALLEE_MEDIA, SECOND


def up(*lines: str) -> tuple[Stranger, IncomingSession]:
    stranger = Stranger()
    stranger.send(invite(*lines))
    stranger.picks_up()
    return stranger, stranger.calls[0]


def the(sent: list[Request | Response]) -> Request:
    info = only(Request, sent)
    assert info.method == "INFO"
    return info


def test_keys_go_one_after_the_other() -> None:
    stranger, session = up("Allow: INVITE, INFO")
    assert session.takes_keys
    session.press("5", stranger.now)
    session.press("#0", stranger.now)
    info = the(stranger.take())
    for signal, sequence in [("5", 1), ("#", 2), ("0", 3)]:
        assert info.content_type == "application/dtmf-relay"
        assert info.body == f"Signal={signal}\r\nDuration=160\r\n".encode()
        assert info.cseq.number == sequence
        after = stranger.send(reply(info, 200))
        if signal != "0":
            info = the(after)
    assert after == []
    assert session.takes_keys


@pytest.mark.parametrize("status", [415, 405, 501, 401])
def test_who_refuses_one_is_sent_no_more_and_those_that_waited_are_told(status: int) -> None:
    stranger, session = up("Allow: INVITE, INFO")
    session.press("5#", stranger.now)
    assert stranger.send(reply(the(stranger.take()), status)) == []
    assert [e.keys for e in stranger.events if isinstance(e, KeysRefused)] == ["5#"]
    assert not session.takes_keys
    assert session.is_up


def test_keys_that_nobody_answers_are_told_too() -> None:
    stranger, session = up("Allow: INVITE, INFO")
    session.press("5", stranger.now)
    stranger.run(33 * SECOND)
    assert [e.keys for e in stranger.events if isinstance(e, KeysRefused)] == ["5"]


def test_who_knows_nothing_of_the_call_has_ended_it() -> None:
    stranger, session = up("Allow: INVITE, INFO")
    session.press("5", stranger.now)
    stranger.send(reply(the(stranger.take()), 481))
    assert [type(e) for e in stranger.events][-1] is Ended


def test_who_takes_keys_by_signalling_says_so_or_sends_some() -> None:
    assert not up()[1].takes_keys
    assert not up("Allow: INVITE, ACK, BYE")[1].takes_keys
    stranger, session = up()
    info = text(
        "INFO",
        "Content-Type: application/dtmf",
        to_tag=session.local_tag,
        cseq="2 INFO",
        branch="z9hG4bKinfo",
        body="5",
    )
    assert stranger.status(info) == 200
    assert session.takes_keys


def test_no_keys_go_out_before_the_call_is_up_or_after_it() -> None:
    stranger = Stranger()
    stranger.send(invite("Allow: INFO"))
    session = stranger.calls[0]
    session.press("5", stranger.now)
    session.answer(CALLEE_MEDIA, stranger.now)
    assert not session.takes_keys
    assert only(Response, stranger.take()).status == 200
    stranger, session = up("Allow: INFO")
    stranger.send(text("BYE", to_tag=session.local_tag, cseq="2 BYE", branch="z9hG4bKbye"))
    session.press("5", stranger.now)
    assert stranger.take() == []
