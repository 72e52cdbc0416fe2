"""Offers within a call that come to nothing, and what the next ones make of it."""

from __future__ import annotations

import pytest

from callrouter.ports import (
    Direction,
    Held,
    LinesAnswered,
    LinesOffered,
    LinesRetracted,
    MediaAddress,
    MediaChanged,
    PassedLine,
    Passing,
)
from callrouter.sip.protocol.agent import AgentSettings
from callrouter.sip.protocol.incoming import IncomingSession
from callrouter.sip.protocol.message import Request, Response
from tests.protocol.stranger import ANSWER, OFFER, Stranger, invite, reply, text

FINGERPRINT = "sha-256 " + ":".join(["AB"] * 32)
BROWSER = (
    "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"
    "m=audio 6000 UDP/TLS/RTP/SAVPF 0\r\na=rtcp-mux\r\na=ice-ufrag:Wxyz\r\n"
    f"a=ice-pwd:abcdefghijklmnopqrstuv\r\na=fingerprint:{FINGERPRINT}\r\na=setup:actpass\r\n"
)
VIDEO = OFFER + "m=video 6002 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n"
PICTURES = Passing((PassedLine(1, "video", "RTP/AVP", ("97",), MediaAddress("192.0.2.2", 5002)),))


def up(body: str = OFFER, settings: AgentSettings | None = None) -> tuple[Stranger, IncomingSession]:
    stranger = Stranger()
    if settings is not None:
        stranger.agent.settings = settings
    stranger.send(invite(body=body))
    stranger.picks_up()
    return stranger, stranger.calls[0]


def again(call: IncomingSession, body: str, number: int = 2) -> str:
    tag = call.local_tag
    return invite(branch=f"z9hG4bKr{number}", cseq=f"{number} INVITE", to_tag=tag, body=body)


def passing() -> tuple[Stranger, IncomingSession]:
    """A call that may be offered video, by either end."""
    stranger, call = up(settings=AgentSettings(user_agent="ours", passes=frozenset({"video"})))
    call.open_passage(True, stranger.now)
    return stranger, call


def test_after_an_offer_of_ours_was_refused_a_browsers_next_one_is_an_offer() -> None:
    stranger, call = up(BROWSER, AgentSettings(user_agent="ours", fingerprint=FINGERPRINT))
    call.hold(True, stranger.now)
    (ours,) = stranger.take()
    stranger.send(reply(ours, 488))
    (ok,) = stranger.send(again(call, BROWSER))
    assert isinstance(ok, Response)
    assert ok.status == 200
    assert b"a=setup:active\r\n" in ok.body


def test_an_offer_that_waits_for_somebody_else_can_be_cancelled() -> None:
    stranger, call = passing()
    (trying,) = stranger.send(again(call, VIDEO))
    assert isinstance(trying, Response)
    assert trying.status == 100
    cancel = text("CANCEL", branch="z9hG4bKr2", cseq="2 CANCEL", to_tag=call.local_tag)
    answers = stranger.send(cancel)
    assert [(m.status, m.cseq.method) for m in answers if isinstance(m, Response)] == [
        (200, "CANCEL"),
        (487, "INVITE"),
    ]
    assert [type(event) for event in stranger.events[-2:]] == [LinesOffered, LinesRetracted]
    call.modification.settle(200, PICTURES, stranger.now)
    assert stranger.take() == [], "it is too late to be answered"
    stranger.send(text("ACK", branch="z9hG4bKr2", cseq="2 ACK", to_tag=call.local_tag))
    assert stranger.status(again(call, OFFER, 3)) == 200


def test_a_cancel_that_comes_behind_the_answer_changes_nothing() -> None:
    stranger, call = passing()
    stranger.send(again(call, VIDEO))
    call.modification.settle(200, PICTURES, stranger.now)
    (ok,) = stranger.take()
    assert isinstance(ok, Response)
    assert ok.status == 200
    cancel = text("CANCEL", branch="z9hG4bKr2", cseq="2 CANCEL", to_tag=call.local_tag)
    assert stranger.status(cancel) == 200
    assert not [event for event in stranger.events if isinstance(event, LinesRetracted)]


def test_what_is_wanted_while_an_offer_is_under_way_is_offered_next() -> None:
    stranger, call = passing()
    call.offer_lines(PICTURES, is_relayed=True, now_ns=stranger.now)
    (first,) = stranger.take()
    assert b"m=video 5002" in first.body
    call.offer_lines(Passing(), is_relayed=False, now_ns=stranger.now)
    assert stranger.take() == [], "one at a time"
    ack, second = stranger.send(reply(first, 200, *ANSWER, body=VIDEO))
    assert isinstance(ack, Request)
    assert isinstance(second, Request)
    assert (ack.method, second.method) == ("ACK", "INVITE")
    assert b"m=video 0" in second.body
    stranger.send(reply(second, 200, *ANSWER, body=VIDEO.replace("m=video 6002", "m=video 0")))
    told = [event.status for event in stranger.events if isinstance(event, LinesAnswered)]
    assert told == [200, 200]
    assert not call.stream.passage.written.lines


SWITCHED_OFF = OFFER.replace("m=audio 6000", "m=audio 0")


def test_audio_that_is_switched_off_is_held_until_it_is_switched_on_again() -> None:
    stranger, call = up()
    (held,) = stranger.send(again(call, SWITCHED_OFF))
    assert isinstance(held, Response)
    assert held.status == 200
    assert b"m=audio 0 " in held.body
    stranger.send(text("ACK", branch="z9hG4bKa2", cseq="2 ACK", to_tag=call.local_tag))
    (changed,) = (event for event in stranger.events if isinstance(event, MediaChanged))
    assert changed.audio.direction is Direction.INACTIVE
    assert Held(stranger.now, True) in stranger.events
    (again_on,) = stranger.send(again(call, OFFER, 3))
    assert isinstance(again_on, Response)
    assert again_on.status == 200
    assert b"m=audio 5000 " in again_on.body
    assert Held(stranger.now, False) in stranger.events
    assert call.audio is not None
    assert call.audio.direction is Direction.SENDRECV


def test_an_offer_of_ours_names_our_port_while_theirs_is_switched_off() -> None:
    stranger, call = up()
    stranger.send(again(call, SWITCHED_OFF))
    stranger.send(text("ACK", branch="z9hG4bKa2", cseq="2 ACK", to_tag=call.local_tag))
    (late,) = stranger.send(again(call, "", 3))
    assert isinstance(late, Response)
    assert b"m=audio 5000 " in late.body


@pytest.mark.parametrize(
    "body",
    [
        SWITCHED_OFF + "m=image 6002 udptl t38\r\n",  # a fax, while nobody can pass it on
        SWITCHED_OFF.replace("m=audio 0", "m=video 0"),
        OFFER.replace("0 8 101", "18"),
    ],
)
def test_whatever_else_has_no_audio_is_refused_and_changes_nothing(body: str) -> None:
    stranger, call = up()
    before = call.audio
    assert stranger.status(again(call, body)) == 488
    assert call.audio == before


def test_a_call_does_not_begin_switched_off() -> None:
    assert Stranger().status(invite(body=SWITCHED_OFF)) == 488
