"""Asking for a call to go elsewhere, both ways (RFC 3515): REFER, its progress by NOTIFY, and the
INFO that asks the same of us in one message.

What the far end asks is only passed on here; whether it may is the business of whoever owns the call,
who answers with `settle`.  With a token control of the call is asked for; a REFER without one is a
telephone that transfers whom it talks to (RFC 5589).
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from callrouter.ports import ReferProgress, TransferRequested
from callrouter.sip.protocol.grammar import displayable
from callrouter.sip.protocol.headers.address import Address
from callrouter.sip.protocol.headers.replaces import Replaces
from callrouter.sip.protocol.message import Request, Response
from callrouter.sip.protocol.status import reason_of
from callrouter.sip.protocol.timers import MS, Timer
from callrouter.sip.protocol.transactions.client import ClientTransaction, ClientUser
from callrouter.sip.protocol.transactions.server import ServerTransaction
from callrouter.sip.protocol.uri import Uri

if TYPE_CHECKING:
    from callrouter.sip.protocol.session import Session

INFO_TYPE = "application/callrouter-transfer+json"
TOKEN_HEADER = "Callrouter-Token"  # noqa: S105 - the name of a header
MOST_OCTETS = 4096
_SIPFRAG = (("Content-Type", "message/sipfrag;version=2.0"),)
_SUBSCRIBED = 60
"""Seconds that the asker of a REFER is kept informed."""
_PATIENCE = 30_000 * MS
"""For whoever owns the call; the asker's transaction lasts 32 s."""

_OURS = -1
"""Among what is waited for, our own REFER; theirs have their CSeq."""


class Transfers(ClientUser):
    """Of one session."""

    __slots__ = ("_asked", "_sent", "_session", "_subscribed", "_waits")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._asked: dict[int, tuple[ServerTransaction, bool, int]] = {}
        """What waits to be settled; True where the asker wants to hear more afterwards; since when."""
        self._waits: dict[int, Timer] = {}
        self._subscribed: set[int] = set()
        self._sent: ClientTransaction | None = None

    # -- theirs

    def receive(self, request: Request, transaction: ServerTransaction, now_ns: int) -> None:
        """A REFER, or an INFO of `INFO_TYPE`."""
        agent = self._session.agent
        is_refer = request.method == "REFER"
        number = request.cseq.number
        try:
            asked = (_refer if is_refer else _info)(request, now_ns)
        except ValueError as error:
            agent.uas.respond(transaction, 400, now_ns, reason=str(error))
            return
        if refusal := self._refusal(asked, is_refer=is_refer):
            agent.uas.respond(transaction, refusal, now_ns)
            return
        if number in self._asked:
            agent.uas.respond(transaction, 500, now_ns, reason="CSeq is that of another request")
            return
        wants_more = is_refer and (request.get("Refer-Sub") or "").strip().lower() != "false"
        self._asked[number] = (transaction, wants_more, now_ns)
        self._waits[number] = agent.timers.start(now_ns + _PATIENCE, lambda at: self.settle(number, 403, at))
        self._session.tell(asked)

    def _refusal(self, asked: TransferRequested, *, is_refer: bool) -> int:
        """The status of what nobody need be asked about; 0 = somebody has to be."""
        if self._session.is_over or not asked.target or not (asked.token or is_refer):
            return 403
        # Nobody can be handed on who is not there yet: the request comes too early.
        return 0 if asked.token or self._session.is_up else 491

    def settle(self, number: int, status: int, now_ns: int) -> None:
        """Answer the request `number`: a 2xx when it is being done."""
        found = self._asked.pop(number, None)
        if found is None:
            return
        self._waits.pop(number).cancel()
        transaction, wants_more, _ = found
        is_refer = transaction.request is not None and transaction.request.method == "REFER"
        if 200 <= status < 300:
            status = 202 if is_refer else 200
        fields = () if wants_more or not is_refer or status != 202 else (("Refer-Sub", "false"),)
        self._session.agent.uas.respond(transaction, status, now_ns, fields=fields)
        if wants_more and status == 202:
            self._subscribed.add(number)
            self._notify(number, 100, now_ns)

    def conclude(self, number: int, status: int, now_ns: int) -> None:
        """How what was begun ended."""
        if number in self._subscribed and self._session.is_up:
            self._subscribed.discard(number)
            self._notify(number, status, now_ns)

    def _notify(self, number: int, status: int, now_ns: int) -> None:
        session = self._session
        state = f"active;expires={_SUBSCRIBED}" if status < 200 else "terminated;reason=noresource"
        fields = (
            session.own_fields(session.established.hop)[0],
            ("Event", f"refer;id={number}"),
            ("Subscription-State", state),
            *_SIPFRAG,
        )
        body = f"SIP/2.0 {status} {reason_of(status)}\r\n".encode()
        session.agent.uac.send_in_dialog(
            session.established, "NOTIFY", self, now_ns, fields=fields, body=body
        )

    def _on_notified(self, transaction: ClientTransaction, status: int) -> None:
        """Who refuses to be told is told no more (RFC 6665 §4.2.2)."""
        if status >= 300:
            event = transaction.request.get("Event") or ""
            self._subscribed.discard(int(event.rpartition("=")[2]))

    # -- ours

    def refer(self, target: str, replaces: str, now_ns: int) -> None:
        """Ask the far end to call `target`, in place of the dialog that `replaces` names."""
        session = self._session
        if not session.is_up or self._sent is not None:
            session.tell(ReferProgress(now_ns, 491 if session.is_up else 481, True))
            return
        uri = f"{target}?Replaces={replaces}" if replaces else target
        fields = (
            *session.own_fields(session.established.hop),
            ("Refer-To", f"<{uri}>"),
            ("Referred-By", f"<{Address.parse(session.established.local).uri}>"),
        )
        self._sent = session.agent.uac.send_in_dialog(
            session.established, "REFER", self, now_ns, fields=fields
        )

    def on_response(self, transaction: ClientTransaction, response: Response, now_ns: int) -> None:
        if transaction.request.method == "NOTIFY":
            self._on_notified(transaction, response.status)
        if transaction.request.method != "REFER" or response.status < 200:
            return
        is_silent = (response.get("Refer-Sub") or "").strip().lower() == "false"  # RFC 4488 §4
        if response.status >= 300 or is_silent:
            self._tell(response.status, now_ns, is_final=True)
        else:
            self._tell(response.status, now_ns)
            self._waits[_OURS] = self._session.agent.timers.start(
                now_ns + 3 * _SUBSCRIBED * 1000 * MS,
                lambda at: self._tell(408, at, is_final=True, by_notify=True),
            )

    def on_failure(self, transaction: ClientTransaction, status: int, now_ns: int) -> None:
        if transaction.request.method == "REFER":
            self._tell(status, now_ns, is_final=True)

    def on_notify(self, request: Request, transaction: ServerTransaction, now_ns: int) -> None:
        """What the far end makes of our REFER."""
        agent = self._session.agent
        event = (request.get("Event") or "").partition(";")[0].strip().lower()
        if event != "refer":
            agent.uas.respond(transaction, 489, now_ns, fields=(("Allow-Events", "refer"),))
            return
        if self._sent is None:
            agent.uas.respond(transaction, 481, now_ns)
            return
        status = _status_in(request.body)
        agent.uas.respond(transaction, 200 if status else 400, now_ns)
        state = (request.get("Subscription-State") or "").partition(";")[0].strip().lower()
        if status and (status >= 200 or state != "terminated"):
            self._tell(status, now_ns, is_final=status >= 200, by_notify=True)
        elif status:
            self._tell(503, now_ns, is_final=True, by_notify=True)

    def _tell(self, status: int, now_ns: int, *, is_final: bool = False, by_notify: bool = False) -> None:
        if self._sent is None:
            return
        if is_final:
            self._sent = None
            self._stop_waiting(_OURS)
        self._session.tell(ReferProgress(now_ns, status, is_final, by_notify))

    def _stop_waiting(self, number: int) -> None:
        timer = self._waits.pop(number, None)
        if timer is not None:
            timer.cancel()

    def stop(self) -> None:
        """The session is over, and with it what was asked within (RFC 3261 §15.1.2)."""
        for transaction, _, since_ns in self._asked.values():
            self._session.agent.uas.respond(transaction, 487, since_ns)
        self._asked.clear()
        self._subscribed.clear()
        for number in list(self._waits):
            self._stop_waiting(number)


