"""Provisional responses that must not get lost (RFC 3262), UPDATE before the answer (RFC 3311), and
callees that a proxy rang all at once."""

from __future__ import annotations

import random
import weakref

import pytest

from callrouter.ports import (
    Answered,
    Confirmed,
    Direction,
    EndCause,
    Ended,
    Failed,
    MediaAddress,
    MediaChanged,
    NegotiatedAudio,
    PassedLine,
    Passing,
    Ringing,
)
from callrouter.sip.protocol.message import Request, Response
from callrouter.sip.protocol.timers import LIFETIME, MS
from tests.narrowing import as_a, only
from tests.protocol.stranger import CONTACT, OFFER, SDP_TYPE, Stranger, invite, reply, text
from tests.protocol.wire import CALLEE_MEDIA, CALLER_MEDIA, SECOND, Wire

SUPPORTED = "Supported: 100rel"
REQUIRED = "Require: 100rel"


def media_of(event: Ringing | Answered) -> MediaAddress:
    audio = event.audio if isinstance(event, Answered) else event.early
    return as_a(NegotiatedAudio, audio).remote


def responses(messages: list[Request | Response], status: int) -> list[Response]:
    return [m for m in messages if isinstance(m, Response) and m.status == status]


def prack(of: Response, *lines: str, rack: str = "", body: str = "", number: int = 2) -> str:
    rack = rack or f"{of.get('RSeq')} 1 INVITE"
    return text(
        "PRACK",
        f"RAck: {rack}",
        *lines,
        to_tag=of.to_tag,
        cseq=f"{number} PRACK",
        branch=f"z9hG4bKp{number}",
        body=body,
    )


def progressing(stranger: Stranger, *lines: str, body: str = OFFER) -> Response:
    """The 183 of a call with early media."""
    stranger.send(invite(*lines, body=body) if body else text("INVITE", CONTACT, *lines))
    stranger.calls[0].progress(CALLEE_MEDIA, stranger.now)
    (session_progress,) = stranger.take()
    assert isinstance(session_progress, Response)
    return session_progress


# -- as the callee


def test_an_offer_in_a_prack_before_the_answer_to_the_first_is_not_read() -> None:
    stranger = Stranger()
    stranger.send(invite(REQUIRED))
    stranger.calls[0].ring(stranger.now)
    ringing = only(Response, stranger.take())
    agreed = stranger.calls[0].audio
    other = OFFER.replace("6000", "7000")
    acknowledged = only(Response, stranger.send(prack(ringing, SDP_TYPE, body=other)))
    assert (acknowledged.status, acknowledged.body) == (200, b"")
    assert stranger.calls[0].audio == agreed
    assert stranger.run(2 * SECOND) == [], "nothing waits for a PRACK"
    stranger.calls[0].answer(CALLEE_MEDIA, stranger.now)
    assert b"m=audio" in only(Response, stranger.take()).body


def test_early_media_is_reliable_for_a_caller_that_can_acknowledge_it() -> None:
    stranger = Stranger()
    early = progressing(stranger, SUPPORTED)
    assert (early.status, early.get("Require")) == (183, "100rel")
    assert stranger.status(prack(early)) == 200
    stranger.calls[0].answer(CALLEE_MEDIA, stranger.now)
    (ok,) = stranger.take()
    assert not ok.body


def test_for_other_callers_it_is_not_and_the_200_repeats_the_answer() -> None:
    stranger = Stranger()
    early = progressing(stranger)
    assert early.get("RSeq") is None
    stranger.calls[0].answer(CALLEE_MEDIA, stranger.now)
    (ok,) = stranger.take()
    assert ok.body == early.body


def test_early_media_is_in_what_the_other_end_speaks_and_the_answer_stays_so() -> None:
    stranger = Stranger()
    stranger.send(invite())
    session = stranger.calls[0]
    session.progress(CALLEE_MEDIA, stranger.now, "PCMA")
    early = only(Response, stranger.take())
    assert b"m=audio 5000 RTP/AVP 8" in early.body
    session.answer(CALLEE_MEDIA, stranger.now, codec="PCMU")
    assert only(Response, stranger.take()).body == early.body


def test_pictures_that_were_declined_with_early_media_are_not_in_the_200() -> None:
    """One offer has one answer; they can be offered anew."""
    stranger = Stranger()
    stranger.send(invite(body=f"{OFFER}m=video 6002 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n"))
    session = stranger.calls[0]
    session.progress(CALLEE_MEDIA, stranger.now)
    early = only(Response, stranger.take())
    pictures = Passing((PassedLine(1, "video", "RTP/AVP", ("97",), MediaAddress("192.0.2.2", 5002)),))
    session.answer(CALLEE_MEDIA, stranger.now, pictures)
    assert only(Response, stranger.take()).body == early.body
    assert b"m=video 0 " in early.body
    assert not session.stream.passage.written.lines


