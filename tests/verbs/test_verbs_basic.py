"""Say, Play, Pause, Hangup, Reject, Redirect: document in, what the caller gets out."""

from __future__ import annotations

import pytest

from callrouter.errors import AudioUnplayable, DocumentError, FetchFailed, SpeechFailed
from callrouter.ports import Finish, GoTo, Next, Refuse
from callrouter.testing.call import FakeCall, Script
from callrouter.testing.performance import compiled, perform, perform_all


async def test_say_answers_and_speaks() -> None:
    call = FakeCall()
    assert await perform_all(compiled("<Say>\n Hello\n  there </Say>").verbs, call) == Next()
    assert call.acts == ["0.0 answer", "0.0 play say:Hello there"]


async def test_say_passes_voice_language_and_loops() -> None:
    call = FakeCall(Script(is_answered=True))
    document = '<Say voice="Polly.Maja" language="pl-PL" loop="2">Tak</Say><Say>x</Say>'
    await perform_all(compiled(document).verbs, call)
    assert call.acts == ["0.0 play say:Tak (Polly.Maja pl-PL) x2", "2.0 play say:x"]


@pytest.mark.parametrize(
    ("ssml", "heard"),
    [
        ('a <break time="2s"/> b', "say:a silence:2000 say:b"),
        ('a<break time="250ms"/>', "say:a silence:250"),
        ('a<break strength="x-strong"/>b', "say:a silence:1000 say:b"),
        ('a<break strength="none"/>b', "say:a say:b"),
        ('a<break time="600s"/>b', "say:a silence:10000 say:b"),
        ('a <emphasis level="strong">very <w>b</w></emphasis> c', "say:a very b c"),
        ('<sub alias="World Wide Web">WWW</sub> wins', "say:World Wide Web wins"),
        ("<p>One.</p><s>Two.</s>", "say:One. silence:500 say:Two. silence:250"),
        ('<say-as interpret-as="date">1</say-as>', "say:1"),
        ("<blink>a</blink>", "say:a"),
    ],
)
async def test_ssml_keeps_its_text_and_its_breaks(ssml: str, heard: str) -> None:
    call = FakeCall(Script(is_answered=True))
    await perform_all(compiled(f"<Say>{ssml}</Say>").verbs, call)
    assert call.acts == [f"0.0 play {heard}"]


async def test_nothing_to_say_is_skipped_unanswered() -> None:
    program = compiled("<Say> </Say>")
    call = FakeCall()
    assert await perform_all(program.verbs, call) == Next()
    assert (call.acts, [warning.code for warning in program.warnings]) == ([], [13520])


async def test_a_long_text_is_cut() -> None:
    program = compiled(f"<Say>{'a' * 5000}</Say>")
    call = FakeCall(Script(is_answered=True))
    await perform_all(program.verbs, call)
    assert call.acts == ["0.0 play say:" + "a" * 4096]
    assert [warning.code for warning in program.warnings] == [13521]


async def test_speech_that_fails_costs_only_the_say() -> None:
    call = FakeCall(Script(fault=SpeechFailed("no such voice")))
    assert await perform_all(compiled("<Say>x</Say>").verbs, call) == Next()
    assert call.warnings == [(1, 13520)]


async def test_play_fetches_relative_to_the_document() -> None:
    call = FakeCall()
    await perform_all(compiled("<Play>\n  ../a.mp3\n</Play>").verbs, call)
    assert call.acts == ["0.0 answer", "0.0 play file:http://app.test/a.mp3"]


async def test_play_sends_digits() -> None:
    call = FakeCall()
    await perform_all(compiled('<Play digits="ww12#"/>').verbs, call)
    assert call.acts == ["0.0 answer", "0.0 play digits:ww12#"]


async def test_play_without_anything_does_nothing() -> None:
    call = FakeCall()
    assert await perform_all(compiled("<Play/>").verbs, call) == Next()
    assert call.acts == []


@pytest.mark.parametrize(
    ("document", "code"),
    [("<Play>/a</Play>", 13420), ("<Gather><Play>/a</Play></Gather>", 13325)],
)
async def test_an_unplayable_file_is_an_error(document: str, code: int) -> None:
    call = FakeCall(Script(fault=AudioUnplayable("not audio")))
    with pytest.raises(AudioUnplayable) as caught:
        await perform_all(compiled(document).verbs, call)
    assert caught.value.code == code


async def test_a_file_that_cannot_be_fetched_is_an_error() -> None:
    call = FakeCall(Script(fault=FetchFailed("404", url="http://app.test/a")))
    with pytest.raises(FetchFailed):
        await perform_all(compiled("<Play>/a</Play>").verbs, call)


async def test_a_relative_file_needs_a_document_with_an_address() -> None:
    with pytest.raises(DocumentError) as caught:
        await perform_all(compiled("<Play>/a</Play>").verbs, FakeCall(Script(base="")))
    assert caught.value.code == 11100


async def test_pause_first_rings_and_delays_the_answer() -> None:
    call = FakeCall()
    await perform_all(compiled('<Pause length="3"/><Say>x</Say>').verbs, call)
    assert call.acts == ["0.0 ring", "0.0 sleep 3", "3.0 answer", "3.0 play say:x"]


async def test_pause_in_an_answered_call_just_waits() -> None:
    call = FakeCall(Script(is_answered=True))
    await perform_all(compiled("<Pause/>").verbs, call)
    assert call.acts == ["0.0 sleep 1"]


async def test_hangup_first_answers() -> None:
    call = FakeCall()
    assert isinstance(await perform_all(compiled("<Hangup/><Say>never</Say>").verbs, call), Finish)
    assert call.acts == ["0.0 answer"]


@pytest.mark.parametrize(
    ("reason", "status"), [("", 603), ('reason="busy"', 486), ('reason="rejected"', 603)]
)
async def test_reject_does_not_answer(reason: str, status: int) -> None:
    call = FakeCall()
    outcome = await perform_all(compiled(f"<Reject {reason}/><Say>never</Say>").verbs, call)
    assert isinstance(outcome, Refuse)
    assert (outcome.status, call.acts) == (status, [])


@pytest.mark.parametrize(
    "target",
    [
        "/next",
        "https://other.test/a?b=c",
        "outlet:paid?amount=5",
        "module:acme.menu?lang=pl",
        "tel:+48123",
        "",
    ],
)
async def test_redirect_goes_to_any_target_unanswered(target: str) -> None:
    call = FakeCall()
    outcome = await perform_all(compiled(f'<Redirect method="GET">\n {target}\n</Redirect>').verbs, call)
    assert outcome == GoTo(target, "GET")
    assert call.acts == []


async def test_an_empty_document_has_nothing_to_do() -> None:
    assert compiled("").verbs == ()


async def test_a_verb_that_ends_well_leaves_its_outcome() -> None:
    (say,) = compiled("<Say>x</Say>").verbs
    assert await perform(say, FakeCall()) == Next()
