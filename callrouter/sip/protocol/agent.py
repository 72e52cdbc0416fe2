"""The user agent core (RFC 3261 §8): keeps the sessions, and both of its halves beside them.

Requests that come in are sorted and answered in `uas`, those of ours and their responses are in `uac`,
transactions and their timers in `transactions` and `timers`.

Nothing in here waits, sleeps or opens anything.  The shell feeds messages and the time, then takes
`layer.out` (bytes to send) and `events` (what the owners of the sessions have to know), and calls
`timers.run` no later than `timers.next_ns`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from callrouter.ports import SignalEvent
from callrouter.sip.protocol.addresses import Network
from callrouter.sip.protocol.admission import Admission, Origin, OriginKind
from callrouter.sip.protocol.auth import Credentials
from callrouter.sip.protocol.crypto import SrtpPolicy
from callrouter.sip.protocol.grammar import Fields
from callrouter.sip.protocol.hop import Hop, Packet
from callrouter.sip.protocol.incoming import NewCall, Replaced
from callrouter.sip.protocol.listeners import Listeners
from callrouter.sip.protocol.message import Message, Request, Response
from callrouter.sip.protocol.noise import NoisePolicy
from callrouter.sip.protocol.offer import CHEAP_CODECS, DEFAULT_CODECS
from callrouter.sip.protocol.outgoing import Invitation, OutgoingSession
from callrouter.sip.protocol.passed import KINDS
from callrouter.sip.protocol.registrar import Registrar
from callrouter.sip.protocol.session import Session
from callrouter.sip.protocol.shield import Shield
from callrouter.sip.protocol.timers import Timers
from callrouter.sip.protocol.transactions.layer import TransactionLayer
from callrouter.sip.protocol.uac import UserAgentClient
from callrouter.sip.protocol.uas import UserAgentServer


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
    credentials_of_trunks: Mapping[str, Credentials] = field(default_factory=dict)
    """What carriers know us by that may ask within calls of theirs."""
    passes: frozenset[str] = KINDS
    """Kinds of media lines that are passed on unread."""
    passes_of_trunks: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def passes_for(self, origin: Origin) -> frozenset[str]:
        """What may be passed from and to calls of `origin`."""
        return self.passes_to(origin.name if origin.kind is OriginKind.TRUNK else "")

    def passes_to(self, trunk: str) -> frozenset[str]:
        """The same for calls by a trunk; "" = by none."""
        return self.passes_of_trunks.get(trunk, self.passes)

    def credentials_for(self, origin: Origin) -> Credentials | None:
        """What we prove to whoever calls, if they ask."""
        return self.credentials_of_trunks.get(origin.name) if origin.kind is OriginKind.TRUNK else None

    def srtp_for(self, origin: Origin, listener: int) -> SrtpPolicy:
        """How calls from `origin` by a listener are protected: a carrier's rule goes before that of
        the address it calls at."""
        if origin.kind is OriginKind.TRUNK and origin.name in self.srtp_of_trunks:
            return self.srtp_of_trunks[origin.name]
        known = self.srtp_of_listeners
        return (known[listener] if listener < len(known) else None) or self.srtp


class Agent:
    def __init__(self, settings: AgentSettings, token: Callable[[int], str]) -> None:
        self.settings = settings
        self.token = token
        self.layer = TransactionLayer(token, answers_where_via_says=settings.answers_where_via_says)
        self.listeners = Listeners()
        self.sessions: dict[str, Session] = {}
        """By our tag, which is unique."""
        self.events: list[tuple[Session, SignalEvent | NewCall | Replaced]] = []
        self.admission: Admission | None = None
        """None: whoever reaches us may call."""
        self.registrar: Registrar | None = None
        self.shield: Shield | None = None
        """None: nobody asks too much."""
        self.has_time_to_code: Callable[[], bool] = lambda: True
        """False: new calls must not need another codec than G.711 to be decoded and encoded."""
        self.on_forgotten: Callable[[Session], None] = lambda session: None
        """A session is over; what it told last may still wait in `events`."""
        self.name: Fields = (("User-Agent", settings.user_agent),)
        """What everything we write says of who wrote it."""
        self.uas = UserAgentServer(self)
        self.uac = UserAgentClient(self)

    @property
    def timers(self) -> Timers:
        return self.layer.timers

    def codecs_beside(self, other: str = "") -> tuple[str, ...]:
        """Those that a new call may be in, which is to be connected with a far end that speaks `other`:
        none, where each would have to be decoded and encoded, and there is no time for that."""
        codecs = self.settings.codecs
        if CHEAP_CODECS.issuperset(codecs) or self.has_time_to_code():
            return codecs
        return tuple(name for name in codecs if name in CHEAP_CODECS or name == other)

    # -- what the shell tells

    def receive(self, message: Message, hop: Hop, now_ns: int) -> None:
        """A message that came from `hop`."""
        if isinstance(message, Request):
            self.uas.receive(message, hop, now_ns)
        elif isinstance(message, Response):
            self.uac.receive(message, now_ns)

    def undeliverable(self, packet: Packet, now_ns: int) -> None:
        """`packet` could not be sent."""
        self.uac.undeliverable(packet, now_ns)

    def connection_lost(self, hop: Hop, now_ns: int) -> None:
        """The connection of `hop` is closed."""
        if self.registrar is not None:
            self.registrar.bindings.connection_lost(hop)
        self.uac.connection_lost(hop, now_ns)
        if hop.connection:
            for session in self.sessions.values():
                dialog = session.dialog
                if dialog is not None and dialog.hop.connection == hop.connection:
                    dialog.hop = dialog.hop._replace(connection=0)  # the target may still be reached

    # -- sessions

    def call(
        self, invitation: Invitation, call_id: str, codecs: tuple[str, ...] | None = None
    ) -> OutgoingSession:
        """A session that waits for `start`.  `codecs`: of ours, those that it may be in; None: all."""
        session = OutgoingSession(self, invitation, call_id, codecs or self.settings.codecs)
        self.sessions[session.local_tag] = session
        return session

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