def _refer(request: Request, now_ns: int) -> TransferRequested:
    values = request.all("Refer-To")
    if len(values) != 1:
        raise ValueError("a REFER has one Refer-To")
    uri = Address.parse(values[0]).uri
    if len(str(uri)) > MOST_OCTETS:
        raise ValueError("Refer-To is too long")
    token = request.get(TOKEN_HEADER) or ""
    number = request.cseq.number
    if token:
        return TransferRequested(now_ns, number, displayable(str(uri)), token)
    if (uri.get("method") or "INVITE").upper() != "INVITE":
        raise ValueError("Refer-To asks for something else than a call")
    replaces = displayable(_header_of(uri, "Replaces"))
    if replaces:
        Replaces.parse(replaces)
    # What else a URI says about the INVITE is not for others to decide.
    bare = displayable(str(replace(uri, headers="")))
    referred_by = displayable(request.get("Referred-By") or "")
    return TransferRequested(now_ns, number, bare, "", replaces=replaces, referred_by=referred_by)


def _header_of(uri: Uri, name: str) -> str:
    """Of the headers in a URI the one called `name`; "" where there is none."""
    for field in uri.headers.split("&"):
        written, _, value = field.partition("=")
        if written.lower() == name.lower():
            return unquote(value)
    return ""


def _info(request: Request, now_ns: int) -> TransferRequested:
    if len(request.body) > MOST_OCTETS:
        raise ValueError("the body is too large")
    try:
        asked = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise ValueError("the body is not JSON") from error
    if not isinstance(asked, dict):
        raise ValueError("the body is not a JSON object")
    target, token = asked.get("target", ""), asked.get("token", "")
    if not isinstance(target, str) or not isinstance(token, str):
        raise ValueError("target and token are strings")
    return TransferRequested(now_ns, request.cseq.number, displayable(target), token)


def _status_in(body: bytes) -> int:
    """Of the status line in a `message/sipfrag`; 0 where there is none."""
    words = body[:200].split()
    if len(words) < 2 or words[0] != b"SIP/2.0" or len(words[1]) != 3 or not words[1].isdigit():
        return 0
    status = int(words[1])
    return status if 100 <= status < 700 else 0
