"""What is judged before anything else is: who asks too much, who looks for holes, and whether there
is room for one more call.

Requests of a dialog that is up, and repetitions of what has been let in, do not come here.
"""

from __future__ import annotations

import enum
import re
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
_SHED_TAG = "shed"
_HEADERS = re.compile(
    rb"\r\n(?=(via|v|from|f|to|t|call-id|i|cseq)[ \t]*:)([^\r\n]*)(?=\r\n(?![ \t]))", re.IGNORECASE
)
_RPORT = re.compile(rb";rport(?=[;,\s]|$)", re.IGNORECASE)
_TO_TAG = re.compile(rb"\r\n(?:to|t)[ \t]*:[^\r\n]*;[ \t]*tag[ \t]*=", re.IGNORECASE)
_NAMES = {b"v": b"via", b"f": b"from", b"t": b"to", b"i": b"call-id"}


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
        if not self.gate.admits(now_ns):
            return Judgement.OVERLOADED
        self.gate.remember(request.call_id.encode("utf-8", "surrogateescape"))
        return Judgement.PASS

    def _is_welcome(self, request: Request, hop: Hop, now_ns: int) -> bool:
        source = source_of(hop.host, is_reliable=hop.is_reliable)
        if self.sources.is_banned(source, now_ns):
            return False
        agent = (request.get("User-Agent") or "").lower()
        if agent and any(word in agent for word in self._scanners):
            self.sources.spend(source, now_ns, _SCANNER_COST)
            return False
        # Calls are paid for when they come to nothing; everything else in advance.
        return request.method == "INVITE" or self.sources.spend(source, now_ns)

    def refused(self, method: str, status: int, hop: Hop, now_ns: int) -> None:
        """An answer of ours that made a request fruitless."""
        if method == "INVITE" and status in FRUITLESS and not self._is_trusted(hop.host):
            self.sources.spend(source_of(hop.host, is_reliable=hop.is_reliable), now_ns)

    # -- datagrams, before they are read

    def before_reading(self, data: bytes, hop: Hop, now_ns: int) -> bytes | None:
        """The bytes to send back instead of reading `data`, b"" for none; None = read it.  Under a
        flood this is all that is done for a new call, so it does not even look for errors: where
        the few headers that an answer needs are not found, the message is read like any other."""
        if data.startswith(b"SIP/2.0"):
            return None
        is_banned = self.sources.is_banned(source_of(hop.host, is_reliable=False), now_ns)
        if is_banned and not self._is_trusted(hop.host) and _TO_TAG.search(data) is None:
            self.dropped += 1
            return b""
        if data.startswith(b"ACK ") and b";tag=" + _SHED_TAG.encode() in data:
            return b""
        if self.gate.has_room(now_ns) or not data.startswith(b"INVITE "):
            return None
        return self._turn_away(data, hop)

    def _turn_away(self, data: bytes, hop: Hop) -> bytes | None:
        end = data.find(b"\r\n\r\n")
        found = _HEADERS.findall(data[: end + 2]) if end > 0 else []
        lines: dict[bytes, list[bytes]] = {}
        for name, line in found:
            key = name.lower()
            lines.setdefault(_NAMES.get(key, key), []).append(line)
        if not lines.get(b"via") or any(len(lines.get(n, ())) != 1 for n in _NAMES_ONCE):
            return None
        to, call_id = lines[b"to"][0], lines[b"call-id"][0].partition(b":")[2].strip()
        if b"tag=" in to.lower() or self.gate.remembers(call_id):
            return None
        self.gate.turned_away += 1
        vias = lines[b"via"]
        vias[0] = _RPORT.sub(f";rport={hop.port};received={hop.host}".encode(), vias[0], count=1)
        kept = [*vias, lines[b"from"][0], to + b";tag=" + _SHED_TAG.encode(), lines[b"call-id"][0]]
        tail = f"Retry-After: {self.gate.retry_after()}\r\nContent-Length: 0\r\n\r\n".encode()
        return b"\r\n".join([b"SIP/2.0 503 Service Unavailable", *kept, lines[b"cseq"][0], tail])


_NAMES_ONCE = (b"from", b"to", b"call-id", b"cseq")
