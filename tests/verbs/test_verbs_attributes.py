"""Every attribute of docs/verbs.md: what is read, what a bad one costs."""

from __future__ import annotations

from typing import Any

import pytest

from callrouter.errors import DocumentError
from callrouter.testing.call import FakeCall
from callrouter.testing.performance import compiled, perform
from callrouter.verbs.dial.dial import Dial
from callrouter.verbs.failing import Failing
from callrouter.verbs.gather import Gather
from callrouter.verbs.pause import Pause
from callrouter.verbs.play import Play
from callrouter.verbs.record import Record
from callrouter.verbs.redirect import Redirect
from callrouter.verbs.reject import Reject
from callrouter.verbs.say import Say

# verb, body, attribute, value, field, expected, code of the warning (0 for none)
TABLE: list[tuple[type, str, str, str | None, str, Any, int]] = [
    (Say, "x", "voice", None, "voice", "man", 0),
    (Say, "x", "voice", "woman", "voice", "woman", 0),
    (Say, "x", "voice", "Polly.Joanna-Neural", "voice", "Polly.Joanna-Neural", 0),
    (Say, "x", "voice", "Google.en-GB-Standard-A", "voice", "Google.en-GB-Standard-A", 0),
    (Say, "x", "voice", "robot", "voice", "robot", 13511),
    (Say, "x", "language", None, "language", "en-US", 0),
    (Say, "x", "language", "pl-PL", "language", "pl-PL", 0),
    (Say, "x", "language", "../../etc", "language", "en-US", 13512),
    (Say, "x", "loop", None, "loops", 1, 0),
    (Say, "x", "loop", "2", "loops", 2, 0),
    (Say, "x", "loop", "0", "loops", 1000, 0),
    (Say, "x", "loop", "-1", "loops", 1, 13510),
    (Say, "x", "rate", "fast", "loops", 1, 12200),
    (Play, "/a", "loop", "3", "loops", 3, 0),
    (Play, "/a", "loop", "0", "loops", 1000, 0),
    (Play, "/a", "loop", "x", "loops", 1, 13410),
    (Play, "", "digits", "1w2W#D", "digits", "1w2W#D", 0),
    (Play, "/a", "digits", "1x", "digits", "", 13430),
    (Play, "/a", "digits", "1", "source", "", 12200),
    (Pause, "", "length", None, "seconds", 1, 0),
    (Pause, "", "length", "10", "seconds", 10, 0),
    (Pause, "", "length", "0", "seconds", 1, 13910),
    (Redirect, "/n", "method", None, "method", "POST", 0),
    (Redirect, "/n", "method", "GET", "method", "GET", 0),
    (Redirect, "/n", "method", "PUT", "method", "POST", 13710),
    (Reject, "", "reason", None, "reason", "rejected", 0),
    (Reject, "", "reason", "busy", "reason", "busy", 0),
    (Reject, "", "reason", "tired", "reason", "rejected", 13810),
    (Gather, "", "action", None, "action", "", 0),
    (Gather, "", "action", "/g", "action", "/g", 0),
    (Gather, "", "method", "GET", "method", "GET", 0),
    (Gather, "", "method", "X", "method", "POST", 13312),
    (Gather, "", "timeout", None, "timeout_seconds", 5, 0),
    (Gather, "", "timeout", "7", "timeout_seconds", 7, 0),
    (Gather, "", "timeout", "auto", "timeout_seconds", 5, 0),
    (Gather, "", "timeout", "0", "timeout_seconds", 5, 13313),
    (Gather, "", "numDigits", "4", "num_digits", 4, 0),
    (Gather, "", "numDigits", "0", "num_digits", 0, 13314),
    (Gather, "", "finishOnKey", None, "finish_on", "#", 0),
    (Gather, "", "finishOnKey", "*", "finish_on", "*", 0),
    (Gather, "", "finishOnKey", "", "finish_on", "", 0),
    (Gather, "", "finishOnKey", "12", "finish_on", "#", 13310),
    (Gather, "", "input", "dtmf", "hears_keys", True, 0),
    (Gather, "", "input", "speech", "hears_keys", False, 13340),
    (Gather, "", "input", "dtmf speech", "hears_keys", True, 13340),
    (Gather, "", "input", "mind", "hears_keys", True, 13326),
    (Gather, "", "actionOnEmptyResult", "true", "reports_empty", True, 0),
    (Gather, "", "speechTimeout", "x", "line", 1, 13327),
    (Gather, "", "maxSpeechTime", "x", "line", 1, 13328),
    (Gather, "", "partialResultCallbackMethod", "x", "line", 1, 13329),
    (Gather, "", "hints", "x" * 101, "line", 1, 13330),
    (Gather, "", "bargeIn", "x", "line", 1, 13332),
    (Gather, "", "profanityFilter", "x", "line", 1, 13333),
    (Gather, "", "speechModel", "x", "line", 1, 13334),
    (Gather, "<Say voice='x'>a</Say>", "action", "", "action", "", 13321),
    (Gather, "<Say loop='x'>a</Say>", "action", "", "action", "", 13322),
    (Gather, "<Record/>", "action", "", "prompts", (), 13320),
    (Gather, "<Play digits='1'/>", "action", "", "prompts", (), 13430),
    (Record, "", "action", None, "action", "", 0),
    (Record, "", "method", "X", "method", "POST", 13610),
    (Record, "", "timeout", None, "silence_seconds", 5, 0),
    (Record, "", "timeout", "0", "silence_seconds", 0, 0),
    (Record, "", "timeout", "x", "silence_seconds", 5, 13611),
    (Record, "", "finishOnKey", None, "finish_on", "1234567890*#", 0),
    (Record, "", "finishOnKey", "*#", "finish_on", "*#", 0),
    (Record, "", "finishOnKey", "", "finish_on", "", 0),
    (Record, "", "finishOnKey", "z", "finish_on", "1234567890*#", 13613),
    (Record, "", "maxLength", None, "max_seconds", 3600, 0),
    (Record, "", "maxLength", "2", "max_seconds", 2, 0),
    (Record, "", "maxLength", "14400", "max_seconds", 14400, 0),
    (Record, "", "maxLength", "1", "max_seconds", 3600, 13612),
    (Record, "", "transcribe", "true", "max_seconds", 120, 13619),
    (Record, "", "transcribe", "x", "max_seconds", 3600, 13614),
    (Record, "", "playBeep", "false", "play_beep", False, 0),
    (Record, "", "playBeep", "x", "play_beep", True, 13616),
    (Record, "", "trim", "do-not-trim", "trim", "do-not-trim", 0),
    (Record, "", "trim", "x", "trim", "trim-silence", 13699),
    (Record, "", "recordingStatusCallback", "/cb", "callback", "/cb", 0),
    (Record, "", "recordingStatusCallback", "a b", "callback", "a b", 13256),
    (
        Record,
        "",
        "recordingStatusCallbackEvent",
        "absent completed",
        "callback_events",
        {"absent", "completed"},
        0,
    ),
    (Dial, "+15551230000", "action", None, "action", None, 0),
    (Dial, "+15551230000", "action", "", "action", "", 0),
    (Dial, "+15551230000", "method", "X", "method", "POST", 13210),
    (Dial, "+15551230000", "timeout", None, "timeout_seconds", 30, 0),
    (Dial, "+15551230000", "timeout", "5", "timeout_seconds", 5, 0),
    (Dial, "+15551230000", "timeout", "600", "timeout_seconds", 600, 0),
    (Dial, "+15551230000", "timeout", "601", "timeout_seconds", 30, 13212),
    (Dial, "+15551230000", "timeLimit", "x", "time_limit_seconds", 14400, 13216),
    (Dial, "+15551230000", "hangupOnStar", "true", "hangup_on_star", True, 0),
    (Dial, "+15551230000", "hangupOnStar", "x", "hangup_on_star", False, 13213),
    (Dial, "+15551230000", "answerOnBridge", "x", "answer_on_bridge", False, 13219),
    (Dial, "+15551230000", "sequential", "x", "sequential", False, 13218),
    (Dial, "+15551230000", "ringTone", "us-old", "ring_tone", "us-old", 0),
    (Dial, "+15551230000", "ringTone", "xx", "ring_tone", "us", 13220),
    (Dial, "+15551230000", "record", "maybe", "record", None, 13217),
    (Dial, "+15551230000", "callerId", "+48123456789", "caller_id", "+48123456789", 0),
    (Dial, "+15551230000", "callerId", "(415) 555-1234", "caller_id", "+14155551234", 0),
    (Dial, "+15551230000", "callerId", "client:joe", "caller_id", "client:joe", 0),
    (Dial, "+15551230000", "callerId", "a b", "caller_id", "", 13214),
    (Dial, "+15551230000", "callerId", "1" * 300, "caller_id", "", 13248),
    (Dial, "+15551230000", "referUrl", "/r", "action", None, 12200),
]


