"""Server transactions (RFC 3261 §17.2, RFC 6026 §7.1).

INVITE:      PROCEEDING ──2xx──▶ ACCEPTED ──L──▶ TERMINATED
                 └──3xx-6xx──▶ COMPLETED ──ACK──▶ CONFIRMED ──I──▶ TERMINATED
                                   └──H──▶ TERMINATED
non-INVITE:  PROCEEDING ──final──▶ COMPLETED ──J──▶ TERMINATED

(TRYING and PROCEEDING of the non-INVITE machine differ only in whether there is a response to
repeat, which the transaction sees by looking.)  The 2xx to an INVITE is repeated by the session,
which lives longer than the transaction that sent it first.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from callrouter.sip.protocol.hop import Hop, Packet
from callrouter.sip.protocol.timers import LIFETIME, T1, T2, T4, Timer

if TYPE_CHECKING:
    from callrouter.sip.protocol.message import Request
    from callrouter.sip.protocol.session import Session
    from callrouter.sip.protocol.transactions.layer import Key, TransactionLayer


class ServerState(enum.Enum):
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    ACCEPTED = "accepted"
    TERMINATED = "terminated"


_PROCEEDING = ServerState.PROCEEDING
_COMPLETED = ServerState.COMPLETED
_CONFIRMED = ServerState.CONFIRMED
_ACCEPTED = ServerState.ACCEPTED
_TERMINATED = ServerState.TERMINATED


class ServerTransaction:
    """One request that somebody sent us, until nothing of it can arrive any more."""

    __slots__ = (
        "_gap",
        "_last",
        "_layer",
        "_port",
        "_repeat",
        "_until",
        "hop",
        "key",
        "merge_key",
        "request",
        "session",
        "state",
    )

    def __init__(self, layer: TransactionLayer, key: Key, request: Request, hop: Hop) -> None:
        self._layer = layer
        self.key = key
        self.merge_key: tuple[str, str, str] | None = None
        self.request: Request | None = request
        """None once answered: nothing but its retransmissions can come."""
        self.hop = hop
        """Where it came from."""
        self._port = layer.answer_port(request, hop)
        self.session: Session | None = None
        """Whose INVITE this is, as long as a CANCEL can mean anything to it."""
        self.state = _PROCEEDING
        self._last = b""
        self._gap = T1
        self._repeat: Timer | None = None
        self._until: Timer | None = None

    @property
    def is_answered(self) -> bool:
        return self.state is not _PROCEEDING

    @property
    def back(self) -> Hop:
        """Where its answers go."""
        return self._back(self.hop)

    def _back(self, hop: Hop) -> Hop:
        return hop._replace(port=self._port) if self._port else hop

    def respond(self, status: int, data: bytes, now_ns: int) -> None:
        """Send a response; a second final one is dropped, the peer has had its answer."""
        if self.state is not _PROCEEDING:
            return
        self._last = data
        self._layer.out.append(Packet(data, self.back, self))
        if status >= 200:
            self._finish(status, now_ns)

    def _finish(self, status: int, now_ns: int) -> None:
        """Timer J absorbs what UDP repeats."""
        self.state = _COMPLETED
        self.request = None
        if self.hop.is_reliable:
            self.terminate()
        else:
            self._until = self._layer.timers.start(now_ns + LIFETIME, self._expire)

    def repeated(self, method: str, hop: Hop, now_ns: int) -> None:
        """The request again, or its ACK.  It is answered where it came from this time: a NAT on the
        way may have given its sender another port."""
        if self._last:
            self._layer.out.append(Packet(self._last, self._back(hop), self))

    def _expire(self, now_ns: int) -> None:
        self.terminate()

    def terminate(self) -> None:
        self.state = _TERMINATED
        self.request = None
        self.session = None
        for timer in (self._repeat, self._until):
            if timer is not None:
                timer.cancel()
        self._repeat = self._until = None
        self._layer.forget_server(self)


class InviteServerTransaction(ServerTransaction):
    __slots__ = ()

    def _finish(self, status: int, now_ns: int) -> None:
        if status < 300:
            self.state = _ACCEPTED
            self._last = b""
            self._until = self._layer.timers.start(now_ns + LIFETIME, self._expire)  # timer L
        else:
            self.state = _COMPLETED
            self._until = self._layer.timers.start(now_ns + LIFETIME, self._expire)  # timer H
            if not self.hop.is_reliable:
                self._repeat = self._layer.timers.start(now_ns + T1, self._timer_g)
        self.request = None

    def repeated(self, method: str, hop: Hop, now_ns: int) -> None:
        if method == "ACK":
            if self.state is _COMPLETED:
                self._confirm(now_ns)
        elif self.state in (_PROCEEDING, _COMPLETED) and self._last:
            self._layer.out.append(Packet(self._last, self._back(hop), self))

    def _timer_g(self, now_ns: int) -> None:
        self._layer.out.append(Packet(self._last, self.back, self))
        self._gap = min(self._gap * 2, T2)
        self._repeat = self._layer.timers.start(now_ns + self._gap, self._timer_g)

    def _confirm(self, now_ns: int) -> None:
        """Timer I absorbs repeated ACKs."""
        self.state = _CONFIRMED
        if self._repeat is not None:
            self._repeat.cancel()
        if self._until is not None:
            self._until.cancel()
        self._repeat = self._until = None
        if self.hop.is_reliable:
            self.terminate()
        else:
            self._until = self._layer.timers.start(now_ns + T4, self._expire)
