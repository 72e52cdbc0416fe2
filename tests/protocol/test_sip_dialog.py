"""What happens within an established call, and on the ways to it that are not straight."""

from __future__ import annotations

import pytest

from callrouter.ports import (
    Answered,
    Confirmed,
    Direction,
    EndCause,
    Ended,
    Failed,
    InfoDigit,
    MediaAddress,
    MediaChanged,
)
from callrouter.sip.protocol.auth import Credentials
from callrouter.sip.protocol.dialog import Dialog
from callrouter.sip.protocol.hop import Hop
from callrouter.sip.protocol.message import Request, Response
from callrouter.sip.protocol.outgoing import Invitation, OutgoingSession
from callrouter.sip.protocol.session import UNUSABLE
from tests.narrowing import only
from tests.protocol.stranger import ANSWER, OFFER, SDP_TYPE, Stranger, invite, reply, text
from tests.protocol.wire import CALLEE_MEDIA, CALLER_MEDIA, SECOND


def established(stranger: Stranger, *lines: str, body: str = OFFER) -> str:
    """A call the stranger placed; returns our tag."""
    stranger.send(invite(*lines, body=body))
    return stranger.picks_up().to_tag


def reinvite(tag: str, body: str, number: int = 2) -> str:
    return invite(body=body, to_tag=tag, cseq=f"{number} INVITE", branch=f"z9hG4bKre{number}")


# -- incoming calls


def test_an_invite_without_offer_gets_ours_and_the_ack_brings_the_answer() -> None:
    stranger = Stranger()
    stranger.send(text("INVITE", "Contact: <sip:peer@192.0.2.9>"))
    session = stranger.calls[0]
    assert session.audio is None
    session.answer(CALLEE_MEDIA, stranger.now)
    (ok,) = stranger.take()
    assert b"m=audio 5000 RTP/AVP 0 8 101\r\n" in ok.body
    answer = OFFER.replace("0 8 101", "8")
    stranger.send(text("ACK", SDP_TYPE, to_tag=ok.to_tag, cseq="1 ACK", branch="z9hG4bKa", body=answer))
    (confirmed,) = stranger.events
    assert isinstance(confirmed, Confirmed)
    assert confirmed.audio is not None
    assert (confirmed.audio.codec, confirmed.audio.dtmf_payload_type) == ("PCMA", None)


def test_a_late_offer_that_is_never_answered_ends_the_call() -> None:
    stranger = Stranger()
    stranger.send(text("INVITE", "Contact: <sip:peer@192.0.2.9>"))
    stranger.calls[0].answer(CALLEE_MEDIA, stranger.now)
    (ok,) = stranger.take()
    sent = stranger.send(text("ACK", to_tag=ok.to_tag, cseq="1 ACK", branch="z9hG4bKa"))
    (bye,) = [m for m in sent if isinstance(m, Request)]
    assert (bye.method, bye.get("Reason")) == ("BYE", UNUSABLE)
    assert isinstance(stranger.events[0], Ended)
    assert stranger.events[0].cause is EndCause.NO_ACK


@pytest.mark.parametrize(
    ("spelling", "ours"),
    [
        ("a=sendonly", Direction.RECVONLY),
        ("a=inactive", Direction.INACTIVE),
        ("a=recvonly", Direction.SENDONLY),
        ("a=sendrecv", Direction.SENDRECV),
    ],
)
def test_hold_by_direction(spelling: str, ours: Direction) -> None:
    stranger = Stranger()
    tag = established(stranger)
    (ok,) = stranger.send(reinvite(tag, OFFER + spelling + "\r\n"))
    assert f"a={ours.value}\r\n".encode() in ok.body
    changes = [e for e in stranger.events if isinstance(e, MediaChanged)]
    assert [c.audio.direction for c in changes] == ([] if ours is Direction.SENDRECV else [ours])


def test_hold_for_the_whole_session_and_hold_by_address_zero() -> None:
    stranger = Stranger()
    tag = established(stranger)
    for_all = OFFER.replace("t=0 0\r\n", "t=0 0\r\na=sendonly\r\n")
    (ok,) = stranger.send(reinvite(tag, for_all))
    assert b"a=recvonly" in ok.body
    stranger.send(text("ACK", to_tag=tag, cseq="2 ACK", branch="z9hG4bKb"))
    (ok,) = stranger.send(reinvite(tag, OFFER.replace("IP4 192.0.2.9\r\nt", "IP4 0.0.0.0\r\nt"), 3))
    assert b"a=recvonly" in ok.body