def test_it_is_repeated_at_doubling_intervals_until_acknowledged() -> None:
    stranger = Stranger()
    early = progressing(stranger, SUPPORTED)
    repeated = responses(stranger.run(8 * SECOND), 183)
    assert len(repeated) == 4  # 0.5, 1.5, 3.5, 7.5 s
    assert {m.get("RSeq") for m in repeated} == {early.get("RSeq")}
    stranger.send(prack(early))
    assert not stranger.run(40 * SECOND)


def test_a_caller_that_never_acknowledges_is_refused() -> None:
    stranger = Stranger()
    progressing(stranger, SUPPORTED)
    sent = stranger.run(LIFETIME + SECOND)
    assert responses(sent, 504)
    (ended,) = stranger.events
    assert isinstance(ended, Ended)
    assert ended.cause is EndCause.TIMEOUT


def test_the_200_waits_for_the_acknowledgement_of_the_answer() -> None:
    stranger = Stranger()
    early = progressing(stranger, SUPPORTED)
    stranger.calls[0].answer(CALLEE_MEDIA, stranger.now)
    assert not responses(stranger.take(), 200)
    sent = stranger.send(prack(early))
    assert [str(m.cseq) for m in responses(sent, 200)] == ["2 PRACK", "1 INVITE"]


def test_where_it_is_required_even_ringing_is_reliable_and_one_waits_for_the_other() -> None:
    stranger = Stranger()
    stranger.send(invite(REQUIRED))
    stranger.calls[0].ring(stranger.now)
    stranger.calls[0].progress(CALLEE_MEDIA, stranger.now)
    ringing = only(Response, stranger.take())
    assert (ringing.status, ringing.get("Require")) == (180, "100rel")
    sent = stranger.send(prack(ringing))
    (early,) = responses(sent, 183)
    assert int(early.get("RSeq") or 0) == int(ringing.get("RSeq") or 0) + 1


@pytest.mark.parametrize("rack", ["99 1 INVITE", "{} 2 INVITE", "{} 1 UPDATE"])
def test_an_acknowledgement_of_something_else_is_answered_481(rack: str) -> None:
    stranger = Stranger()
    early = progressing(stranger, SUPPORTED)
    assert stranger.status(prack(early, rack=rack.format(early.get("RSeq")))) == 481
    assert responses(stranger.run(SECOND), 183)


def test_an_acknowledgement_that_crosses_the_200_is_one_and_what_waited_behind_it_is_not_sent() -> None:
    stranger = Stranger()
    stranger.send(invite(REQUIRED))
    call = stranger.calls[0]
    call.ring(stranger.now)
    call.ring(stranger.now)
    (ringing,) = stranger.take()
    assert isinstance(ringing, Response)
    call.answer(CALLEE_MEDIA, stranger.now)
    assert responses(stranger.take(), 200)
    assert stranger.status(prack(ringing, rack="99 1 INVITE")) == 481
    assert stranger.status(prack(ringing, number=3)) == 200
    assert stranger.status(prack(ringing, number=4)) == 481, "once"
    stranger.send(text("ACK", branch="z9hG4bKa", cseq="1 ACK", to_tag=ringing.to_tag))
    assert stranger.run(LIFETIME + SECOND) == []
    assert stranger.status(prack(ringing, number=5)) == 481
    assert not [event for event in stranger.events if isinstance(event, Ended)]


@pytest.mark.parametrize("rack", ["x", "1 2", "1 x INVITE", "4294967296 1 INVITE"])
def test_an_acknowledgement_that_cannot_be_read_is_answered_400(rack: str) -> None:
    stranger = Stranger()
    assert stranger.status(prack(progressing(stranger, SUPPORTED), rack=rack)) == 400


def test_prack_outside_of_a_dialog_is_answered_481() -> None:
    assert Stranger().status(text("PRACK", "RAck: 1 1 INVITE")) == 481


def test_a_late_offer_goes_out_early_and_is_answered_by_the_prack() -> None:
    stranger = Stranger()
    early = progressing(stranger, SUPPORTED, body="")
    assert b"m=audio 5000" in early.body
    stranger.calls[0].answer(CALLEE_MEDIA, stranger.now)
    sent = stranger.send(prack(early, SDP_TYPE, body=OFFER))
    assert [len(m.body) for m in responses(sent, 200)] == [0, 0]
    (changed,) = stranger.events
    assert isinstance(changed, MediaChanged)
    assert changed.audio.remote.port == 6000


def test_a_prack_that_owes_an_answer_and_brings_none_is_refused() -> None:
    stranger = Stranger()
    assert stranger.status(prack(progressing(stranger, SUPPORTED, body=""))) == 400


