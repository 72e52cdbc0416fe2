"""Who answered a call that we placed: a person, a machine, a fax."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from callrouter.calls.call import StatusCallback
from callrouter.ports import Answerer, MachineDetection

if TYPE_CHECKING:
    from callrouter.calls.controller import Controller

NOBODY_TOLD = 21262


def begin(controller: Controller, wanted: MachineDetection | None) -> asyncio.Event | None:
    """Listen to whoever has answered.  The event is set once it is known who that is, and recorded;
    it always is, before or at the end of the call.  None: nobody waits for that."""
    if wanted is None:
        return None
    call, known = controller.call, asyncio.Event()
    told: StatusCallback | None = None
    if wanted.callback:
        told = StatusCallback(wanted.callback, wanted.callback_method, frozenset())
    elif not wanted.is_awaited:
        controller.warn(NOBODY_TOLD, "machine detection without a callback: the call's AnsweredBy tells")

    def found(answerer: Answerer, after_ms: int) -> None:
        call.answered_by, call.detection_ms = answerer.value, after_ms
        call.tells_answerer = wanted.is_awaited
        controller.services.log.detected(call, told)
        known.set()

    controller.leg().detect(wanted, found)
    return known if wanted.is_awaited else None
