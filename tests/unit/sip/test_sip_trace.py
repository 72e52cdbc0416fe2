"""What is kept of calls' messages, what has to go, and what nobody is shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrouter.sip.protocol.hop import Hop
from callrouter.sip.protocol.message import parse
from callrouter.sip.trace import Trace, masked

HOP = Hop("udp", "192.0.2.1", 5060)


def message(start: str, call_id: str, method: str, size: int = 0) -> bytes:
    return f"{start}\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\n\r\n".encode() + b"x" * size


def invite(trace: Trace, call_id: str, *, accepted: bool = True, size: int = 0) -> None:
    data = message("INVITE sip:a@b SIP/2.0", call_id, "INVITE", size)
    trace.received(parse(data), HOP, 1, is_accepted=accepted)


def answer(trace: Trace, call_id: str, status: int, method: str = "INVITE", size: int = 0) -> None:
    trace.sent(message(f"SIP/2.0 {status} X", call_id, method, size), HOP, 2)


def kept(trace: Trace, call_id: str) -> list[str]:
    messages, _ = trace.of(call_id)
    return [one.text.split(" ")[1] if one.is_sent else one.text.split(" ")[0] for one in messages]


def test_both_ways_of_a_call_are_kept_in_order() -> None:
    trace = Trace(10, 10_000, 10_000)
    invite(trace, "a")
    invite(trace, "b")
    answer(trace, "a", 180)
    answer(trace, "a", 200)
    assert kept(trace, "a") == ["INVITE", "180", "200"]
    messages, dropped = trace.of("a")
    assert [one.number for one in messages] == [1, 3, 4]
    assert (messages[0].transport, messages[0].host, messages[0].port) == HOP[:3]
    assert dropped == 0


def test_an_invite_of_ours_opens_an_account_too() -> None:
    trace = Trace(10, 10_000, 10_000)
    trace.sent(message("INVITE sip:a@b SIP/2.0", "a", "INVITE"), HOP, 1)
    assert len(trace.of("a")[0]) == 1


def test_what_is_no_call_leaves_nothing() -> None:
    trace = Trace(10, 10_000, 10_000)
    trace.received(parse(message("REGISTER sip:b SIP/2.0", "r", "REGISTER")), HOP, 1)
    answer(trace, "r", 200, "REGISTER")
    invite(trace, "flood", accepted=False)
    trace.sent(b"SIP/2.0 400 Bad\r\n\r\n", HOP, 1)
    assert trace.of("r") == trace.of("flood") == ((), 0)


@pytest.mark.parametrize(
    ("status", "method", "goes_first"),
    [(486, "INVITE", True), (200, "INVITE", False), (401, "INVITE", False), (500, "INFO", False)],
)
def test_calls_that_are_over_go_first(status: int, method: str, goes_first: bool) -> None:
    trace = Trace(2, 10_000, 10_000)
    invite(trace, "old")
    invite(trace, "other")
    answer(trace, "other", status, method)
    invite(trace, "new")
    assert bool(trace.of("other")[0]) is not goes_first
    assert bool(trace.of("old")[0]) is goes_first


def test_an_ended_call_that_begins_again_counts_as_live() -> None:
    trace = Trace(2, 10_000, 10_000)
    invite(trace, "again")
    answer(trace, "again", 403)
    invite(trace, "again")
    invite(trace, "other")
    answer(trace, "other", 486)
    invite(trace, "new")
    assert trace.of("again")[0]
    assert not trace.of("other")[0]


def test_a_long_call_keeps_its_beginning_and_its_latest() -> None:
    trace = Trace(2, 100_000, 4000)
    invite(trace, "a", size=100)
    for number in range(60):
        answer(trace, "a", 100 + number, size=100)
    messages, dropped = trace.of("a")
    assert kept(trace, "a")[:3] == ["INVITE", "100", "101"]
    assert kept(trace, "a")[-1] == "159"
    assert len(messages) + dropped == 61
    assert sum(len(one.text) for one in messages) <= 4000


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 400), st.booleans()), max_size=60))
def test_memory_stays_bounded(steps: list[tuple[str, int, bool]]) -> None:
    trace = Trace(3, 2000, 800)
    for call_id, size, opens in steps:
        if opens:
            invite(trace, call_id, size=size)
        else:
            answer(trace, call_id, 200 + size, size=size)
        calls = [*trace._live.values(), *trace._over.values()]
        assert len(calls) <= 3
        assert trace._octets == sum(call.octets for call in calls) <= 2000
        for call in calls:
            assert call.octets == sum(len(entry.data) for entry in call.entries)


def test_secrets_are_masked_and_nothing_else() -> None:
    text = (
        "INVITE sip:bob:hunter2@example.com SIP/2.0\r\n"
        'Authorization: Digest username="alice",\r\n response="deadbeef"\r\n'
        "proxy-authorization : Basic c2VjcmV0\r\n"
        "WWW-Authenticate: Digest nonce=seen\r\n"
        "Contact: <sip:alice@example.com:5060>\r\n\r\n"
        "v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0\r\n"
        "a=ice-pwd:secret\r\nm=audio 1 RTP/AVP 0\r\n"
    )
    assert masked(text) == (
        "INVITE sip:bob:***@example.com SIP/2.0\r\n"
        "Authorization: Digest ***\r\n"
        "proxy-authorization : Basic ***\r\n"
        "WWW-Authenticate: Digest nonce=seen\r\n"
        "Contact: <sip:alice@example.com:5060>\r\n\r\n"
        "v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:***\r\na=ice-pwd:***\r\nm=audio 1 RTP/AVP 0\r\n"
    )


def test_transfer_tokens_are_masked_in_headers_and_bodies() -> None:
    assert masked("REFER x SIP/2.0\r\nCallrouter-Token: abc.def\r\nTo: y\r\n") == (
        "REFER x SIP/2.0\r\nCallrouter-Token:***\r\nTo: y\r\n"
    )
    assert masked('{"target": "tel:1", "token": "abc.def"}') == '{"target": "tel:1", "token": "***"}'
