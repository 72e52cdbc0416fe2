"""A call that comes in: the callee's side of an INVITE (RFC 3261 §13.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import ref

from callrouter.ports import AUDIO_ALONE, EndCause, LinesReset, MediaAddress, Passing
from callrouter.sip.protocol.admission import Origin
from callrouter.sip.protocol.bodies import SDP
from callrouter.sip.protocol.dialog import Dialog
from callrouter.sip.protocol.grammar import Fields, number
from callrouter.sip.protocol.message import Request
from callrouter.sip.protocol.offer import NothingFits
from callrouter.sip.protocol.proof import Proof
from callrouter.sip.protocol.provisionals import Provisionals
from callrouter.sip.protocol.session import Session, SessionState
from callrouter.sip.protocol.stream import OutOfOrder
from callrouter.sip.protocol.timers import MS, Timer
from callrouter.sip.protocol.transactions.server import ServerTransaction
from callrouter.sip.protocol.uri import Uri
from callrouter.sip.protocol.validate import check_body, refusal_of

if TYPE_CHECKING:
    from callrouter.sip.protocol.agent import Agent


class IncomingSession(Session):
    """Raises `ValueError` from the constructor when the offer cannot be used."""

    def __init__(
        self,
        agent: Agent,
        invite: Request,
        transaction: ServerTransaction,
        origin: Origin,
        now_ns: int,
        codecs: tuple[str, ...],
    ) -> None:
        super().__init__(agent, invite.call_id, codecs)
        self.invite = invite
        self.is_secure = invite.uri[:5].lower() == "sips:"
        self.received_ns = now_ns
        self.origin = origin
        credentials = agent.settings.credentials_for(origin)
        if credentials is not None:
            self.proof = Proof(credentials, agent.token, transaction.hop.host, trusts=True)
        self.stream.passage.kinds = agent.settings.passes_for(origin)
        self.stream.passage.is_secret = transaction.hop.is_secret
        self.stream.source = transaction.hop.host
        self.stream.protect(agent.settings.srtp_for(origin, transaction.hop.listener))
        self.dialog = Dialog.of_request(invite, self.local_tag, transaction.hop)
        self.learn(invite)
        if invite.description:
            self.stream.agreed = self.stream.read(invite.description)
        self._transaction = transaction
        self._provisionals = Provisionals(
            invite,
            agent.timers,
            ref(self),
            now_ns,
        )
        self._is_settled = False
        """Offer and answer have been exchanged before the 2xx, which then carries neither."""
        self._answer_waiting: MediaAddress | None = None
        self._expiry = self._await_expiry(now_ns)

    def _await_expiry(self, now_ns: int) -> Timer | None:
        """For how long the caller wants to be heard (RFC 3261 §13.3.1); None: until it says otherwise."""
        wanted = self.invite.get("Expires")
        if wanted is None:
            return None
        try:
            seconds = number(wanted)
        except ValueError:
            return None
        return self.agent.timers.start(now_ns + seconds * 1000 * MS, self._has_expired)

    def _has_expired(self, now_ns: int) -> None:
        self._tell_end(EndCause.CANCEL, "the invitation expired", now_ns)
        self._refuse(487, now_ns)

    def _stop_waiting(self) -> None:
        self._provisionals.stop()
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    # -- what the owner asks for

    def ring(self, now_ns: int) -> None:
        """180, again each time it is called."""
        if self.stream.agreed is None and self._provisionals.is_required:
            return  # the first reliable response to a late offer has to bring ours (RFC 3262 §5)
        self._provide(180, b"", now_ns)

    def progress(self, local: MediaAddress, now_ns: int, codec: str = "") -> None:
        """Early media.  Where the INVITE had no offer, ours goes out here if the caller
        acknowledges it; if not, there is none."""
        if self.state is not SessionState.EARLY or self.is_over:
            return
        self._prefer(codec)
        body = b""
        if not self._is_settled and not self._provisionals.owes_description:
            body = self.stream.first_answer(local)
            if not body and self._provisionals.is_supported:
                body = self._first_offer(local)
        self._provide(183, body, now_ns)

    def answer(
        self, local: MediaAddress, now_ns: int, passing: Passing = AUDIO_ALONE, codec: str = ""
    ) -> None:
        """200, with what `local` answers to the offer, or with an offer of ours where there was none.  It
        waits for the PRACK of early media that is still owed (RFC 3262 §3).  Nothing once the call is
        answered or over."""
        if self.state is not SessionState.EARLY or self.is_over:
            return
        if self.stream.local is None:
            self.stream.passage.written = passing  # an answer is given once, with early media or here
        self._prefer(codec)
        if self._provisionals.owes_description:
            self._answer_waiting = local
            return
        self._stop_waiting()
        stream = self.stream
        has_offer = stream.agreed is not None
        body = b""
        if not self._is_settled:
            body = stream.first_answer(local) if has_offer else self._first_offer(local)
        transaction, invite = self._transaction, self.invite
        timing = self.timer.accept(invite, now_ns)
        fields = (*self.own_fields(transaction.hop), *timing, *(SDP if body else ()))
        data = self.agent.uas.respond(transaction, 200, now_ns, fields=fields, body=body, tag=self.local_tag)
        self.state = SessionState.ANSWERED
        self.await_ack(data, invite, transaction.back, wants_answer=not has_offer, now_ns=now_ns)

    def _prefer(self, codec: str) -> None:
        """Unless early media has been in another one."""
        if not codec or self.stream.local is not None:
            return
        self.stream.prefer(codec)
        if self.stream.agreed is not None:
            self.stream.agreed = self.stream.read(self.invite.description)

    def take_place_of(self, other: Session, now_ns: int) -> None:
        """Answer at once, with what `other` said of its stream: its audio goes on, with us.  Also while
        `other` rings: then it begins with us."""
        local = other.stream.local
        if local is None:
            raise OutOfOrder("the call to be replaced has described nothing")
        self.stream.succeed(other.stream)
        self.answer(local, now_ns, codec=other.stream.preferred)
        self.tell_media(now_ns)
        if self.stream.passage.is_open:
            self.tell(LinesReset(now_ns))

    def _first_offer(self, local: MediaAddress) -> bytes:
        return self.stream.first_offer(local, is_secret=self._transaction.hop.is_secret)

    def reject(self, status: int, reason: str, fields: Fields, now_ns: int) -> None:
        if self.state is not SessionState.EARLY or self.is_over:
            return
        self._refuse(status, now_ns, reason=reason, fields=fields)

    def hangup(self, reason: str, now_ns: int) -> None:
        if self.state is SessionState.EARLY:
            self.reject(480, "", (("Reason", reason),) if reason else (), now_ns)
        else:
            super().hangup(reason, now_ns)

    # -- what the caller asks for

    def cancel(self, request: Request, invite: ServerTransaction, now_ns: int) -> None:
        if self.state is not SessionState.EARLY:
            super().cancel(request, invite, now_ns)
        else:
            self._tell_end_of(request, EndCause.CANCEL, now_ns)
            self._refuse(487, now_ns)

    def _on_bye(self, request: Request, transaction: ServerTransaction, now_ns: int) -> None:
        if self.state is not SessionState.EARLY:
            super()._on_bye(request, transaction, now_ns)
            return
        self.agent.uas.respond(transaction, 200, now_ns)
        self._tell_end_of(request, EndCause.BYE, now_ns)
        self._refuse(487, now_ns)

    def close(self) -> None:
        self._stop_waiting()
        super().close()

    # -- reliable responses

    def on_request(
        self, request: Request, dialog: Dialog, transaction: ServerTransaction, now_ns: int
    ) -> None:
        is_live = self.state not in (SessionState.ENDING, SessionState.ENDED)
        if request.method == "PRACK" and is_live and request.cseq.number > dialog.remote_sequence:
            dialog.remote_sequence = request.cseq.number
            self._on_prack(request, transaction, now_ns)
        else:
            super().on_request(request, dialog, transaction, now_ns)

    def _on_prack(self, request: Request, transaction: ServerTransaction, now_ns: int) -> None:
        """It may come behind our 2xx, of a response that needs no repeating any more (RFC 3262 §3)."""
        provisionals = self._provisionals
        refusal = check_body(request)
        if refusal is not None:
            self.agent.uas.refuse(transaction, refusal, now_ns)
            return
        try:
            if not provisionals.acknowledges(request):
                self.agent.uas.respond(transaction, 481, now_ns)
                return
            if not self.is_early and self.glare(self.established, is_offer=bool(request.description)):
                self.agent.uas.respond(transaction, 491, now_ns)
                return
            body = self._described_by(request)
        except NothingFits as error:
            self.agent.uas.refuse(transaction, refusal_of(error), now_ns)
            return
        except ValueError as error:
            self.agent.uas.respond(transaction, 400, now_ns, reason=str(error))
            return
        self._is_settled = self._is_settled or bool(provisionals.awaited_body)
        self.agent.uas.respond(transaction, 200, now_ns, fields=SDP if body else (), body=body)
        provisionals.acknowledged(now_ns)
        if request.description:
            self.tell_media(now_ns)
        if self._answer_waiting is not None:
            self.answer(self._answer_waiting, now_ns, self.stream.passage.written)

    def _described_by(self, prack: Request) -> bytes:
        """Take up what a PRACK brings: the answer to our offer, or one more offer, whose answer is
        returned.  As long as the first offer has no answer there can be none (RFC 3262 §5), but the PRACK
        is owed its 200: then what it brings is not read."""
        stream, has_described = self.stream, bool(self._provisionals.awaited_body)
        if stream.agreed is None and has_described:
            stream.agreed = stream.read(prack.description, is_answer=True)
            return b""
        if not prack.description or not (has_described or self._is_settled or not self.is_early):
            return b""
        stream.agreed = stream.read(prack.description)
        return stream.next_answer()

    def first_rseq(self) -> int:
        return int(self.agent.token(2), 16)

    def no_prack(self, now_ns: int) -> None:
        self._tell_end(EndCause.TIMEOUT, "no PRACK within 64*T1", now_ns)
        self._refuse(504, now_ns)

    def glare(self, dialog: Dialog, *, is_offer: bool) -> int:
        if not self.is_early or not is_offer or self._is_settled:
            return super().glare(dialog, is_offer=is_offer) if not (self.is_early and self._is_settled) else 0
        return 491 if self.stream.agreed is None and self._provisionals.owes_description else 500

    # -- responses

    def _contact_user(self) -> str:
        try:
            return Uri.parse(self.invite.uri).user
        except ValueError:
            return ""

    def _provide(self, status: int, body: bytes, now_ns: int) -> None:
        if self.state is SessionState.EARLY and not self.is_over:
            self._provisionals.provide(status, body, now_ns)

    def _timestamp(self, now_ns: int) -> Fields:
        """The caller's clock as it stood, and how long we took (RFC 3261 §8.2.6.1)."""
        words = (self.invite.get("Timestamp") or "").split()
        if not words or not words[0].isascii() or not words[0].replace(".", "", 1).isdigit():
            return ()
        delay_ms = (now_ns - self.received_ns) // MS
        return (("Timestamp", f"{words[0]} {delay_ms // 1000}.{delay_ms % 1000:03}"),)

    def send_provisional(self, status: int, more: Fields, body: bytes, now_ns: int) -> None:
        transaction = self._transaction
        if status == 100:
            self.agent.uas.respond(transaction, 100, now_ns, tag="", fields=self._timestamp(now_ns))
            return
        fields = (*self.own_fields(transaction.hop), *more, *(SDP if body else ()))
        self.agent.uas.respond(transaction, status, now_ns, fields=fields, body=body, tag=self.local_tag)

    def _refuse(
        self,
        status: int,
        now_ns: int,
        *,
        reason: str = "",
        fields: Fields = (),
    ) -> None:
        self.agent.uas.respond(
            self._transaction, status, now_ns, reason=reason, fields=fields, tag=self.local_tag
        )
        self.close()


@dataclass(frozen=True, slots=True)
class NewCall:
    """An INVITE that can be served; its session waits for its owner's decision."""

    session: IncomingSession


@dataclass(frozen=True, slots=True)
class Replaced:
    """Another far end takes the place of this session's (RFC 3891), which may still ring: what it was
    told and asked goes to `session` from now on."""

    session: IncomingSession
