"""The user agent core (RFC 3261 §8): sorts what comes in, keeps the sessions, writes what goes out.

Nothing in here waits, sleeps or opens anything.  The shell feeds messages and the time, then takes
`layer.out` (bytes to send) and `events` (what the owners of the sessions have to know), and calls
`run_timers` no later than `next_timer_ns`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from callrouter.ports import SignalEvent
from callrouter.sip.protocol import responses
from callrouter.sip.protocol.addresses import Network
from callrouter.sip.protocol.admission import PEER, Admission, Origin, OriginKind
from callrouter.sip.protocol.crypto import SrtpPolicy
from callrouter.sip.protocol.dialog import Dialog
from callrouter.sip.protocol.grammar import Fields, write_host
from callrouter.sip.protocol.headers.replaces import Replaces
from callrouter.sip.protocol.hop import Hop, Listener, Packet, family_of
from callrouter.sip.protocol.incoming import IncomingSession
from callrouter.sip.protocol.large import LargeRequests
from callrouter.sip.protocol.message import Message, Request, Response
from callrouter.sip.protocol.methods import ACCEPTED, ALLOWED, DIALOG_ONLY, KNOWN, SUPPORTED
from callrouter.sip.protocol.noise import NoisePolicy
from callrouter.sip.protocol.offer import CHEAP_CODECS, DEFAULT_CODECS
from callrouter.sip.protocol.outgoing import NOBODY, Invitation, OutgoingSession
from callrouter.sip.protocol.passed import KINDS
from callrouter.sip.protocol.registrar import Registrar
from callrouter.sip.protocol.session import Session
from callrouter.sip.protocol.shield import Judgement, Shield
from callrouter.sip.protocol.timers import Timers
from callrouter.sip.protocol.transactions.client import ClientTransaction, ClientUser, InviteClientTransaction
from callrouter.sip.protocol.transactions.layer import Key, TransactionLayer
from callrouter.sip.protocol.transactions.server import ServerState, ServerTransaction
from callrouter.sip.protocol.validate import (
    Refusal,
    check,
    check_body,
    check_extensions,
    check_interval,
    is_usable,
    refusal_of,
)

REPLACED = 'SIP;cause=200;text="Replaced by another call"'
_ORPHAN_LEAP = 100_000
"""More requests than a dialog ever sends after its state was saved: a CSeq must not go back."""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    user_agent: str = "callrouter"
    answers_where_via_says: bool = False
    """By UDP, to whoever does not ask for `rport`."""
    codecs: tuple[str, ...] = DEFAULT_CODECS
    session_seconds: int = 1800
    """Session interval to ask for (RFC 4028); 0 leaves it to the peer."""
    min_session_seconds: int = 90
    """Shorter ones are refused."""
    mentionable: tuple[Network, ...] = ()
    """Where anybody may point us (`addresses.may_send`)."""
    unanswered_seconds: int = 660
    """Timer C: an INVITE of ours that rings on and on is cancelled (RFC 3261 §16.6)."""
    srtp: SrtpPolicy = SrtpPolicy.OPTIONAL
    fingerprint: str = ""
    """Of the certificate that browsers are shown, as `a=fingerprint` has it; "": none can be served."""
    noise: NoisePolicy = NoisePolicy.MIRROR
    srtp_of_listeners: tuple[SrtpPolicy | None, ...] = ()
    srtp_of_trunks: Mapping[str, SrtpPolicy] = field(default_factory=dict)
    passes: frozenset[str] = KINDS
    """Kinds of media lines that are passed on unread."""
    passes_of_trunks: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def passes_for(self, origin: Origin) -> frozenset[str]:
        """What may be passed from and to calls of `origin`."""
        return self.passes_to(origin.name if origin.kind is OriginKind.TRUNK else "")

    def passes_to(self, trunk: str) -> frozenset[str]:
        """The same for calls by a trunk; "" = by none."""
        return self.passes_of_trunks.get(trunk, self.passes)

    def srtp_for(self, origin: Origin, listener: int) -> SrtpPolicy:
        """How calls from `origin` by a listener are protected: a carrier's rule goes before that of
        the address it calls at."""
        if origin.kind is OriginKind.TRUNK and origin.name in self.srtp_of_trunks:
            return self.srtp_of_trunks[origin.name]
        known = self.srtp_of_listeners
        return (known[listener] if listener < len(known) else None) or self.srtp


@dataclass(frozen=True, slots=True)
class NewCall:
    """An INVITE that can be served; its session waits for its owner's decision."""

    session: IncomingSession


