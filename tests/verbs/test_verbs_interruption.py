"""Whatever a verb is doing when it is interrupted, nothing of it stays behind."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from callrouter.ports import CallStatus, Connect, Hangup, Interrupt, Replace, Shutdown, Side, Transfer
from callrouter.testing import virtual_time
from callrouter.testing.call import FakeCall, Script
from callrouter.testing.child import Callee
from callrouter.testing.performance import compiled, perform

DOCUMENTS = st.sampled_from(
    [
        "<Say>a<break time='2s'/>b</Say>",
        "<Say loop='0'>a</Say>",
        "<Play>/a</Play>",
        "<Play digits='1w2'/>",
        "<Pause length='5'/>",
        "<Hangup/>",
        "<Reject/>",
        "<Redirect>/x</Redirect>",
        "<Gather action='/g'><Say>a</Say><Pause length='2'/><Play>/b</Play></Gather>",
        "<Gather input='speech' timeout='3'><Say>a</Say></Gather>",
        "<Record action='/r' maxLength='8'/>",
        "<Dial action='/d'>+15551230000</Dial>",
        "<Dial answerOnBridge='true' sequential='true'><Client>a</Client><Client>b</Client></Dial>",
        "<Dial action='/d'><Number url='/w'>+15551230000</Number><Sip>a@b</Sip><Client>c</Client></Dial>",
        "<Dial sequential='true'><Number url='/w'>+15551230000</Number><Sip>a@b</Sip></Dial>",
    ]
)
CALLEES = st.lists(
    st.builds(
        Callee,
        status=st.sampled_from([CallStatus.COMPLETED, CallStatus.BUSY, CallStatus.FAILED]),
        after=st.sampled_from([0.0, 1.0, 2.0, 3.5, 99.0]),
        screen_seconds=st.sampled_from([0.0, 1.0, 4.0]),
        stays=st.booleans(),
    ),
    max_size=3,
).map(tuple)
INSTANTS = st.one_of(st.sampled_from([0.0, 1.0, 2.0, 3.0, 3.5]), st.floats(0, 12))
KEYS = st.lists(st.tuples(INSTANTS, st.sampled_from("12#*")), max_size=3).map(tuple)
CAUSES: st.SearchStrategy[Interrupt] = st.sampled_from(
    [
        Hangup(Side.CALLER),
        Hangup(Side.US),
        Replace(target="http://x.test"),
        Transfer("tel:+1", "api"),
        Shutdown(),
    ]
)


@given(DOCUMENTS, CALLEES, KEYS, INSTANTS, CAUSES, st.sampled_from([0.0, 0.7]), st.booleans())
@settings(max_examples=400, deadline=None)
def test_nothing_is_left_behind(
    document: str,
    callees: tuple[Callee, ...],
    keys: tuple[tuple[float, str], ...],
    instant: float,
    cause: Interrupt,
    fetch_seconds: float,
    is_answered: bool,
) -> None:
    """`perform` raises for audio, recordings, listeners, children and tasks that outlive the verb; the
    interruption comes at any instant, the one where something else happens included."""

    async def main() -> None:
        script = Script(callees=callees, keys=keys, fetch_seconds=fetch_seconds, is_answered=is_answered)
        (verb,) = compiled(document).verbs
        await perform(verb, FakeCall(script), (instant, cause))

    virtual_time.run(main())


@given(DOCUMENTS, st.integers(0, 40))
@settings(max_examples=200, deadline=None)
def test_nothing_is_left_behind_at_any_step_of_the_loop(document: str, steps: int) -> None:
    """Interrupt after so many turns of the loop rather than at an instant: every await is hit."""

    async def main() -> None:
        call = FakeCall(Script(callees=(Callee(after=0), Callee(after=0)), keys=((0, "1"), (0, "#"))))
        (verb,) = compiled(document).verbs
        running = asyncio.create_task(verb.run(call))
        for _ in range(steps):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait((running,))
        keep = None
        if not running.cancelled() and isinstance(outcome := running.result(), Connect):
            keep = outcome.child
        await call.release(keep)
        assert call.leftovers(keep) == []
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtual_time.run(main())
