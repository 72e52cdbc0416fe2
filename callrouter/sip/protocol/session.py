"""A call as both kinds of session, incoming and outgoing, know it: its requests, its ACK, its end.

BYE both ways, INFO digits, the wait for an ACK, the session timer.  (RFC 3261 §12.2, §15; RFC 4028.)
What changes a call that is up is in `modification`.
"""

from __future__ import annotations

import enum
import functools
from typing import TYPE_CHECKING
from weakref import ref

from callrouter.ports import (
    Confirmed,
    EndCause,
    Ended,
    Held,
    InfoDigit,
    LinesAnswered,
    MediaChanged,
    NegotiatedAudio,
    Passing,
    SignalEvent,
)
from callrouter.sip.protocol import dtmf_info
from callrouter.sip.protocol.admission import PEER
from callrouter.sip.protocol.awaited_ack import AwaitedAck
from callrouter.sip.protocol.dialog import Dialog
from callrouter.sip.protocol.grammar import Fields
from callrouter.sip.protocol.headers.reason import told
from callrouter.sip.protocol.hop import Hop, Packet
from callrouter.sip.protocol.keys import Keys
from callrouter.sip.protocol.message import Message, Request, Response
from callrouter.sip.protocol.modification import Modification
from callrouter.sip.protocol.proof import Proof
from callrouter.sip.protocol.session_timer import EXPIRED, SessionTimer
from callrouter.sip.protocol.stream import OutOfOrder, Stream
from callrouter.sip.protocol.transactions.client import (
    ClientTransaction,
    ClientUser,
    InviteClientTransaction,
)
from callrouter.sip.protocol.transactions.server import ServerTransaction
from callrouter.sip.protocol.transfer import INFO_TYPE, Transfers

if TYPE_CHECKING:
    from callrouter.sip.protocol.agent import Agent


class SessionState(enum.Enum):
    EARLY = "early"
    """No final answer to the INVITE yet."""
    ANSWERED = "answered"
    """Our 2xx waits for its ACK."""
    CONFIRMED = "confirmed"
    ENDING = "ending"
    """Our BYE waits for its answer."""
    ENDED = "ended"


UNUSABLE = 'Q.850;cause=88;text="no usable description"'
"""Why a call is ended whose answer leads to no audio."""
_NONE: frozenset[str] = frozenset()
_NO_ACK = 'Q.850;cause=102;text="no ACK"'
_OVER = (SessionState.ENDING, SessionState.ENDED)