def test_a_caller_that_requires_it_and_offers_late_hears_no_ringing_without_an_offer() -> None:
    stranger = Stranger()
    stranger.send(text("INVITE", CONTACT, REQUIRED))
    stranger.calls[0].ring(stranger.now)
    assert not stranger.take()
    stranger.calls[0].progress(CALLEE_MEDIA, stranger.now)
    (early,) = stranger.take()
    assert early.body


def test_a_prack_may_bring_one_more_offer() -> None:
    stranger = Stranger()
    early = progressing(stranger, SUPPORTED)
    held = OFFER + "a=sendonly\r\n"
    (ok,) = responses(stranger.send(prack(early, SDP_TYPE, body=held)), 200)
    assert b"a=recvonly" in ok.body
    assert isinstance(stranger.events[-1], MediaChanged)


def test_cancel_while_an_acknowledgement_is_awaited_ends_everything() -> None:
    stranger = Stranger()
    progressing(stranger, SUPPORTED)
    sent = stranger.send(text("CANCEL", cseq="1 CANCEL"))
    assert [m.status for m in sent if isinstance(m, Response)] == [200, 487]
    assert not responses(stranger.run(LIFETIME + SECOND), 183)


# -- UPDATE before the answer


def update(of: Response, body: str, number: int = 3) -> str:
    lines = (CONTACT, SDP_TYPE) if body else (CONTACT,)
    return text(
        "UPDATE", *lines, to_tag=of.to_tag, cseq=f"{number} UPDATE", branch=f"z9hG4bKu{number}", body=body
    )


def test_update_changes_early_media_once_that_is_settled() -> None:
    stranger = Stranger()
    early = progressing(stranger, SUPPORTED)
    assert stranger.status(update(early, OFFER)) == 500
    stranger.send(prack(early, number=4))
    (ok,) = responses(stranger.send(update(early, OFFER.replace("6000", "6100"), 5)), 200)
    assert b"m=audio 5000" in ok.body
    (changed,) = stranger.events
    assert isinstance(changed, MediaChanged)
    assert changed.audio.remote.port == 6100


def test_update_that_crosses_our_own_early_offer_is_glare() -> None:
    stranger = Stranger()
    early = progressing(stranger, SUPPORTED, body="")
    assert stranger.status(update(early, OFFER)) == 491


def test_update_without_a_description_is_always_welcome() -> None:
    stranger = Stranger()
    early = progressing(stranger)
    assert stranger.status(update(early, "")) == 200


# -- as the caller


def test_two_cores_exchange_early_media_reliably() -> None:
    wire = Wire()
    session = wire.invite()
    wire.run(50 * MS)
    incoming = wire.callee.calls[0]
    incoming.progress(CALLEE_MEDIA, wire.now)
    wire.run(50 * MS)
    incoming.answer(CALLEE_MEDIA, wire.now)
    wire.run(50 * MS)
    assert wire.names() == ["INVITE", "183 INVITE", "PRACK", "200 PRACK", "200 INVITE", "ACK"]
    (answered,) = wire.caller.told(Answered)
    assert media_of(answered) == CALLEE_MEDIA
    session.hold(True, wire.now)
    wire.run(SECOND)
    assert wire.callee.last(MediaChanged).audio.direction is Direction.RECVONLY
    session.hangup("", wire.now)
    wire.settle()


@pytest.mark.parametrize("seed", range(40))
def test_reliable_early_media_over_a_network_that_loses_a_fifth(seed: int) -> None:
    chance = random.Random(seed)
    wire = Wire()
    wire.drop = lambda seen: chance.random() < 0.2

    def on_call(session: object, now: int) -> None:
        incoming = wire.callee.calls[0]
        incoming.ring(now)
        incoming.progress(CALLEE_MEDIA, now)
        incoming.answer(CALLEE_MEDIA, now)

    wire.callee.on_call = on_call
    session = wire.invite()
    wire.run(LIFETIME)
    assert len(wire.caller.told(Answered)) == 1
    assert len(wire.callee.told(Confirmed)) == 1
    assert not wire.caller.told(Failed)
    session.hangup("", wire.now)
    wire.run(LIFETIME)
    wire.settle()


