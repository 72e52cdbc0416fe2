"""What is owed to requests that are not carried out, and that nothing else happens."""

from __future__ import annotations

import pytest

from callrouter.sip.protocol.incoming import IncomingSession
from callrouter.sip.protocol.message import Response, parse
from tests.narrowing import only
from tests.protocol.stranger import OFFER, Stranger, invite, text
from tests.protocol.wire import CALLEE_MEDIA, SECOND


def answered(stranger: Stranger, message: str) -> Response:
    return only(Response, stranger.send(message))


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (text("MESSAGE"), 405),
        (text("REGISTER"), 405),
        (text("SUBSCRIBE"), 405),
        (text("REFER"), 481),
        (text("NOTIFY"), 481),
        (text("BREW"), 501),
        (text("BYE"), 481),
        (text("INFO"), 481),
        (text("UPDATE"), 481),
        (text("BYE", to_tag="unknown"), 481),
        (invite(to_tag="unknown"), 481),
        (text("CANCEL"), 481),
        (invite("Require: resource-priority"), 420),
        (invite(uri="urn:service:sos"), 416),
        (invite(uri="sip:bob@192.0.2.2?Subject=x"), 400),
        (invite(body="v=0\r\n"), 488),
        (invite(body="nonsense"), 488),
        (invite(body=OFFER.replace("0 8 101", "18")), 488),
        (invite(body=OFFER.replace("audio 6000", "audio 0")), 488),
        (invite(body=OFFER.replace("audio", "video")), 488),
        (invite(body=OFFER.replace("RTP/AVP", "RTP/SAVP")), 488),
        (text("INVITE", "Content-Type: text/plain", body="x"), 415),
        (invite("Content-Encoding: gzip"), 415),
        (invite("Accept: text/plain"), 406),
        (text("INVITE", cseq="1 BYE"), 400),
        (text("INVITE", cseq="4294967296 INVITE"), 400),
        (text("INVITE", cseq="-1 INVITE"), 400),
        (text("INVITE", cseq="9" * 5000 + " INVITE"), 400),
        (text("INVITE", "Max-Forwards: 5"), 400),
        (text("OPTIONS").replace("SIP/2.0\r\n", "SIP/7.0\r\n", 1), 505),
        (text("OPTIONS", "Content-Length: 3"), 400),
        (text("OPTIONS", "Subject: a\rb"), 400),
        (text("OPTIONS", "Subject: a\x01b"), 400),
        (text("OPTIONS", *(["X: y"] * 300)), 513),
        (text("OPTIONS", "X: " + "y" * 9000), 513),
        (text("OPTIONS", "From: <sip:other@192.0.2.9>"), 400),
        (text("OPTIONS").replace("To: <sip:bob@192.0.2.2>\r\n", ""), 400),
        (text("OPTIONS").replace("<sip:bob@192.0.2.2>\r\n", "<sip:bob@192.0.2.2>;tag\r\n"), 400),
        (text("OPTIONS").replace(";tag=", ";tag;x="), 400),
        (invite("Content-Type: application/sdp"), 400),
        (invite("c: text/plain"), 400),
        (text("INVITE", "Contact: *"), 400),
        (text("OPTIONS", "Contact: *"), 400),
        (text("OPTIONS", "Route: *"), 400),
        (invite("Session-Expires: 1800", "x: 3600"), 400),
        (text("OPTIONS", "Expires: 1", "Expires: 2"), 400),
    ],
)
def test_the_status_owed(message: str, status: int) -> None:
    stranger = Stranger()
    assert stranger.status(message) == status
    assert stranger.calls == []
    stranger.run(40 * SECOND)
    assert stranger.agent.is_idle


def test_405_and_501_name_what_is_allowed() -> None:
    assert "INVITE" in (answered(Stranger(), text("REGISTER")).get("Allow") or "")
    assert "INVITE" in (answered(Stranger(), text("BREW")).get("Allow") or "")


def test_420_names_the_options_and_415_the_types() -> None:
    assert answered(Stranger(), invite("Require: Bar, 100rel, Foo")).get("Unsupported") == "Bar, Foo"
    refused = answered(Stranger(), text("INVITE", "Content-Type: text/plain", body="x"))
    assert refused.get("Accept") == "application/sdp, multipart/mixed"


@pytest.mark.parametrize(
    ("body", "warning"),
    [
        (OFFER.replace("0 8 101", "18"), '305 callrouter "no usable audio stream"'),
        ("nonsense", '399 callrouter "the SDP does not start with v=0"'),
        ('v=0\r\nm="a\x01\r\n', '399 callrouter "malformed m= line: \'\\"a\\\\x01\'"'),
    ],
)
def test_488_says_in_a_warning_what_is_wrong(body: str, warning: str) -> None:
    assert answered(Stranger(), invite(body=body)).get("Warning") == warning


@pytest.mark.parametrize("slash", [" / ", "\r\n /\r\n\t", "/ "])
def test_a_media_type_may_have_white_space_around_its_slash(slash: str) -> None:
    stranger = Stranger()
    written = invite(f"Accept: text/plain, application{slash}SDP ;q=0.5")
    folded = written.replace("application/sdp\r\n", f"Application{slash}sdp\r\n ; charset=utf-8\r\n")
    assert folded != written
    stranger.send(folded)
    assert stranger.calls


def test_options_is_answered_with_what_we_can() -> None:
    answer = answered(Stranger(), text("OPTIONS"))
    assert (answer.status, answer.get("Accept")) == (200, "application/sdp, multipart/mixed")
    assert answer.to_tag


