"""An INVITE that takes the place of another call's far end (RFC 3891)."""

from __future__ import annotations

import pytest

from callrouter.ports import Confirmed, Ended, Failed, MediaChanged, Ringing
from callrouter.sip.protocol.incoming import IncomingSession, NewCall, Replaced
from callrouter.sip.protocol.message import Request, Response, parse
from callrouter.sip.protocol.outgoing import OutgoingSession
from callrouter.sip.protocol.timers import MS
from tests.narrowing import as_a, only
from tests.protocol.stranger import CONTACT, OFFER, SDP_TYPE, Stranger, invite, text
from tests.protocol.test_sip_transfer import up
from tests.protocol.wire import CALLEE_MEDIA, SECOND, Wire


def replacing(
    tag: str, more: str = "", *, call_id: str = "c1", from_tag: str = "f1", branch: str = "z9hG4bKnew"
) -> str:
    line = f"Replaces: {call_id};to-tag={tag};from-tag={from_tag}{more}"
    body = OFFER.replace("6000", "6600")
    return invite(line, call_id=f"c2{branch}", from_tag="g1", branch=branch, body=body)


def test_another_phone_takes_the_place_of_the_first_without_a_new_call() -> None:
    stranger = Stranger()
    tag = up(stranger)
    stranger.agent.receive(parse(replacing(tag).encode()), stranger.hop, stranger.now)
    events = [event for _, event in stranger.agent.events]
    assert not any(isinstance(e, NewCall) for e in events)
    (replaced,) = [e for e in events if isinstance(e, Replaced)]
    (changed,) = [e for e in events if isinstance(e, MediaChanged)]
    assert changed.audio.remote.port == 6600
    stranger.agent.events.clear()
    taken_up, left = stranger.take()
    ok, bye = as_a(Response, taken_up), as_a(Request, left)
    assert (ok.status, ok.call_id[:2]) == (200, "c2")
    assert b"m=audio 5000" in ok.body
    assert (bye.method, bye.call_id) == ("BYE", "c1")
    stranger.send(
        text("ACK", call_id=ok.call_id, from_tag="g1", to_tag=ok.to_tag, cseq="1 ACK", branch="z9hG4bKa2")
    )
    replaced.session.hangup("", stranger.now)
    (last,) = [m for m in stranger.take() if isinstance(m, Request)]
    assert (last.method, last.call_id) == ("BYE", ok.call_id)
    assert not [e for e in stranger.events if isinstance(e, Ended)]


@pytest.mark.parametrize(
    ("more", "given", "status"),
    [
        ("", {"call_id": "other"}, 481),
        ("", {"from_tag": "other"}, 481),
        (";early-only", {}, 486),
        ("\r\nReplaces: c1;to-tag=a;from-tag=b", {}, 400),
    ],
)
def test_only_whoever_knows_the_dialog_may_take_its_place(
    more: str, given: dict[str, str], status: int
) -> None:
    stranger = Stranger()
    tag = up(stranger)
    assert stranger.status(replacing(tag, more, **given)) == status
    assert stranger.calls[0].is_up


def test_a_place_that_cannot_be_read_or_is_not_taken_is_refused() -> None:
    stranger = Stranger()
    assert stranger.status(replacing("nobody")) == 481
    assert stranger.status(invite("Replaces: c1", call_id="c3", branch="z9hG4bK3")) == 400


def test_a_call_that_still_rings_cannot_be_replaced_by_a_stranger() -> None:
    stranger = Stranger()
    stranger.send(invite())
    stranger.now += 10 * MS
    assert stranger.status(replacing(stranger.calls[0].local_tag)) == 481
    assert stranger.status(replacing(stranger.calls[0].local_tag, ";early-only", branch="z9hG4bKo")) == 481


def test_a_call_whose_answer_is_not_acknowledged_yet_is_up() -> None:
    stranger = Stranger()
    stranger.send(invite())
    first = stranger.calls[0]
    first.answer(CALLEE_MEDIA, stranger.now)
    ok = only(Response, stranger.take())
    assert stranger.status(replacing(ok.to_tag, ";early-only")) == 486
    assert stranger.status(replacing(ok.to_tag, branch="z9hG4bKb")) == 200
    ack = text("ACK", to_tag=ok.to_tag, cseq="1 ACK", branch="z9hG4bKa")
    bye = only(Request, stranger.send(ack))
    assert (bye.method, bye.call_id) == ("BYE", "c1")


def test_a_call_that_is_being_ended_is_declined() -> None:
    stranger = Stranger()
    tag = up(stranger)
    stranger.calls[0].hangup("", stranger.now)
    stranger.take()
    assert stranger.status(replacing(tag)) == 603


# -- a call that we have placed, and that still rings


def pick_up(session: OutgoingSession, callee_tag: str, more: str = "", body: str = OFFER) -> bytes:
    line = f"Replaces: call-1;to-tag={session.local_tag};from-tag={callee_tag}{more}"
    lines = (CONTACT, SDP_TYPE, line) if body else (CONTACT, line)
    return text("INVITE", *lines, body=body, call_id="pick-up", from_tag="p1", branch="z9hG4bKup").encode()


