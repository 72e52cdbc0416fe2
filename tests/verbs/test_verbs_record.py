"""Record always ends by requesting its action (docs/verbs.md)."""

from __future__ import annotations

import pytest

from callrouter.ports import GoTo, Hangup, RecordingEnd, Replace, Shutdown, Side
from callrouter.testing.call import FakeCall, Script, Speaker
from callrouter.testing.performance import compiled, perform, perform_all


def recorded(seconds: int) -> tuple[tuple[str, str], ...]:
    return (
        ("RecordingUrl", "http://app.test/RE1"),
        ("RecordingSid", "RE1"),
        ("RecordingDuration", str(seconds)),
    )


@pytest.mark.parametrize(
    ("speaker", "digits"),
    [
        (Speaker(4, RecordingEnd.SILENCE), ()),
        (Speaker(4, RecordingEnd.DIGIT, "#"), (("Digits", "#"),)),
        (Speaker(4, RecordingEnd.CLOSED), (("Digits", "hangup"),)),
        (Speaker(4, RecordingEnd.MAX_LENGTH), ()),
    ],
)
async def test_the_action_is_requested(speaker: Speaker, digits: tuple[tuple[str, str], ...]) -> None:
    call = FakeCall(Script(speaker=speaker))
    outcome = await perform_all(compiled('<Record action="/r" method="GET"/><Say>never</Say>').verbs, call)
    assert outcome == GoTo("/r", "GET", recorded(4) + digits)
    assert call.acts == ["0.0 answer", "0.0 record"]


async def test_what_is_ordered_of_the_recorder() -> None:
    call = FakeCall()
    document = (
        '<Record maxLength="30" timeout="0" finishOnKey="12" trim="do-not-trim" playBeep="false"'
        ' recordingStatusCallback="cb" recordingStatusCallbackMethod="GET"'
        ' recordingStatusCallbackEvent="in-progress completed"/>'
    )
    await perform_all(compiled(document).verbs, call)
    order = call.order
    assert order is not None
    assert (order.max_seconds, order.silence_seconds, order.stop_digits) == (30, 0, "12")
    assert (order.trim_silence, order.play_beep) == (False, False)
    assert (order.callback, order.callback_method) == ("http://app.test/voice/cb", "GET")
    assert order.callback_events == {"in-progress", "completed"}


async def test_a_callback_that_cannot_be_reached_costs_only_itself() -> None:
    call = FakeCall(Script(base=""))
    await perform_all(compiled('<Record action="http://a.test/" recordingStatusCallback="/cb"/>').verbs, call)
    assert call.order is not None
    assert (call.order.callback, call.warnings) == ("", [(1, 11100)])


async def test_a_hangup_still_requests_the_action_with_what_was_said() -> None:
    (record,) = compiled('<Record action="/r"/>').verbs
    outcome = await perform(record, FakeCall(), (2.0, Hangup(Side.CALLER)))
    assert outcome == GoTo("/r", "POST", (*recorded(2), ("Digits", "hangup")))


async def test_a_hangup_before_there_is_a_recording_requests_the_action_too() -> None:
    (record,) = compiled("<Record/>").verbs
    assert record.interrupted(FakeCall(), Hangup(Side.CALLER)) == GoTo("", "POST", (("Digits", "hangup"),))


@pytest.mark.parametrize("cause", [Replace(twiml="<Response/>"), Shutdown()])
async def test_any_other_interruption_owes_nothing(cause: Replace | Shutdown) -> None:
    (record,) = compiled("<Record/>").verbs
    assert await perform(record, FakeCall(), (2.0, cause)) is None
