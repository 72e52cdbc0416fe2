"""A call that we place, over all the ways there are to its callee."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from callrouter.ports import (
    AUDIO_ALONE,
    Answered,
    Clock,
    Confirmed,
    EarlyEnded,
    Failed,
    History,
    MediaAddress,
    MediaChanged,
    NegotiatedAudio,
    Passing,
    Ringing,
    SignalEvent,
)
from callrouter.ports.causes import NORMAL
from callrouter.sip.branch import ELSEWHERE, Branch
from callrouter.sip.leg import Leg, family_named, reason_header
from callrouter.sip.plan import Destination, Plan
from callrouter.sip.protocol.grammar import displayable
from callrouter.sip.protocol.headers.address import Address
from callrouter.sip.protocol.incoming import IncomingSession
from callrouter.sip.protocol.outgoing import OutgoingSession
from callrouter.sip.protocol.timers import Timers

Invite = Callable[[Destination], OutgoingSession]
Begin = Callable[[Branch], None]
Told = Callable[[Destination, Failed, bool], None]


class OutgoingLeg(Leg):
    """Rings the destinations of the plan's first group; when they have all failed in a way that
    another may cure, those of the next.  The first to answer has the call."""

    def __init__(
        self,
        plan: Plan,
        invite: Invite,
        begin: Begin,
        timers: Timers,
        clock: Clock,
        pump: Callable[[], None],
        failed: Told,
    ) -> None:
        self._plan = plan
        self._invite = invite
        self._begin = begin
        self._timers = timers
        self._failed = failed
        self._rest = list(plan.groups)
        self._clock = clock
        self._winner: Branch | None = None
        self._early: dict[Branch, NegotiatedAudio] = {}
        """What is to be heard of those that have early media; the last one is heard."""
        self._is_picked_up = False
        """Another telephone than those that ring has taken the call: its audio is still to be told."""
        self._answer_headers: Mapping[str, str] = {}
        self._is_over = False
        self._failure: Failed | None = None
        self._branches = self._next_group()
        first = self._branches[0]
        super().__init__(first.session, clock, pump)
        first.session.owner = first
        self._invitation = first.session.invitation
        self._from = Address.parse(self._invitation.caller)
        self.received_ns = clock.monotonic_ns()

    def start(self) -> None:
        for branch in list(self._branches):
            self._begin(branch)

    # -- branches (BranchOwner)

    def has_more(self, branch: Branch) -> bool:
        return bool(self._rest) or any(b is not branch and not b.is_over for b in self._branches)

    def branch_event(self, branch: Branch, event: SignalEvent) -> None:
        if isinstance(event, Failed):
            self._branch_failed(branch, event)
        elif isinstance(event, EarlyEnded):
            self._fell_silent(branch, event.at_ns)
        elif isinstance(event, Answered) and self._winner is None:
            self._won(branch)
            self._answer_headers = event.headers
            self.deliver(event)
        elif branch is self._winner or isinstance(event, Ringing):
            if isinstance(event, Ringing) and event.early is not None:
                self._early.pop(branch, None)
                self._early[branch] = event.early
            self.deliver(event)

    def _fell_silent(self, branch: Branch, at_ns: int) -> None:
        """Nobody is at the end of `branch` any more who could be heard; of others the latest is heard."""
        was_heard = next(reversed(self._early), None) is branch
        self._early.pop(branch, None)
        if was_heard:
            audio = next(reversed(self._early.values()), None)
            self.deliver(EarlyEnded(at_ns) if audio is None else Ringing(at_ns, 183, audio))

    def _won(self, branch: Branch) -> None:
        self._winner = branch
        self._early.clear()
        self._session = branch.session
        for other in self._branches:
            if other is not branch:
                other.abandon(ELSEWHERE)

    def branch_replaced(self, branch: Branch, session: IncomingSession) -> None:
        if self._winner is None:
            self._won(branch)
            branch.abandon(ELSEWHERE)
            self._is_picked_up = True
            self._answer_headers = {n: displayable(v) for n, v in session.invite.mapping().items()}
        self.continue_with(session)

    def deliver(self, event: SignalEvent) -> None:
        """What is known first of whoever picked up is told as the answer."""
        if self._is_picked_up and isinstance(event, MediaChanged | Confirmed) and event.audio is not None:
            self._is_picked_up = False
            event = Answered(event.at_ns, event.audio, self._answer_headers)
        super().deliver(event)

    def _branch_failed(self, branch: Branch, event: Failed) -> None:
        self._failure = _better(self._failure, event)
        if event.status >= 600:
            for other in self._branches:
                other.abandon("")
        if self._is_over:
            return
        if any(not b.is_over for b in self._branches):
            self._fell_silent(branch, event.at_ns)
            return
        failure = self._failure
        goes_on = bool(self._rest) and self._plan.goes_on_after(failure.status, failure.q850)
        self._failed(branch.destination, failure, goes_on)
        if goes_on:
            self._fell_silent(branch, event.at_ns)
            self._failure = None
            self._branches = self._next_group()
            self._session = self._branches[0].session
            self.start()
        else:
            self._is_over = True
            self.deliver(failure)

    def _next_group(self) -> list[Branch]:
        group = self._rest.pop(0)
        patience = self._plan.patience_ns
        return [Branch(self, d, self._invite, self._timers, self._clock, patience) for d in group]

    # -- what the owner asks for

    def hangup(self, reason: str = "", q850: int = NORMAL) -> None:
        """BYE, or CANCEL of everything that rings."""
        if self._winner is not None:
            super().hangup(reason, q850)
            self._winner.part()
            return
        if self._is_over:
            return
        self._is_over = True
        for branch in self._branches:
            branch.abandon(reason_header(reason, q850))
        self._pump()
        self.deliver(Failed(self._clock.monotonic_ns(), 487, "cancelled", {}))

    # -- what the owner sees

    @property
    def _current(self) -> Branch:
        return self._winner or self._branches[0]

    @property
    def request_uri(self) -> str:
        return self._current.destination.uri

    @property
    def from_uri(self) -> str:
        return str(self._from.uri)

    @property
    def from_name(self) -> str:
        return self._from.display_name

    @property
    def registered_as(self) -> tuple[str, ...]:
        return ()

    @property
    def history(self) -> History:
        return History()

    @property
    def source(self) -> MediaAddress:
        where = self._current.hop or self._current.destination.where
        return MediaAddress(where.host, where.port)

    @property
    def transport(self) -> str:
        where = self._current.hop or self._current.destination.where
        return where.transport

    @property
    def family(self) -> Literal[4, 6]:
        return family_named(self._invitation.local.host)

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the 200, or of the INVITE by which another telephone has picked up."""
        return self._answer_headers

    def ring(self) -> None:
        """Not ours to do on a call we placed."""

    def progress(self, local: MediaAddress, codec: str = "") -> None:
        """Not ours to do on a call we placed."""

    def answer(self, local: MediaAddress, passing: Passing = AUDIO_ALONE, codec: str = "") -> None:
        """Not ours to do on a call we placed."""

    def reject(self, status: int, reason: str = "", headers: tuple[tuple[str, str], ...] = ()) -> None:
        """Not ours to do on a call we placed."""


def _better(known: Failed | None, new: Failed) -> Failed:
    """Of several refusals the one to believe (RFC 3261 §16.7): a 6xx, else the lowest class, and
    of one class the latest."""
    if known is None or new.status >= 600:
        return new
    if known.status >= 600:
        return known
    return new if new.status // 100 <= known.status // 100 else known
