"""What shield, gate and door keep out, counted and told; and what the shield has found out, for the
door to know."""

from __future__ import annotations

import structlog

from callrouter.ports import Metrics
from callrouter.sip.protocol.shield import Shield
from callrouter.sip.transport_udp import UdpTransport

log = structlog.get_logger(__name__)
_CALM_REPORTS = 20
"""Nobody turned away for so many: it is over."""


class Tally:
    def __init__(self, shield: Shield, udp: UdpTransport, ban_seconds: int, metrics: Metrics) -> None:
        self._shield = shield
        self._udp = udp
        self._ban_seconds = ban_seconds
        self._metrics = metrics
        self._counted: dict[str, int] = {}
        self._calm = _CALM_REPORTS
        """Reports since somebody was turned away."""
        self._turned_away = 0
        """Calls, since that began."""

    def report(self) -> None:
        """What is new since it was asked last; several times a second."""
        shield = self._shield
        bans, shield.sources.bans = shield.sources.bans, []
        for source in bans:
            log.warning("sip_source_banned", source=source)
            self._udp.ban(source.partition("/")[0], self._ban_seconds)
        if bans:
            self._metrics.count("sip_errors", len(bans), kind="banned")
        turned_away, banned, dropped = self._udp.counts
        self._count("unwelcome", shield.dropped + banned)
        self._count("crowded_out", dropped)
        self._tell(self._count("overload", shield.gate.turned_away + turned_away))

    def _count(self, kind: str, total: int) -> int:
        """How many more there are now."""
        more = total - self._counted.get(kind, 0)
        if more:
            self._counted[kind] = total
            self._metrics.count("sip_errors", more, kind=kind)
        return more

    def _tell(self, turned_away: int) -> None:
        """That calls are turned away, and that this is over; no line for each."""
        if turned_away:
            if self._calm >= _CALM_REPORTS:
                log.warning("sip_calls_turned_away")
                self._turned_away = 0
            self._calm = 0
            self._turned_away += turned_away
        elif self._calm < _CALM_REPORTS:
            self._calm += 1
            if self._calm == _CALM_REPORTS:
                log.warning("sip_calls_let_in_again", turned_away=self._turned_away)
