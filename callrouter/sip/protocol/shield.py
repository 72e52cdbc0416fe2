"""What is judged before anything else is: who asks too much, who looks for holes, and whether there
is room for one more call.

Requests of a dialog that is up, and repetitions of what has been let in, do not come here.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field

from callrouter.sip.protocol.gate import CallGate
from callrouter.sip.protocol.hop import Hop
from callrouter.sip.protocol.message import Request
from callrouter.sip.protocol.sources import Allowance, Sources, source_of

SCANNERS = (
    "friendly-scanner",
    "friendly-request",
    "sipvicious",
    "sipcli",
    "sip-scan",
    "sipscan",
    "sipsak",
    "sundayddr",
    "iwar",
    "vaxsipuseragent",
    "siparmyknife",
    "smap",
    "pplsip",
    "voipbuster",
    "siptorch",
    "mr.sip",
    "gulp",
    "scanner",
)
"""Words in the User-Agent of programs that look for open doors."""
FRUITLESS = frozenset({401, 403, 404, 405, 407, 420, 481, 484, 485, 501, 604})
"""Statuses that tell their receiver nothing but that there is nothing here."""
_SCANNER_COST = 10


class Judgement(enum.Enum):
    PASS = "pass"  # noqa: S105 - no password
    DROP = "drop"
    """Say nothing: every answer would be one more thing to learn from."""
    OVERLOADED = "overloaded"
    """503, with a time to come back."""


@dataclass(frozen=True, slots=True)
class ShieldSettings:
    allowance: Allowance = field(default_factory=Allowance)
    scanners: tuple[str, ...] = SCANNERS
    """In lower case; empty = whoever asks is answered."""
    calls_per_second: float = 0.0
    """0: as many as we can carry."""


class Shield:
    """`is_trusted` names the hosts that no limit but the gate is for: carriers, mostly."""

    is_proved: Callable[[Hop], bool] = staticmethod(lambda hop: False)
    """Somebody has shown by this connection to be a user: what datagrams say in its name is no reason not
    to hear it."""

    def __init__(
        self, settings: ShieldSettings, chance: Callable[[int], str], is_trusted: Callable[[str], bool]
    ) -> None:
        self._scanners = settings.scanners
        self._is_trusted = is_trusted
        self.sources = Sources(settings.allowance)
        self.gate = CallGate(settings.calls_per_second, chance)
        self.dropped = 0

    def judge(self, request: Request, hop: Hop, now_ns: int) -> Judgement:
        """A request that is of no dialog, and the first of its kind."""
        if not self._is_trusted(hop.host) and not self._is_welcome(request, hop, now_ns):
            self.dropped += 1
            return Judgement.DROP
        if request.method != "INVITE":
            return Judgement.PASS
        admits = self.gate.admits(now_ns, has_waited=hop.transport == "udp")
        return Judgement.PASS if admits else Judgement.OVERLOADED

    def _is_welcome(self, request: Request, hop: Hop, now_ns: int) -> bool:
        source, sources, is_certain = source_of(hop.host), self.sources, hop.is_reliable
        if sources.is_banned(source, now_ns) and (
            not self.is_proved(hop) or sources.is_banned(source, now_ns, for_certain=True)
        ):
            return False
        agent = (request.get("User-Agent") or "").lower()
        if agent and any(word in agent for word in self._scanners):
            sources.spend(source, now_ns, _SCANNER_COST, is_certain=is_certain)
            return False
        # Calls are paid for when they come to nothing; everything else in advance.
        return request.method == "INVITE" or sources.spend(source, now_ns, is_certain=is_certain)

    def refused(self, method: str, status: int, hop: Hop, now_ns: int) -> None:
        """An answer of ours that made a request fruitless."""
        if method == "INVITE" and status in FRUITLESS and not self._is_trusted(hop.host):
            self.sources.spend(source_of(hop.host), now_ns, is_certain=hop.is_reliable)