@dataclass(frozen=True, slots=True)
class Replaced:
    """Another far end takes the place of this session's (RFC 3891): what it was told and asked goes
    to `session` from now on."""

    session: IncomingSession


class Agent:
    def __init__(self, settings: AgentSettings, token: Callable[[int], str]) -> None:
        self.settings = settings
        self.token = token
        self.layer = TransactionLayer(token, answers_where_via_says=settings.answers_where_via_says)
        self.listeners: list[Listener] = []
        self.sessions: dict[str, Session] = {}
        """By our tag, which is unique."""
        self.events: list[tuple[Session, SignalEvent | NewCall | Replaced]] = []
        self.admission: Admission | None = None
        """None: whoever reaches us may call."""
        self.registrar: Registrar | None = None
        self.shield: Shield | None = None
        """None: nobody asks too much."""
        self.has_time_to_code: Callable[[], bool] = lambda: True
        """False: new calls have to be in a codec that costs nothing to decode and encode."""
        self.on_forgotten: Callable[[Session], None] = lambda session: None
        """A session is over; what it told last may still wait in `events`."""
        self._name: Fields = (("User-Agent", settings.user_agent),)
        self._large = LargeRequests(self.listeners)
        self.layer.way_for_large = self._large.way
        self.layer.via_for = self._via

    @property
    def timers(self) -> Timers:
        return self.layer.timers

    @property
    def codecs(self) -> tuple[str, ...]:
        """Those that a new call may be in."""
        codecs = self.settings.codecs
        if CHEAP_CODECS.issuperset(codecs) or self.has_time_to_code():
            return codecs
        return tuple(name for name in codecs if name in CHEAP_CODECS) or codecs

    # -- what comes in

    def receive(self, message: Message, hop: Hop, now_ns: int) -> None:
        """A message that came from `hop`."""
        if isinstance(message, Request):
            self._receive_request(message, hop, now_ns)
        elif isinstance(message, Response) and is_usable(message):
            transaction = self.layer.client_of(message)
            if transaction is not None:
                transaction.receive(message, now_ns)

    def _receive_request(self, request: Request, hop: Hop, now_ns: int) -> None:
        try:
            key = self.layer.key_of(request)
        except ValueError:
            key = None
        known = self.layer.servers.get(key) if key is not None else None
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
        shield = self.shield
        if shield is None or request.flaw is not None or request.to_tag in self.sessions:
            return True
        if request.method == "CANCEL" and key is not None and (*key[:-1], "INVITE") in self.layer.servers:
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
        session = self.sessions.get(request.to_tag)
        if session is not None and request.flaw is None and session.dialog_of(request) is not None:
            session.on_ack(request, now_ns)

    def _dispatch(self, key: Key, request: Request, hop: Hop, now_ns: int) -> None:
        method = request.method
        if method == "CANCEL":
            self._receive_cancel(key, request, hop, now_ns)
            return
        tag = request.to_tag
        session = self.sessions.get(tag) if tag else None
        dialog = session.dialog_of(request) if session is not None else None
        if tag and dialog is None:
            self._refuse_statelessly(request, hop, Refusal(481, ""), now_ns)
            return
        origin = check_extensions(request) or self._origin_of(request, session, hop, now_ns)
        if isinstance(origin, Refusal):
            self._refuse_statelessly(request, hop, origin, now_ns)
            return
        transaction = self.layer.server(key, request, hop)
        if session is not None and dialog is not None:
            session.on_request(request, dialog, transaction, now_ns)
        elif method == "INVITE":
            self._receive_invite(transaction, request, origin, now_ns)
        elif method == "OPTIONS":
            self.answer_options(transaction, now_ns)
        elif method == "REGISTER" and self.registrar is not None:
            self._receive_register(self.registrar, transaction, request, now_ns)
        elif method in DIALOG_ONLY:
            self.respond(transaction, 481, now_ns)
        else:
            self.refuse_method(transaction, request, now_ns)

    def _receive_cancel(self, key: Key, request: Request, hop: Hop, now_ns: int) -> None:
        invite = self.layer.servers.get((*key[:-1], "INVITE"))
        if invite is None:
            self._refuse_statelessly(request, hop, Refusal(481, ""), now_ns)
            return
        session = invite.session
        transaction = self.layer.server(key, request, hop)
        self.respond(transaction, 200, now_ns, tag=session.local_tag if session else "")
        if session is not None:
            session.cancel(request, invite, now_ns)

    def _origin_of(
        self, request: Request, session: Session | None, hop: Hop, now_ns: int
    ) -> Origin | Refusal:
        """Who wants to begin a call; whatever belongs to one has been let in with it."""
        if request.method != "INVITE" or session is not None or self.admission is None:
            return PEER
        return self.admission.judge(request, hop, now_ns)

    def _receive_register(
        self, registrar: Registrar, transaction: ServerTransaction, request: Request, now_ns: int
    ) -> None:
        answer = registrar.receive(request, transaction.hop, now_ns)
        if isinstance(answer, Refusal):
            self.refuse(transaction, answer, now_ns)
        else:
            self.respond(transaction, 200, now_ns, fields=answer)

    def _receive_invite(
        self, transaction: ServerTransaction, request: Request, origin: Origin, now_ns: int
    ) -> None:
        refusal = check_body(request) or check_interval(request, self.settings.min_session_seconds)
        if refusal is None and self.layer.is_merged(transaction, request):
            refusal = Refusal(482, "")
        replaced = None if refusal is not None else self._replaced_by(request)
        if isinstance(replaced, Refusal):
            refusal = replaced
        if refusal is not None or isinstance(replaced, Refusal):
            self.refuse(transaction, refusal or Refusal(481, ""), now_ns)
            return
        try:
            session = IncomingSession(self, request, transaction, origin, now_ns)
        except ValueError as error:
            self.refuse(transaction, refusal_of(error), now_ns)
            return
        transaction.session = session
        self.sessions[session.local_tag] = session
        if replaced is None:
            self.events.append((session, NewCall(session)))
        else:
            self.events.append((replaced, Replaced(session)))
            session.take_place_of(replaced, now_ns)
            replaced.hangup(REPLACED, now_ns)

    def _replaced_by(self, request: Request) -> Session | Refusal | None:
        """The call whose place an INVITE takes (RFC 3891 §3); None where it takes nobody's.  Only a
        call that is up has a far end that can be replaced."""
        values = request.all("Replaces")
        if not values:
            return None
        try:
            named = Replaces.parse(values[0])
        except ValueError as error:
            return Refusal(400, str(error))
        if len(values) > 1:
            return Refusal(400, "Replaces is given twice")
        session = self.sessions.get(named.to_tag)
        if session is None or session.dialog is None or session.call_id != named.call_id:
            return Refusal(481, "")
        if session.dialog.remote_tag != named.from_tag or session.is_early or session.is_over:
            return Refusal(481, "")
        if named.early_only:
            return Refusal(486, "")
        return session if session.is_up else Refusal(603, "")

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
            tag = responses.stateless_tag(request)
        data = responses.write(
            request,
            transaction.hop,
            status,
            reason=reason,
            tag=tag,
            fields=fields if status == 100 else (*fields, *self._name),
            body=body,
        )
        if status >= 400 and self.shield is not None and not request.to_tag:
            self.shield.refused(request.method, status, transaction.hop, now_ns)
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
        if self.shield is not None:
            self.shield.refused(request.method, refusal.status, hop, now_ns)
        data = responses.write(
            request,
            hop,
            refusal.status,
            reason=refusal.reason,
            tag=responses.stateless_tag(request),
            fields=(*refusal.fields, *self._name),
        )
        port = self.layer.answer_port(request, hop)
        self.layer.out.append(Packet(data, hop._replace(port=port) if port else hop))

    # -- requests of ours

    def call(self, invitation: Invitation, call_id: str) -> OutgoingSession:
        """A session that waits for `start`."""
        session = OutgoingSession(self, invitation, call_id)
        self.sessions[session.local_tag] = session
        return session

    def end_orphan(self, dialog: Dialog, reason: str, now_ns: int) -> None:
        """BYE for a dialog that another process had."""
        fields = (("Reason", reason),) if reason else ()
        dialog.local_sequence += _ORPHAN_LEAP
        self.send_in_dialog(dialog, "BYE", NOBODY, now_ns, fields=fields)

    def request(
        self, method: str, uri: str, hop: Hop, fields: list[tuple[str, str]], body: bytes = b""
    ) -> Request:
        """A request with a Via of its own."""
        via = self._via(hop, self.layer.new_branch())
        return Request(method, uri, [("Via", via), *fields, *self._name], body)

    def _via(self, hop: Hop, branch: str) -> str:
        listener = self.listener_of(hop)
        # Requests of the other end may come back by a TLS connection of ours (RFC 5923 §6).
        alias = ";alias" if hop.transport == "tls" else ""
        return (
            f"SIP/2.0/{hop.transport.upper()} {write_host(listener.host)}:{listener.port}"
            f";branch={branch}{alias};rport"
        )

    def send_in_dialog(
        self,
        dialog: Dialog,
        method: str,
        user: ClientUser,
        now_ns: int,
        *,
        fields: Fields = (),
        body: bytes = b"",
    ) -> ClientTransaction:
        dialog.local_sequence += 1
        hop = dialog.next_hop(self.settings.mentionable)
        request = self._in_dialog(dialog, method, hop, dialog.local_sequence, fields, body)
        return self.layer.client(request, hop, user, now_ns)

    def acknowledge(self, transaction: ClientTransaction, dialog: Dialog) -> None:
        """The ACK of a 2xx: a request of its own, sent again for each repeated 2xx (§13.2.2.4)."""
        invite = transaction.request
        hop = dialog.next_hop(self.settings.mentionable)
        names = ("Authorization", "Proxy-Authorization")
        fields = tuple((n, v) for n, v in invite.fields if n in names)
        ack = self._in_dialog(dialog, "ACK", hop, invite.cseq.number, fields, b"")
        packet = Packet(bytes(ack), hop)
        if isinstance(transaction, InviteClientTransaction):
            transaction.accepted_ack = packet
        self.layer.out.append(packet)

    def _in_dialog(
        self, dialog: Dialog, method: str, hop: Hop, sequence: int, fields: Fields, body: bytes
    ) -> Request:
        uri, routes = dialog.start_and_routes()
        head = [
            *(("Route", route) for route in routes),
            ("Max-Forwards", "70"),
            ("From", dialog.local),
            ("To", dialog.remote),
            ("Call-ID", dialog.call_id),
            ("CSeq", f"{sequence} {method}"),
            *fields,
        ]
        return self.request(method, uri, hop, head, body)

    def contact(self, hop: Hop, user: str, *, is_secure: bool = False) -> tuple[str, str]:
        """Where requests of the dialog reach us; `is_secure`: by TLS all the way, as who began it
        asked (RFC 3261 §12.1.1)."""
        listener = self.listener_of(hop)
        at = f"{user}@" if user else ""
        scheme = "sips" if is_secure else "sip"
        is_implied = hop.transport == "udp" or (is_secure and hop.transport == "tls")
        transport = "" if is_implied else f";transport={hop.transport}"
        return "Contact", f"<{scheme}:{at}{write_host(listener.host)}:{listener.port}{transport}>"

    def invite_fields(self, hop: Hop, user: str, *, is_secure: bool = False) -> Fields:
        """What INVITEs and their 2xx say about us."""
        contact = self.contact(hop, user, is_secure=is_secure)
        return (contact, ("Allow", ALLOWED), ("Supported", SUPPORTED))

    def listener_of(self, hop: Hop) -> Listener:
        """The address of ours to name to `hop`: the one it knows, else the first of its transport
        and family."""
        family = family_of(hop.host)
        own = self.listeners[hop.listener] if hop.listener < len(self.listeners) else None
        if own is not None and own.transport == hop.transport and family in (0, own.family):
            return own
        for listener in self.listeners:
            if listener.transport == hop.transport and family in (0, listener.family):
                return listener
        # Nothing listens there: the connection or socket fails when it is used, which is reported.
        return own or Listener(hop.transport, "invalid.invalid", 5060)

    # -- housekeeping

    def undeliverable(self, packet: Packet, now_ns: int) -> None:
        """The shell could not send `packet`."""
        transaction = packet.transaction
        if isinstance(transaction, ClientTransaction):
            if transaction.fall_back(now_ns):
                self._large.refused(packet.hop, now_ns)
            else:
                transaction.fail(503, now_ns)

    def connection_lost(self, hop: Hop, now_ns: int) -> None:
        """Requests that went out on this connection and had no sign of life yet will have none; a
        peer that has answered once may answer on another one."""
        if self.registrar is not None:
            self.registrar.bindings.connection_lost(hop)
        lost = [c for c in self.layer.clients.values() if c.is_unanswered and c.hop[:3] == hop[:3]]
        for transaction in lost:
            transaction.fail(503, now_ns)
        if hop.connection:
            for session in self.sessions.values():
                dialog = session.dialog
                if dialog is not None and dialog.hop.connection == hop.connection:
                    dialog.hop = dialog.hop._replace(connection=0)  # the target may still be reached

    def depends_on(self, hop: Hop) -> bool:
        """A dialog came by the connection of `hop`."""
        dialogs = (session.dialog for session in self.sessions.values())
        return any(dialog is not None and dialog.hop.connection == hop.connection for dialog in dialogs)

    def forget(self, session: Session) -> None:
        self.sessions.pop(session.local_tag, None)
        self.on_forgotten(session)

    @property
    def is_idle(self) -> bool:
        """No session, transaction or timer is left."""
        layer = self.layer
        return not (self.sessions or layer.servers or layer.clients or len(layer.timers))