def test_a_response_goes_back_to_where_the_request_came_from() -> None:
    stranger = Stranger()
    via = "Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK1;rport\r\n"
    message = text("OPTIONS").replace("Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK1\r\n", via)
    stranger.agent.receive(parse(message.encode()), stranger.hop._replace(port=31337), stranger.now)
    packet = stranger.agent.layer.out[0]
    assert (packet.hop.host, packet.hop.port) == ("192.0.2.9", 31337)
    assert b";branch=z9hG4bK1;rport=31337;received=192.0.2.9\r\n" in packet.data


@pytest.mark.parametrize(
    ("sent_by", "port"),
    [
        ("192.0.2.9:5060", 5060),
        ("192.0.2.9", 5060),
        ("192.0.2.9:5070", 5070),
        ("192.0.2.9:5070;received=192.0.2.66", 5070),
        ("10.0.0.1:5060", 31337),
        ("gateway.example:5060", 31337),
        ("192.0.2.9:5060;rport", 31337),
    ],
)
@pytest.mark.parametrize("request_", [text("OPTIONS"), text("NOTIFY", to_tag="gone")])
def test_who_does_not_ask_for_rport_may_be_answered_where_via_says_unless_behind_a_nat(
    request_: str, sent_by: str, port: int
) -> None:
    stranger = Stranger(answers_where_via_says=True)
    message = request_.replace("UDP 192.0.2.9:5060;", f"UDP {sent_by};")
    for _ in range(2):
        stranger.agent.receive(parse(message.encode()), stranger.hop._replace(port=31337), stranger.now)
    packets = stranger.agent.layer.out
    assert packets
    assert {(packet.hop.host, packet.hop.port) for packet in packets} == {("192.0.2.9", port)}


def test_an_answer_that_is_repeated_goes_where_via_says_too() -> None:
    stranger = Stranger(answers_where_via_says=True)
    stranger.hop = stranger.hop._replace(port=31337)
    stranger.agent.receive(parse(invite().encode()), stranger.hop, stranger.now)
    stranger.agent.events.clear()
    (session,) = stranger.agent.sessions.values()
    assert isinstance(session, IncomingSession)
    session.answer(CALLEE_MEDIA, stranger.now)
    stranger.agent.timers.run(stranger.now + SECOND)
    answers = [packet for packet in stranger.agent.layer.out if packet.data.startswith(b"SIP/2.0 200")]
    assert [packet.hop.port for packet in answers] == [5060, 5060]


def test_a_retransmitted_invite_never_starts_a_second_call() -> None:
    stranger = Stranger()
    for _ in range(7):
        stranger.send(invite())
    assert len(stranger.calls) == 1
    stranger.calls[0].answer(CALLEE_MEDIA, stranger.now)
    stranger.take()
    for _ in range(7):
        assert stranger.send(invite()) == []
    assert len(stranger.calls) == 1


def test_an_invite_that_arrives_by_two_paths_is_merged() -> None:
    stranger = Stranger()
    stranger.send(invite())
    assert stranger.status(invite(branch="z9hG4bK2")) == 482
    assert len(stranger.calls) == 1


@pytest.mark.parametrize(
    ("method", "status"), [("OPTIONS", 200), ("MESSAGE", 405), ("INFO", 481), ("REGISTER", 405)]
)
def test_any_request_that_arrives_by_two_paths_is_served_once(method: str, status: int) -> None:
    stranger = Stranger()
    assert stranger.status(text(method)) == status
    assert stranger.status(text(method)) == status, "a retransmission gets what there is"
    for _ in range(2):
        assert stranger.status(text(method, branch="z9hG4bK2", cseq=f"001  {method}")) == 482
    for other in ({"call_id": "c2"}, {"from_tag": "f2"}, {"cseq": f"2 {method}"}):
        assert stranger.status(text(method, branch="z9hG4bK3", **other)) == status
    stranger.run(33 * SECOND)
    assert stranger.status(text(method, branch="z9hG4bK4")) == status, "the first one is long over"


def test_the_ack_of_a_refusal_is_absorbed_and_stops_its_repetition() -> None:
    stranger = Stranger()
    stranger.send(invite())
    stranger.calls[0].reject(486, "", (), stranger.now)
    refusal = only(Response, stranger.take())
    assert refusal.status == 486
    assert only(Response, stranger.run(SECOND)).status == 486
    ack = text("ACK", to_tag=refusal.to_tag, cseq="1 ACK")
    assert stranger.send(ack) == []
    assert stranger.run(10 * SECOND) == []
    assert stranger.agent.is_idle


def test_a_peer_of_rfc_2543_without_branch_is_matched_by_everything_else() -> None:
    stranger = Stranger()
    old = invite(branch="7")
    stranger.send(old)
    stranger.send(old)
    assert len(stranger.calls) == 1
    stranger.calls[0].reject(404, "", (), stranger.now)
    (refusal,) = stranger.take()
    assert stranger.send(text("ACK", branch="7", to_tag=refusal.to_tag, cseq="1 ACK")) == []
    assert stranger.run(5 * SECOND) == []


@pytest.mark.parametrize(
    "response",
    [
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKx\r\nVia: SIP/2.0/UDP 255.255.255.255\r\n"
        "CSeq: 1 INVITE\r\nCall-ID: x\r\n\r\n",
        "SIP/2.0 999 Odd\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKx\r\nCSeq: 1 INVITE\r\n\r\n",
        "SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\n\r\n",
        "SIP/2.0 200 OK\r\nVia: rubbish\r\nCSeq: 1 INVITE\r\n\r\n",
        "SIP/2.0 200 OK\r\n\r\n",
    ],
)
def test_a_stray_response_is_dropped(response: str) -> None:
    assert Stranger().send(response) == []


def test_an_invite_on_a_stream_is_read_whatever_its_via_says() -> None:
    stranger = Stranger("tcp")
    stranger.send(invite())
    assert len(stranger.calls) == 1
