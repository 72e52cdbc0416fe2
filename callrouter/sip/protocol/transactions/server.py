"""Server transactions (RFC 3261 §17.2, RFC 6026 §7.1).

INVITE:      PROCEEDING ──2xx──▶ ACCEPTED ──L──▶ TERMINATED
                 └──3xx-6xx──▶ COMPLETED ──ACK──▶ CONFIRMED ──I──▶ TERMINATED
                                   └──H──▶ TERMINATED
non-INVITE:  PROCEEDING ──final──▶ COMPLETED ──J──▶ TERMINATED

(TRYING and PROCEEDING of the non-INVITE machine differ only in whether there is a response to
repeat, which the transaction sees by looking.)  The 2xx to an INVITE is repeated by the session,
which lives longer than the transaction that sent it first.

A server that answers a thousand calls a second keeps 64,000 of these that only absorb what is
repeated, so once answered they let go of everything but their key and their answer.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from callrouter.sip.protocol.hop import Hop, Packet
from callrouter.sip.protocol.timers import LIFETIME, T1, T2, T4, Timer, cancel

if TYPE_CHECKING:
    from callrouter.sip.protocol.message import Request
    from callrouter.sip.protocol.session import Session
    from callrouter.sip.protocol.transactions.layer import Key, MergeKey, TransactionLayer


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
        "_last",
        "_layer",
        "_port",
        "ends_ns",
        "hop",
        "key",
        "merge_key",
        "request",
        "session",
        "state",
        "tag",
    )

    def __init__(self, layer: TransactionLayer, key: Key, request: Request, hop: Hop) -> None:
        self._layer = layer
        self.key = key
        self.merge_key: MergeKey | None = None
        self.request: Request | None = request
        """None once answered: nothing but its retransmissions can come."""
        self.hop = hop
        """Where it came from."""
        self._port = layer.answer_port(request, hop)
        self.session: Session | None = None
        """Whose INVITE this is, as long as a CANCEL can mean anything to it."""
        self.tag = ""
        """Of that session: the answer to a CANCEL has it too, however late it comes (§9.2)."""
        self.state = _PROCEEDING
        self.ends_ns = 0
        self._last = b""

    def belongs_to(self, session: Session) -> None:
        self.session = session
        self.tag = session.local_tag

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
            self.request = None
            self.session = None
            self._finish(status, now_ns)

    def _finish(self, status: int, now_ns: int) -> None:
        """Timer J absorbs what UDP repeats."""
        self.state = _COMPLETED
        if self.hop.is_reliable:
            self.terminate()
        else:
            self._layer.endings.add(self, now_ns)

    def repeated(self, method: str, hop: Hop, now_ns: int) -> None:
        """The request again, or its ACK.  It is answered where it came from this time: a NAT on the
        way may have given its sender another port."""
        if self._last:
            self._layer.out.append(Packet(self._last, self._back(hop), self))

    def terminate(self) -> None:
        self.state = _TERMINATED
        self.request = None
        self.session = None
        self._layer.forget_server(self)


class InviteServerTransaction(ServerTransaction):
    __slots__ = ("_gap", "_repeat", "_until")

    def __init__(self, layer: TransactionLayer, key: Key, request: Request, hop: Hop) -> None:
        super().__init__(layer, key, request, hop)
        self._gap = T1
        self._repeat: Timer | None = None
        self._until: Timer | None = None

    def _finish(self, status: int, now_ns: int) -> None:
        if status < 300:
            self.state = _ACCEPTED
            self._last = b""
            self._layer.endings.add(self, now_ns)  # timer L
        else:
            self.state = _COMPLETED
            self._until = self._layer.timers.start(now_ns + LIFETIME, self._expire)  # timer H
            if not self.hop.is_reliable:
                self._repeat = self._layer.timers.start(now_ns + T1, self._timer_g)

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
        self._stop_timers()
        if self.hop.is_reliable:
            self.terminate()
        else:
            self._until = self._layer.timers.start(now_ns + T4, self._expire)

    def _expire(self, now_ns: int) -> None:
        self.terminate()

    def _stop_timers(self) -> None:
        cancel(self._repeat, self._until)
        self._repeat = self._until = None

    def terminate(self) -> None:
        self._stop_timers()
        super().terminate()