def test_a_reinvite_moves_media_and_an_unchanged_one_says_nothing() -> None:
    stranger = Stranger()
    tag = established(stranger)
    ok = only(Response, stranger.send(reinvite(tag, OFFER)))
    assert ok.status == 200
    stranger.send(text("ACK", to_tag=tag, cseq="2 ACK", branch="z9hG4bKb"))
    assert not [e for e in stranger.events if isinstance(e, MediaChanged)]
    stranger.send(reinvite(tag, OFFER.replace("6000", "7000"), 3))
    (changed,) = (e for e in stranger.events if isinstance(e, MediaChanged))
    assert changed.audio.remote == MediaAddress("192.0.2.9", 7000)


def test_a_reinvite_that_offers_nothing_usable_changes_nothing() -> None:
    stranger = Stranger()
    tag = established(stranger)
    assert stranger.status(reinvite(tag, OFFER.replace("0 8 101", "18"))) == 488
    assert stranger.calls[0].audio is not None
    assert stranger.calls[0].audio.codec == "PCMU"


def test_a_reinvite_before_the_ack_is_glare_and_before_the_answer_out_of_turn() -> None:
    stranger = Stranger()
    stranger.send(invite())
    session = stranger.calls[0]
    session.ring(stranger.now)
    (ringing,) = stranger.take()
    early = only(Response, stranger.send(reinvite(ringing.to_tag, OFFER)))
    assert (early.status, early.get("Retry-After")) == (500, "1")
    session.answer(CALLEE_MEDIA, stranger.now)
    stranger.take()
    assert stranger.status(reinvite(ringing.to_tag, OFFER, 3)) == 491


def test_the_versions_of_our_descriptions_grow() -> None:
    stranger = Stranger()
    tag = established(stranger)
    origins = []
    for number in (2, 3):
        (ok,) = stranger.send(reinvite(tag, OFFER, number))
        stranger.send(text("ACK", to_tag=tag, cseq=f"{number} ACK", branch=f"z9hG4bKb{number}"))
        origins.append(ok.body.split(b"\r\n")[1].split()[1:3])
    assert origins[0][0] == origins[1][0]
    assert int(origins[1][1]) == int(origins[0][1]) + 1


def test_video_is_declined_and_stays_in_its_place() -> None:
    stranger = Stranger()
    stranger.send(invite(body=OFFER.replace("m=audio", "m=video 7000 RTP/AVP 31\r\nm=audio")))
    stranger.calls[0].answer(CALLEE_MEDIA, stranger.now)
    (ok,) = stranger.take()
    lines = [line for line in ok.body.split(b"\r\n") if line.startswith(b"m=")]
    assert lines == [b"m=video 0 RTP/AVP 31", b"m=audio 5000 RTP/AVP 0 101"]


def test_update_is_answered_with_and_without_an_offer() -> None:
    stranger = Stranger()
    tag = established(stranger)
    plain = only(Response, stranger.send(text("UPDATE", to_tag=tag, cseq="2 UPDATE", branch="z9hG4bKu1")))
    assert (plain.status, plain.body) == (200, b"")
    hold = OFFER + "a=sendonly\r\n"
    (ok,) = stranger.send(
        text("UPDATE", SDP_TYPE, to_tag=tag, cseq="3 UPDATE", branch="z9hG4bKu2", body=hold)
    )
    assert b"a=recvonly" in ok.body
    assert stranger.run(10 * SECOND) == []


@pytest.mark.parametrize(
    ("content_type", "body", "digit", "duration"),
    [
        ("application/dtmf-relay", "Signal=5\r\nDuration=250\r\n", "5", 250),
        ("application/dtmf-relay", "Signal= 10\nDuration= x", "*", 160),
        ("application/dtmf", "#", "#", 160),
        ("Application/DTMF; charset=x", "a", "A", 160),
    ],
)
def test_info_digits(content_type: str, body: str, digit: str, duration: int) -> None:
    stranger = Stranger()
    tag = established(stranger)
    info = text(
        "INFO", f"Content-Type: {content_type}", to_tag=tag, cseq="2 INFO", branch="z9hG4bKi", body=body
    )
    assert stranger.status(info) == 200
    told = stranger.events[-1]
    assert isinstance(told, InfoDigit)
    assert (told.digit, told.duration_ms) == (digit, duration)


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/dtmf-relay", "Signal=55", 400),
        ("application/dtmf", "", 200),
        ("text/plain", "5", 415),
    ],
)
def test_info_that_is_no_digit(content_type: str, body: str, status: int) -> None:
    stranger = Stranger()
    tag = established(stranger)
    info = text(
        "INFO", f"Content-Type: {content_type}", to_tag=tag, cseq="2 INFO", branch="z9hG4bKi", body=body
    )
    assert stranger.status(info) == status
    assert not [e for e in stranger.events if isinstance(e, InfoDigit)]


