"""Two user agents back to back in memory, with a clock that only tests move.

What one writes the other reads, 10 ms later, unless the `Loss` says otherwise.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from callrouter.ports import MediaAddress, SignalEvent
from callrouter.sip.protocol.agent import Agent, AgentSettings
from callrouter.sip.protocol.hop import Hop, Listener
from callrouter.sip.protocol.incoming import IncomingSession, NewCall, Replaced
from callrouter.sip.protocol.message import Request, Response, parse
from callrouter.sip.protocol.outgoing import Invitation, OutgoingSession
from callrouter.sip.protocol.session import Session
from callrouter.sip.protocol.timers import LIFETIME, MS
from tests.narrowing import as_a, those

E = TypeVar("E")

DELAY = 10 * MS
SECOND = 1_000 * MS
CALLER_MEDIA = MediaAddress("192.0.2.1", 4000)
CALLEE_MEDIA = MediaAddress("192.0.2.2", 5000)


def counting_tokens(prefix: str) -> Callable[[int], str]:
    """Hex tokens that count, so that a failing test reads the same each time."""
    numbers = itertools.count(1)
    return lambda size: f"{prefix}{next(numbers):x}".rjust(size * 2, "0")[-size * 2 :]


@dataclass(slots=True)
class Seen:
    """One message as it went over the wire."""

    at_ns: int
    sender: str
    message: Request | Response

    @property
    def name(self) -> str:
        m = self.message
        return m.method if isinstance(m, Request) else f"{m.status} {m.cseq.method}"


@dataclass(slots=True)
class Party:
    """A user agent with the events it was told, and what its user does about calls."""

    name: str
    host: str
    agent: Agent
    calls: list[IncomingSession] = field(default_factory=list)
    events: list[tuple[Session, SignalEvent | Replaced]] = field(default_factory=list)
    on_call: Callable[[IncomingSession, int], None] | None = None

    def told(self, kind: type[E]) -> list[E]:
        return those(kind, (event for _, event in self.events))

    def last(self, kind: type[E]) -> E:
        """The newest event, which has to be a `kind`."""
        return as_a(kind, self.events[-1][1])


class Wire:
    """`fates` says for the n-th message sent by a party how many copies arrive, and how late: a
    tuple of extra delays in ns; () loses it."""

    def __init__(self, transport: str = "udp") -> None:
        self.transport = transport
        self.now = 1_000 * SECOND
        self.caller = self._party("caller", "192.0.2.1", "a")
        self.callee = self._party("callee", "192.0.2.2", "b")
        self.fates: dict[tuple[str, int], tuple[int, ...]] = {}
        self.drop: Callable[[Seen], bool] = lambda seen: False
        self.seen: list[Seen] = []
        self._sent = {"caller": 0, "callee": 0}
        self._flight: list[tuple[int, int, str, bytes]] = []
        self._order = itertools.count()

    def _party(self, name: str, host: str, prefix: str) -> Party:
        agent = Agent(AgentSettings(user_agent=name), counting_tokens(prefix))
        agent.listeners.append(Listener(self.transport, host, 5060))
        return Party(name, host, agent)

    def other(self, party: Party) -> Party:
        return self.callee if party is self.caller else self.caller

    # -- the user's side

    def invite(self, fields: tuple[tuple[str, str], ...] = (), **more: Any) -> OutgoingSession:
        suffix = "" if self.transport == "udp" else f";transport={self.transport}"
        invitation = Invitation(
            f"sip:bob@192.0.2.2{suffix}", "<sip:alice@192.0.2.1>", "alice", CALLER_MEDIA, fields, **more
        )
        session = self.caller.agent.call(invitation, "call-1")
        session.start(Hop(self.transport, "192.0.2.2", 5060), self.now)
        self.flush()
        return session

    def answering(self) -> None:
        """The callee picks up at once."""
        self.callee.on_call = lambda session, now: session.answer(CALLEE_MEDIA, now)

    def established(self) -> tuple[OutgoingSession, IncomingSession]:
        self.answering()
        session = self.invite()
        self.run(SECOND)
        return session, self.callee.calls[0]

    # -- time and transport

    def flush(self) -> None:
        for party in (self.caller, self.callee):
            while party.agent.layer.out or party.agent.events:
                self._take_events(party)
                packets, party.agent.layer.out = party.agent.layer.out, []
                for packet in packets:
                    self._carry(party, packet.data)

    def _carry(self, party: Party, data: bytes) -> None:
        seen = Seen(self.now, party.name, parse(data))
        assert seen.message.flaw is None, seen.message.flaw
        self.seen.append(seen)
        index = self._sent[party.name]
        self._sent[party.name] += 1
        if self.drop(seen):
            return
        for delay in self.fates.get((party.name, index), (0,)):
            arrival = self.now + DELAY + delay
            heapq.heappush(self._flight, (arrival, next(self._order), party.name, data))

    def inject(self, to: Party, data: bytes, host: str = "192.0.2.66") -> None:
        """Bytes from a stranger, or from a peer that does what ours would not."""
        to.agent.receive(parse(data), Hop(self.transport, host, 5060), self.now)
        self.flush()

    def _take_events(self, party: Party) -> None:
        events, party.agent.events = party.agent.events, []
        for session, event in events:
            if isinstance(event, NewCall):
                party.calls.append(event.session)
                if party.on_call is not None:
                    party.on_call(event.session, self.now)
            else:
                party.events.append((session, event))

    def run(self, duration: int) -> None:
        """Let `duration` ns pass."""
        end = self.now + duration
        self.flush()
        while True:
            due = [t for p in (self.caller, self.callee) if (t := p.agent.timers.next_ns) is not None]
            if self._flight:
                due.append(self._flight[0][0])
            if not due or min(due) > end:
                break
            self.now = max(self.now, min(due))
            while self._flight and self._flight[0][0] <= self.now:
                _, _, sender, data = heapq.heappop(self._flight)
                source = self.caller if sender == "caller" else self.callee
                target = self.other(source)
                target.agent.receive(parse(data), Hop(self.transport, source.host, 5060), self.now)
            for party in (self.caller, self.callee):
                party.agent.timers.run(self.now)
            self.flush()
        self.now = end

    def settle(self) -> None:
        """All that RFC 3261 gives a finished call; then nothing may be left of it."""
        self.run(LIFETIME + SECOND)
        for party in (self.caller, self.callee):
            agent = party.agent
            left = (agent.sessions, agent.layer.servers, agent.layer.clients, len(agent.timers))
            assert agent.is_idle, f"{party.name} still has {left}"

    def names(self, sender: str = "") -> list[str]:
        return [s.name for s in self.seen if not sender or s.sender == sender]
