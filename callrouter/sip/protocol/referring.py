"""Our own REFER: asking the far end of a call to call somebody else, and hearing by NOTIFY what it makes of
it (RFC 3515)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callrouter.ports import ReferProgress
from callrouter.sip.protocol.grammar import Fields, number
from callrouter.sip.protocol.headers.address import Address
from callrouter.sip.protocol.message import Request, Response
from callrouter.sip.protocol.timers import MS, Timer
from callrouter.sip.protocol.transactions.client import ClientTransaction, ClientUser
from callrouter.sip.protocol.transactions.server import ServerTransaction

if TYPE_CHECKING:
    from callrouter.sip.protocol.session import Session

_PATIENCE = 180
"""Seconds until the next NOTIFY, where the far end does not say how long it will go on telling."""
_LONGEST = 900
"""Seconds that we wait for the end at all."""


class Referring(ClientUser):
    """Of one session; one REFER at a time."""

    __slots__ = ("_asked_ns", "_refer_to", "_sent", "_session", "_wait")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._refer_to = ""
        self._asked_ns = 0
        self._sent: ClientTransaction | None = None
        """The REFER whose end is still to come."""
        self._wait: Timer | None = None

    def ask(self, target: str, replaces: str, now_ns: int) -> None:
        """Ask the far end to call `target`, in place of the dialog that `replaces` names."""
        session = self._session
        if not session.is_up or self._sent is not None:
            session.tell(ReferProgress(now_ns, 491 if session.is_up else 481, True))
            return
        self._refer_to = f"<{target}?Replaces={replaces}>" if replaces else f"<{target}>"
        self._asked_ns = now_ns
        self._send((), now_ns)

    def _send(self, credentials: Fields, now_ns: int) -> None:
        session = self._session
        fields = (
            *session.own_fields(session.established.hop),
            ("Refer-To", self._refer_to),
            ("Referred-By", f"<{Address.parse(session.established.local).uri}>"),
            *credentials,
        )
        self._sent = session.agent.uac.send_in_dialog(
            session.established, "REFER", self, now_ns, fields=fields
        )

    def on_response(self, transaction: ClientTransaction, response: Response, now_ns: int) -> None:
        """The answer to our REFER: a challenge is answered, a refusal is the end, and after a 2xx the far
        end is waited for (RFC 3515 §2.4.2)."""
        if transaction is not self._sent or response.status < 200:
            return
        again = self._session.authorize(transaction, response)
        if again is not None:
            self._send(again, now_ns)
            return
        is_silent = (response.get("Refer-Sub") or "").strip().lower() == "false"  # RFC 4488 §4
        is_final = response.status >= 300 or is_silent
        self._tell(response.status, now_ns, is_final=is_final)
        if not is_final and self._wait is None:
            self._go_on_waiting(_PATIENCE, now_ns)

    def on_failure(self, transaction: ClientTransaction, status: int, now_ns: int) -> None:
        if transaction is self._sent:
            self._tell(status, now_ns, is_final=True)

    def on_notify(
        self, request: Request, parameters: str, transaction: ServerTransaction, now_ns: int
    ) -> None:
        """What the far end makes of it; `parameters` of its Event.  The first NOTIFY may come before the
        answer to the REFER."""
        agent = self._session.agent
        if self._sent is None or not is_of(parameters, self._sent.request.cseq.number):
            agent.uas.respond(transaction, 481, now_ns)
            return
        status = _status_in(request.body)
        agent.uas.respond(transaction, 200 if status else 400, now_ns)
        if not status:
            return
        state, _, more = (request.get("Subscription-State") or "").partition(";")
        is_over = state.strip().lower() == "terminated"
        if is_over and status < 200:
            status = 503  # it has stopped telling before there was anything to tell
        self._tell(status, now_ns, is_final=status >= 200, by_notify=True)
        if status < 200:
            self._go_on_waiting(_expires(more), now_ns)

    def _go_on_waiting(self, seconds: int, now_ns: int) -> None:
        self.stop()
        until = min(now_ns + seconds * 1000 * MS, self._asked_ns + _LONGEST * 1000 * MS)
        self._wait = self._session.agent.timers.start(until, self._heard_no_end)

    def _heard_no_end(self, now_ns: int) -> None:
        self._tell(408, now_ns, is_final=True, by_notify=True)

    def _tell(self, status: int, now_ns: int, *, is_final: bool = False, by_notify: bool = False) -> None:
        if is_final:
            self._sent = None
            self.stop()
        self._session.tell(ReferProgress(now_ns, status, is_final, by_notify))

    def stop(self) -> None:
        if self._wait is not None:
            self._wait.cancel()
            self._wait = None


def _parameter(parameters: str, name: str) -> str:
    """Of `;name=value;...` the value; "" where there is none."""
    for parameter in parameters.split(";"):
        written, _, value = parameter.partition("=")
        if written.strip().lower() == name:
            return value.strip()
    return ""


def is_of(parameters: str, sequence: int) -> bool:
    """An Event is of the REFER with that CSeq; who speaks of one alone need not name it (§2.4.6)."""
    named = _parameter(parameters, "id")
    try:
        return not named or number(named) == sequence
    except ValueError:
        return False


def _expires(parameters: str) -> int:
    """For how many seconds a subscription will go on, as far as is known."""
    try:
        return max(_PATIENCE, number(_parameter(parameters, "expires")))
    except ValueError:
        return _PATIENCE


def _status_in(body: bytes) -> int:
    """Of the status line in a `message/sipfrag`; 0 where there is none."""
    words = body[:200].split()
    if len(words) < 2 or words[0] != b"SIP/2.0" or len(words[1]) != 3 or not words[1].isdigit():
        return 0
    status = int(words[1])
    return status if 100 <= status < 700 else 0
