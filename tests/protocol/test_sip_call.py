"""Whole calls between two cores: set-up, media, end, and that nothing stays behind."""

from __future__ import annotations

import pytest

from callrouter.ports import (
    Answered,
    Confirmed,
    Direction,
    EndCause,
    Ended,
    Failed,
    Held,
    MediaChanged,
    Ringing,
)
from callrouter.sip.protocol.timers import LIFETIME, MS
from tests.protocol.wire import CALLEE_MEDIA, CALLER_MEDIA, SECOND, Seen, Wire


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_call_is_set_up_answered_and_ended_by_the_caller(transport: str) -> None:
    wire = Wire(transport)
    session, _ = wire.established()
    answered = wire.caller.last(Answered)
    assert answered.audio.remote == CALLEE_MEDIA
    wire.callee.last(Confirmed)
    assert wire.callee.calls[0].audio is not None
    assert wire.callee.calls[0].audio.remote == CALLER_MEDIA
    session.hangup("", wire.now)
    wire.run(SECOND)
    ended = wire.callee.last(Ended)
    assert ended.cause is EndCause.BYE
    assert wire.names() == ["INVITE", "200 INVITE", "ACK", "BYE", "200 BYE"]
    wire.settle()


def test_a_call_is_ended_by_the_callee() -> None:
    wire = Wire()
    _, incoming = wire.established()
    incoming.hangup("Q.850;cause=16", wire.now)
    wire.run(SECOND)
    ended = wire.caller.last(Ended)
    assert (ended.cause, ended.detail) == (EndCause.BYE, "normal call clearing (Q.850 16)")
    wire.settle()


def test_ringing_and_early_media_are_told_before_the_answer() -> None:
    wire = Wire()
    wire.invite()
    wire.run(50 * MS)
    incoming = wire.callee.calls[0]
    incoming.ring(wire.now)
    wire.run(50 * MS)
    incoming.progress(CALLEE_MEDIA, wire.now)
    wire.run(50 * MS)
    incoming.answer(CALLEE_MEDIA, wire.now)
    wire.run(50 * MS)
    assert [type(event) for _, event in wire.caller.events] == [Ringing, Ringing, Answered]
    alerting, early = wire.caller.told(Ringing)
    assert (alerting.status, early.status) == (180, 183)
    assert alerting.early is None
    assert early.early is not None
    assert early.early.remote == CALLEE_MEDIA
    bodies = [s.message.body for s in wire.seen if s.name in ("183 INVITE", "200 INVITE")]
    assert bodies[0]
    assert not bodies[1], "the answer was acknowledged already"


def test_a_callee_that_takes_its_time_sends_100_first() -> None:
    wire = Wire()
    wire.invite()
    wire.run(SECOND)
    assert wire.names("callee") == ["100 INVITE"]
    assert wire.names("caller") == ["INVITE"]


@pytest.mark.parametrize(
    ("sent", "returned"), [("54.5", "54.5 0.100"), ("54 0.2", "54 0.100"), ("noon", None)]
)
def test_100_gives_the_callers_clock_back_and_says_how_long_it_took(sent: str, returned: str | None) -> None:
    wire = Wire()
    wire.invite((("Timestamp", sent),))
    wire.run(SECOND)
    (trying,) = [seen.message for seen in wire.seen if seen.name == "100 INVITE"]
    assert trying.get("Timestamp") == returned


def test_a_refusal_is_told_with_its_status_and_acknowledged() -> None:
    wire = Wire()
    wire.callee.on_call = lambda s, now: s.reject(486, "", (("X-Why", "lunch"),), now)
    wire.invite()
    wire.run(SECOND)
    failed = wire.caller.last(Failed)
    assert (failed.status, failed.headers["X-Why"]) == (486, "lunch")
    assert wire.names() == ["INVITE", "486 INVITE", "ACK"]
    wire.settle()


def test_cancel_ends_both_sides_of_an_unanswered_call() -> None:
    wire = Wire()
    session = wire.invite()
    wire.run(SECOND)
    session.hangup("", wire.now)
    wire.run(SECOND)
    assert wire.caller.last(Failed).status == 487
    ended = wire.callee.last(Ended)
    assert ended.cause is EndCause.CANCEL
    assert wire.names()[2:] == ["CANCEL", "200 CANCEL", "487 INVITE", "ACK"]
    wire.settle()


def test_cancel_that_crosses_the_200_is_followed_by_ack_and_bye() -> None:
    wire = Wire()
    session = wire.invite()
    wire.run(SECOND)
    wire.callee.calls[0].answer(CALLEE_MEDIA, wire.now)
    session.hangup("", wire.now)
    wire.run(SECOND)
    assert wire.names("caller") == ["INVITE", "CANCEL", "ACK", "BYE"]
    assert [type(e) for _, e in wire.caller.events] == [Failed]
    wire.callee.last(Ended)
    wire.settle()


