"""Calling the target of a transfer while whoever is to be connected with it hears it ring."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from callrouter.calls.child import Child, FailedChild
from callrouter.calls.live import ScopedCall
from callrouter.calls.referral import CANCELLED, failure_of
from callrouter.ports import PlayTone
from callrouter.verbs.beside import beside
from metering.interval import Cause

if TYPE_CHECKING:
    from callrouter.calls.controller import Controller
    from callrouter.calls.referral import Referral
    from callrouter.calls.steps.context import Context
    from callrouter.ports import DialTarget

_RINGING = (PlayTone("ringback-us"),)


async def reach(
    controller: Controller, context: Context, referral: Referral, dialled: DialTarget | None
) -> Child | None:
    """The target, once it has answered; None, and the transferor told why, if it does not."""
    scope = ScopedCall(controller, replace(context, granted=None))
    reached: Child | None = None
    try:
        child = await scope.place(referral.target_like(dialled), Cause.SIP)
        if isinstance(child, Child):
            child.controller.on_ringing = referral.ringing
        async with beside(_until_answer(scope, child)):
            answered = await child.answered()
        if answered and isinstance(child, Child):
            reached = child
        else:
            referral.fail(failure_of(child.result))
    finally:
        await scope.release(keep=reached)
        if reached is None:
            referral.fail(CANCELLED)
    return reached


async def _until_answer(scope: ScopedCall, child: Child | FailedChild) -> None:
    async with beside(_ringback(scope)):
        await child.early_audio()
    await scope.hear(child)


async def _ringback(scope: ScopedCall) -> None:
    await scope.play(_RINGING, loops=0)
