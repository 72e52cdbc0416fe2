"""The tasks of this process's calls: how they end, and that none fails unheard."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from callrouter.testing.world import Callee

PAGE = "<Response><Say>Hello</Say><Pause length='{}'/></Response>"


async def test_a_short_task_that_fails_is_in_the_log(house: Any) -> None:
    h = house(PAGE.format(1))

    async def fails() -> None:
        raise RuntimeError("a bug")

    with capture_logs() as lines:
        h.services.exchange.start(fails(), "looking up")
        await asyncio.sleep(0.1)
    assert [(line["event"], line["task"], line["error"]) for line in lines] == [
        ("task_failed", "looking up", "RuntimeError('a bug')")
    ]


@pytest.mark.parametrize(("length", "ended_at"), [(3, 5), (60, 10)])
async def test_a_server_that_stops_lets_calls_end_for_a_while(house: Any, length: int, ended_at: int) -> None:
    h = house(PAGE.format(length))
    leg = await h.call()
    await asyncio.sleep(0.5)
    draining = asyncio.create_task(h.services.exchange.drain(9.5))
    await asyncio.sleep(0.1)
    late = await h.call()
    await draining
    assert round(asyncio.get_running_loop().time()) == ended_at
    assert leg.actions == ["answer", "hangup"]
    assert late.actions == ["reject 503"]
    assert not len(h.services.exchange)


async def test_the_calls_of_a_session_come_with_the_root_first(house: Any) -> None:
    h = house("<Response><Dial><Sip>sip:agent@host</Sip></Dial></Response>", {"sip:agent@host": Callee()})
    leg = await h.call()
    await asyncio.sleep(0.5)
    root = h.root.call.sid
    session = h.services.exchange.session(root)
    assert [controller.call.sid == root for controller in session] == [True, False]
    leg.bye()
    await h.idle()
    assert h.services.exchange.session(root) == []
