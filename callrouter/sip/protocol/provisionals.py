"""What a callee says before its final answer: 100, 180, 183, and the reliable ones among them that
the caller has to acknowledge with a PRACK (RFC 3261 §13.3.1.1, RFC 3262)."""

from __future__ import annotations

from typing import Protocol
from weakref import ref

from callrouter.sip.protocol.grammar import Fields, number
from callrouter.sip.protocol.message import Request
from callrouter.sip.protocol.timers import LIFETIME, MS, T1, Timer, Timers, cancel

OPTION = "100rel"
_TRYING_AFTER = 100 * MS
"""100 is owed unless something else follows within 200 ms (§17.2.1)."""
_REMIND_EVERY = 60_000 * MS
"""A provisional response is repeated each minute, or proxies give up (§13.3.1.1)."""


class Callee(Protocol):
    """Who writes the responses."""

    def first_rseq(self) -> int: ...

    def send_provisional(self, status: int, more: Fields, body: bytes, now_ns: int) -> None:
        """One response; `more` are further headers."""

    def no_prack(self, now_ns: int) -> None:
        """That of a reliable one never came."""


class Provisionals:
    """One at a time waits for its PRACK; the others wait behind it.

    A part that kept its whole alive would leave both to the collector, which looks for what refers to
    itself late, and holds everybody up while it does."""

    __slots__ = (
        "_callee",
        "_deadline",
        "_gap",
        "_is_required",
        "_is_supported",
        "_last",
        "_queue",
        "_reminder",
        "_repeat",
        "_rseq",
        "_sequence",
        "_timers",
        "_unacknowledged",
    )

    def __init__(
        self,
        invite: Request,
        timers: Timers,
        callee: ref[Callee],
        now_ns: int,
    ) -> None:
        self._timers = timers
        self._callee = callee
        self._is_required = OPTION in invite.tokens("Require")
        self._is_supported = self._is_required or OPTION in invite.tokens("Supported")
        self._sequence = invite.cseq.number
        self._rseq = 0
        self._last = 100
        self._queue: list[tuple[int, bytes]] = []
        self._unacknowledged: tuple[int, Fields, bytes] | None = None
        self._gap = T1
        self._deadline = 0
        self._repeat: Timer | None = None
        self._reminder: Timer | None = timers.start(now_ns + _TRYING_AFTER, self._remind)

    @property
    def is_supported(self) -> bool:
        """The caller acknowledges what we ask it to."""
        return self._is_supported

    @property
    def is_required(self) -> bool:
        return self._is_required

    @property
    def owes_description(self) -> bool:
        """A description of ours has not been acknowledged yet: no 2xx may go before (RFC 3262 §3)."""
        waiting = self._unacknowledged
        return (waiting is not None and bool(waiting[2])) or any(body for _, body in self._queue)

    def provide(self, status: int, body: bytes, now_ns: int) -> None:
        """Reliably where the caller wants that, and where a description must not get lost."""
        self._last = status
        if not (self._is_required or (self._is_supported and body)):
            self._send(status, (), body, now_ns)
        elif self._unacknowledged is not None:
            self._queue.append((status, body))
        else:
            self._send_reliably(status, body, now_ns)
        self._remind_later(now_ns)

    def _send(self, status: int, more: Fields, body: bytes, now_ns: int) -> None:
        callee = self._callee()
        if callee is not None:
            callee.send_provisional(status, more, body, now_ns)

    def _send_reliably(self, status: int, body: bytes, now_ns: int) -> None:
        callee = self._callee()
        if callee is None:
            return
        self._rseq = (self._rseq or callee.first_rseq()) + 1
        fields = (("Require", OPTION), ("RSeq", str(self._rseq)))
        self._unacknowledged = (status, fields, body)
        self._gap = T1
        self._deadline = now_ns + LIFETIME
        self._send(status, fields, body, now_ns)
        self._repeat = self._timers.start(now_ns + T1, self._again)

    def _again(self, now_ns: int) -> None:
        if self._unacknowledged is None:
            return
        if now_ns >= self._deadline:
            self.stop()
            callee = self._callee()
            if callee is not None:
                callee.no_prack(now_ns)
            return
        self._send(*self._unacknowledged, now_ns)
        self._gap *= 2
        self._repeat = self._timers.start(min(now_ns + self._gap, self._deadline), self._again)

    def acknowledges(self, prack: Request) -> bool:
        """Its RAck names the response that waits.  Raises `ValueError` when it cannot be read."""
        words = (prack.get("RAck") or "").split()
        if len(words) != 3:
            raise ValueError("malformed RAck")
        named = (number(words[0]), number(words[1]), words[2])
        return self._unacknowledged is not None and named == (self._rseq, self._sequence, "INVITE")

    @property
    def awaited_body(self) -> bytes:
        """Of the response that waits."""
        return b"" if self._unacknowledged is None else self._unacknowledged[2]

    def acknowledged(self, now_ns: int) -> None:
        """The PRACK is in order: what waited behind goes out."""
        self._unacknowledged = None
        if self._repeat is not None:
            self._repeat.cancel()
            self._repeat = None
        if self._queue:
            self._send_reliably(*self._queue.pop(0), now_ns)

    # -- reminders

    def _remind_later(self, now_ns: int) -> None:
        if self._reminder is not None:
            self._reminder.cancel()
        self._reminder = self._timers.start(now_ns + _REMIND_EVERY, self._remind)

    def _remind(self, now_ns: int) -> None:
        self._reminder = None
        if self._last == 100:
            self._send(100, (), b"", now_ns)
        elif self._is_required and self._unacknowledged is None:
            self._send_reliably(self._last, b"", now_ns)
        elif not self._is_required:
            self._send(self._last, (), b"", now_ns)
        self._remind_later(now_ns)

    def stop(self) -> None:
        """Nothing more is sent; what waits for its PRACK may still get it."""
        self._queue.clear()
        cancel(self._repeat, self._reminder)
        self._repeat = self._reminder = None
