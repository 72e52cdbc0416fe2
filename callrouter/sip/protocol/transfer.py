"""Asking for a call to go elsewhere (RFC 3515): REFER, and the INFO that asks the same in one message.

What the far end asks is only passed on here; whether it may is the business of whoever owns the call,
who answers with `settle`.  With a token control of the call is asked for; a REFER without one is a
telephone that transfers whom it talks to (RFC 5589).
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from callrouter.ports import TransferRequested
from callrouter.sip.protocol.grammar import displayable
from callrouter.sip.protocol.grammar import number as number_in
from callrouter.sip.protocol.headers.address import Address
from callrouter.sip.protocol.headers.replaces import Replaces
from callrouter.sip.protocol.message import Request
from callrouter.sip.protocol.referring import Referring, is_of
from callrouter.sip.protocol.subscription import Subscription
from callrouter.sip.protocol.timers import MS, Timer
from callrouter.sip.protocol.transactions.server import ServerTransaction
from callrouter.sip.protocol.uri import Uri

if TYPE_CHECKING:
    from callrouter.sip.protocol.session import Session

INFO_TYPE = "application/callrouter-transfer+json"
TOKEN_HEADER = "Callrouter-Token"  # noqa: S105 - the name of a header
MOST_OCTETS = 4096
_SCHEMES = ("sip:", "sips:", "tel:")
"""What may be called by who has no token."""
_PATIENCE = 30_000 * MS
"""For whoever owns the call; the asker's transaction lasts 32 s."""


class Transfers:
    """Of one session."""

    __slots__ = ("_asked", "_referring", "_session", "_subscriptions", "_waits")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._asked: dict[int, tuple[ServerTransaction, bool, int]] = {}
        """By their CSeq what waits to be settled; True where the asker wants to hear more afterwards;
        since when."""
        self._waits: dict[int, Timer] = {}
        self._subscriptions: dict[int, Subscription] = {}
        self._referring = Referring(session)

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
        wants_more = is_refer and not _declines_news(request)
        self._asked[number] = (transaction, wants_more, now_ns)
        self._waits[number] = agent.timers.start(now_ns + _PATIENCE, lambda at: self.settle(number, 403, at))
        self._session.tell(asked)

    def _refusal(self, asked: TransferRequested, *, is_refer: bool) -> int:
        """The status of what nobody need be asked about; 0 = somebody has to be."""
        if self._session.is_over or not asked.target or not (asked.token or is_refer):
            return 403
        if not asked.token and not asked.target.lower().startswith(_SCHEMES):
            return 416
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
            self._subscriptions[number] = Subscription(self._session, number, now_ns)
            self.tell(number, 100, now_ns)

    def tell(self, number: int, status: int, now_ns: int) -> None:
        """How far what was begun has got: a provisional status of the target, or a final one at the end."""
        subscription = self._subscriptions.get(number)
        if subscription is None:
            return
        subscription.tell(status, now_ns)
        if status >= 200:
            del self._subscriptions[number]

    def on_event(self, request: Request, transaction: ServerTransaction, now_ns: int) -> None:
        """A NOTIFY or SUBSCRIBE."""
        package, _, parameters = (request.get("Event") or "").partition(";")
        if package.strip().lower() != "refer":
            fields = (("Allow-Events", "refer"),)
            self._session.agent.uas.respond(transaction, 489, now_ns, fields=fields)
        elif request.method == "NOTIFY":
            self._referring.on_notify(request, parameters, transaction, now_ns)
        else:
            self._on_subscribe(request, parameters, transaction, now_ns)

    def _on_subscribe(
        self, request: Request, parameters: str, transaction: ServerTransaction, now_ns: int
    ) -> None:
        """Whoever is told wants to be for longer, or no more (RFC 3515 §2.4.4)."""
        uas = self._session.agent.uas
        named = [s for n, s in self._subscriptions.items() if is_of(parameters, n) and not s.is_over]
        try:
            expires = request.get("Expires")
            seconds = None if expires is None else number_in(expires)
        except ValueError as error:
            uas.respond(transaction, 400, now_ns, reason=str(error))
            return
        if len(named) != 1:
            uas.respond(transaction, 481, now_ns)
            return
        contact = self._session.own_fields(transaction.hop)[0]
        left = named[0].granted(seconds)
        uas.respond(transaction, 200, now_ns, fields=(contact, ("Expires", str(left))))
        named[0].renew(left, now_ns)

    # -- ours

    def refer(self, target: str, replaces: str, now_ns: int) -> None:
        """Ask the far end to call `target`, in place of the dialog that `replaces` names."""
        self._referring.ask(target, replaces, now_ns)

    def stop(self) -> None:
        """The session is over, and with it what was asked within (RFC 3261 §15.1.2), but not what has
        been begun."""
        for transaction, _, since_ns in self._asked.values():
            self._session.agent.uas.respond(transaction, 487, since_ns)
        self._asked.clear()
        for timer in self._waits.values():
            timer.cancel()
        self._waits.clear()
        self._referring.stop()


def _declines_news(request: Request) -> bool:
    """No NOTIFY is wanted (RFC 4488 §4)."""
    return (request.get("Refer-Sub") or "").partition(";")[0].strip().lower() == "false"


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
    # What else a URI says about the INVITE is not for others to decide.
    bare = displayable(str(replace(uri, headers="")))
    return TransferRequested(
        now_ns,
        number,
        bare,
        "",
        replaces=replaces,
        early_only=bool(replaces) and Replaces.parse(replaces).early_only,
        referred_by=displayable(request.get("Referred-By") or ""),
    )


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
