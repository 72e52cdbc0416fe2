"""An answered call: what both kinds of session, incoming and outgoing, do from then on.

BYE both ways, re-INVITE both ways (hold, resume, moved media, late offers), UPDATE, INFO digits,
glare, and the wait for an ACK.  (RFC 3261 §12.2, §14, §15; RFC 3264 §8; RFC 3311.)
"""

from __future__ import annotations

import enum
from dataclasses import replace
from typing import TYPE_CHECKING

from callrouter.ports import (
    Confirmed,
    Direction,
    EndCause,
    Ended,
    InfoDigit,
    MediaAddress,
    MediaChanged,
    NegotiatedAudio,
    SignalEvent,
)
from callrouter.sip.protocol import dtmf_info, offer, sdp
from callrouter.sip.protocol.awaited_ack import AwaitedAck
from callrouter.sip.protocol.dialog import Dialog
from callrouter.sip.protocol.grammar import displayable
from callrouter.sip.protocol.hop import Hop, Packet
from callrouter.sip.protocol.message import Request, Response
from callrouter.sip.protocol.offer import Agreement, Description
from callrouter.sip.protocol.timers import MS, Timer
from callrouter.sip.protocol.transactions.client import (
    ClientTransaction,
    ClientUser,
    InviteClientTransaction,
)
from callrouter.sip.protocol.transactions.server import ServerTransaction

if TYPE_CHECKING:
    from callrouter.sip.protocol.agent import Agent

SDP = (("Content-Type", "application/sdp"),)
RETRY_LATER = (("Retry-After", "1"),)


class SessionState(enum.Enum):
    EARLY = "early"
    """No final answer to the INVITE yet."""
    ANSWERED = "answered"
    """Our 2xx waits for its ACK."""
    CONFIRMED = "confirmed"
    ENDING = "ending"
    """Our BYE waits for its answer."""
    ENDED = "ended"


class OutOfOrder(RuntimeError):
    """A step of this program's own that its state does not allow: a mistake in here, not of a peer."""


