"""The one way to get control of a call (docs/design.md §4 rule 1).

    request → whose turn is it (`resolve`) → may they (`policy`) → Grant | Refusal
                     └ outlet not wired → NoOutlet

A refusal says who takes over: the `denied` outlet of the instance whose turn it was, else that of
the instance it would have come from, else the account's fallback; each is judged like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from callrouter.identity.accounts import Funds
from callrouter.identity.addresses import Address
from dispatcher.grant import Control, Grant, NoOutlet, Refusal, Request
from dispatcher.numbers import spellings
from dispatcher.policy.chain import judge
from dispatcher.policy.facts import Denial, Facts, Party
from dispatcher.ports import FundsPort
from dispatcher.resolve import Resolution, Turn
from dispatcher.snapshot import Snapshot
from dispatcher.targets import BadTarget
from metering.interval import Cause, Holder
from modules.module import BRIDGE

_UNRESOLVED = "target"
_UNRESOLVED_SPOKEN = "An application error has occurred. Goodbye."


class Dispatcher:
    """Decides who is next.  It looks things up in one snapshot per decision; `reload` puts another
    in place, and calls in progress are judged by that from their next transfer on."""

    def __init__(self, snapshot: Snapshot, funds: FundsPort) -> None:
        self._snapshot = snapshot
        self._funds = funds

    @property
    def snapshot(self) -> Snapshot:
        return self._snapshot

    def reload(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    async def number(self, address: str) -> Address | None:
        """Where calls to `address` start (a number, `sip:` or `client:` URI, or user part), active
        or not; None when nobody here has it."""
        return self._snapshot.mapping(address)

    async def key_number(self, account_sid: str, caller: str) -> str:
        """What a call that the account places is metered to: `caller` where it is one of the
        account's own addresses, else the account's billing number (docs/design.md §2)."""
        mapping = self._snapshot.mapping(caller)
        if mapping is not None and mapping.account_sid == account_sid:
            return mapping.key_number
        account = self._snapshot.account(account_sid)
        return account.billing_number if account else ""

    async def dispatch(self, request: Request) -> Grant | NoOutlet | Refusal:
        """Resolve, judge, grant or refuse.  Never raises because of what `request` says."""
        snapshot = self._snapshot
        verdict = await self._decide(snapshot, request)
        if not isinstance(verdict, Refusal):
            return verdict
        return replace(verdict, denied=await self._taking_over(snapshot, request, verdict))

    def event(self, control: Control, event: str) -> str | None:
        """The target that the flow maps `event` (`ended`, `failed`) of the running instance to."""
        application = self._snapshot.applications.get(control.holder.application)
        return application.on(control.holder.instance, event) if application else None

    async def _decide(self, snapshot: Snapshot, request: Request) -> Grant | NoOutlet | Refusal:
        resolution = Resolution(snapshot, request)
        try:
            turn = resolution.turn()
        except BadTarget as error:
            return _unresolved(error, resolution.responsible())
        if isinstance(turn, NoOutlet):
            return turn
        denial = judge(await self._facts(snapshot, request, turn, resolution.payer))
        return turn.grant if denial is None else _refusal(denial, turn.holder)

    async def _facts(self, snapshot: Snapshot, request: Request, turn: Turn, payer: str) -> Facts:
        account = snapshot.account(payer)
        prepaid = account is not None and account.funds is Funds.PREPAID
        bans = snapshot.bans(payer)
        return Facts(
            key_number=request.key_number,
            number=snapshot.number_state(request.account_sid, request.key_number),
            parties=_parties(snapshot, request, turn) if bans else {},
            bans=bans,
            account_sid=payer,
            account_status=account.status.value if account else "",
            module=turn.module.code,
            module_active=turn.module.active,
            module_open=turn.module.is_open,
            entitlement=snapshot.subscriptions.entitlement(
                turn.module.code,
                number=request.key_number,
                application=turn.holder.application,
                account=payer,
                now_ms=request.now_ms,
            ),
            now_ms=request.now_ms,
            prepaid=prepaid,
            available=await self._funds.available(payer) if prepaid else 0,
            emergency=_is_emergency(snapshot, request, turn),
        )

    async def _taking_over(self, snapshot: Snapshot, request: Request, refusal: Refusal) -> Grant | None:
        why = (
            ("DeniedRule", refusal.rule),
            ("DeniedModule", refusal.holder.module if refusal.holder else ""),
        )
        for target in dict.fromkeys(_followers(snapshot, request, refusal.holder)):
            if target == request.target:
                continue
            verdict = await self._decide(
                snapshot,
                replace(request, target=target, cause=Cause.POLICY, method="POST", parameters=why),
            )
            if not isinstance(verdict, Refusal | NoOutlet):
                return verdict
        return None


def _followers(snapshot: Snapshot, request: Request, refused: Holder | None) -> Iterator[str]:
    """Targets that take over from a refused holder, best first."""
    for holder in (refused, request.current.holder if request.current else None):
        application = snapshot.applications.get(holder.application) if holder else None
        if application is not None and holder is not None:
            denied = application.denied(holder.instance)
            if denied is not None:
                yield denied
    account = snapshot.account(request.on_behalf_of or request.account_sid)
    if account is not None and account.fallback:
        yield account.fallback


def _is_emergency(snapshot: Snapshot, request: Request, turn: Turn) -> bool:
    """The number called is one, or the whole call is to one and this carries it out.  A document on
    such a call gets no other number past the rules."""
    if snapshot.is_emergency(turn.destination):
        return True
    current = request.current
    carries_out = not turn.destination or current is None or current.holder.module == BRIDGE
    return carries_out and snapshot.is_emergency(request.callee)


def _parties(snapshot: Snapshot, request: Request, turn: Turn) -> dict[Party, tuple[str, ...]]:
    """Everybody who takes part, in every spelling that a list may have."""
    region = snapshot.settings.default_region
    called = [address for address in (request.callee, turn.destination) if address]
    return {
        Party.CALLER: tuple(dict.fromkeys(spellings(request.caller, region))),
        Party.CALLEE: tuple(dict.fromkeys(s for address in called for s in spellings(address, region))),
        Party.OWNER: (turn.module.owner,),
        Party.MODULE: (turn.module.code,),
    }


def _refusal(denial: Denial, holder: Holder) -> Refusal:
    return Refusal(
        rule=denial.rule,
        reason=denial.reason,
        spoken=denial.spoken,
        sip_status=denial.sip_status,
        code=denial.code,
        holder=holder,
    )


def _unresolved(error: BadTarget, holder: Holder) -> Refusal:
    return Refusal(
        rule=_UNRESOLVED,
        reason=str(error),
        spoken=_UNRESOLVED_SPOKEN,
        sip_status=error.sip_status,
        code=error.code,
        holder=holder,
    )
