"""In whose name a party asks to be connected with somebody else."""

from __future__ import annotations

import asyncio
from typing import Any

from callrouter.calls.child import permission
from callrouter.testing.world import Callee
from dispatcher.grant import Request
from metering.interval import Cause
from tests.unit.calls.test_calls_story import MENU, application


async def test_who_was_dialled_takes_no_part_in_the_application_of_whoever_dialled(house: Any) -> None:
    h = house(
        {"http://acme.test/menu": MENU},
        {"sip:agent@host": Callee(answers_after=1)},
        target="app:AP" + "a" * 32,
        snapshot=application(),
    )
    caller = await h.call()
    await asyncio.sleep(3)
    asked: list[Request] = []
    dispatch = h.services.dispatcher.dispatch

    async def noted(request: Request) -> Any:
        asked.append(request)
        return await dispatch(request)

    h.services.dispatcher.dispatch = noted
    (agent,) = (one for one in h.services.exchange if one is not h.root)
    for party, cause in ((agent, Cause.SIP), (agent, Cause.VERB), (h.root, Cause.SIP)):
        await permission(party, "sip:carol@host", cause)
    held = [request.current.holder for request in asked if request.current is not None]
    assert [(holder.instance, bool(holder.application)) for holder in held] == [
        ("", False), ("bridge", True), ("bridge", True),
    ]  # fmt: skip
    assert held[0].driven_by == h.root.call.sid
    caller.bye()
    await h.idle()
