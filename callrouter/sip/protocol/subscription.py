"""Telling whoever has sent us a REFER how far it gets: NOTIFY, in the subscription that a REFER begins
(RFC 3515 §2.4.4, RFC 6665 §4.2).

The subscription shares its dialog with the call and outlives it (RFC 5057 §3.2): who hangs up before the
end is still told of it, or answers that it does not want to know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from callrouter.sip.protocol.grammar import Fields
from callrouter.sip.protocol.message import Response
from callrouter.sip.protocol.status import reason_of
from callrouter.sip.protocol.timers import MS
from callrouter.sip.protocol.transactions.client import ClientTransaction, ClientUser

if TYPE_CHECKING:
    from callrouter.sip.protocol.session import Session

_SIPFRAG = (("Content-Type", "message/sipfrag;version=2.0"),)
_BEYOND_RINGING = 60
"""Seconds that a subscription lasts longer than anything may ring."""


class Subscription(ClientUser):
    """Of one REFER.  One NOTIFY is under way at a time, so that none overtakes another; of what happens
    meanwhile the last word counts."""

    def __init__(self, session: Session, number: int, now_ns: int) -> None:
        """`number`: CSeq of the REFER."""
        self._session = session
        self._number = number
        self._lasts = session.agent.settings.unanswered_seconds + _BEYOND_RINGING
        self._ends_ns = now_ns + self._lasts * 1000 * MS
        self._timer = session.agent.timers.start(self._ends_ns, self._expired)
        self._sent: ClientTransaction | None = None
        self._status = 0
        """The latest of the target."""
        self._reason = ""
        """Why it ends; "" = it goes on."""
        self._told = (0, "")
        """Status and reason, with the latest NOTIFY."""
        self.is_over = False

    def tell(self, status: int, now_ns: int) -> None:
        """`status`: of the target, a final one at the end."""
        if self._reason:
            return
        self._status = status
        if status >= 200:
            self._reason = "noresource"
        self._pursue(now_ns)

    def granted(self, seconds: int | None) -> int:
        """Of the `seconds` for which somebody wants to be told; None = for as long as there is."""
        return self._lasts if seconds is None else min(seconds, self._lasts)

    def renew(self, seconds: int, now_ns: int) -> None:
        """Whoever is told wants to be for `seconds` more, 0 for no more, and to be told how things are
        (RFC 6665 §4.2.1.2)."""
        self._timer.cancel()
        self._ends_ns = now_ns + seconds * 1000 * MS
        self._told = (0, "")
        if seconds:
            self._timer = self._session.agent.timers.start(self._ends_ns, self._expired)
            self._pursue(now_ns)
        else:
            self._expired(now_ns)

    def _expired(self, now_ns: int) -> None:
        self._reason = self._reason or "timeout"
        self._pursue(now_ns)

    def _pursue(self, now_ns: int) -> None:
        """Tell what has not been told yet, unless a NOTIFY is under way."""
        if self._sent is None and not self.is_over and self._told != (self._status, self._reason):
            self._notify((), now_ns)

    def _notify(self, credentials: Fields, now_ns: int) -> None:
        session = self._session
        left = max(0, self._ends_ns - now_ns) // (1000 * MS)
        state = f"terminated;reason={self._reason}" if self._reason else f"active;expires={left}"
        fields = (
            session.own_fields(session.established.hop)[0],
            ("Event", f"refer;id={self._number}"),
            ("Subscription-State", state),
            *_SIPFRAG,
            *credentials,
        )
        self._told = (self._status, self._reason)
        body = f"SIP/2.0 {self._status} {reason_of(self._status)}\r\n".encode()
        send = session.agent.uac.send_in_dialog
        self._sent = send(session.established, "NOTIFY", self, now_ns, fields=fields, body=body)

    def on_response(self, transaction: ClientTransaction, response: Response, now_ns: int) -> None:
        """What became of the NOTIFY on its way: the next one follows, a challenge is answered, and after a
        refusal or the last word it is over."""
        if transaction is not self._sent or response.status < 200:
            return
        self._sent = None
        again = self._session.authorize(transaction, response)
        if again is not None:
            self._notify(again, now_ns)
            return
        _, reason = self._told
        # Who refuses to be told is told no more (RFC 6665 §4.2.2).
        if response.status >= 300 or reason:
            self._end()
        else:
            self._pursue(now_ns)

    def on_failure(self, transaction: ClientTransaction, status: int, now_ns: int) -> None:
        self._end()

    def _end(self) -> None:
        self.is_over = True
        self._timer.cancel()