@pytest.mark.parametrize(
    ("method", "status"), [("OPTIONS", 200), ("MESSAGE", 405), ("REFER", 400), ("ODD", 501)]
)
def test_other_requests_within_a_call(method: str, status: int) -> None:
    stranger = Stranger()
    tag = established(stranger)
    assert stranger.status(text(method, to_tag=tag, cseq=f"2 {method}", branch="z9hG4bKo")) == status


def test_a_request_from_the_past_is_refused() -> None:
    stranger = Stranger()
    tag = established(stranger)
    assert stranger.status(text("INFO", to_tag=tag, cseq="0 INFO", branch="z9hG4bKo")) == 500


@pytest.mark.parametrize("wrong", [{"from_tag": "other"}, {"call_id": "other"}])
def test_a_bye_from_outside_of_the_dialog_ends_nothing(wrong: dict[str, str]) -> None:
    stranger = Stranger()
    tag = established(stranger)
    bye = text("BYE", to_tag=tag, cseq="2 BYE", branch="z9hG4bKb", **wrong)
    assert stranger.status(bye) == 481
    assert not [e for e in stranger.events if isinstance(e, Ended)]


def test_a_bye_before_the_answer_ends_the_invite_too() -> None:
    stranger = Stranger()
    stranger.send(invite())
    stranger.calls[0].ring(stranger.now)
    (ringing,) = stranger.take()
    sent = stranger.send(text("BYE", to_tag=ringing.to_tag, cseq="2 BYE", branch="z9hG4bKb"))
    assert [(m.status, m.cseq.method) for m in sent if isinstance(m, Response)] == [
        (200, "BYE"),
        (487, "INVITE"),
    ]


def test_byes_that_cross_are_both_answered() -> None:
    stranger = Stranger()
    tag = established(stranger)
    stranger.calls[0].hangup("", stranger.now)
    stranger.take()
    assert stranger.status(text("BYE", to_tag=tag, cseq="2 BYE", branch="z9hG4bKb")) == 200
    assert not [e for e in stranger.events if isinstance(e, Ended)]
    stranger.run(40 * SECOND)
    assert stranger.agent.is_idle


def test_our_bye_follows_the_recorded_route_to_the_contact() -> None:
    stranger = Stranger()
    established(stranger, "Record-Route: <sip:192.0.2.7;lr>, <sip:192.0.2.8:5070;lr>")
    stranger.calls[0].hangup("", stranger.now)
    packet = stranger.agent.layer.out[0]
    assert (packet.hop.host, packet.hop.port) == ("192.0.2.7", 5060)
    (bye,) = stranger.take()
    assert isinstance(bye, Request)
    assert bye.uri == "sip:peer@192.0.2.9"
    assert bye.all("Route") == ["<sip:192.0.2.7;lr>", "<sip:192.0.2.8:5070;lr>"]


def test_a_change_that_is_refused_is_acknowledged_along_the_route() -> None:
    """Such an ACK belongs to its INVITE, and has little else (RFC 3261 §17.1.1.3)."""
    stranger = Stranger()
    established(stranger, "Record-Route: <sip:192.0.2.7;lr>")
    stranger.calls[0].hold(True, stranger.now)
    asked = only(Request, stranger.take())
    ack = only(Request, stranger.send(reply(asked, 500)))
    assert [name for name, _ in ack.fields] == [
        "Via", "Max-Forwards", "From", "To", "Call-ID", "CSeq", "Route", "Content-Length",
    ]  # fmt: skip
    assert all(ack.get(name) == asked.get(name) for name in ("Via", "From", "To", "Call-ID", "Route"))
    assert (ack.uri, str(ack.cseq)) == (asked.uri, f"{asked.cseq.number} ACK")


