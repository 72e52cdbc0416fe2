"""A re-INVITE of ours for video that is wanted no more: CANCEL, when it may be sent (RFC 3261 §9.1); and
what goes on when somebody else takes the far end's place."""

from __future__ import annotations

from callrouter.ports import (
    AUDIO_ALONE,
    Direction,
    EndCause,
    Ended,
    Held,
    LinesAnswered,
    LinesReset,
    MediaAddress,
    PassedLine,
    Passing,
)
from callrouter.sip.protocol.incoming import IncomingSession
from callrouter.sip.protocol.message import Request, Response
from tests.narrowing import only
from tests.protocol.stranger import ANSWER, OFFER, Stranger, invite, reply, text
from tests.protocol.wire import SECOND

VIDEO = Passing((PassedLine(1, "video", "RTP/AVP", ("97",), MediaAddress("192.0.2.2", 7000)),))


def up(stranger: Stranger) -> tuple[IncomingSession, str]:
    """A call that is up, and our tag in it."""
    stranger.send(invite())
    tag = stranger.picks_up().to_tag
    stranger.events.clear()
    return stranger.calls[0], tag


def asking(stranger: Stranger) -> tuple[IncomingSession, Request]:
    session, _ = up(stranger)
    session.open_passage(True, stranger.now)
    session.offer_lines(VIDEO, is_relayed=True, now_ns=stranger.now)
    (asked,) = stranger.take()
    assert isinstance(asked, Request)
    assert b"m=video 7000" in asked.body
    return session, asked


def answers(stranger: Stranger) -> list[int]:
    return [event.status for event in stranger.events if isinstance(event, LinesAnswered)]


def test_a_fax_that_nobody_is_there_for_any_more_is_declined_and_the_call_goes_on() -> None:
    stranger = Stranger()
    session, tag = up(stranger)
    session.open_passage(True, stranger.now)
    fax = OFFER.replace("audio 6000 RTP/AVP 0 8 101", "image 6000 udptl t38")
    assert fax != OFFER
    trying = only(Response, stranger.send(invite(body=fax, to_tag=tag, cseq="2 INVITE", branch="z9hG4bKre2")))
    assert trying.status == 100
    session.open_passage(False, stranger.now)
    assert only(Response, stranger.take()).status == 488
    stranger.send(text("ACK", to_tag=tag, cseq="2 ACK", branch="z9hG4bKre2"))
    assert session.is_up
    again = invite(to_tag=tag, cseq="3 INVITE", branch="z9hG4bKre3")
    assert only(Response, stranger.send(again)).status == 200


def test_nothing_is_cancelled_before_it_is_known_to_have_arrived() -> None:
    stranger = Stranger()
    session, asked = asking(stranger)
    session.modification.recall(stranger.now)
    assert stranger.take() == []
    cancel = only(Request, stranger.send(reply(asked, 100)))
    assert (cancel.method, cancel.cseq.number) == ("CANCEL", asked.cseq.number)
    assert [name for name, _ in cancel.fields] == [
        "Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length",
    ]  # fmt: skip
    stranger.send(reply(cancel, 200))
    ack = only(Request, stranger.send(reply(asked, 487)))
    assert ack.method == "ACK"
    assert answers(stranger) == [487]
    assert session.is_up


def test_what_was_taken_all_the_same_is_told() -> None:
    stranger = Stranger()
    session, asked = asking(stranger)
    stranger.send(reply(asked, 100))
    session.modification.recall(stranger.now)
    session.modification.recall(stranger.now)
    cancel = only(Request, stranger.take())
    assert cancel.method == "CANCEL", "once"
    stranger.send(reply(asked, 200, *ANSWER, body=OFFER + "m=video 6002 RTP/AVP 97\r\n"))
    assert answers(stranger) == [200]


def test_a_cancelled_request_that_nobody_answers_does_not_cost_the_call() -> None:
    stranger = Stranger()
    session, asked = asking(stranger)
    stranger.send(reply(asked, 100))
    session.modification.recall(stranger.now)
    stranger.take()
    stranger.run(70 * SECOND)
    assert answers(stranger) == [487]
    assert not [event for event in stranger.events if isinstance(event, Ended)]
    assert session.is_up


def test_who_has_not_even_heard_what_is_taken_back_is_not_there_any_more() -> None:
    stranger = Stranger()
    session, _ = asking(stranger)
    session.modification.recall(stranger.now)
    stranger.run(33 * SECOND)
    assert [event.cause for event in stranger.events if isinstance(event, Ended)] == [EndCause.TIMEOUT]


def test_what_has_not_been_asked_yet_is_asked_no_more() -> None:
    stranger = Stranger()
    session, tag = up(stranger)
    session.open_passage(True, stranger.now)
    stranger.send(invite(to_tag=tag, cseq="2 INVITE", branch="z9hG4bK2"))
    session.offer_lines(VIDEO, is_relayed=True, now_ns=stranger.now)
    session.modification.recall(stranger.now)
    stranger.send(text("ACK", to_tag=tag, cseq="2 ACK", branch="z9hG4bKack2"))
    assert answers(stranger) == [487]
    assert session.stream.passage.written == AUDIO_ALONE


def replaced(stranger: Stranger, tag: str) -> tuple[IncomingSession, Response]:
    line = f"Replaces: c1;to-tag={tag};from-tag=f1"
    messages = stranger.send(invite(line, call_id="c2", from_tag="g1", branch="z9hG4bKnew"))
    (ok,) = [m for m in messages if isinstance(m, Response)]
    session = stranger.agent.sessions[ok.to_tag]
    assert isinstance(session, IncomingSession)
    return session, ok


def test_whoever_takes_the_place_of_one_who_held_does_not_hold() -> None:
    stranger = Stranger()
    _, tag = up(stranger)
    stranger.send(invite(to_tag=tag, cseq="2 INVITE", branch="z9hG4bK2", body=OFFER + "a=sendonly\r\n"))
    stranger.send(text("ACK", to_tag=tag, cseq="2 ACK", branch="z9hG4bKack2"))
    assert [event.on for event in stranger.events if isinstance(event, Held)] == [True]
    replaced(stranger, tag)
    assert [event.on for event in stranger.events if isinstance(event, Held)] == [True, False]


def test_whoever_takes_a_place_is_held_as_who_had_it_and_may_have_lines_offered() -> None:
    stranger = Stranger()
    session, tag = up(stranger)
    session.open_passage(True, stranger.now)
    session.hold(True, stranger.now)
    (asked,) = stranger.take()
    stranger.send(reply(asked, 200, *ANSWER, body=OFFER + "a=recvonly\r\n"))
    new, ok = replaced(stranger, tag)
    assert [event for event in stranger.events if isinstance(event, LinesReset)]
    ack = text("ACK", call_id="c2", from_tag="g1", to_tag=ok.to_tag, cseq="1 ACK", branch="z9hG4bKa2")
    (told,) = [m for m in stranger.send(ack) if isinstance(m, Request) and m.method == "INVITE"]
    assert b"a=sendonly" in told.body
    assert new.audio is not None
    assert new.audio.direction is Direction.SENDONLY
