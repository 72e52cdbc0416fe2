"""A telephone asks that whom it talks to be connected with somebody else (RFC 3515, RFC 5589).

    transferor   whose telephone asks: it goes, once that has worked
    transferee   whom it talks to: carries the transfer out, in a task of its own
    target       who is called; or, where the telephone has talked to them already, is in another
                 conversation of the transferor, whose place there the transferee takes (RFC 3891)

The account whose call it is pays, as if one of its documents had dialled; so its own telephones may
ask, and others not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from callrouter.calls.child import permission
from callrouter.calls.conversation import Linked
from callrouter.calls.search import Finding, Search
from callrouter.ports import DialTarget, SipLeg, TransferRequested
from dispatcher.grant import BridgeGrant, Refusal

if TYPE_CHECKING:
    from callrouter.calls.controller import Controller

logger = structlog.get_logger(__name__)

FORBIDDEN, NOT_FOUND, NOBODY, BUSY, CANCELLED, NOT_HERE, PENDING = 403, 404, 480, 486, 487, 488, 491
PARTING_SECONDS = 3
"""For a telephone that has handed its conversation on to hang up by itself."""


@dataclass(eq=False, slots=True)
class Referral:
    """A transfer that is under way."""

    transferor: Controller
    asked: TransferRequested
    sip: SipLeg
    transferee: Controller | None = None
    """None: the transferor is not connected with anybody yet."""
    place: Controller | None = None
    """The other conversation of the transferor, in which the transferee is to take its place."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """It has worked or failed."""
    _is_accepted: bool = False
    _others: tuple[Controller, ...] = ()

    def involve(self, *others: Controller) -> None:
        """None of them takes part in another transfer meanwhile."""
        self._others += others
        for controller in others:
            controller.referral = self

    def target_like(self, dialled: DialTarget | None) -> DialTarget:
        """Who is to be called, as the Dial that began the conversation would call them."""
        model = dialled or DialTarget(self.asked.target)
        headers = [(name, value) for name, value in self._headers() if value]
        return DialTarget(
            self.asked.target,
            caller_id=model.caller_id,
            timeout_seconds=model.timeout_seconds,
            headers=tuple(headers),
            mentioned_by=self.asked.mentioned_by,
        )

    def _headers(self) -> tuple[tuple[str, str], ...]:
        # A call of ours that is to be replaced is known to nobody but us.
        replaces = self.asked.replaces if self.place is None else ""
        return ("Referred-By", self.asked.referred_by), ("Replaces", replaces)

    def succeed(self) -> None:
        """The transferee talks to the target; the transferor has a moment to hang up."""
        if self.over.is_set():
            return
        leaving = (self.transferor,) if self.place is None else (self.transferor, self.place)
        for controller in leaving:
            controller.has_handed_on = True
            controller.limit(PARTING_SECONDS, "transferred")
        self._conclude(200)

    def fail(self, status: int) -> None:
        self._conclude(status)

    def ringing(self, status: int) -> None:
        """The target says so: a provisional status."""
        if not self.over.is_set():
            self.sip.tell_transfer(self.asked.request, status)

    def accept(self) -> None:
        if not self._is_accepted:
            self._is_accepted = True
            self.sip.settle_transfer(self.asked.request, 202)

    def refuse(self, status: int) -> None:
        """It is not even begun."""
        if self._is_accepted:
            self.fail(status)
            return
        self.sip.settle_transfer(self.asked.request, status)
        self._end(status)

    def _conclude(self, status: int) -> None:
        if not self.over.is_set():
            self._end(status)
            self.sip.tell_transfer(self.asked.request, status)

    def _end(self, status: int) -> None:
        self.over.set()
        for controller in self._others:
            controller.referral = None
        if self.transferee is not None and status != 200:
            self.transferee.is_spoken_for = False
        logger.info("transferred" if status == 200 else "transfer_failed", **self._names(), status=status)

    def _names(self) -> dict[str, str]:
        return {
            "call": self.transferor.call.sid,
            "transferee": "" if self.transferee is None else self.transferee.call.sid,
            "target": self.asked.target,
        }


def abandon(controller: Controller) -> None:
    """What is still wanted of the call will not be done."""
    while not controller.referrals.empty():
        wanted = controller.referrals.get_nowait()
        if isinstance(wanted, Linked):
            wanted.end()
        elif wanted.transferor is not controller:
            wanted.fail(CANCELLED)


async def receive(transferor: Controller, sip: SipLeg, asked: TransferRequested) -> None:
    """Answer the telephone, and do what it asks for if it may."""
    status = await _refusal(transferor, asked) or _obstacle(transferor)
    if status:
        logger.info("transfer_refused", call=transferor.call.sid, target=asked.target, status=status)
        sip.settle_transfer(asked.request, status)
        return
    referral = Referral(transferor, asked, sip)
    referral.involve(transferor)
    search = transferor.search
    if search is not None and not await _has_answered(referral, search):
        return
    if referral.over.is_set():
        return
    # Nothing is awaited between looking at who talks to whom and saying that it is to change.
    transferee = referral.transferee = transferor.partner
    if transferee is None or transferee.referral is not None:
        referral.refuse(PENDING if transferee is not None else NOBODY)
        return
    referral.involve(transferee)
    place = _named(transferor, asked.replaces) if asked.replaces else None
    if place is not None:
        await _attended(referral, place)
    else:
        _hand_on(referral, transferee)


async def _has_answered(referral: Referral, search: Search) -> bool:
    """Somebody whom the transferor still calls: who answers is handed on at once."""
    referral.accept()
    finding = await search.outcome(referral.transferor)
    if finding is not Finding.CONNECTED:
        referral.fail(search.status if finding is Finding.MISSED else CANCELLED)
    return finding is Finding.CONNECTED


def _hand_on(referral: Referral, transferee: Controller) -> None:
    """Have the transferee call the target, and the transferor stand by."""
    referral.accept()
    _quiet(transferee)
    transferee.is_spoken_for = True
    for controller in (referral.transferor, transferee):
        controller.referrals.put_nowait(referral)


async def _refusal(transferor: Controller, asked: TransferRequested) -> int:
    """Why it may not; 0 if it may."""
    if not asked.may or not await may_spend(transferor, asked.asker):
        return FORBIDDEN
    return 0 if asked.target else NOT_FOUND


async def may_spend(controller: Controller, addresses: tuple[str, ...]) -> bool:
    """Whoever has these addresses is not of another account than the one that would pay.  Telephones
    that no account has are the operator's own."""
    dispatcher, account = controller.services.dispatcher, controller.call.facts.account_sid
    owners = {found.account_sid for a in addresses if (found := await dispatcher.number(a)) is not None}
    return not owners or account in owners


