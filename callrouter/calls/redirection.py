"""A callee that cannot be had where it was called, and says where it can be (RFC 3261 §8.1.3.4).

Each address is asked for like one that is dialled: it is the same call, for the same account."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from callrouter.calls.child import permission
from callrouter.calls.referral import may_spend
from callrouter.ports import DialTarget, Failed, Redirect
from dispatcher.grant import BridgeGrant
from metering.interval import Cause

if TYPE_CHECKING:
    from callrouter.calls.controller import Controller

logger = structlog.get_logger(__name__)

MOST_FOLLOWED = 5
"""Addresses that one call tries beside the first, however they lead to each other."""


class Trail:
    """Where a call has been, and where it may still be tried."""

    def __init__(self, target: DialTarget) -> None:
        self._target = target
        self._seen = {target.uri}
        self._waiting: deque[Redirect] = deque()
        self._followed = 0

    async def following(self, controller: Controller, failed: Failed | None) -> DialTarget | None:
        """Whom to call next, where `failed` is what the last one answered; None when that was all."""
        if failed is not None:
            await self._note(controller, failed)
        while self._waiting and self._followed < MOST_FOLLOWED:
            redirect = self._waiting.popleft()
            answer = await permission(controller, redirect.target, Cause.VERB)
            if isinstance(answer, BridgeGrant):
                self._followed += 1
                logger.info("redirected", call=controller.call.sid, target=redirect.target)
                return self._towards(redirect)
            logger.info("redirect_refused", call=controller.call.sid, target=redirect.target)
        return None

    async def _note(self, controller: Controller, failed: Failed) -> None:
        """New addresses go before those that are left: they are nearer to the callee."""
        fresh = [r for r in failed.redirects if r.target not in self._seen]
        if not fresh or not await may_spend(controller, failed.redirected_by):
            return
        self._seen |= {redirect.target for redirect in fresh}
        self._waiting.extendleft(reversed(fresh))

    def _towards(self, redirect: Redirect) -> DialTarget:
        """Passwords that were meant for the first address are for nobody else."""
        return replace(
            self._target,
            uri=redirect.target,
            trunk=redirect.trunk,
            mentioned_by=redirect.mentioned_by,
            username="",
            password="",
        )
