"""The far end of a call is asked to call somebody else itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callrouter.errors import CallGone
from callrouter.ports import ReferProgress, Referred

CAROL = "sip:carol@elsewhere.example"


async def asked(house: Any) -> tuple[Any, Any, asyncio.Task[Referred], list[int]]:
    h = house("<Response><Pause length='300'/></Response>")
    caller = await h.call()
    await asyncio.sleep(1)
    heard: list[int] = []
    asking = asyncio.create_task(h.root.leg().refer(CAROL, heard.append))
    await asyncio.sleep(0)
    assert caller.actions[-1] == f"refer {CAROL}"
    return h, caller, asking, heard


async def end(h: Any, caller: Any) -> None:
    caller.bye()
    await h.idle()


@pytest.mark.parametrize("outcome", [200, 486, 408])
async def test_what_the_last_notify_tells_is_the_outcome(house: Any, outcome: int) -> None:
    h, caller, asking, heard = await asked(house)
    caller.say(ReferProgress(0, 202, False))
    caller.say(ReferProgress(0, 100, False, True))
    assert not asking.done()
    caller.say(ReferProgress(0, outcome, True, True))
    assert await asking == Referred(202, outcome)
    assert heard == [202, 100, outcome]
    await end(h, caller)


@pytest.mark.parametrize("answer", [202, 403, 503])
async def test_an_answer_after_which_nothing_comes_is_all(house: Any, answer: int) -> None:
    h, caller, asking, heard = await asked(house)
    caller.say(ReferProgress(0, answer, True))
    assert await asking == Referred(answer)
    assert heard == [answer]
    await end(h, caller)


async def test_a_far_end_that_hangs_up_has_said_what_it_had_to_say(house: Any) -> None:
    h, caller, asking, _ = await asked(house)
    caller.say(ReferProgress(0, 202, False))
    await end(h, caller)
    assert await asking == Referred(202)


async def test_one_question_at_a_time(house: Any) -> None:
    h, caller, asking, _ = await asked(house)
    assert await h.root.leg().refer(CAROL) == Referred(491)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    caller.say(ReferProgress(0, 200, True, True))
    again = asyncio.create_task(h.root.leg().refer(CAROL))
    await asyncio.sleep(0)
    caller.say(ReferProgress(0, 603, True))
    assert await again == Referred(603)
    await end(h, caller)


async def test_nobody_is_asked_whose_call_is_over(house: Any) -> None:
    h, caller, asking, _ = await asked(house)
    controller = h.root
    leg = controller.leg()
    caller.bye()
    await h.idle()
    await asking
    with pytest.raises(CallGone):
        await leg.refer(CAROL)
