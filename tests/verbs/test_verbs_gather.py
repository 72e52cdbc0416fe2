"""Gather: the algorithm of docs/verbs.md, instant by instant."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from callrouter.errors import CallGone, FetchFailed
from callrouter.ports import GoTo, Next, Outcome, Played, PlayItem
from callrouter.testing import virtual_time
from callrouter.testing.call import FakeCall, Script
from callrouter.testing.performance import compiled, perform_all


def digits(pressed: str, action: str = "") -> GoTo:
    return GoTo(action, "POST", (("Digits", pressed),))


async def gather(
    attributes: str, *keys: tuple[float, str], inside: str = ""
) -> tuple[Outcome, float, FakeCall]:
    call = FakeCall(Script(keys=keys))
    outcome = await perform_all(compiled(f"<Gather {attributes}>{inside}</Gather>").verbs, call)
    return outcome, round(virtual_time.now(), 3), call


@pytest.mark.parametrize(
    ("attributes", "keys", "outcome", "ends"),
    [
        ("", (), Next(), 5.0),
        ("", ((1, "#"),), Next(), 1.0),
        ("", ((1, "1"), (2, "#")), digits("1"), 2.0),
        ("", ((1, "1"),), digits("1"), 6.0),
        ("", ((4.9, "1"), (9.8, "2")), digits("12"), 14.8),
        ("", ((5.1, "1"),), Next(), 5.0),
        ('numDigits="2"', ((1, "1"), (2, "2"), (3, "3")), digits("12"), 2.0),
        ('numDigits="1"', ((1, "#"),), Next(), 1.0),
        ('timeout="2" numDigits="3"', ((1, "1"), (2, "2")), digits("12"), 4.0),
        ('finishOnKey=""', ((1, "#"), (2, "*")), digits("#*"), 7.0),
        ('finishOnKey="*"', ((1, "#"), (2, "*")), digits("#"), 2.0),
        ('actionOnEmptyResult="true"', (), digits(""), 5.0),
        ('actionOnEmptyResult="true"', ((1, "#"),), digits(""), 1.0),
        ('action="/x"', ((1, "7"), (2, "#")), digits("7", "/x"), 2.0),
        ('input="speech"', ((1, "7"),), Next(), 5.0),
        ('input="speech" actionOnEmptyResult="true"', ((1, "7"),), digits(""), 5.0),
        ('input="dtmf speech"', ((1, "7"), (2, "#")), digits("7"), 2.0),
    ],
)
async def test_keys(
    attributes: str, keys: tuple[tuple[float, str], ...], outcome: Outcome, ends: float
) -> None:
    result, at, _ = await gather(attributes, *keys)
    assert (result, at) == (outcome, ends)


async def test_prompts_are_fetched_first_then_played_in_order() -> None:
    inside = "<Say>a</Say><Play>/b</Play><Pause length='2'/><Say loop='2'>c</Say>"
    call = FakeCall(Script(fetch_seconds=1))
    assert await perform_all(compiled(f"<Gather>{inside}</Gather>").verbs, call) == Next()
    assert call.acts == [
        "3.0 answer",
        "3.0 play say:a file:http://app.test/b silence:2000 say:c say:c",
    ]
    assert virtual_time.now() == pytest.approx(9 + 5)


async def test_the_timeout_begins_when_the_prompts_have_ended() -> None:
    outcome, at, _ = await gather("", (5.9, "1"), (6.5, "#"), inside="<Say>a</Say>")
    assert (outcome, at) == (digits("1"), 6.5)


async def test_the_first_key_silences_the_prompts_and_starts_the_timeout() -> None:
    outcome, at, call = await gather('timeout="2"', (0.5, "1"), inside="<Say>a</Say><Say>b</Say>")
    assert (outcome, at) == (digits("1"), 2.5)
    assert call.acts == ["0.0 answer", "0.0 play say:a say:b"]


@pytest.mark.parametrize(
    ("attributes", "held", "outcome", "ends"),
    [
        # Past the timeout after the prompt of 1 s, from during it, and past that between two keys.
        ('timeout="2" numDigits="1"', ((2.5, 9.0, "1"),), digits("1"), 9.0),
        ('timeout="2" numDigits="1"', ((0.5, 9.0, "1"),), digits("1"), 9.0),
        ('timeout="2"', ((1.5, 2.0, "1"), (3.9, 8.0, "2")), digits("12"), 10.0),
        ('timeout="2"', ((2.9, 6.0, "#"),), Next(), 6.0),
        ('timeout="2"', ((3.1, 6.0, "1"),), Next(), 3.0),
    ],
)
async def test_a_key_that_is_held_past_the_timeout_counts_when_it_is_let_go(
    attributes: str, held: tuple[tuple[float, float, str], ...], outcome: Outcome, ends: float
) -> None:
    call = FakeCall(Script(held=held))
    document = f"<Gather {attributes}><Say>a</Say></Gather>"
    assert await perform_all(compiled(document).verbs, call) == outcome
    assert virtual_time.now() == pytest.approx(ends)


async def test_the_finish_key_during_the_prompt_is_no_input() -> None:
    outcome, at, _ = await gather("", (0.5, "#"), inside="<Say>a</Say>")
    assert (outcome, at) == (Next(), 0.5)


async def test_a_key_during_the_fetch_spares_the_prompts() -> None:
    call = FakeCall(Script(keys=((0.5, "1"),), fetch_seconds=1, is_answered=True))
    document = '<Gather numDigits="1"><Say>a</Say></Gather>'
    assert await perform_all(compiled(document).verbs, call) == digits("1")
    assert virtual_time.now() == pytest.approx(1)
    assert [act for act in call.acts if act.endswith("say:a")] in ([], ["1.0 play say:a"])


async def test_keys_before_gather_are_dropped() -> None:
    call = FakeCall(Script(keys=((0.5, "1"),)))
    assert await perform_all(compiled("<Say>a</Say><Gather/>").verbs, call) == Next()


async def test_keys_do_not_stop_the_prompts_of_speech() -> None:
    _, at, _ = await gather('input="speech"', (0.5, "1"), inside="<Say>a</Say>")
    assert at == 6.0


async def test_a_prompt_that_cannot_be_fetched_fails_the_verb() -> None:
    call = FakeCall(Script(fault=FetchFailed("404", url="http://app.test/a")))
    with pytest.raises(FetchFailed):
        await perform_all(compiled("<Gather><Play>/a</Play></Gather>").verbs, call)


async def test_the_next_verb_runs_without_input() -> None:
    call = FakeCall()
    document = '<Gather timeout="1"/><Redirect>/again</Redirect>'
    assert await perform_all(compiled(document).verbs, call) == GoTo("/again")


async def test_gather_answers_even_without_a_prompt() -> None:
    _, _, call = await gather("")
    assert call.acts == ["0.0 answer"]


async def test_a_prompt_that_breaks_off_fails_the_verb_at_once() -> None:
    class Broken(FakeCall):
        async def play(self, items: Sequence[PlayItem], *, loops: int = 1, stop_digits: str = "") -> Played:
            raise CallGone("the leg has ended")

    with pytest.raises(CallGone):
        await perform_all(compiled("<Gather><Say>a</Say></Gather>").verbs, Broken())
    assert virtual_time.now() == 0


async def test_a_key_in_the_instant_the_prompts_end_counts() -> None:
    class Prompt(FakeCall):
        async def play(self, items: Sequence[PlayItem], *, loops: int = 1, stop_digits: str = "") -> Played:
            played = await super().play(items, loops=loops, stop_digits=stop_digits)
            self.press("1")
            return played

    outcome = await perform_all(compiled("<Gather numDigits='1'><Say>a</Say></Gather>").verbs, Prompt())
    assert (outcome, virtual_time.now()) == (digits("1"), 1.0)
