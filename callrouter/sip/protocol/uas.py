"""The user agent server (RFC 3261 §8.2): sorts requests that come in, and answers them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callrouter.sip.protocol import responses
from callrouter.sip.protocol.admission import PEER, Origin
from callrouter.sip.protocol.grammar import Fields
from callrouter.sip.protocol.headers.replaces import Replaces
from callrouter.sip.protocol.hop import Hop, Packet
from callrouter.sip.protocol.incoming import IncomingSession, NewCall, Replaced
from callrouter.sip.protocol.message import Request
from callrouter.sip.protocol.methods import ACCEPTED, ALLOWED, DIALOG_ONLY, KNOWN, SUPPORTED
from callrouter.sip.protocol.registrar import Registrar
from callrouter.sip.protocol.session import Session
from callrouter.sip.protocol.shield import Judgement
from callrouter.sip.protocol.transactions.layer import Key
from callrouter.sip.protocol.transactions.server import ServerState, ServerTransaction
from callrouter.sip.protocol.validate import (
    NO_TIME_TO_CODE,
    Refusal,
    check,
    check_body,
    check_extensions,
    check_interval,
    refusal_of,
)

if TYPE_CHECKING:
    from callrouter.sip.protocol.agent import Agent

REPLACED = 'SIP;cause=200;text="Replaced by another call"'


class UserAgentServer:
    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._layer = agent.layer
        self._sessions = agent.sessions
        self._name = agent.name

    # -- requests that come in

    def receive(self, request: Request, hop: Hop, now_ns: int) -> None:
        """A request as it was read from the wire (RFC 3261 §8.2, §17.2.3): repeated ones to their
        transaction, new ones past the shield and the checks to whom they concern, or refused."""
        try:
            key = self._layer.key_of(request)
        except ValueError:
            key = None
        known = self._layer.servers.get(key) if key is not None else None
        if request.method == "ACK":
            self._receive_ack(request, known, hop, now_ns)
        elif known is not None:
            known.repeated(request.method, hop, now_ns)
        elif self._is_let_in(key, request, hop, now_ns):
            refusal = check(request)
            if refusal is None and key is not None:
                self._dispatch(key, request, hop, now_ns)
            elif refusal is not None:
                self._refuse_statelessly(request, hop, refusal, now_ns)

    def _is_let_in(self, key: Key | None, request: Request, hop: Hop, now_ns: int) -> bool:
        """The shield has nothing against a request that is the first of its kind; what belongs to a
        call, or cannot be read, is not its business."""
        shield = self._agent.shield
        if shield is None or request.flaw is not None or request.to_tag in self._sessions:
            return True
        if request.method == "CANCEL" and key is not None and self._layer.cancelled_by(key) is not None:
            return True
        judgement = shield.judge(request, hop, now_ns)
        if judgement is Judgement.OVERLOADED:
            later = (("Retry-After", str(shield.gate.retry_after())),)
            self._refuse_statelessly(request, hop, Refusal(503, "", later), now_ns)
        return judgement is Judgement.PASS

    def _receive_ack(self, request: Request, known: ServerTransaction | None, hop: Hop, now_ns: int) -> None:
        if known is not None and known.state is not ServerState.ACCEPTED:
            known.repeated("ACK", hop, now_ns)
            return
        session = self._sessions.get(request.to_tag)
        if session is not None and request.flaw is None and session.dialog_of(request) is not None:
            session.on_ack(request, now_ns)

    def _dispatch(self, key: Key, request: Request, hop: Hop, now_ns: int) -> None:
        if request.method == "CANCEL":
            self._receive_cancel(key, request, hop, now_ns)
            return
        tag = request.to_tag
        session = self._sessions.get(tag) if tag else None
        dialog = session.dialog_of(request) if session is not None else None
        if tag and dialog is None:
            self._refuse_statelessly(request, hop, Refusal(481, ""), now_ns)
            return
        origin = check_extensions(request) or self._origin_of(request, session, hop, now_ns)
        if isinstance(origin, Refusal):
            self._refuse_statelessly(request, hop, origin, now_ns)
            return
        transaction = self._layer.server(key, request, hop)
        if session is not None and dialog is not None:
            session.on_request(request, dialog, transaction, now_ns)
        elif self._layer.is_merged(transaction, request):
            self.respond(transaction, 482, now_ns)
        else:
            self._receive_first(transaction, request, origin, now_ns)

    def _receive_first(
        self, transaction: ServerTransaction, request: Request, origin: Origin, now_ns: int
    ) -> None:
        """A request that is of no dialog."""
        method = request.method
        if method == "INVITE":
            self._receive_invite(transaction, request, origin, now_ns)
        elif method == "OPTIONS":
            self.answer_options(transaction, now_ns)
        elif method == "REGISTER" and self._agent.registrar is not None:
            self._receive_register(self._agent.registrar, transaction, request, now_ns)
        elif method in DIALOG_ONLY:
            self.respond(transaction, 481, now_ns)
        else:
            self.refuse_method(transaction, request, now_ns)

    def _receive_cancel(self, key: Key, request: Request, hop: Hop, now_ns: int) -> None:
        invite = self._layer.cancelled_by(key)
        if invite is None:
            self._refuse_statelessly(request, hop, Refusal(481, ""), now_ns)
            return
        transaction = self._layer.server(key, request, hop)
        self.respond(transaction, 200, now_ns, tag=invite.tag)
        if invite.session is not None:
            invite.session.cancel(request, invite, now_ns)

    def _origin_of(
        self, request: Request, session: Session | None, hop: Hop, now_ns: int
    ) -> Origin | Refusal:
        """Who wants to begin a call; whatever belongs to one has been let in with it."""
        if request.method != "INVITE" or session is not None or self._agent.admission is None:
            return PEER
        return self._agent.admission.judge(request, hop, now_ns)

    def _receive_register(
        self, registrar: Registrar, transaction: ServerTransaction, request: Request, now_ns: int
    ) -> None:
        answer = registrar.receive(request, transaction.hop, now_ns)
        if isinstance(answer, Refusal):
            self.refuse(transaction, answer, now_ns)
            # Old telephones answer a challenge without counting on: theirs has come by no second path.
            self._layer.unmerge(transaction)
        else:
            self.respond(transaction, 200, now_ns, fields=answer)

    def _receive_invite(
        self, transaction: ServerTransaction, request: Request, origin: Origin, now_ns: int
    ) -> None:
        least_seconds = self._agent.settings.min_session_seconds
        replaced = check_body(request) or check_interval(request, least_seconds) or self._replaced_by(request)
        if isinstance(replaced, Refusal):
            self.refuse(transaction, replaced, now_ns)
            return
        codecs = self._agent.codecs_beside()
        if not codecs:
            self.refuse(transaction, NO_TIME_TO_CODE, now_ns)
            return
        try:
            session = IncomingSession(self._agent, request, transaction, origin, now_ns, codecs)
        except ValueError as error:
            self.refuse(transaction, refusal_of(error), now_ns)
            return
        transaction.belongs_to(session)
        self._sessions[session.local_tag] = session
        if replaced is None:
            self._agent.events.append((session, NewCall(session)))
        else:
            self._agent.events.append((replaced, Replaced(session)))
            session.take_place_of(replaced, now_ns)
            replaced.hangup(REPLACED, now_ns)

    def _replaced_by(self, request: Request) -> Session | Refusal | None:
        """The call whose place an INVITE takes (RFC 3891 §3); None where it takes nobody's.  While a call
        rings only whoever placed it can have another telephone answer it."""
        values = request.all("Replaces")
        if not values:
            return None
        try:
            named = Replaces.parse(values[0])
        except ValueError as error:
            return Refusal(400, str(error))
        if len(values) > 1:
            return Refusal(400, "Replaces is given twice")
        session = self._sessions.get(named.to_tag)
        if session is None or session.dialog_with(named.call_id, named.from_tag) is None:
            return Refusal(481, "")
        if session.is_over:
            return Refusal(603, "")
        if session.is_early:
            return Refusal(481, "") if isinstance(session, IncomingSession) else session
        return Refusal(486, "") if named.early_only else session

    # -- answers

    def respond(
        self,
        transaction: ServerTransaction,
        status: int,
        now_ns: int,
        *,
        reason: str = "",
        fields: Fields = (),
        body: bytes = b"",
        tag: str | None = None,
    ) -> bytes:
        """Write and send a response; returns its bytes, b"" when it came too late.  `tag` for a To
        without one: None makes one up."""
        request = transaction.request
        if request is None or transaction.is_answered:
            return b""
        if tag is None:
            tag = "" if request.to_tag else responses.stateless_tag(request)
        data = responses.write(
            request,
            transaction.hop,
            status,
            reason=reason,
            tag=tag,
            fields=fields if status == 100 else (*fields, *self._name),
            body=body,
        )
        if status >= 400 and self._agent.shield is not None and not request.to_tag:
            self._agent.shield.refused(request.method, status, transaction.hop, now_ns)
        transaction.respond(status, data, now_ns)
        return data

    def answer_options(self, transaction: ServerTransaction, now_ns: int) -> None:
        fields = (("Allow", ALLOWED), ("Accept", ACCEPTED), ("Accept-Encoding", "identity"))
        self.respond(transaction, 200, now_ns, fields=(*fields, ("Supported", SUPPORTED)))

    def refuse_method(self, transaction: ServerTransaction, request: Request, now_ns: int) -> None:
        """405 for a method there is, 501 for one there is not (§21.4.6, §21.5.2)."""
        status = 405 if request.method in KNOWN else 501
        self.respond(transaction, status, now_ns, fields=(("Allow", ALLOWED),))

    def refuse(self, transaction: ServerTransaction, refusal: Refusal, now_ns: int) -> None:
        self.respond(transaction, refusal.status, now_ns, reason=refusal.reason, fields=refusal.fields)

    def _refuse_statelessly(self, request: Request, hop: Hop, refusal: Refusal, now_ns: int) -> None:
        """What no state is worth keeping for: a repetition gets the same answer again.  Without a
        Via there was no sender who could recognise an answer."""
        if request.get("Via") is None:
            return
        if self._agent.shield is not None:
            self._agent.shield.refused(request.method, refusal.status, hop, now_ns)
        data = responses.write(
            request,
            hop,
            refusal.status,
            reason=refusal.reason,
            tag=responses.stateless_tag(request),
            fields=(*refusal.fields, *self._name),
        )
        port = self._layer.answer_port(request, hop)
        self._layer.out.append(Packet(data, hop._replace(port=port) if port else hop))
