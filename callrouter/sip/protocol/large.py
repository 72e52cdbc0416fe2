"""Requests too large for a datagram go by TCP (RFC 3261 §18.1.1), to who takes that."""

from __future__ import annotations

from collections.abc import Sequence

from callrouter.sip.protocol.hop import Hop, Listener, family_of

_REMEMBERED_NS = 300 * 10**9
_MAX_REMEMBERED = 1000


class LargeRequests:
    def __init__(self, listeners: Sequence[Listener]) -> None:
        """`listeners`: ours; it may grow."""
        self._listeners = listeners
        self._refused: dict[tuple[str, int], int] = {}
        """Peers that took no connection, and until when nobody tries again."""

    def way(self, hop: Hop, now_ns: int) -> Hop:
        """The stream to take instead of the datagram to `hop`; `hop` itself when there is none:
        nothing of ours listens there, or the peer did not lately."""
        if self._refused.get((hop.host, hop.port), 0) > now_ns:
            return hop
        family = family_of(hop.host)
        for index, listener in enumerate(self._listeners):
            if listener.transport == "tcp" and listener.reaches(family):
                return hop._replace(transport="tcp", listener=index, connection=0)
        return hop

    def refused(self, hop: Hop, now_ns: int) -> None:
        """The peer takes no connection: a while of waiting for nothing is enough."""
        if len(self._refused) >= _MAX_REMEMBERED:
            self._refused = {key: until for key, until in self._refused.items() if until > now_ns}
        if len(self._refused) < _MAX_REMEMBERED:
            self._refused[hop.host, hop.port] = now_ns + _REMEMBERED_NS
