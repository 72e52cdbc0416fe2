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
from callrouter.ports import CallStatus, DialResult, DialTarget, SipLeg, TransferRequested
from dispatcher.grant import BridgeGrant, Refusal

if TYPE_CHECKING:
    from callrouter.calls.controller import Controller

logger = structlog.get_logger(__name__)

FORBIDDEN, NOT_FOUND, NOBODY, CANCELLED, NOT_HERE, PENDING = 403, 404, 480, 487, 488, 491
PARTING_SECONDS = 3
"""For a telephone that has handed its conversation on to hang up by itself."""
_STATUS = {
    CallStatus.BUSY: 486,
    CallStatus.NO_ANSWER: 480,
    CallStatus.CANCELED: 487,
    CallStatus.COMPLETED: 480,
}


@dataclass(eq=False, slots=True)
class Referral:
    """A transfer that is under way."""

    transferor: Controller
    transferee: Controller
    asked: TransferRequested
    sip: SipLeg
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """It has worked or failed."""
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
        return ("Referred-By", self.asked.referred_by), ("Replaces", self.asked.replaces)

    def succeed(self, *leaving: Controller) -> None:
        """The transferee talks to the target; whoever is `leaving` has a moment to hang up."""
        if self.over.is_set():
            return
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

    def refuse(self, status: int) -> None:
        """It is not even begun."""
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
        self.transferee.is_spoken_for = self.transferee.is_spoken_for and status == 200
        logger.info("transferred" if status == 200 else "transfer_failed", **self._names(), status=status)

    def _names(self) -> dict[str, str]:
        return {
            "call": self.transferor.call.sid,
            "transferee": self.transferee.call.sid,
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


def failure_of(result: DialResult) -> int:
    """The SIP status of an attempt that came to nothing."""
    refused = result.sip_status if result.sip_status >= 400 and result.sip_status != 487 else 0
    return refused or _STATUS.get(result.status, 503)


async def receive(transferor: Controller, sip: SipLeg, asked: TransferRequested) -> None:
    """Answer the telephone, and begin what it asks for if it may."""
    status = await _refusal(transferor, asked)
    # Nothing is awaited between looking at who talks to whom and saying that it is to change.
    transferee = transferor.partner
    if not status:
        status = _obstacle(transferor)
    if status or transferee is None:
        logger.info("transfer_refused", call=transferor.call.sid, target=asked.target, status=status)
        sip.settle_transfer(asked.request, status or NOBODY)
        return
    referral = Referral(transferor, transferee, asked, sip)
    referral.involve(transferor, transferee)
    place = _named(transferor, asked.replaces) if asked.replaces else None
    if place is not None:
        await _attended(referral, place)
        return
    sip.settle_transfer(asked.request, 202)
    _quiet(transferee)
    transferee.is_spoken_for = True
    for controller in (transferor, transferee):
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
    return 0 if partner is not None and not transferor.over.is_set() else NOBODY


def _named(transferor: Controller, replaces: str) -> Controller | None:
    """The call whose dialog `replaces` names, None where it is one of somebody else's."""
    for controller in transferor.services.exchange:
        leg = controller.call.leg
        if leg is not None and leg.sip is not None and leg.sip.is_dialog(replaces):
            return controller
    return None


async def _attended(referral: Referral, place: Controller) -> None:
    """The transferee takes the transferor's place in the conversation `place`."""
    target = place.partner
    status = _unfit(referral, place)
    if status or target is None:
        referral.refuse(status or NOBODY)
        return
    referral.involve(place, target)
    referral.sip.settle_transfer(referral.asked.request, 202)
    answers = [await permission(c, referral.asked.target) for c in (referral.transferee, target)]
    grants = [answer for answer in answers if isinstance(answer, BridgeGrant)]
    refusals = [answer for answer in answers if isinstance(answer, Refusal)]
    if len(grants) < len(answers):
        referral.fail(refusals[0].sip_status if refusals else FORBIDDEN)
    else:
        _bring_together(referral, place, grants)


def _unfit(referral: Referral, place: Controller) -> int:
    """Why the transferee cannot be put into that place; 0 if it can."""
    transferor, target = referral.transferor, place.partner
    if place in (transferor, referral.transferee) or target is transferor:
        return NOT_HERE
    if place.referral is not None or (target is not None and target.referral is not None):
        return PENDING
    # The two conversations are one telephone's: knowing tags alone takes nobody away from anybody.
    sip = None if place.call.leg is None else place.call.leg.sip
    return 0 if sip is not None and sip.identity == referral.sip.identity else FORBIDDEN


def _bring_together(referral: Referral, place: Controller, grants: Sequence[BridgeGrant]) -> None:
    transferee, target = referral.transferee, place.partner
    if target is None or transferee.partner is None:
        referral.fail(CANCELLED)
        return
    _quiet(transferee)
    _quiet(target)
    one, two = (grant.control for grant in grants)
    for side in Linked.pair((transferee, one), (target, two)):
        side.near.is_spoken_for = True
        side.near.referrals.put_nowait(side)
    if transferee.call.facts.session_sid != target.call.facts.session_sid:
        transferee.call.linked_sid, target.call.linked_sid = target.call.sid, transferee.call.sid
    referral.succeed(referral.transferor, place)


def _quiet(party: Controller) -> None:
    """At once: what each of them does next must not be undone by what the other does about this."""
    if party.talk is not None:
        party.talk.pause()
