"""Client transactions (RFC 3261 §17.1, RFC 6026 §7.2).

INVITE:      CALLING ──1xx──▶ PROCEEDING ──2xx──▶ ACCEPTED ──M──▶ TERMINATED
                 └──────┬────────┴──3xx-6xx──▶ COMPLETED ──D──▶ TERMINATED
                        B ──▶ TERMINATED (time-out)
non-INVITE:  TRYING ──1xx──▶ PROCEEDING ──final──▶ TERMINATED
                 └──────┬────────┴──F──▶ TERMINATED (time-out)

(The COMPLETED of the RFC's non-INVITE machine absorbs what is repeated until timer K; here an answer
that belongs to no transaction is dropped all the same.)
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol

from callrouter.sip.protocol.grammar import Fields
from callrouter.sip.protocol.hop import Hop, Packet
from callrouter.sip.protocol.message import Request, Response
from callrouter.sip.protocol.timers import LIFETIME, T1, T2, Timer, cancel

if TYPE_CHECKING:
    from callrouter.sip.protocol.transactions.layer import TransactionLayer


class ClientState(enum.Enum):
    CALLING = "calling"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    ACCEPTED = "accepted"
    TERMINATED = "terminated"


_CALLING = ClientState.CALLING
_PROCEEDING = ClientState.PROCEEDING
_COMPLETED = ClientState.COMPLETED
_ACCEPTED = ClientState.ACCEPTED
_TERMINATED = ClientState.TERMINATED


class ClientUser(Protocol):
    """Who sent a request and waits for what comes of it."""

    def on_response(self, transaction: ClientTransaction, response: Response, now_ns: int) -> None:
        """Every provisional one, the final one once, each 2xx of an INVITE as often as it comes."""

    def on_failure(self, transaction: ClientTransaction, status: int, now_ns: int) -> None:
        """No answer will come: 408 for a time-out, 503 when it could not be sent."""


class Nobody(ClientUser):
    """Waits for nothing."""

    def on_response(self, transaction: ClientTransaction, response: Response, now_ns: int) -> None:
        return

    def on_failure(self, transaction: ClientTransaction, status: int, now_ns: int) -> None:
        return


NOBODY = Nobody()


class ClientTransaction:
    """One request of ours.  In CALLING (the RFC's TRYING) nothing has come back yet."""

    __slots__ = (
        "_data",
        "_gap",
        "_layer",
        "_repeat",
        "_until",
        "branch",
        "hop",
        "request",
        "state",
        "user",
        "way",
    )

    def __init__(
        self, layer: TransactionLayer, branch: str, request: Request, hop: Hop, user: ClientUser
    ) -> None:
        self._layer = layer
        self.branch = branch
        self.request = request
        self.hop = hop
        """Where it is sent."""
        self.way = hop
        """Where it was meant to be sent: by UDP even if it is too large for that."""
        self.user = user
        self.state = _CALLING
        self._data = bytes(request)
        self._gap = T1
        self._repeat: Timer | None = None
        self._until: Timer | None = None

    @property
    def is_unanswered(self) -> bool:
        return self.state is _CALLING

    def start(self, now_ns: int) -> None:
        timers = self._layer.timers
        if len(self._data) > self._layer.max_datagram and self.hop.transport == "udp":
            self._take(self._layer.way_for_large(self.hop, now_ns))
        self._layer.out.append(Packet(self._data, self.hop, self))
        self._until = timers.start(now_ns + LIFETIME, self._timed_out)  # timers B and F
        if not self.hop.is_reliable:
            self._repeat = timers.start(now_ns + T1, self._again)  # timers A and E

    def _take(self, hop: Hop) -> None:
        """Go another way, which Via has to say."""
        if hop is not self.hop:
            self.hop = hop
            self.request.replace_via(self._layer.via_for(hop, self.branch))
            self._data = bytes(self.request)

    def fall_back(self, now_ns: int) -> bool:
        """A stream could not be opened, or was reset: take the datagram after all (RFC 3261 §18.1.1)."""
        if self.hop is self.way or self.state is not _CALLING:
            return False
        self._take(self.way)
        self._layer.out.append(Packet(self._data, self.hop, self))
        self._repeat = self._layer.timers.start(now_ns + T1, self._again)
        return True

    def _again(self, now_ns: int) -> None:
        self._layer.out.append(Packet(self._data, self.hop, self))
        self._gap = self._next_gap()
        self._repeat = self._layer.timers.start(now_ns + self._gap, self._again)

    def _next_gap(self) -> int:
        return T2 if self.state is _PROCEEDING else min(self._gap * 2, T2)

    def receive(self, response: Response, now_ns: int) -> None:
        if self.state in (_CALLING, _PROCEEDING):
            if response.status < 200:
                self.state = _PROCEEDING
            else:
                self.terminate()
            self.user.on_response(self, response, now_ns)

    def _timed_out(self, now_ns: int) -> None:
        self.fail(408, now_ns)

    def fail(self, status: int, now_ns: int) -> None:
        """Give up; the user hears of it unless it has had its answer."""
        waiting = self.state in (_CALLING, _PROCEEDING)
        self.terminate()
        if waiting:
            self.user.on_failure(self, status, now_ns)

    def _stop_timers(self) -> None:
        cancel(self._repeat, self._until)
        self._repeat = self._until = None

    def terminate(self) -> None:
        self.state = _TERMINATED
        self._stop_timers()
        self._layer.forget_client(self)


class InviteClientTransaction(ClientTransaction):
    __slots__ = ("_ack", "accepted_ack", "ends_ns")

    def __init__(
        self, layer: TransactionLayer, branch: str, request: Request, hop: Hop, user: ClientUser
    ) -> None:
        super().__init__(layer, branch, request, hop, user)
        self._ack = b""
        self.ends_ns = 0
        self.accepted_ack: Packet | None = None
        """The user's ACK of the 2xx, kept here to be repeated for each repeated 2xx."""

    @property
    def is_proceeding(self) -> bool:
        return self.state is _PROCEEDING

    def _next_gap(self) -> int:
        return self._gap * 2

    def receive(self, response: Response, now_ns: int) -> None:
        """An answer to the INVITE (RFC 3261 §17.1.1.2): handed to the user until it is final, and every 2xx
        after that (RFC 6026 §7.2); a refusal said again is acknowledged again."""
        state, status = self.state, response.status
        if state in (_CALLING, _PROCEEDING):
            if status < 200:
                self._stop_timers()  # timer B guards the first answer only
                self.state = _PROCEEDING
            elif status < 300:
                self._stop_timers()
                self.state = _ACCEPTED
                self._layer.endings.add(self, now_ns)  # timer M
            else:
                self._complete(response, now_ns)
            self.user.on_response(self, response, now_ns)
            if status >= 300:
                self.user = NOBODY
        elif state is _ACCEPTED and 200 <= status < 300:
            self.user.on_response(self, response, now_ns)
        elif state is _COMPLETED and status >= 300:
            self._layer.out.append(Packet(self._ack, self.hop, self))

    def _complete(self, response: Response, now_ns: int) -> None:
        """Acknowledge; timer D repeats that for every repeated answer."""
        self._stop_timers()
        self.state = _COMPLETED
        self._ack = bytes(self._acknowledgement(response))
        self._layer.out.append(Packet(self._ack, self.hop, self))
        if self.hop.is_reliable:
            self.terminate()
        else:
            self._layer.endings.add(self, now_ns)

    def _acknowledgement(self, response: Response) -> Request:
        """The ACK of a refusal belongs to the transaction (RFC 3261 §17.1.1.3)."""
        sent = self.request
        fields = [("Via", sent.via_value), ("Max-Forwards", "70"), ("From", sent.get("From") or "")]
        fields += [("To", response.get("To") or sent.get("To") or ""), ("Call-ID", sent.call_id)]
        fields.append(("CSeq", f"{sent.cseq.number} ACK"))
        fields += [(name, value) for name, value in sent.fields if name == "Route"]
        return Request("ACK", sent.uri, fields)

    def cancel(self, user: ClientUser, now_ns: int, more: Fields = ()) -> None:
        """CANCEL what has not been answered (RFC 3261 §9.1).  Sent only in PROCEEDING: the server
        might not have seen the INVITE before.  No answer within 64*T1 ends the transaction."""
        sent = self.request
        fields = [(n, sent.get(n) or "") for n in ("Via", "From", "To", "Call-ID")]
        fields[0] = ("Via", sent.via_value)
        fields += [("CSeq", f"{sent.cseq.number} CANCEL"), ("Max-Forwards", "70")]
        fields += [(name, value) for name, value in sent.fields if name == "Route"]
        fields += more
        self._layer.client_with_branch(
            self.branch, Request("CANCEL", sent.uri, fields), self.hop, user, now_ns
        )
        if self._until is None:
            self._until = self._layer.timers.start(now_ns + LIFETIME, self._timed_out)