class Session(ClientUser):
    is_secure = False
    """It was called by a `sips:` address."""
    origin = PEER
    """Who is at the far end."""
    proof: Proof | None = None
    """Of who we are, to a carrier that asks."""
    owns_call_id = False
    """Whoever made the Call-ID waits longer after a glare (§14.1)."""

    def __init__(self, agent: Agent, call_id: str, codecs: tuple[str, ...]) -> None:
        """`codecs`: of ours, those that this call may be in."""
        self.agent = agent
        self.call_id = call_id
        self.local_tag = agent.layer.new_tag()
        self.state = SessionState.EARLY
        self.dialog: Dialog | None = None
        settings = agent.settings
        self.stream = Stream(
            codecs,
            agent.token,
            settings.srtp,
            fingerprint=settings.fingerprint,
            mentionable=settings.mentionable,
            noise=settings.noise,
            withheld=_NONE if codecs is settings.codecs else _NONE.union(settings.codecs).difference(codecs),
        )
        self.modification = Modification(self)
        self._transfers: Transfers | None = None
        self._keys: Keys | None = None
        self.timer = SessionTimer(
            agent.timers,
            settings.session_seconds,
            settings.min_session_seconds,
            ref(self),
        )
        self.allowed: frozenset[str] = frozenset()
        """Methods the far end says it takes."""
        self.owner: object = None
        """Whoever handles this session's events; the core never looks."""
        self.is_over = False
        """The last event has been told, or the owner hung up: nothing more is told."""
        self._awaited: AwaitedAck | None = None
        self._bye_after_ack: str | None = None

    @property
    def established(self) -> Dialog:
        if self.dialog is None:
            raise OutOfOrder("there is no dialog yet")
        return self.dialog

    @property
    def is_early(self) -> bool:
        return self.state is SessionState.EARLY

    @property
    def transfers(self) -> Transfers:
        """Made when they are first spoken of: few calls ever are asked to move."""
        if self._transfers is None:
            self._transfers = Transfers(self)
        return self._transfers

    @property
    def takes_keys(self) -> bool:
        """The far end takes keys by signalling, as far as it has said, and has refused none."""
        is_willing = self._keys is None or not self._keys.are_refused
        return self.is_up and is_willing and "INFO" in self.allowed

    def press(self, keys: str, now_ns: int) -> None:
        """Send keys by signalling; `KeysRefused` tells of those that the far end does not take."""
        if self._keys is None:
            self._keys = Keys(self)
        self._keys.press(keys, now_ns)

    @property
    def is_up(self) -> bool:
        return self.state is SessionState.CONFIRMED

    @property
    def is_settling(self) -> bool:
        """Nothing can be changed now, because the call is not up, or an ACK is still to come."""
        is_asked = self.modification.is_deferring
        return is_asked or self._awaited is not None or self.state is not SessionState.CONFIRMED

    # -- events

    def tell(self, event: SignalEvent) -> None:
        if not self.is_over:
            self.agent.events.append((self, event))

    def tell_media(self, now_ns: int, dialog: Dialog | None = None) -> None:
        """Tell what is new about the stream (of an early dialog, where it is one's)."""
        self.tell_hold(now_ns)
        audio = self.stream.news()
        if audio is not None:
            self.tell(MediaChanged(now_ns, audio))

    def tell_hold(self, now_ns: int) -> None:
        held = self.stream.held_news()
        if held is not None:
            self.tell(Held(now_ns, held))

    def _tell_end_of(self, request: Request, cause: EndCause, now_ns: int) -> None:
        """A BYE or CANCEL, with what it says about itself."""
        detail, q850 = told(request)
        self.tell(Ended(now_ns, cause, detail, q850))
        self.is_over = True

    def _tell_end(self, cause: EndCause, detail: str, now_ns: int) -> None:
        self.tell(Ended(now_ns, cause, detail))
        self.is_over = True

    @property
    def audio(self) -> NegotiatedAudio | None:
        return self.stream.audio

    # -- who they are

    def dialog_of(self, request: Request) -> Dialog | None:
        """The dialog of this session that the request is of."""
        return self.dialog_with(request.call_id, request.from_tag)

    def dialog_with(self, call_id: str, remote_tag: str) -> Dialog | None:
        """The dialog of this session whose far end has that tag."""
        dialog = self.dialog
        if dialog is None or call_id != self.call_id or remote_tag != dialog.remote_tag:
            return None
        return dialog

    def stream_of(self, dialog: Dialog) -> Stream:
        """What has been agreed within `dialog`."""
        return self.stream

    def learn(self, message: Message) -> None:
        """Note what the far end says it can do."""
        allow = message.get("Allow")
        if allow is not None:
            self.allowed = _methods(", ".join(message.all("Allow")))

    def own_fields(self, hop: Hop) -> Fields:
        """What our INVITEs, UPDATEs and their 2xx say about us."""
        return self.agent.listeners.invite_fields(hop, self._contact_user(), is_secure=self.is_secure)

    def _contact_user(self) -> str:
        return ""

    # -- requests of the far end

    def on_request(
        self, request: Request, dialog: Dialog, transaction: ServerTransaction, now_ns: int
    ) -> None:
        """A request of the far end in `dialog`, which is answered here: one behind the times with 500
        (RFC 3261 §12.2.2), any but BYE with 481 once the call is over."""
        sequence = request.cseq.number
        if sequence < dialog.remote_sequence:
            self.agent.uas.respond(transaction, 500, now_ns, reason="CSeq is out of order")
            return
        dialog.remote_sequence = sequence
        if request.method == "BYE":
            self._on_bye(request, transaction, now_ns)
        elif self.state in _OVER:
            self.agent.uas.respond(transaction, 481, now_ns)
        elif request.method in ("INVITE", "UPDATE"):
            self.modification.receive(request, dialog, transaction, now_ns)
        else:
            self._on_other(request, transaction, now_ns)

    def _on_other(self, request: Request, transaction: ServerTransaction, now_ns: int) -> None:
        """What changes nothing about the dialog itself."""
        is_transfer = request.method == "INFO" and request.content_type == INFO_TYPE
        if request.method == "REFER" or is_transfer:
            self.transfers.receive(request, transaction, now_ns)
        elif request.method in ("NOTIFY", "SUBSCRIBE"):
            self.transfers.on_event(request, transaction, now_ns)
        elif request.method == "INFO":
            self._on_info(request, transaction, now_ns)
        elif request.method == "OPTIONS":
            self.agent.uas.answer_options(transaction, now_ns)
        elif request.method == "PRACK":
            self.agent.uas.respond(transaction, 481, now_ns)  # of no response that waits for it (RFC 3262 §3)
        else:
            self.agent.uas.refuse_method(transaction, request, now_ns)

    def glare(self, dialog: Dialog, *, is_offer: bool) -> int:
        """The status owed to an offer that comes at the wrong moment; 0 when it is welcome."""
        if not is_offer:
            return 0
        if self.is_early:
            return 500
        if self.modification.is_deferring:
            return 500  # one offer at a time (§14.2)
        pending = self.modification.request
        return 491 if self._awaited is not None or (pending is not None and pending.request.body) else 0

    def _on_bye(self, request: Request, transaction: ServerTransaction, now_ns: int) -> None:
        self.agent.uas.respond(transaction, 200, now_ns)
        self.modification.drop(now_ns)
        if self.state in _OVER:
            return
        self._tell_end_of(request, EndCause.BYE, now_ns)
        self.close()

    def _on_info(self, request: Request, transaction: ServerTransaction, now_ns: int) -> None:
        if not request.body:
            self.agent.uas.respond(transaction, 200, now_ns)
            return
        if request.content_type not in dtmf_info.TYPES:
            accept = (("Accept", ", ".join((*dtmf_info.TYPES, INFO_TYPE))),)
            self.agent.uas.respond(transaction, 415, now_ns, fields=accept)
            return
        try:
            digit, duration_ms = dtmf_info.read(request.content_type, request.body)
        except ValueError as error:
            self.agent.uas.respond(transaction, 400, now_ns, reason=str(error))
            return
        self.agent.uas.respond(transaction, 200, now_ns)
        self.allowed |= {"INFO"}
        self.tell(InfoDigit(now_ns, digit, duration_ms))

    # -- the ACK of our 2xx

    def await_ack(self, data: bytes, request: Request, hop: Hop, *, wants_answer: bool, now_ns: int) -> None:
        self._awaited = AwaitedAck(
            self.agent.layer,
            Packet(data, hop),
            request.cseq.number,
            wants_answer=wants_answer,
            give_up=self._no_ack,
            now_ns=now_ns,
        )

    def on_ack(self, request: Request, now_ns: int) -> None:
        """The ACK of our 2xx (RFC 3261 §13.3.1.4): the call is up, or its change is made; where the 2xx
        had our offer, it brings the answer, and the call is lost without a usable one."""
        awaited = self._awaited
        try:
            if awaited is None or request.cseq.number != awaited.sequence:
                return
        except ValueError:
            return  # nobody answers an ACK, not even one that cannot be read
        awaited.stop()
        self._awaited = None
        first = self.state is SessionState.ANSWERED
        self.state = SessionState.CONFIRMED
        if awaited.wants_answer:
            try:
                self.stream.agreed = self.stream.read(request.description, is_answer=True)
            except ValueError as error:
                detail = f"the ACK brought no usable answer: {error}"
                self.lose(EndCause.NO_ACK, detail, now_ns, UNUSABLE)
                return
        if first:
            audio = self.stream.tell()
            self.tell(Confirmed(now_ns, audio if awaited.wants_answer else None))
            self.tell_hold(now_ns)
        elif awaited.wants_answer:
            self.tell_media(now_ns)
            self._tell_lines(now_ns)
        if self._bye_after_ack is not None:
            self._bye(self._bye_after_ack, now_ns)
        else:
            self.modification.pursue(now_ns)

    def _tell_lines(self, now_ns: int) -> None:
        """An ACK answered our offer of what there was: they may have switched something off."""
        stream = self.stream
        if stream.agreed is not None and stream.passage.is_open:
            stream.passage.settle(stream.agreed.lines)
            self.tell(LinesAnswered(now_ns, 200, stream.passed_to_us))

    def _no_ack(self, now_ns: int) -> None:
        self._awaited = None
        self._tell_end(EndCause.NO_ACK, "no ACK within 64*T1", now_ns)
        self._bye(self._bye_after_ack or _NO_ACK, now_ns)

    # -- lines that are passed on unread

    def open_passage(self, is_open: bool, now_ns: int) -> None:
        """From now on the owner answers for such lines, or nobody does any more."""
        self.stream.passage.is_open = is_open
        if not is_open:
            self.modification.settle(200, Passing(), now_ns)

    def offer_lines(self, passing: Passing, *, is_relayed: bool, now_ns: int) -> None:
        self.stream.passage.want(passing, is_relayed=is_relayed)
        self.modification.pursue(now_ns)

    def withdraw_lines(self, now_ns: int) -> None:
        """Nobody is there to pass anything to: offer audio alone, if anything else is on."""
        passage = self.stream.passage
        if self.is_up and (passage.written.lines or not passage.written.has_audio):
            self.offer_lines(Passing(), is_relayed=False, now_ns=now_ns)

    def cancel(self, request: Request, invite: ServerTransaction, now_ns: int) -> None:
        """A CANCEL of theirs, which has been answered; too late once its INVITE has (§9.2)."""
        self.modification.retract(invite, now_ns)

    def hold(self, on: bool, now_ns: int) -> None:
        self.stream.hold_wanted = on
        self.modification.pursue(now_ns)

    # -- the end

    def hangup(self, reason: str, now_ns: int) -> None:
        """From the owner: nothing is told any more."""
        self.is_over = True
        if self.state is SessionState.CONFIRMED:
            self._bye(reason, now_ns)
        elif self.state is SessionState.ANSWERED:
            self._bye_after_ack = reason  # a BYE must not overtake the 2xx (§15)

    def lose(self, cause: EndCause, detail: str, now_ns: int, reason: str = "") -> None:
        """The call cannot go on: tell, and say goodbye to whoever may still be there."""
        if self.state in _OVER:
            return  # what we asked last has found nobody, as it should
        self._tell_end(cause, detail, now_ns)
        self._bye(reason, now_ns)

    def refresh(self, now_ns: int) -> None:
        """It is our turn to say that the call is up."""
        self.modification.refresh(now_ns)

    def expire(self, now_ns: int) -> None:
        """Nobody has said so for too long."""
        if self.state not in _OVER:
            self.lose(EndCause.TIMEOUT, "session timer expired", now_ns, EXPIRED)

    def _bye(self, reason: str, now_ns: int, credentials: Fields = ()) -> None:
        self.modification.drop(now_ns)
        self._stop_timers()
        self.state = SessionState.ENDING
        fields = (("Reason", reason), *credentials) if reason else credentials
        self.agent.uac.send_in_dialog(self.established, "BYE", self, now_ns, fields=fields)

    def _on_bye_response(self, transaction: ClientTransaction, response: Response, now_ns: int) -> None:
        if response.status < 200:
            return
        again = self.authorize(transaction, response)
        if again is not None:
            self._bye(transaction.request.get("Reason") or "", now_ns, again)
        else:
            self.close()

    def authorize(self, transaction: ClientTransaction, response: Response) -> Fields | None:
        """The headers that answer a challenge; None where there is none, or we owe the challenger nothing."""
        return None if self.proof is None else self.proof.again(transaction, response)

    def close(self) -> None:
        """Nothing of this session is left but transactions that absorb what is repeated."""
        self.state = SessionState.ENDED
        self.is_over = True
        self._stop_timers()
        self.agent.forget(self)

    def _stop_timers(self) -> None:
        self.modification.stop()
        if self._transfers is not None:
            self._transfers.stop()
        self.timer.stop()
        if self._awaited is not None:
            self._awaited.stop()
            self._awaited = None

    # -- what came of our requests (ClientUser)

    def on_response(self, transaction: ClientTransaction, response: Response, now_ns: int) -> None:
        if transaction is self.modification.request:
            self.modification.on_response(transaction, response, now_ns)
        elif transaction.request.method == "BYE":
            self._on_bye_response(transaction, response, now_ns)
        elif isinstance(transaction, InviteClientTransaction) and transaction.accepted_ack is not None:
            self.agent.layer.out.append(transaction.accepted_ack)

    def on_failure(self, transaction: ClientTransaction, status: int, now_ns: int) -> None:
        if transaction is self.modification.request:
            self.modification.on_failure(transaction, status, now_ns)
        elif transaction.request.method == "BYE":
            self.close()


@functools.lru_cache(maxsize=256)
def _methods(allow: str) -> frozenset[str]:
    return frozenset(word.strip() for word in allow.split(","))
