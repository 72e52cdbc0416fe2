"""Picking up: what a crash would need is on disk before the caller hears of it, and it happens once."""

from __future__ import annotations

import asyncio
from typing import Any

from callrouter.ports import Hangup, Side

DISK_SECONDS = 2


def slow_disk(h: Any) -> None:
    """From now on a dialog takes long to be saved."""
    save = h.meter.save_dialog

    async def saved(call_sid: str, state: str) -> None:
        await save(call_sid, state)
        await asyncio.sleep(DISK_SECONDS)

    h.meter.save_dialog = saved


async def test_the_dialog_is_on_disk_before_the_call_is_answered(house: Any) -> None:
    h = house("<Response><Say>Hello</Say></Response>")
    slow_disk(h)
    leg = await h.call()
    await asyncio.sleep(DISK_SECONDS - 0.5)
    assert list(h.meter.dialogs.values()) == [leg.dialog_state()]
    assert "answer" not in leg.actions
    await asyncio.sleep(1)
    assert "answer" in leg.actions
    await h.idle()
    h.check_nothing_left()


async def test_two_that_want_to_pick_up_at_once_do_it_once(house: Any) -> None:
    """The ringback of a Dial wants the call answered, and so does the Dial."""
    h = house("<Response><Gather timeout='1'><Say>Press a key</Say></Gather></Response>")
    slow_disk(h)
    leg = await h.call()
    await h.idle()
    assert leg.actions.count("answer") == 1
    assert [status for _, status in h.log.statuses].count("in-progress") == 1


async def test_a_call_that_is_ended_while_it_is_being_answered_leaves_no_dialog(house: Any) -> None:
    h = house("<Response><Say>Hello</Say></Response>")
    slow_disk(h)
    leg = await h.call()
    await asyncio.sleep(DISK_SECONDS / 2)
    await h.orders.interrupt(h.root.call.sid, Hangup(Side.US, "ended through the API"))
    await h.idle()
    assert "answer" not in leg.actions
    assert h.meter.dialogs == {}