def test_a_strict_router_gets_its_own_address_as_request_uri() -> None:
    stranger = Stranger()
    established(stranger, "Record-Route: <sip:192.0.2.7>")
    stranger.calls[0].hangup("", stranger.now)
    (bye,) = stranger.take()
    assert isinstance(bye, Request)
    assert (bye.uri, bye.all("Route")) == ("sip:192.0.2.7", ["<sip:peer@192.0.2.9>"])


@pytest.mark.parametrize(
    ("contact", "asked"),
    [
        ("<sip:peer@192.0.2.9:5070;ob?Subject=x>", "sip:peer@192.0.2.9:5070;ob"),
        ('"A?" <sip:peer@192.0.2.9;Method=INVITE;lr>;q=1', "sip:peer@192.0.2.9;lr"),
        ("<sip:what?@192.0.2.9>", "sip:what?@192.0.2.9"),
    ],
)
def test_what_no_request_uri_may_hold_is_left_out_of_it(contact: str, asked: str) -> None:
    stranger = Stranger()
    stranger.send(invite().replace("<sip:peer@192.0.2.9>\r\nContent", f"{contact}\r\nContent"))
    stranger.picks_up()
    stranger.calls[0].hangup("", stranger.now)
    (bye,) = stranger.take()
    assert isinstance(bye, Request)
    assert bye.uri == asked


def test_a_strict_router_is_not_asked_with_the_headers_of_its_address() -> None:
    stranger = Stranger()
    established(stranger, "Record-Route: <sip:192.0.2.7;method=INVITE?Subject=x>")
    stranger.calls[0].hangup("", stranger.now)
    (bye,) = stranger.take()
    assert isinstance(bye, Request)
    assert (bye.uri, bye.all("Route")) == ("sip:192.0.2.7", ["<sip:peer@192.0.2.9>"])


def test_a_saved_dialog_ends_the_call_with_a_cseq_beyond_any_it_can_have_reached() -> None:
    stranger = Stranger()
    established(stranger, "Record-Route: <sip:192.0.2.7;lr>")
    saved = stranger.calls[0].established.to_json()
    later = Stranger()
    later.agent.uac.end_orphan(Dialog.from_json(saved), "", later.now)
    (bye,) = later.take()
    assert isinstance(bye, Request)
    assert 100_000 < bye.cseq.number < 2**31
    assert (bye.all("Route"), bye.from_tag) == (
        ["<sip:192.0.2.7;lr>"],
        stranger.calls[0].local_tag,
    )
    later.run(40 * SECOND)
    assert later.agent.is_idle


@pytest.mark.parametrize("rubbish", ["", "{}", "[]", "null", '{"call_id": 1}', "\x00"])
def test_a_dialog_state_that_is_none_is_refused(rubbish: str) -> None:
    with pytest.raises(ValueError, match=r"dialog state|Expecting"):
        Dialog.from_json(rubbish)


# -- outgoing calls


def placed(stranger: Stranger, credentials: Credentials | None = None) -> tuple[OutgoingSession, Request]:
    invitation = Invitation(
        "sip:bob@192.0.2.9", "<sip:us@192.0.2.2>", "us", CALLER_MEDIA, credentials=credentials
    )
    session = stranger.agent.call(invitation, "ours-1")
    session.start(Hop("udp", "192.0.2.9", 5060), stranger.now)
    (sent,) = stranger.take()
    assert isinstance(sent, Request)
    return session, sent


def sent_methods(messages: list[Request | Response]) -> list[str]:
    return [m.method for m in messages if isinstance(m, Request)]


@pytest.mark.parametrize(
    ("sent_by", "heard"),
    [
        ("192.0.2.2:5060", True),
        ("192.0.2.2", True),
        ("192.0.2.2:5062", False),
        ("192.0.2.77:5060", False),
        ("elsewhere.example", False),
    ],
)
def test_a_response_whose_via_names_somebody_else_is_discarded(sent_by: str, heard: bool) -> None:
    stranger = Stranger()
    _, sent = placed(stranger)
    ringing = reply(sent, 180)
    assert "UDP 192.0.2.2:5060;" in ringing
    stranger.send(ringing.replace("UDP 192.0.2.2:5060;", f"UDP {sent_by};"))
    assert bool(stranger.events) is heard


