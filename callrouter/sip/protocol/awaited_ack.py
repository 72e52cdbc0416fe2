"""A 2xx of ours to an INVITE, repeated until its ACK comes (RFC 3261 §13.3.1.4)."""

from __future__ import annotations

from collections.abc import Callable

from callrouter.sip.protocol.hop import Packet
from callrouter.sip.protocol.timers import LIFETIME, T1, T2
from callrouter.sip.protocol.transactions.layer import TransactionLayer


class AwaitedAck:
    """Whatever the transport: a proxy on the way may be one that loses things."""

    __slots__ = ("_deadline", "_gap", "_give_up", "_layer", "_packet", "_timer", "sequence", "wants_answer")

    def __init__(
        self,
        layer: TransactionLayer,
        packet: Packet,
        sequence: int,
        *,
        wants_answer: bool,
        give_up: Callable[[int], None],
        now_ns: int,
    ) -> None:
        self._layer = layer
        self._packet = packet
        self.sequence = sequence
        """CSeq number the ACK must have."""
        self.wants_answer = wants_answer
        """Our 2xx carried the offer, so the ACK carries the answer."""
        self._give_up = give_up
        self._gap = T1
        self._deadline = now_ns + LIFETIME
        self._timer = layer.timers.start(now_ns + T1, self._again)

    def _again(self, now_ns: int) -> None:
        if now_ns >= self._deadline:
            self._give_up(now_ns)
            return
        self._layer.out.append(self._packet)
        self._gap = min(self._gap * 2, T2)
        self._timer = self._layer.timers.start(min(now_ns + self._gap, self._deadline), self._again)

    def stop(self) -> None:
        self._timer.cancel()
