"""What applications are told of a call."""

from __future__ import annotations

import pytest

from callrouter.calls import parameters
from callrouter.calls.call import Call, callback_event
from callrouter.calls.party import party_of, user_of
from callrouter.calls.question import resolve
from callrouter.calls.steps.placing import status_of
from callrouter.errors import DocumentError
from callrouter.ports import CallStatus
from metering.interval import CallFacts


def call(**changes: object) -> Call:
    facts = CallFacts("CA1", "CA1", "AC1", "+15550100")
    made = Call(facts, "inbound", "+15551234", "+15550100", created_ms=0, created_ns=0, jar=object())
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_sip_headers_that_begin_with_x_are_passed_on_and_others_are_not() -> None:
    made = call(sip_call_id="abc", sip_headers={"X-Queue": "7", "Via": "secret"}, sip_source="192.0.2.7")
    rows = dict(parameters.standard(made))
    assert rows["SipHeader_X-Queue"] == "7"
    assert rows["SipCallId"] == "abc"
    assert rows["SipSourceIp"] == "192.0.2.7"
    assert not any("Via" in name for name in rows)


def test_a_finished_call_tells_seconds_and_minutes_rounded_up() -> None:
    made = call(answered_ms=1000, end_ms=50_000, status=CallStatus.COMPLETED, sip_status=200)
    rows = dict(parameters.progress(made, now_ms=1_282_266_822_000))
    assert rows["CallDuration"] == "49"
    assert rows["Duration"] == "1"
    assert rows["SipResponseCode"] == "200"
    assert rows["Timestamp"] == "Fri, 20 Aug 2010 01:13:42 +0000"


def test_a_call_that_was_never_answered_lasted_nothing() -> None:
    rows = dict(parameters.progress(call(end_ms=9000, status=CallStatus.NO_ANSWER), now_ms=0))
    assert rows["CallDuration"] == rows["Duration"] == "0"


def test_later_parameters_win_over_earlier_ones() -> None:
    merged = parameters.merged((("CallSid", "CA1"), ("Digits", "1")), (("Digits", "2"),))
    assert merged == (("CallSid", "CA1"), ("Digits", "2"))


@pytest.mark.parametrize(
    ("status", "event"),
    [
        (CallStatus.QUEUED, ""),
        (CallStatus.INITIATED, "initiated"),
        (CallStatus.RINGING, "ringing"),
        (CallStatus.IN_PROGRESS, "answered"),
        (CallStatus.COMPLETED, "completed"),
        (CallStatus.BUSY, "completed"),
        (CallStatus.CANCELED, "completed"),
    ],
)
def test_each_status_belongs_to_its_callback_event(status: CallStatus, event: str) -> None:
    assert callback_event(status) == event


@pytest.mark.parametrize(
    ("uri", "user", "party"),
    [
        ("sip:+15550100@host", "+15550100", "+15550100"),
        ("sip:15550100@host;user=phone", "15550100", "15550100"),
        ("sips:alice@host", "alice", "sips:alice@host"),
        ("<sip:+15550100@host;tag=1>;q=1", "+15550100", "+15550100"),
        ("sip:%2B15550100@host", "+15550100", "+15550100"),
        ("sip:+1555;ext=3@host", "+1555", "+1555"),
        ("tel:+15550100;phone-context=x", "+15550100", "+15550100"),
        ("tel:+1-555-0199", "+1-555-0199", "+15550199"),
        ("sip:+1.555.0199;ext=3@host;user=phone", "+1.555.0199", "+15550199"),
        ("sip:alice;day=1@host;transport=tcp", "alice", "sip:alice;day=1@host"),
        ("sip:host", "", "sip:host"),
        ("", "", ""),
        ("<sip:anonymous@anonymous.invalid>", "anonymous", "anonymous"),
        ("sip:anonymous@ANONYMOUS.invalid:5060;x=y", "anonymous", "anonymous"),
    ],
)
def test_parties_are_numbers_where_they_can_be(uri: str, user: str, party: str) -> None:
    assert user_of(uri.partition(">")[0].lstrip("<")) == user
    assert party_of(uri) == party


@pytest.mark.parametrize(
    ("base", "url", "absolute"),
    [
        ("http://a.test/dir/doc?x=1", "next", "http://a.test/dir/next"),
        ("http://a.test/dir/doc", "/root?y=2", "http://a.test/root?y=2"),
        ("http://a.test/doc", "", "http://a.test/doc"),
        ("http://a.test/doc", "  http://b.test/x \n", "http://b.test/x"),
        ("http://a.test/doc", "outlet:agent?to=1", "outlet:agent?to=1"),
        ("", "tel:+15550100", "tel:+15550100"),
    ],
)
def test_urls_are_relative_to_their_document(base: str, url: str, absolute: str) -> None:
    assert resolve(base, url) == absolute


def test_a_relative_url_without_a_base_is_11100() -> None:
    with pytest.raises(DocumentError) as raised:
        resolve("", "/next")
    assert raised.value.code == 11100


@pytest.mark.parametrize(
    ("sip", "status"),
    [
        (486, "busy"),
        (600, "busy"),
        (603, "busy"),
        (480, "no-answer"),
        (408, "no-answer"),
        (404, "failed"),
        (503, "failed"),
    ],
)
def test_final_refusals_become_call_statuses(sip: int, status: str) -> None:
    assert status_of(sip).value == status