def test_a_second_callee_that_picks_up_is_acknowledged_and_hung_up() -> None:
    stranger = Stranger()
    _, sent = placed(stranger)
    assert sent_methods(stranger.send(reply(sent, 200, *ANSWER, tag="t1", body=OFFER))) == ["ACK"]
    extra = stranger.send(reply(sent, 200, *ANSWER, tag="t2", body=OFFER))
    assert sent_methods(extra) == ["ACK", "BYE"]
    assert [m.to_tag for m in extra] == ["t2", "t2"]
    again = stranger.send(reply(sent, 200, *ANSWER, tag="t1", body=OFFER))
    assert [(m.to_tag, m.method) for m in again if isinstance(m, Request)] == [("t1", "ACK")]
    assert len([e for e in stranger.events if isinstance(e, Answered)]) == 1


def test_a_200_without_usable_sdp_is_ended_and_told_as_488() -> None:
    stranger = Stranger()
    _, sent = placed(stranger)
    ended = stranger.send(reply(sent, 200, *ANSWER, body="v=0\r\n"))
    assert sent_methods(ended) == ["ACK", "BYE"]
    assert ended[1].get("Reason") == UNUSABLE
    (failed,) = stranger.events
    assert isinstance(failed, Failed)
    assert failed.status == 488


def test_an_answer_given_early_counts_when_the_200_brings_none() -> None:
    stranger = Stranger()
    _, sent = placed(stranger)
    stranger.send(reply(sent, 183, *ANSWER, body=OFFER))
    stranger.send(reply(sent, 200, "Contact: <sip:peer@192.0.2.9>"))
    assert isinstance(stranger.events[-1], Answered)


def test_a_hold_whose_dialog_is_gone_ends_the_call() -> None:
    stranger = Stranger()
    session, sent = placed(stranger)
    stranger.send(reply(sent, 200, *ANSWER, body=OFFER))
    session.hold(True, stranger.now)
    (again,) = stranger.take()
    assert isinstance(again, Request)
    assert b"a=sendonly" in again.body
    assert sent_methods(stranger.send(reply(again, 481))) == ["ACK", "BYE"]
    assert isinstance(stranger.events[-1], Ended)


def test_a_hold_that_is_refused_leaves_the_call_as_it_was() -> None:
    stranger = Stranger()
    session, sent = placed(stranger)
    stranger.send(reply(sent, 200, *ANSWER, body=OFFER))
    session.hold(True, stranger.now)
    (again,) = stranger.take()
    assert isinstance(again, Request)
    assert sent_methods(stranger.send(reply(again, 488))) == ["ACK"]
    assert stranger.run(5 * SECOND) == []
    assert not [e for e in stranger.events if isinstance(e, (Ended, MediaChanged))]


@pytest.mark.parametrize("status", [481, 408])
def test_a_hold_that_finds_nobody_after_the_goodbye_says_goodbye_no_second_time(status: int) -> None:
    stranger = Stranger()
    session, sent = placed(stranger)
    stranger.send(reply(sent, 200, *ANSWER, body=OFFER))
    session.hold(True, stranger.now)
    (again,) = stranger.take()
    session.hangup("", stranger.now)
    assert sent_methods(stranger.take()) == ["BYE"]
    assert isinstance(again, Request)
    assert sent_methods(stranger.send(reply(again, status))) == ["ACK"]


@pytest.mark.parametrize("route", ["<sip:192.0.2.7;lr", "nonsense", '"open <sip:192.0.2.7;lr>', "<tel:1>"])
def test_a_recorded_route_that_cannot_be_read_costs_the_call_nothing(route: str) -> None:
    stranger = Stranger()
    session, sent = placed(stranger)
    answered = stranger.send(reply(sent, 200, *ANSWER, f"Record-Route: {route}", body=OFFER))
    assert sent_methods(answered) == ["ACK"]
    session.hangup("", stranger.now)
    assert sent_methods(stranger.take()) == ["BYE"]


@pytest.mark.parametrize("transport", ["t/c", "sctp", "%00", "udp.example"])
def test_a_transport_nobody_has_is_reached_by_the_one_at_hand(transport: str) -> None:
    stranger = Stranger()
    session, sent = placed(stranger)
    stranger.send(
        reply(sent, 200, f"Contact: <sip:peer@192.0.2.9;transport={transport}>", SDP_TYPE, body=OFFER)
    )
    session.hangup("", stranger.now)
    (packet,) = stranger.agent.layer.out
    assert packet.hop.transport == "udp"
    assert sent_methods(stranger.take()) == ["BYE"]
