"""The target of a transfer, as whoever is to be connected with it waits for it and hears it ring."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from callrouter.calls.child import Callee, Child
from callrouter.calls.conversation import Linked
from callrouter.calls.live import ScopedCall
from callrouter.calls.referral import CANCELLED, bring_together
from callrouter.calls.search import Finding, failure_of
from callrouter.ports import PlayTone
from callrouter.verbs.beside import beside
from metering.interval import Cause

if TYPE_CHECKING:
    from callrouter.calls.controller import Controller
    from callrouter.calls.referral import Referral
    from callrouter.calls.search import Search
    from callrouter.calls.steps.context import Context
    from callrouter.ports import DialTarget

_RINGING = PlayTone("ringback-us")


async def reach(
    controller: Controller, context: Context, referral: Referral, dialled: DialTarget | None
) -> Callee | Linked | None:
    """The target, once it has answered; None, and the transferor told why, if it does not.

    A target that the transferor is calling already is waited for; it is called anew where the transferor
    hangs up that call, or where a document has answered it (RFC 5589 §7.6)."""
    scope = ScopedCall(controller, replace(context, granted=None))
    reached: Callee | Linked | None = None
    try:
        place = referral.place
        if place is not None and place.search is not None:
            reached = await _awaited(scope, referral, place, place.search)
        if reached is None and not referral.over.is_set():
            reached = await _called(scope, referral, dialled)
    finally:
        await scope.release(keep=reached.child if isinstance(reached, Callee) else None)
        if reached is None:
            referral.fail(CANCELLED)
    return reached


async def _awaited(scope: ScopedCall, referral: Referral, place: Controller, search: Search) -> Linked | None:
    """Whom the transferor is calling by `place`.  None, and the transfer is not over: it has given that
    call up."""
    search.listen(referral.ringing)
    async with beside(scope.ringback(_RINGING)):
        finding = await search.outcome(place)
    side = await bring_together(referral, place) if finding is Finding.CONNECTED else search.status
    if isinstance(side, Linked):
        return side
    if finding is Finding.MISSED or not place.over.is_set():
        referral.fail(side)
    return None


async def _called(scope: ScopedCall, referral: Referral, dialled: DialTarget | None) -> Callee | None:
    scope.look().listen(referral.ringing)
    child = await scope.place(referral.target_like(dialled), Cause.SIP)
    async with beside(scope.hear(child, _RINGING)):
        answered = await child.answered()
    if answered and isinstance(child, Child):
        return Callee(child)
    referral.fail(failure_of(child.result))
    return None