def test_hangup_before_anything_came_back_waits_for_a_sign_of_life_to_cancel() -> None:
    wire = Wire()
    session = wire.invite()
    session.hangup("", wire.now)
    wire.run(SECOND)
    assert wire.names("caller") == ["INVITE", "CANCEL", "ACK"]
    wire.settle()


def test_a_peer_that_never_answers_is_given_up_after_64_t1() -> None:
    wire = Wire()
    wire.drop = lambda seen: True
    wire.invite()
    wire.run(LIFETIME - 1)
    assert wire.caller.events == []
    wire.run(2)
    assert wire.caller.last(Failed).status == 408
    assert len(wire.seen) == 7
    wire.settle()


def test_a_200_that_is_never_acknowledged_ends_in_no_ack_and_bye() -> None:
    wire = Wire()
    wire.drop = lambda seen: seen.name == "ACK"
    wire.answering()
    wire.invite()
    wire.run(31 * SECOND)
    assert wire.callee.events == []
    wire.run(2 * SECOND)
    ended = wire.callee.last(Ended)
    assert ended.cause is EndCause.NO_ACK
    assert wire.names("callee")[-1] == "BYE"
    assert wire.names("callee").count("200 INVITE") == 11
    wire.settle()


def test_hangup_of_an_unacknowledged_answer_waits_for_the_ack() -> None:
    wire = Wire()
    wire.drop = lambda seen: seen.name == "ACK" and seen.at_ns < wire_start + 3 * SECOND
    wire_start = wire.now
    wire.answering()
    wire.invite()
    wire.run(SECOND)
    wire.callee.calls[0].hangup("", wire.now)
    assert "BYE" not in wire.names()
    wire.run(10 * SECOND)
    assert wire.names("callee")[-1] == "BYE"
    assert wire.callee.events == []
    wire.settle()


def test_hold_and_resume_change_the_direction_on_both_sides() -> None:
    wire = Wire()
    session, incoming = wire.established()
    session.hold(True, wire.now)
    wire.run(SECOND)
    assert wire.callee.last(MediaChanged).audio.direction is Direction.RECVONLY
    assert wire.caller.last(MediaChanged).audio.direction is Direction.SENDONLY
    assert [event.on for event in wire.callee.told(Held)] == [True]
    assert wire.caller.told(Held) == [], "who is made to listen holds nobody"
    session.hold(False, wire.now)
    wire.run(SECOND)
    assert wire.callee.last(MediaChanged).audio.direction is Direction.SENDRECV
    assert wire.caller.last(MediaChanged).audio.direction is Direction.SENDRECV
    incoming.hold(True, wire.now)
    wire.run(SECOND)
    assert wire.caller.last(MediaChanged).audio.direction is Direction.RECVONLY
    assert [event.on for event in wire.callee.told(Held)] == [True, False]
    assert [event.on for event in wire.caller.told(Held)] == [True]
    session.hangup("", wire.now)
    wire.settle()


def test_two_reinvites_at_once_are_both_refused_with_491_and_tried_again() -> None:
    wire = Wire()
    session, incoming = wire.established()
    session.hold(True, wire.now)
    incoming.hold(True, wire.now)
    wire.run(10 * SECOND)
    assert wire.names().count("491 INVITE") == 2
    assert session.audio is not None
    assert incoming.audio is not None
    assert session.audio.direction is Direction.INACTIVE
    assert incoming.audio.direction is Direction.INACTIVE
    session.hangup("", wire.now)
    wire.settle()


def test_a_callee_that_only_rings_is_given_up_and_cancelled() -> None:
    """Timer C (RFC 3261 §16.6): every sign of life but 100 starts it again; the callee's repeated ones
    (§13.3.1.1) get lost here."""
    wire = Wire()
    signs: list[str] = []

    def repeated(seen: Seen) -> bool:
        known = seen.name in signs
        signs.append(seen.name)
        return known and seen.name[:2] == "18"

    wire.drop = repeated
    limit = wire.caller.agent.settings.unanswered_seconds * SECOND
    wire.callee.on_call = lambda session, now: session.ring(now)
    session = wire.invite()
    wire.run(limit - SECOND)
    wire.callee.calls[0].progress(CALLEE_MEDIA, wire.now)
    wire.run(limit - SECOND)
    assert not wire.caller.told(Failed)
    assert "CANCEL" not in wire.names()
    wire.run(2 * SECOND)
    (failed,) = wire.caller.told(Failed)
    assert isinstance(failed, Failed)
    assert (failed.status, failed.reason) == (408, "no final answer")
    assert wire.names("caller").count("CANCEL") == 1
    assert session.is_over
    assert "487 INVITE" in wire.names("callee")
    wire.settle()


def test_the_time_to_answer_is_over_with_the_answer() -> None:
    wire = Wire()
    session, _ = wire.established()
    wire.run(wire.caller.agent.settings.unanswered_seconds * SECOND + SECOND)
    assert not session.is_over
    assert not wire.caller.told(Failed)
