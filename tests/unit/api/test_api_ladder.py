"""The ladder as people read it."""

from __future__ import annotations

from callrouter.api.v1.ladder import Ladder, method_of, summary
from callrouter.ports import TracedMessage


def message(at_ms: int, start: str, *, sent: bool, host: str = "192.0.2.1", body: str = "") -> TracedMessage:
    text = f"{start}\r\nCSeq: 1 {'BYE' if 'BYE' in start else 'INVITE'}\r\n\r\n{body}"
    return TracedMessage(1, at_ms * 1_000_000, "x", sent, "udp", host, 5060, text)


def test_a_call_with_two_legs() -> None:
    far = "2001:db8::1"
    said = [
        message(1000, "INVITE sip:a SIP/2.0", sent=False, body="v=0"),
        message(1001, "INVITE sip:b SIP/2.0", sent=True, host=far, body="v=0"),
        message(3500, "SIP/2.0 200 OK", sent=False, host=far),
        message(3501, "SIP/2.0 200 OK", sent=True),
    ]
    ladder = Ladder()
    lines = [line for one in said for line in ladder.lines(one)]
    names = "            udp:192.0.2.1:5060                        callrouter"
    assert lines == [
        "",
        names,
        "    +0.000           |----------- INVITE (SDP) ----------->|",
        "",
        f"{names}                      udp:[2001:db8::1]:5060",
        "    +0.001           |                                     |----------- INVITE (SDP) ----------->|",
        "    +2.500           |                                     |<-------------- 200 OK --------------|",
        "    +2.501           |<-------------- 200 OK --------------|                                     |",
    ]


def test_what_is_said_again_is_marked() -> None:
    ladder = Ladder()
    first = message(0, "INVITE sip:a SIP/2.0", sent=True)
    arrows = [
        [*ladder.lines(one)][-1] for one in (first, first, message(0, "INVITE sip:b SIP/2.0", sent=True))
    ]
    assert [" again " in arrow for arrow in arrows] == [False, True, False]
    assert len(set(map(len, arrows))) == 1


def test_a_long_reason_does_not_break_the_columns() -> None:
    long = message(0, "SIP/2.0 486 " + "Busy " * 30, sent=True)
    arrow = [*Ladder().lines(long)][-1]
    assert len(arrow) == len([*Ladder().lines(message(0, "BYE sip:a SIP/2.0", sent=True))][-1])


def test_what_a_message_is_in_a_few_words() -> None:
    assert summary(message(0, "SIP/2.0 200 OK BYE", sent=True)) == "200 OK BYE to BYE"
    assert summary(message(0, "OPTIONS sip:a SIP/2.0", sent=True)) == "OPTIONS"
    assert method_of(TracedMessage(1, 0, "x", True, "udp", "h", 1, "SIP/2.0 200 OK\r\n\r\n")) == ""
    assert method_of(TracedMessage(1, 0, "x", True, "udp", "h", 1, "SIP/2.0 200 OK\r\nCSeq:\r\n\r\n")) == ""