class Callees:
    """What several phones behind a proxy say to one INVITE of ours."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.wire.drop = lambda seen: True
        self.session = self.wire.invite()
        self.invite = self.wire.seen[0].message

    def says(self, status: int, tag: str, *lines: str, media: int = 0) -> list[str]:
        """What we send at once in return."""
        kept = [f"{n}: {self.invite.get(n)}" for n in ("Via", "From", "Call-ID", "CSeq")]
        body = OFFER.replace("6000", str(media)) if media else ""
        head = [f"SIP/2.0 {status} X", *kept, f"To: {self.invite.get('To')};tag={tag}"]
        head += [f"Contact: <sip:{tag}@198.51.100.7>", *lines, f"Content-Length: {len(body)}"]
        if body:
            head.insert(-1, SDP_TYPE)
        before = len(self.wire.seen)
        self.wire.inject(self.wire.caller, ("\r\n".join(head) + "\r\n\r\n" + body).encode())
        return [s.name for s in self.wire.seen[before:]]


def test_each_fork_is_acknowledged_in_its_own_dialog() -> None:
    callees = Callees()
    assert callees.says(183, "a", REQUIRED, "RSeq: 7", media=7000) == ["PRACK"]
    assert callees.says(183, "b", REQUIRED, "RSeq: 70", media=8000) == ["PRACK"]
    pracks = [as_a(Request, s.message) for s in callees.wire.seen if s.name == "PRACK"]
    assert [(p.uri, p.to_tag, p.get("RAck")) for p in pracks] == [
        ("sip:a@198.51.100.7", "a", "7 1 INVITE"),
        ("sip:b@198.51.100.7", "b", "70 1 INVITE"),
    ]
    assert [media_of(early).port for early in callees.wire.caller.told(Ringing)] == [7000, 8000]
    assert callees.says(200, "a") == ["ACK"]
    (answered,) = callees.wire.caller.told(Answered)
    assert media_of(answered).port == 7000
    assert callees.says(200, "b") == ["ACK", "BYE"]
    bye = callees.wire.seen[-1].message
    assert bye.cseq.number == 3, "behind the PRACK of that dialog"


def test_callees_are_served_after_the_call_too_though_nothing_of_it_is_kept() -> None:
    callees = Callees()
    callees.says(183, "b", REQUIRED, "RSeq: 70", media=8000)
    callees.says(200, "a", media=7000)
    callees.session.hangup("", callees.wire.now)
    callees.wire.run(0)
    bye = callees.wire.seen[-1].message
    callees.wire.inject(callees.wire.caller, reply(bye, 200).encode())
    known = weakref.ref(callees.session)
    del callees.session
    callees.wire.caller.events.clear()
    assert known() is None
    assert callees.says(200, "a") == ["ACK"]
    assert callees.says(200, "b") == ["ACK", "BYE"]
    assert callees.wire.seen[-1].message.cseq.number == 3, "behind the PRACK of that dialog"
    callees.wire.run(LIFETIME)
    assert callees.says(200, "a") == []


def test_repeated_and_untimely_reliable_responses_are_passed_over() -> None:
    callees = Callees()
    assert callees.says(183, "a", REQUIRED, "RSeq: 7") == ["PRACK"]
    assert callees.says(183, "a", REQUIRED, "RSeq: 7") == []
    assert callees.says(183, "a", REQUIRED, "RSeq: 9") == []
    assert callees.says(180, "a", REQUIRED, "RSeq: 8") == ["PRACK"]
    assert callees.says(180, "a", REQUIRED, "RSeq: x") == []


def test_a_callee_may_update_its_early_media_and_not_more_than_that() -> None:
    callees = Callees()
    callees.says(183, "a", REQUIRED, "RSeq: 7", media=7000)
    ours = callees.invite.from_tag
    caller = callees.wire.caller

    def request(method: str, number: int, body: str = "") -> int:
        head = text(
            method, CONTACT, SDP_TYPE, call_id="call-1", from_tag="a", to_tag=ours, cseq=f"{number} {method}",
            branch=f"z9hG4bKx{number}", body=body,
        )  # fmt: skip
        callees.wire.inject(caller, head.encode())
        return as_a(Response, callees.wire.seen[-1].message).status

    assert request("UPDATE", 1, OFFER.replace("6000", "7100")) == 200
    assert media_of(caller.told(Ringing)[-1]).port == 7100
    assert request("BYE", 2) == 481
    callees.says(200, "a")
    assert media_of(caller.last(Answered)).port == 7100
    assert callees.wire.seen[0].message.body.count(str(CALLER_MEDIA.port).encode()) == 1


def test_an_update_before_our_offer_is_answered_is_glare() -> None:
    callees = Callees()
    callees.says(183, "a", media=7000)
    head = text(
        "UPDATE", CONTACT, SDP_TYPE, call_id="call-1", from_tag="a", to_tag=callees.invite.from_tag,
        cseq="1 UPDATE", body=OFFER,
    )  # fmt: skip
    callees.wire.inject(callees.wire.caller, head.encode())
    assert as_a(Response, callees.wire.seen[-1].message).status == 491


def test_more_forks_than_anybody_has_are_not_kept() -> None:
    callees = Callees()
    for number in range(100):
        callees.says(180, f"t{number}")
    assert len(callees.wire.caller.told(Ringing)) == 32