def _obstacle(transferor: Controller) -> int:
    """Why it cannot be done now; 0 if it can."""
    partner = transferor.partner
    if transferor.referral is not None or (partner is not None and partner.referral is not None):
        return PENDING
    is_alone = partner is None and transferor.search is None
    return NOBODY if is_alone or transferor.over.is_set() else 0


def _named(transferor: Controller, replaces: str) -> Controller | None:
    """The call whose dialog `replaces` names, None where it is one of somebody else's."""
    for controller in transferor.services.exchange:
        leg = controller.call.leg
        if leg is not None and leg.sip is not None and leg.sip.is_dialog(replaces):
            return controller
    return None


async def _attended(referral: Referral, place: Controller) -> None:
    """The transferee takes the transferor's place in the conversation `place`."""
    transferee = referral.transferee
    status = _unfit(referral, place)
    if status or transferee is None:
        referral.refuse(status or NOBODY)
        return
    referral.involve(place)
    referral.accept()
    referral.place = place
    if place.partner is None:
        _hand_on(referral, transferee)
        return
    side = await bring_together(referral, place)
    if isinstance(side, Linked):
        transferee.referrals.put_nowait(side)
    else:
        referral.fail(side)


def _unfit(referral: Referral, place: Controller) -> int:
    """Why the transferee cannot be put into that place; 0 if it can."""
    transferor, target = referral.transferor, place.partner
    if place in (transferor, referral.transferee) or target is transferor:
        return NOT_HERE
    if place.referral is not None or (target is not None and target.referral is not None):
        return PENDING
    # The two conversations are one telephone's: knowing tags alone takes nobody away from anybody.
    sip = None if place.call.leg is None else place.call.leg.sip
    if sip is None or sip.identity != referral.sip.identity:
        return FORBIDDEN
    is_early = target is None and place.search is not None
    return BUSY if referral.asked.early_only and not is_early else 0


async def bring_together(referral: Referral, place: Controller) -> Linked | int:
    """Who talks in `place` turns to the transferee; the transferee's side of that, or why it is not done."""
    transferee, target = referral.transferee, place.partner
    if transferee is None or target is None or referral.over.is_set():
        return CANCELLED
    referral.involve(target)
    answers = [await permission(c, referral.asked.target) for c in (transferee, target)]
    grants = [answer for answer in answers if isinstance(answer, BridgeGrant)]
    refusals = [answer for answer in answers if isinstance(answer, Refusal)]
    if len(grants) < len(answers):
        return refusals[0].sip_status if refusals else FORBIDDEN
    if place.partner is not target or transferee.over.is_set() or referral.over.is_set():
        return CANCELLED
    return _bring_together(referral, (transferee, target), grants)


def _bring_together(
    referral: Referral, parties: tuple[Controller, Controller], grants: Sequence[BridgeGrant]
) -> Linked:
    transferee, target = parties
    one, two = (grant.control for grant in grants)
    near, far = Linked.pair((transferee, one), (target, two))
    for side in (near, far):
        _quiet(side.near)
        side.near.is_spoken_for = True
    target.referrals.put_nowait(far)
    if transferee.call.facts.session_sid != target.call.facts.session_sid:
        transferee.call.linked_sid, target.call.linked_sid = target.call.sid, transferee.call.sid
    transferee.detach()  # or the transferor would take it back
    referral.succeed()
    return near


def _quiet(party: Controller) -> None:
    """At once: what each of them does next must not be undone by what the other does about this."""
    if party.talk is not None:
        party.talk.pause()
