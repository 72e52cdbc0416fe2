"""Bodies that hold more than a description, or none: what comes of the call."""

from __future__ import annotations

import pytest

from callrouter.sip.protocol.message import Response
from tests.protocol.stranger import CONTACT, OFFER, SDP_TYPE, Stranger, invite, text
from tests.protocol.wire import CALLEE_MEDIA


def within(method: str, tag: str, kind: str, *, number: int) -> str:
    return text(
        method, CONTACT, kind, to_tag=tag, cseq=f"{number} {method}", branch=f"z9hG4bKw{number}", body=OFFER
    )


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_what_comes_within_a_call_is_held_to_the_same(method: str) -> None:
    """A body of another type changes nothing about a call, and is told apart from a bad offer."""
    stranger = Stranger()
    stranger.send(invite())
    ok = stranger.picks_up()
    for number, kind in enumerate(("Content-Type: text/plain", f"{SDP_TYPE}\r\nContent-Encoding: gzip"), 2):
        (refused,) = stranger.send(within(method, ok.to_tag, kind, number=number))
        assert isinstance(refused, Response)
        assert refused.status == 415
        assert refused.get("Accept") == "application/sdp, multipart/mixed"
    (answered,) = stranger.send(within(method, ok.to_tag, SDP_TYPE, number=4))
    assert isinstance(answered, Response)
    assert answered.status == 200


def test_an_offer_beside_the_signalling_of_another_network_is_answered() -> None:
    stranger = Stranger()
    parts = (
        f"--x\r\n{SDP_TYPE}\r\n\r\n{OFFER}\r\n--x\r\nContent-Type: application/isup\r\n"
        "Content-Disposition: signal;handling=optional\r\n\r\n\x01\x02\r\n--x--\r\n"
    )
    stranger.send(text("INVITE", CONTACT, "Content-Type: multipart/mixed;boundary=x", body=parts))
    (session,) = stranger.calls
    session.answer(CALLEE_MEDIA, stranger.now)
    (answered,) = [m for m in stranger.take() if isinstance(m, Response)]
    assert b"m=audio" in answered.body
    assert session.audio is not None
    assert session.audio.remote.host == "192.0.2.9"


def test_a_body_that_may_be_left_alone_makes_no_offer() -> None:
    stranger = Stranger()
    stranger.send(
        text(
            "INVITE",
            CONTACT,
            "Content-Type: text/plain",
            "Content-Disposition: render;handling=optional",
            body="x",
        )
    )
    (session,) = stranger.calls
    session.answer(CALLEE_MEDIA, stranger.now)
    (answered,) = [m for m in stranger.take() if isinstance(m, Response)]
    assert answered.status == 200
    assert b"a=rtpmap:8 PCMA/8000" in answered.body