class Session(ClientUser):
    owns_call_id = False
    """Whoever made the Call-ID waits longer after a glare (§14.1)."""

    def __init__(self, agent: Agent, call_id: str, local_tag: str) -> None:
        self.agent = agent
        self.call_id = call_id
        self.local_tag = local_tag
        self.state = SessionState.EARLY
        self.dialog: Dialog | None = None
        self.agreed: Agreement | None = None
        self.owner: object = None
        """Whoever handles this session's events; the core never looks."""
        self.is_over = False
        """The last event has been told, or the owner hung up: nothing more is told."""
        self._ours: Description | None = None
        self._known_audio: NegotiatedAudio | None = None
        """As the owner was told last."""
        self._awaited: AwaitedAck | None = None
        self._reinvite: ClientTransaction | None = None
        self._retry: Timer | None = None
        self._hold_wanted = False
        self._hold_offered = False
        self._bye_after_ack: str | None = None

    @property
    def established(self) -> Dialog:
        if self.dialog is None:
            raise OutOfOrder("there is no dialog yet")
        return self.dialog

    # -- events

    def tell(self, event: SignalEvent) -> None:
        if not self.is_over:
            self.agent.events.append((self, event))

    def _tell_end(self, cause: EndCause, detail: str, now_ns: int) -> None:
        self.tell(Ended(now_ns, cause, detail))
        self.is_over = True

    # -- media

    @property
    def audio(self) -> NegotiatedAudio | None:
        """What was agreed, as far as our own hold lets it go."""
        if self.agreed is None:
            return None
        audio = self.agreed.audio
        direction = self._own_direction(audio.direction)
        return audio if direction is audio.direction else replace(audio, direction=direction)

    def _tell_media(self, now_ns: int) -> None:
        audio = self.audio
        if audio is not None and audio != self._known_audio:
            self._known_audio = audio
            self.tell(MediaChanged(now_ns, audio))

    def _own_direction(self, direction: Direction) -> Direction:
        if not self._hold_wanted:
            return direction
        receives = (Direction.SENDRECV, Direction.SENDONLY)
        return Direction.SENDONLY if direction in receives else Direction.INACTIVE

    def describe(self, local: MediaAddress) -> Description:
        """Our description, its version raised when there was one before."""
        if self._ours is None:
            session_id = int(self.agent.token(4), 16) & 0x7FFFFFFF
            self._ours = Description(session_id, 1, local)
        else:
            self._ours = self._ours.next_version(local)
        return self._ours

    def _renew(self) -> Description:
        if self._ours is None:
            raise OutOfOrder("nothing has been described yet")
        return self.describe(self._ours.local)

    def _agree(self, body: bytes) -> Agreement:
        """Raises `ValueError` (`NothingFits` among them)."""
        return offer.agree(sdp.parse(body), self.agent.settings.codecs)

    # -- requests of the far end

    def belongs(self, request: Request) -> bool:
        """The request is of this session's dialog."""
        dialog = self.dialog
        return (
            dialog is not None and request.call_id == self.call_id and request.from_tag == dialog.remote_tag
        )

    def on_request(self, request: Request, transaction: ServerTransaction, now_ns: int) -> None:
        dialog = self.established
        sequence = request.cseq.number
        if sequence < dialog.remote_sequence:
            self.agent.respond(transaction, 500, now_ns, reason="CSeq is out of order")
            return
        dialog.remote_sequence = sequence
        handler = _HANDLERS.get(request.method)
        if request.method == "BYE":
            self._on_bye(request, transaction, now_ns)
        elif handler is None:
            self.agent.refuse_method(transaction, request, now_ns)
        elif self.state in (SessionState.ENDING, SessionState.ENDED):
            self.agent.respond(transaction, 481, now_ns)
        else:
            handler(self, request, transaction, now_ns)

    def _on_bye(self, request: Request, transaction: ServerTransaction, now_ns: int) -> None:
        self.agent.respond(transaction, 200, now_ns)
        if self.state in (SessionState.ENDING, SessionState.ENDED):
            return
        self._tell_end(EndCause.BYE, displayable(request.get("Reason") or ""), now_ns)
        self.close()

    def _on_options(self, request: Request, transaction: ServerTransaction, now_ns: int) -> None:
        self.agent.answer_options(transaction, now_ns)

    def _on_info(self, request: Request, transaction: ServerTransaction, now_ns: int) -> None:
        if not request.body:
            self.agent.respond(transaction, 200, now_ns)
            return
        if request.content_type not in dtmf_info.TYPES:
            accept = (("Accept", ", ".join(dtmf_info.TYPES)),)
            self.agent.respond(transaction, 415, now_ns, fields=accept)
            return
        try:
            digit, duration_ms = dtmf_info.read(request.content_type, request.body)
        except ValueError as error:
            self.agent.respond(transaction, 400, now_ns, reason=str(error))
            return
        self.agent.respond(transaction, 200, now_ns)
        self.tell(InfoDigit(now_ns, digit, duration_ms))

    def _glare(self) -> int:
        """The status owed to an offer that comes at the wrong moment; 0 when it is welcome."""
        if self.state is SessionState.EARLY:
            return 500
        if self._reinvite is not None or self._awaited is not None:
            return 491
        return 0

    def _on_offer(self, request: Request, transaction: ServerTransaction, now_ns: int) -> None:
        """A re-INVITE, or an UPDATE: the same but for the ACK, and that an UPDATE without offer
        gets none."""
        status = self._glare()
        if status:
            fields = RETRY_LATER if status == 500 else ()
            self.agent.respond(transaction, status, now_ns, fields=fields)
            return
        is_invite = request.method == "INVITE"
        body = b""
        try:
            if request.body:
                self.agreed = self._agree(request.body)
                direction = self._own_direction(self.agreed.audio.direction)
                body = offer.write_answer(self._renew(), self.agreed, direction)
            elif is_invite:
                body = self._offer_again()
        except ValueError as error:
            self.agent.respond(transaction, 488, now_ns, reason=str(error))
            return
        self.established.refresh(request, transaction.hop)
        fields = (self.agent.contact(transaction.hop, self._contact_user()), *(SDP if body else ()))
        data = self.agent.respond(transaction, 200, now_ns, fields=fields, body=body)
        if is_invite:
            self.await_ack(data, request, transaction.hop, wants_answer=not request.body, now_ns=now_ns)
        if request.body:
            self._hold_offered = self._hold_wanted
            self._tell_media(now_ns)

    def _offer_again(self) -> bytes:
        """Our offer for a re-INVITE that brought none."""
        if self.agreed is None:
            raise OutOfOrder("nothing has been agreed yet")
        direction = Direction.SENDONLY if self._hold_wanted else Direction.SENDRECV
        return offer.write_renewal(self._renew(), self.agreed, direction)

    def _contact_user(self) -> str:
        return ""

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
        audio = None
        if awaited.wants_answer:
            try:
                self.agreed = self._agree(request.body)
            except ValueError as error:
                self._tell_end(EndCause.NO_ACK, f"the ACK brought no usable answer: {error}", now_ns)
                self._bye("", now_ns)
                return
            audio = self.audio
        if first:
            self._known_audio = self.audio
            self.tell(Confirmed(now_ns, audio))
        elif audio is not None:
            self._tell_media(now_ns)
        if self._bye_after_ack is not None:
            self._bye(self._bye_after_ack, now_ns)
        else:
            self._renegotiate(now_ns)

    def _no_ack(self, now_ns: int) -> None:
        self._awaited = None
        self._tell_end(EndCause.NO_ACK, "no ACK within 64*T1", now_ns)
        self._bye(self._bye_after_ack or "", now_ns)

    # -- hold

    def hold(self, on: bool, now_ns: int) -> None:
        self._hold_wanted = on
        self._renegotiate(now_ns)

    def _renegotiate(self, now_ns: int) -> None:
        """Offer what is wanted, unless that has been agreed, or something else is under way: then
        this is called again when it is over."""
        busy = self._reinvite is not None or self._retry is not None or self._awaited is not None
        if self._hold_wanted == self._hold_offered or busy or self.state is not SessionState.CONFIRMED:
            return
        self._send_reinvite((), now_ns)

    def _send_reinvite(self, credentials: tuple[tuple[str, str], ...], now_ns: int) -> None:
        dialog = self.established
        body = self._offer_again()
        self._hold_offered = self._hold_wanted
        fields = (*self.agent.invite_fields(dialog.next_hop(), self._contact_user()), *SDP)
        self._reinvite = self.agent.send_in_dialog(
            dialog, "INVITE", self, now_ns, fields=(*fields, *credentials), body=body
        )

    def _on_reinvite_response(self, transaction: ClientTransaction, response: Response, now_ns: int) -> None:
        status = response.status
        if status < 200:
            return
        dialog = self.established
        self._reinvite = None
        if status < 300:
            dialog.refresh(response, dialog.hop)
            self.agent.acknowledge(transaction, dialog)
            self._take_answer(response, now_ns)
        elif status == 491:
            self._hold_offered = not self._hold_offered
            self._retry = self.agent.layer.timers.start(now_ns + self._glare_wait(), self._try_again)
            return
        elif status in (401, 407):
            again = self.authorize(transaction, response)
            if again is not None:
                self._send_reinvite((again,), now_ns)
                return
        elif status in (408, 481):
            self._tell_end(EndCause.TIMEOUT, f"re-INVITE was answered {status}", now_ns)
            self._bye("", now_ns)
            return
        if status < 300:
            self._renegotiate(now_ns)

    def _take_answer(self, response: Response, now_ns: int) -> None:
        try:
            agreed = self._agree(response.body)
        except ValueError:
            return  # the offer was taken without a word: everything stays as it was
        self.agreed = agreed
        self._tell_media(now_ns)

    def _glare_wait(self) -> int:
        """2.1 to 4 s for the owner of the Call-ID, up to 2 s for the other (§14.1)."""
        chance = int(self.agent.token(2), 16) / 0xFFFF
        ms = 2100 + 1900 * chance if self.owns_call_id else 2000 * chance
        return int(ms) // 10 * 10 * MS

    def _try_again(self, now_ns: int) -> None:
        self._retry = None
        self._renegotiate(now_ns)

    # -- the end

    def hangup(self, reason: str, now_ns: int) -> None:
        """From the owner: nothing is told any more."""
        self.is_over = True
        if self.state is SessionState.CONFIRMED:
            self._bye(reason, now_ns)
        elif self.state is SessionState.ANSWERED:
            self._bye_after_ack = reason  # a BYE must not overtake the 2xx (§15)

    def _bye(self, reason: str, now_ns: int, credentials: tuple[tuple[str, str], ...] = ()) -> None:
        self._stop_timers()
        self.state = SessionState.ENDING
        fields = (("Reason", reason), *credentials) if reason else credentials
        self.agent.send_in_dialog(self.established, "BYE", self, now_ns, fields=fields)

    def _on_bye_response(self, transaction: ClientTransaction, response: Response, now_ns: int) -> None:
        if response.status < 200:
            return
        if response.status in (401, 407):
            again = self.authorize(transaction, response)
            if again is not None:
                self._bye("", now_ns, (again,))
                return
        self.close()

    def authorize(self, transaction: ClientTransaction, response: Response) -> tuple[str, str] | None:
        """The header that answers a challenge; None when we owe the challenger nothing."""
        return None

    def close(self) -> None:
        """Nothing of this session is left but transactions that absorb what is repeated."""
        self.state = SessionState.ENDED
        self.is_over = True
        self._stop_timers()
        self.agent.forget(self)

    def _stop_timers(self) -> None:
        if self._awaited is not None:
            self._awaited.stop()
            self._awaited = None
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    # -- what came of our requests (ClientUser)

    def on_response(self, transaction: ClientTransaction, response: Response, now_ns: int) -> None:
        if transaction is self._reinvite:
            self._on_reinvite_response(transaction, response, now_ns)
        elif transaction.request.method == "BYE":
            self._on_bye_response(transaction, response, now_ns)
        elif isinstance(transaction, InviteClientTransaction) and transaction.accepted_ack is not None:
            self.agent.layer.out.append(transaction.accepted_ack)

    def on_failure(self, transaction: ClientTransaction, status: int, now_ns: int) -> None:
        if transaction is self._reinvite:
            self._reinvite = None
            cause = EndCause.TIMEOUT if status == 408 else EndCause.TRANSPORT
            self._tell_end(cause, "no answer to a re-INVITE", now_ns)
            self._bye("", now_ns)
        elif transaction.request.method == "BYE":
            self.close()


_HANDLERS = {
    "INVITE": Session._on_offer,
    "UPDATE": Session._on_offer,
    "INFO": Session._on_info,
    "OPTIONS": Session._on_options,
}
