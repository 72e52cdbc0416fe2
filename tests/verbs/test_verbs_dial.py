"""Dial: who is called, who wins, and what the action hears (docs/verbs.md)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from callrouter.errors import DocumentError
from callrouter.ports import (
    Bridged,
    CallStatus,
    Connect,
    DialTarget,
    GoTo,
    Hangup,
    MachineDetection,
    Next,
    Outcome,
    Parameters,
    Recorded,
    RecordingEnd,
    Replace,
    Side,
)
from callrouter.testing import virtual_time
from callrouter.testing.call import FakeCall, Script
from callrouter.testing.child import Callee
from callrouter.testing.performance import compiled, perform, perform_all
from callrouter.verbs.dial.number import normalise

UNANSWERED = Script()
BUSY = Callee(CallStatus.BUSY, after=2)
FAILED = Callee(CallStatus.FAILED, after=1)
SILENT = Callee(after=1000)


async def dial(
    attributes: str, inside: str, *callees: Callee, script: Script = UNANSWERED
) -> tuple[Outcome, FakeCall]:
    call = FakeCall(replace(script, callees=callees))
    return await perform_all(compiled(f"<Dial {attributes}>{inside}</Dial>").verbs, call), call


def connected(outcome: Outcome) -> Connect:
    assert isinstance(outcome, Connect)
    return outcome


def parameters(outcome: Outcome) -> dict[str, str]:
    assert isinstance(outcome, GoTo)
    return dict(outcome.parameters)


async def test_the_caller_hears_ringback_until_somebody_answers() -> None:
    outcome, call = await dial("", "+15551230000", Callee(after=3))
    assert connected(outcome).child is call.placed[0]
    assert call.acts == [
        "0.0 answer",
        "0.0 place tel:+15551230000",
        "0.0 play tone:ringback-us x0",
        "3.0 stop",
    ]


async def test_answer_on_bridge_leaves_the_caller_unanswered_while_it_rings() -> None:
    outcome, call = await dial('answerOnBridge="true"', "+15551230000", Callee(after=3))
    connected(outcome)
    assert call.acts == ["0.0 ring", "0.0 place tel:+15551230000"], "that is the bridge's business"


async def test_answer_on_bridge_plays_ringback_to_an_answered_caller() -> None:
    _, call = await dial(
        'answerOnBridge="true" ringTone="pl"', "+15551230000", script=Script(is_answered=True)
    )
    assert call.acts[1] == "0.0 play tone:ringback-pl x0"


async def test_answer_on_bridge_never_answers_when_nobody_does() -> None:
    outcome, call = await dial('answerOnBridge="true"', "+15551230000", BUSY)
    assert (outcome, call.is_answered) == (Next(), False)


async def test_connect_carries_the_limits_of_the_bridge() -> None:
    document = 'timeLimit="60" hangupOnStar="true" record="record-from-answer-dual" trim="trim-silence"'
    outcome, _ = await dial(f'{document} recordingStatusCallback="/cb"', "+15551230000")
    connect = connected(outcome)
    assert (connect.time_limit_seconds, connect.hangup_on_star) == (60, True)
    assert connect.record is not None
    assert (connect.record.dual, connect.record.trim_silence) == (True, True)
    assert connect.record.callback == "http://app.test/cb"


@pytest.mark.parametrize(
    ("callee", "status", "seconds"),
    [(BUSY, "busy", 2), (FAILED, "failed", 1), (SILENT, "no-answer", 25)],
)
async def test_an_attempt_that_fails_tells_the_action(callee: Callee, status: str, seconds: int) -> None:
    """`timeout` is 20 s here; the platform adds five."""
    outcome, _ = await dial('timeout="20" action="/d" method="GET"', "+15551230000", callee)
    assert outcome == GoTo(
        "/d", "GET", (("DialCallStatus", status), ("DialCallSid", "CA1"), ("DialBridged", "false"))
    )
    assert virtual_time.now() == pytest.approx(seconds)


async def test_without_action_the_next_verb_runs() -> None:
    assert (await dial("", "+15551230000", BUSY))[0] == Next()


async def test_an_empty_action_is_the_current_document() -> None:
    outcome, _ = await dial('action=""', "+15551230000", BUSY)
    assert isinstance(outcome, GoTo)
    assert outcome.target == ""


RECORDED = Recorded("RE1", "http://app.test/RE1", 9, RecordingEnd.STOPPED, "")


@pytest.mark.parametrize(
    ("bridged", "expected"),
    [
        (Bridged(12, "callee"), {"DialCallDuration": "12"}),
        (Bridged(12, "caller"), {"DialCallDuration": "12"}),
        (Bridged(3, "star"), {"DialCallDuration": "3"}),
        (Bridged(3, "redirected"), {}),
        (
            Bridged(9, "callee", RECORDED),
            {
                "DialCallDuration": "9",
                "RecordingUrl": "http://app.test/RE1",
                "RecordingSid": "RE1",
                "RecordingDuration": "9",
            },
        ),
    ],
)
async def test_the_end_of_the_bridge_tells_the_action(bridged: Bridged, expected: dict[str, str]) -> None:
    outcome, _ = await dial('action="/d"', "+15551230000")
    assert parameters(connected(outcome).after(bridged)) == {
        "DialCallStatus": "completed",
        "DialCallSid": "CA1",
        "DialBridged": "true",
        **expected,
    }


async def test_the_end_of_the_bridge_without_action_is_the_next_verb() -> None:
    outcome, _ = await dial("", "+15551230000")
    assert connected(outcome).after(Bridged(1, "callee")) == Next()


# ------------------------------------------------------------------ several destinations


TWO = "<Number>+15551230001</Number><Number>+15551230002</Number>"


async def test_all_ring_at_once_and_the_first_to_answer_wins() -> None:
    outcome, call = await dial("", TWO, Callee(after=5), Callee(after=2))
    assert connected(outcome).child is call.placed[1]
    assert virtual_time.now() == pytest.approx(2)
    assert call.placed[0].status is CallStatus.CANCELED


async def test_a_tie_goes_to_the_first_in_the_document() -> None:
    outcome, call = await dial("", TWO, Callee(after=2), Callee(after=2))
    assert connected(outcome).child is call.placed[0]
    assert call.placed[1].over


async def test_the_first_to_complete_screening_wins_while_others_ring_on() -> None:
    inside = '<Number url="/w">+15551230001</Number><Number url="/w">+15551230002</Number>'
    callees = (Callee(after=1, screen_seconds=9), Callee(after=4, screen_seconds=2))
    outcome, call = await dial("", inside, *callees)
    assert connected(outcome).child is call.placed[1]
    assert virtual_time.now() == pytest.approx(6)
    assert call.placed[0].screened == [("http://app.test/w", "POST")]


async def test_who_is_lost_in_screening_was_completed_but_not_bridged() -> None:
    outcome, _ = await dial('action="/d"', '<Number url="/w">+15551230000</Number>', Callee(stays=False))
    assert parameters(outcome) == {
        "DialCallStatus": "completed",
        "DialCallSid": "CA1",
        "DialBridged": "false",
    }


async def test_of_several_failures_the_one_that_got_furthest_is_told() -> None:
    outcome, _ = await dial('action="/d"', TWO + "<Client>c</Client>", FAILED, BUSY, SILENT)
    assert parameters(outcome)["DialCallStatus"] == "no-answer"
    assert parameters(outcome)["DialCallSid"] == "CA3"


async def test_sequential_hunts_in_document_order() -> None:
    outcome, call = await dial('sequential="true"', TWO, BUSY, Callee(after=3))
    assert connected(outcome).child is call.placed[1]
    assert [act for act in call.acts if "place" in act] == [
        "0.0 place tel:+15551230001",
        "2.0 place tel:+15551230002",
    ]


async def test_no_more_than_ten_are_dialled() -> None:
    program = compiled(f"<Dial>{'<Client>a</Client>' * 11}</Dial>")
    call = FakeCall()
    await perform_all(program.verbs, call)
    assert len(call.placed) == 10
    assert [warning.code for warning in program.warnings] == [13250]


# ------------------------------------------------------------------ nouns


async def target_of(inside: str, attributes: str = "") -> DialTarget:
    _, call = await dial(attributes, inside)
    return call.placed[0].target


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+1 (415) 555-1234", "+14155551234"),
        ("415-555-1234", "+14155551234"),
        ("4155551234", "+14155551234"),
        ("14155551234", "+14155551234"),
        ("011 48 123 456 789", "+48123456789"),
        ("+48.123.456.789", "+48123456789"),
        ("1001", "1001"),
        ("*67", "*67"),
        ("call me", None),
        ("", None),
        ("+", None),
        ("+1555;x=y", None),
        ("１２３", None),
        ("1" * 40, None),
    ],
)
def test_numbers_are_normalised(text: str, number: str | None) -> None:
    assert normalise(text) == number


async def test_a_number_carries_its_hooks() -> None:
    target = await target_of(
        '<Number sendDigits="ww1#" statusCallback="/s" statusCallbackMethod="GET"'
        " statusCallbackEvent=\"['initiated', 'answered']\">\n +15551230000\n</Number>",
        'timeout="10" callerId="+15550009999"',
    )
    assert target == DialTarget(
        uri="tel:+15551230000",
        caller_id="+15550009999",
        timeout_seconds=15,
        send_digits="ww1#",
        status_callback="http://app.test/s",
        status_callback_method="GET",
        status_callback_events=frozenset({"initiated", "answered"}),
    )


DETECTING = (
    "machineDetection='DetectMessageEnd' machineDetectionTimeout='9' machineDetectionSpeechThreshold='1000'"
    " machineDetectionSpeechEndThreshold='500' machineDetectionSilenceTimeout='2000'"
    " amdStatusCallback='/amd' amdStatusCallbackMethod='GET'"
)


@pytest.mark.parametrize("noun", ["<Number {}>+15551230000</Number>", "<Sip {}>sip:a@b</Sip>"])
async def test_a_number_and_a_sip_address_are_told_from_machines_as_the_noun_says(noun: str) -> None:
    assert (await target_of(noun.format(""))).detection is None
    assert (await target_of(noun.format("machineDetection='Enable'"))).detection == MachineDetection()
    wanted = MachineDetection(True, 9, 1000, 500, 2000, False, "http://app.test/amd", "GET")
    assert (await target_of(noun.format(DETECTING))).detection == wanted


@pytest.mark.parametrize(
    "attribute",
    [
        "machineDetection='Sometimes'",
        "machineDetectionTimeout='2'",
        "machineDetectionSpeechThreshold='999'",
        "machineDetectionSpeechEndThreshold='5001'",
        "machineDetectionSilenceTimeout='1s'",
    ],
)
def test_a_detection_that_cannot_be_is_reported_and_its_default_used(attribute: str) -> None:
    program = compiled(f"<Dial><Number {attribute}>+15551230000</Number></Dial>")
    assert [warning.code for warning in program.warnings] == [21263]


async def test_a_client_has_a_name_and_parameters() -> None:
    inside = '<Client><Identity>joe</Identity><Parameter name="Theme" value="dark"/></Client>'
    target = await target_of(inside)
    assert (target.uri, target.headers) == ("client:joe", (("X-Theme", "dark"),))


@pytest.mark.parametrize(
    ("body", "uri", "headers"),
    [
        ("sip:alice@example.com", "sip:alice@example.com", ()),
        ("alice@example.com", "sip:alice@example.com", ()),
        ("SIPS:a@b;transport=tls", "sips:a@b;transport=tls", ()),
        ("sip:10.0.0.1:5070", "sip:10.0.0.1:5070", ()),
        ("sip:a@[::1]:5060", "sip:a@[::1]:5060", ()),
        ("sip:a@b;region=us1;transport=tcp;edge=x", "sip:a@b;transport=tcp", ()),
        (
            "sip:a@b?x-foo=b%20c&amp;User-to-User=ab%3Bcd",
            "sip:a@b",
            (("x-foo", "b c"), ("User-to-User", "ab;cd")),
        ),
        ("sip:a@b?Via=x&amp;x-a=1%0d%0aVia:y&amp;x%20b=1", "sip:a@b", ()),
    ],
)
async def test_sip_uris_and_their_headers(body: str, uri: str, headers: Parameters) -> None:
    target = await target_of(f'<Sip username="u" password="p">{body}</Sip>')
    assert (target.uri, target.headers, target.username, target.password) == (uri, headers, "u", "p")


async def test_of_several_uris_the_first_by_priority_is_dialled() -> None:
    inside = (
        '<Sip><Uri priority="2">sip:b@x</Uri><Uri priority="1" weight="1">sip:c@x</Uri>'
        '<Uri priority="1" weight="5" username="u" password="p">sip:a@x</Uri>'
        '<Headers><Header name="X-A" value="1"/></Headers></Sip>'
    )
    target = await target_of(inside)
    assert (target.uri, target.username, target.headers) == ("sip:a@x", "u", (("X-A", "1"),))


@pytest.mark.parametrize(
    ("inside", "code"),
    [
        ("tomorrow", 13223),
        ("<Number>tomorrow</Number>", 13223),
        ("<Client> </Client>", 13223),
        ("<Sip>sip:a b@c</Sip>", 13243),
        (f"<Sip>sip:{'a' * 260}@c</Sip>", 13243),
        ("<Conference>room</Conference>", 12200),
        ("<Queue>line</Queue>", 12200),
        ("<Say>no</Say>", 13215),
        ("", 0),
    ],
)
async def test_what_cannot_be_dialled_fails_the_dial(inside: str, code: int) -> None:
    program = compiled(f'<Dial action="/d">{inside}</Dial>')
    call = FakeCall()
    outcome = await perform_all(program.verbs, call)
    assert parameters(outcome) == {"DialCallStatus": "failed", "DialBridged": "false"}
    assert [warning.code for warning in program.warnings] == ([code] if code else [])
    assert call.placed == []


async def test_text_and_nouns_are_dialled_together() -> None:
    _, call = await dial("", "<Client>x</Client>+15551230000<Sip>a@b</Sip>")
    assert [child.target.uri for child in call.placed] == ["client:x", "tel:+15551230000", "sip:a@b"]


async def test_a_sip_caller_without_caller_id_is_warned_of() -> None:
    _, call = await dial("", "+15551230000", script=Script(is_sip_origin=True))
    assert call.warnings == [(1, 13214)]


async def test_dial_is_not_allowed_on_a_callee_being_screened() -> None:
    with pytest.raises(DocumentError) as caught:
        await dial("", "+15551230000", script=Script(is_screening=True))
    assert caught.value.code == 13201


# ------------------------------------------------------------------ interruptions


async def test_a_caller_who_hangs_up_while_it_rings_still_costs_an_action() -> None:
    (verb,) = compiled('<Dial action="/d">+15551230000</Dial>').verbs
    outcome = await perform(verb, FakeCall(Script(callees=(SILENT,))), (2.0, Hangup(Side.CALLER)))
    assert outcome == GoTo(
        "/d", "POST", (("DialCallStatus", "canceled"), ("DialCallSid", "CA1"), ("DialBridged", "false"))
    )


@pytest.mark.parametrize(
    ("attributes", "cause"), [("", Hangup(Side.CALLER)), ('action="/d"', Replace(target="http://x.test"))]
)
async def test_otherwise_nothing_is_owed(attributes: str, cause: Hangup | Replace) -> None:
    (verb,) = compiled(f"<Dial {attributes}>+15551230000</Dial>").verbs
    assert await perform(verb, FakeCall(Script(callees=(SILENT,))), (2.0, cause)) is None


async def test_a_single_callee_with_early_media_is_heard_instead_of_ringback() -> None:
    outcome, call = await dial("", "+15551230000", Callee(after=5, heard_after=2))
    assert connected(outcome).child is call.placed[0]
    assert "0.0 play tone:ringback-us x0" in call.acts
    assert any(act.startswith("2.0 hear ") for act in call.acts)


async def test_early_media_is_not_mixed_up_when_several_ring() -> None:
    _, call = await dial(
        "",
        "<Number>+15551230000</Number><Number>+15551230001</Number>",
        Callee(after=5, heard_after=2),
        SILENT,
    )
    assert not any("hear" in act for act in call.acts)