@pytest.mark.parametrize(("verb", "body", "name", "value", "field", "expected", "code"), TABLE)
def test_attributes(
    verb: type, body: str, name: str, value: str | None, field: str, expected: Any, code: int
) -> None:
    attribute = "" if value is None else f' {name}="{value}"'
    program = compiled(f"<{verb.__name__}{attribute}>{body}</{verb.__name__}>")
    assert isinstance(program.verbs[0], verb)
    assert getattr(program.verbs[0], field) == expected
    assert [(warning.line, warning.code) for warning in program.warnings] == ([(1, code)] if code else [])


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ('<Gather actionOnEmptyResult="maybe"/>', 13338),
        ('<Record recordingStatusCallbackEvent="started"/>', 13621),
        ('<Dial recordingStatusCallbackEvent="started">+15551230000</Dial>', 13621),
    ],
)
async def test_an_error_fails_the_verb_when_its_turn_comes(document: str, code: int) -> None:
    say, failing = compiled(f"<Say>first</Say>{document}").verbs
    assert isinstance(say, Say)
    assert isinstance(failing, Failing)
    with pytest.raises(DocumentError) as caught:
        await perform(failing, FakeCall())
    assert (caught.value.code, caught.value.line) == (code, 1)


@pytest.mark.parametrize(
    ("document", "verbs"),
    [
        ("<say>x</say><Hangup/>", ["Hangup"]),
        ("<Frobnicate><Say>x</Say></Frobnicate><Hangup/>", ["Hangup"]),
        ("<Pause><Say>x</Say></Pause>", ["Pause"]),
    ],
)
def test_the_unknown_is_skipped_with_a_warning(document: str, verbs: list[str]) -> None:
    program = compiled(document)
    assert [type(verb).__name__ for verb in program.verbs] == verbs
    assert [warning.code for warning in program.warnings] == [12200]


def test_warnings_come_by_line() -> None:
    program = compiled("<Foo/>\n<Pause length='x'/>\n<Bar/>")
    assert [(warning.line, warning.code) for warning in program.warnings] == [
        (1, 12200),
        (2, 13910),
        (3, 12200),
    ]