def ringing(wire: Wire) -> tuple[OutgoingSession, str]:
    """A call that rings, and the tag of the callee."""
    session = wire.invite()
    wire.run(50 * MS)
    wire.callee.calls[0].ring(wire.now)
    wire.run(50 * MS)
    return session, wire.callee.calls[0].local_tag


def taken(wire: Wire) -> IncomingSession:
    (session,) = {event.session for _, event in wire.caller.events if isinstance(event, Replaced)}
    return session


def status_for(wire: Wire) -> int:
    """Of the last answer to whoever picks up."""
    answers = [
        s.message for s in wire.seen if isinstance(s.message, Response) and s.message.call_id == "pick-up"
    ]
    return answers[-1].status


@pytest.mark.parametrize("more", ["", ";early-only"])
def test_a_colleague_picks_up_and_the_telephone_stops_ringing(more: str) -> None:
    wire = Wire()
    session, tag = ringing(wire)
    wire.inject(wire.caller, pick_up(session, tag, more))
    assert status_for(wire) == 200
    ok = wire.seen[-2].message if wire.seen[-1].name == "CANCEL" else wire.seen[-1].message
    assert b"m=audio 4000 " in ok.body, "our audio is where it was"
    wire.run(SECOND)
    assert wire.names("callee")[-1:] == ["487 INVITE"]
    wire.callee.last(Ended)
    (changed,) = [e for s, e in wire.caller.events if s is taken(wire) and isinstance(e, MediaChanged)]
    assert changed.audio.remote.port == 6000
    assert [e.status for s, e in wire.caller.events if s is session and isinstance(e, Failed)] == [487]
    acknowledge(wire)
    taken(wire).hangup("", wire.now)
    wire.flush()
    assert wire.seen[-1].name == "BYE"


def acknowledge(wire: Wire, body: str = "") -> None:
    ok = next(s.message for s in wire.seen if s.name == "200 INVITE" and s.message.call_id == "pick-up")
    lines = (SDP_TYPE,) if body else ()
    given = {"call_id": "pick-up", "from_tag": "p1", "branch": "z9hG4bKpa", "cseq": "1 ACK", "body": body}
    wire.inject(wire.caller, text("ACK", *lines, to_tag=ok.to_tag, **given).encode())


def test_who_picks_up_may_leave_the_offer_to_us() -> None:
    wire = Wire()
    session, tag = ringing(wire)
    wire.inject(wire.caller, pick_up(session, tag, body=""))
    acknowledge(wire, OFFER)
    confirmed = only(Confirmed, wire.caller.told(Confirmed))
    assert confirmed.audio is not None
    assert confirmed.audio.remote.port == 6000


def test_a_callee_that_answers_at_the_same_time_is_hung_up() -> None:
    wire = Wire()
    session, tag = ringing(wire)
    wire.callee.calls[0].answer(CALLEE_MEDIA, wire.now)
    wire.inject(wire.caller, pick_up(session, tag))
    wire.run(SECOND)
    asked = [name for name in wire.names("caller") if name != "200 INVITE"]
    assert asked[-2:] == ["ACK", "BYE"]
    wire.callee.last(Ended)


def test_of_several_that_ring_any_may_be_named() -> None:
    """A proxy has forked the call."""
    wire = Wire()
    session, tag = ringing(wire)
    other = next(s.message for s in wire.seen if s.name == "180 INVITE")
    wire.inject(wire.caller, bytes(other).replace(tag.encode(), b"second"), host=wire.callee.host)
    assert [e.status for e in wire.caller.told(Ringing)] == [180, 180]
    wire.inject(wire.caller, pick_up(session, "second"))
    assert status_for(wire) == 200


@pytest.mark.parametrize(("tag", "status"), [("nobody", 481), ("", 400)])
def test_nobody_is_put_in_the_place_of_a_callee_that_has_not_been_heard_of(tag: str, status: int) -> None:
    wire = Wire()
    wire.inject(wire.caller, pick_up(wire.invite(), tag))
    assert status_for(wire) == status
    assert not wire.caller.told(Replaced)


def test_a_call_that_was_given_up_is_declined() -> None:
    wire = Wire()
    session, tag = ringing(wire)
    session.hangup("", wire.now)
    wire.inject(wire.caller, pick_up(session, tag))
    assert status_for(wire) == 603


def test_who_cannot_be_understood_leaves_the_others_ringing() -> None:
    wire = Wire()
    session, tag = ringing(wire)
    wire.inject(wire.caller, pick_up(session, tag, body=OFFER.replace("0 8 101", "99")))
    assert status_for(wire) == 488
    wire.callee.calls[0].answer(CALLEE_MEDIA, wire.now)
    wire.run(SECOND)
    assert session.is_up
