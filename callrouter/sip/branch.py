"""One way to a callee: its servers are tried in turn until one takes the INVITE."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from callrouter.ports import Answered, Clock, EarlyEnded, Ended, Failed, Ringing, SignalEvent
from callrouter.ports.causes import is_final
from callrouter.sip.plan import Destination
from callrouter.sip.protocol.hop import Hop
from callrouter.sip.protocol.incoming import IncomingSession
from callrouter.sip.protocol.outgoing import OutgoingSession
from callrouter.sip.protocol.selection import is_worth_another
from callrouter.sip.protocol.timers import Timer, Timers

ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'
"""Why the other telephones of a callee stop ringing (RFC 3326)."""


class BranchOwner(Protocol):
    """The call that a branch belongs to."""

    def branch_event(self, branch: Branch, event: SignalEvent) -> None:
        """Anything but a failure that the branch deals with itself by going on to the next server, which is
        told as `EarlyEnded`."""

    def branch_replaced(self, branch: Branch, session: IncomingSession) -> None:
        """Another telephone has taken the place of the one that `branch` has called."""

    def has_more(self, branch: Branch) -> bool:
        """There is another way when this one fails."""


class Branch:
    def __init__(
        self,
        owner: BranchOwner,
        destination: Destination,
        invite: Callable[[Destination], OutgoingSession],
        timers: Timers,
        clock: Clock,
        patience_ns: int,
    ) -> None:
        self.destination = destination
        self.session = invite(destination)
        self.hop: Hop | None = None
        self.is_over = False
        """Failed, given up, or never to be begun."""
        self._owner: BranchOwner | None = owner
        """None once there is nothing to tell it any more: it knows its branches, and who knows each other
        waits for the collector."""
        self._invite = invite
        self._timers = timers
        self._clock = clock
        self._patience_ns = patience_ns
        self._servers: deque[Hop] = deque()
        self._patience: Timer | None = None
        self.session.owner = self

    def begin(self, servers: tuple[Hop, ...]) -> None:
        """The destination has been found."""
        if mentioned_by := self.destination.mentioned_by:
            servers = tuple(hop._replace(mentioned_by=mentioned_by) for hop in servers)
        self._servers.extend(servers)
        if self.is_over:
            return
        if not servers:
            self.unreachable("it has no address")
            return
        self._try(self._servers.popleft())

    def unreachable(self, why: str) -> None:
        """The destination has not been found."""
        if not self.is_over:
            self.session.fail(503, why, self._clock.monotonic_ns())

    def _try(self, hop: Hop) -> None:
        self.hop = hop
        now_ns = self._clock.monotonic_ns()
        if self._patience_ns and (self._servers or (self._owner and self._owner.has_more(self))):
            self._patience = self._timers.start(now_ns + self._patience_ns, self._lost_patience)
        self.session.start(hop, now_ns)

    def deliver(self, event: SignalEvent) -> None:
        """From the endpoint: an event of this branch's session."""
        owner = self._owner
        if self.is_over or owner is None:
            return
        if isinstance(event, Ringing | Answered | Failed):
            self._stop_waiting()
        if isinstance(event, Failed):
            if self._servers and is_worth_another(event.status) and not is_final(event.q850):
                self._next()
                owner.branch_event(self, EarlyEnded(event.at_ns))
                return
            self.is_over = True
        if isinstance(event, Failed | Ended):
            self.part()
        owner.branch_event(self, event)

    def continue_with(self, session: IncomingSession) -> None:
        """Another telephone has taken the place of the one at the end of this branch."""
        if self._owner is None:
            session.hangup("", self._clock.monotonic_ns())
        else:
            self._owner.branch_replaced(self, session)

    def part(self) -> None:
        """There is nothing to tell any more."""
        self._owner = None

    def _next(self) -> None:
        self.session = self._invite(self.destination)
        self.session.owner = self
        self._try(self._servers.popleft())

    def _lost_patience(self, now_ns: int) -> None:
        self._patience = None
        if self.is_over or not self.session.is_unheard:
            return
        silent, self.session.owner = self.session, None
        silent.hangup("", now_ns)
        self.deliver(Failed(now_ns, 408, "no answer", {}))

    def abandon(self, reason: str) -> None:
        """Nobody is interested any more; whatever still comes of it is cancelled or ended."""
        if self.is_over:
            return
        self.is_over = True
        self.part()
        self._stop_waiting()
        self.session.hangup(reason, self._clock.monotonic_ns())

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
