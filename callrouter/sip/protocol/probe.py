"""Whether a server is there: OPTIONS from time to time (RFC 3261 §11)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from callrouter.sip.protocol.hop import Hop
from callrouter.sip.protocol.message import Response
from callrouter.sip.protocol.timers import MS, Timer, cancel
from callrouter.sip.protocol.transactions.client import ClientTransaction, ClientUser

if TYPE_CHECKING:
    from callrouter.sip.protocol.agent import Agent

PATIENCE = 5_000 * MS
"""How long an answer may take; a server that calls can be sent to is faster."""
FAILURES = 2
"""Questions in a row without answer after which a server is down."""
_DOWN = frozenset({408, 500, 502, 503, 504})


class Probe(ClientUser):
    """Asks one server.  It counts as up until it fails, for nothing is known against it."""

    def __init__(
        self,
        agent: Agent,
        where: Callable[[], Hop],
        uri: str,
        every_ns: int,
        changed: Callable[[bool, str], None],
    ) -> None:
        self._agent = agent
        self._where = where
        self._uri = uri
        self._every_ns = every_ns
        self._changed = changed
        """Told `True` or `False`, and why, each time the server comes up or goes down."""
        self.is_up = True
        self._failures = 0
        self._asked: ClientTransaction | None = None
        self._next: Timer | None = None
        self._patience: Timer | None = None
        self._sequence = 0
        self._call_id = agent.token(16)

    def start(self, now_ns: int) -> None:
        self._ask(now_ns)

    def stop(self) -> None:
        cancel(self._next, self._patience)
        self._next = self._patience = None
        if self._asked is not None:
            self._asked.terminate()
            self._asked = None

    def _ask(self, now_ns: int) -> None:
        hop = self._where()
        self._sequence += 1
        _, contact = self._agent.listeners.contact(hop, "")
        fields = [
            ("Max-Forwards", "70"),
            ("From", f"{contact};tag={self._agent.token(8)}"),
            ("To", f"<{self._uri}>"),
            ("Call-ID", self._call_id),
            ("CSeq", f"{self._sequence} OPTIONS"),
            ("Accept", "application/sdp"),
        ]
        timers = self._agent.timers
        self._next = timers.start(now_ns + self._every_ns, self._ask)
        # It ends before the next question begins: one at a time.
        self._patience = timers.start(now_ns + min(PATIENCE, self._every_ns * 3 // 4), self._lost_patience)
        request = self._agent.uac.request("OPTIONS", self._uri, hop, fields)
        self._asked = self._agent.layer.client(request, hop, self, now_ns)

    def on_response(self, transaction: ClientTransaction, response: Response, now_ns: int) -> None:
        if transaction is not self._asked or response.status < 200:
            return
        self._settle()
        if response.status in _DOWN:
            self._failed(f"{response.status} {response.reason}")
        else:
            self._failures = 0
            self._be(True, f"{response.status} {response.reason}")

    def on_failure(self, transaction: ClientTransaction, status: int, now_ns: int) -> None:
        if transaction is self._asked:
            self._settle()
            self._failed("no answer" if status == 408 else "it cannot be reached")

    def _lost_patience(self, now_ns: int) -> None:
        self._patience = None
        asked = self._asked
        self._asked = None
        if asked is not None:
            asked.terminate()
            self._failed("no answer")

    def _settle(self) -> None:
        self._asked = None
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _failed(self, why: str) -> None:
        self._failures += 1
        if self._failures >= FAILURES:
            self._be(False, why)

    def _be(self, is_up: bool, why: str) -> None:
        if is_up is not self.is_up:
            self.is_up = is_up
            self._changed(is_up, why)
