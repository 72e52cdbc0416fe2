"""A call we place: the caller's side of an INVITE (RFC 3261 §13.2).

The first 2xx makes the call; any other one, from a fork on the way, is acknowledged and ended.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from callrouter.ports import (
    MOST_HOPS,
    Answered,
    Failed,
    MediaAddress,
    PassedLine,
    Passing,
    Ringing,
)
from callrouter.sip.protocol import auth, offer
from callrouter.sip.protocol.admission import PEER, Origin
from callrouter.sip.protocol.bodies import SDP
from callrouter.sip.protocol.crypto import SrtpPolicy
from callrouter.sip.protocol.dialog import Dialog
from callrouter.sip.protocol.early import MOST, EarlyDialog, is_reliable
from callrouter.sip.protocol.grammar import Fields, displayable
from callrouter.sip.protocol.headers.reason import told
from callrouter.sip.protocol.hop import Hop
from callrouter.sip.protocol.message import Request, Response
from callrouter.sip.protocol.offer import Agreement
from callrouter.sip.protocol.proof import Proof
from callrouter.sip.protocol.redirection import contacts_of
from callrouter.sip.protocol.session import UNUSABLE, Session, SessionState
from callrouter.sip.protocol.status import reason_of
from callrouter.sip.protocol.stream import Stream
from callrouter.sip.protocol.timers import MS, Timer
from callrouter.sip.protocol.transactions.client import (
    NOBODY,
    ClientTransaction,
    ClientUser,
    InviteClientTransaction,
)
from callrouter.sip.protocol.transactions.server import ServerTransaction

if TYPE_CHECKING:
    from callrouter.sip.protocol.agent import Agent


@dataclass(frozen=True, slots=True)
class Invitation:
    """All a call needs to be placed."""

    uri: str
    """Request-URI, and To."""
    caller: str
    """`From` without its tag, as it goes on the wire."""
    contact_user: str
    local: MediaAddress
    fields: Fields = ()
    credentials: auth.Credentials | None = None
    srtp: SrtpPolicy | None = None
    """None: as for all calls."""
    to_browser: bool = False
    """It is offered what a browser needs."""
    lines: tuple[PassedLine, ...] = ()
    """Offered beside the audio."""
    passes: frozenset[str] = frozenset()
    """Kinds of lines that may be passed."""
    codec: str = ""
    """Offered first; "" = in the order there is."""
    callee: Origin = PEER
    """Whose telephone or server is called."""
    hops: int = MOST_HOPS
    """Servers that it may pass."""


class _Cancelling(enum.Enum):
    NO = "no"
    WANTED = "wanted"
    """As soon as a provisional response shows that the INVITE arrived."""
    SENT = "sent"


_TOO_LONG = 'Q.850;cause=102;text="no final answer"'


class _Left(ClientUser):
    """What is owed to callees after the call is over: its session need not be kept for that."""

    def __init__(self, agent: Agent, remote_tag: str, sequences: Mapping[str, int]) -> None:
        """`sequences`: of what was sent to each of the callees before the answer, by their tag."""
        self._agent = agent
        self._remote_tag = remote_tag
        self._sequences = sequences

    def on_response(self, transaction: ClientTransaction, response: Response, now_ns: int) -> None:
        if not isinstance(transaction, InviteClientTransaction):
            return
        if response.to_tag != self._remote_tag:
            dialog = Dialog.of_response(transaction.request, response, transaction.way)
            dialog.local_sequence = self._sequences.get(response.to_tag, dialog.local_sequence)
            self._agent.uac.decline(transaction, dialog, now_ns)
        elif transaction.accepted_ack is not None:
            self._agent.layer.out.append(transaction.accepted_ack)

    def on_failure(self, transaction: ClientTransaction, status: int, now_ns: int) -> None:
        return


class OutgoingSession(Session):
    owns_call_id = True

    def __init__(self, agent: Agent, invitation: Invitation, call_id: str, codecs: tuple[str, ...]) -> None:
        super().__init__(agent, call_id, codecs)
        self.invitation = invitation
        self.origin = invitation.callee
        self.stream.passage.kinds = invitation.passes
        self.stream.passage.written = Passing(invitation.lines)
        self.stream.protect(invitation.srtp or agent.settings.srtp)
        self.stream.prefer(invitation.codec)
        if invitation.to_browser:
            self.stream.offer_to_browser()
        self.is_secure = invitation.uri[:5].lower() == "sips:"
        self._sequence = 0
        self._invite: InviteClientTransaction | None = None
        self._early: dict[str, EarlyDialog] = {}
        """By their tag."""
        self._cancelling = _Cancelling.NO
        self._cancel_reason = ""
        if invitation.credentials is not None:
            self.proof = Proof(invitation.credentials, agent.token)
        self._timer_c: Timer | None = None

    # -- the INVITE

    def start(self, hop: Hop, now_ns: int) -> None:
        """Send the INVITE to `hop`, whose host is an IP literal."""
        if self.is_over:
            self.close()
            return
        self._send_invite(hop, now_ns)

    @property
    def way(self) -> Hop | None:
        """Where the INVITE has gone."""
        return None if self._invite is None else self._invite.way

    @property
    def is_unheard(self) -> bool:
        """Nothing has come back yet, not even 100."""
        return self._invite is not None and self._invite.is_unanswered

    def fail(self, status: int, reason: str, now_ns: int) -> None:
        """It could not even be sent."""
        self.tell(Failed(now_ns, status, reason, {}))
        self.close()

    def _send_invite(self, hop: Hop, now_ns: int) -> None:
        invitation = self.invitation
        self._sequence += 1
        self._early.clear()
        self.stream.passage.is_secret = hop.is_secret
        self.stream.source = hop.host
        body = self.stream.first_offer(invitation.local, is_secret=hop.is_secret)
        proof: Fields = ()
        if self.proof is not None:
            self.proof.host = hop.host
            proof = self.proof.fields("INVITE", invitation.uri, body)
        fields = [
            ("Max-Forwards", str(invitation.hops)),
            ("From", f"{invitation.caller};tag={self.local_tag}"),
            ("To", f"<{invitation.uri}>"),
            ("Call-ID", self.call_id),
            ("CSeq", f"{self._sequence} INVITE"),
            *self.own_fields(hop),
            *self.timer.request_fields(),
            *proof,
            *invitation.fields,
            *SDP,
        ]
        request = self.agent.uac.request("INVITE", invitation.uri, hop, fields, body)
        self._invite = self.agent.layer.invite(request, hop, self, now_ns)

    def _contact_user(self) -> str:
        return self.invitation.contact_user

    # -- its answers

    def on_response(self, transaction: ClientTransaction, response: Response, now_ns: int) -> None:
        if transaction.request.method == "PRACK":
            self._on_prack_response(transaction, response, now_ns)
        elif transaction is not self._invite or not isinstance(transaction, InviteClientTransaction):
            super().on_response(transaction, response, now_ns)
        elif response.status < 200:
            self._on_provisional(transaction, response, now_ns)
        elif response.status < 300:
            self._on_success(transaction, response, now_ns)
        else:
            self._on_refusal(transaction, response, now_ns)

    def _on_provisional(self, transaction: InviteClientTransaction, response: Response, now_ns: int) -> None:
        if self._cancelling is _Cancelling.WANTED:
            self._cancel(transaction, now_ns)
        if self.state is not SessionState.EARLY:
            return
        if response.status > 100 or self._timer_c is None:
            self._start_timer_c(now_ns)
        if response.status == 100:
            return
        early = self._early_of(transaction, response)
        if early is None or not early.takes(response):
            return
        has_media = early.read(response)
        if is_reliable(response):
            early.dialog.refresh(response, early.dialog.hop)
            rack = f"{early.rseq} {transaction.request.cseq.number} INVITE"
            self._acknowledge(early.dialog, rack, (), now_ns)
        self.tell(Ringing(now_ns, response.status, early.stream.tell() if has_media else None))

    def _acknowledge(self, dialog: Dialog, rack: str, credentials: Fields, now_ns: int) -> None:
        fields = (("RAck", rack), *credentials)
        user = NOBODY if self.proof is None else self
        self.agent.uac.send_in_dialog(dialog, "PRACK", user, now_ns, fields=fields)

    def _on_prack_response(self, transaction: ClientTransaction, response: Response, now_ns: int) -> None:
        """Nobody waits for a PRACK any more once there is an answer."""
        early = self._early.get(transaction.request.to_tag) if self.is_early else None
        again = None if early is None else self.authorize(transaction, response)
        if early is not None and again is not None:
            self._acknowledge(early.dialog, transaction.request.get("RAck") or "", again, now_ns)

    def _early_of(self, transaction: InviteClientTransaction, response: Response) -> EarlyDialog | None:
        """The dialog that a provisional response is of, made if need be; None for one too many."""
        tag = response.to_tag
        early = self._early.get(tag)
        if early is None and len(self._early) < MOST:
            dialog = Dialog.of_response(transaction.request, response, transaction.way)
            early = self._early[tag] = EarlyDialog(dialog, self.stream.fork())
        return early

    # -- dialogs before the answer

    def dialog_with(self, call_id: str, remote_tag: str) -> Dialog | None:
        if self.dialog is not None or call_id != self.call_id:
            return super().dialog_with(call_id, remote_tag)
        early = self._early.get(remote_tag) if remote_tag else None
        return None if early is None else early.dialog

    def _early_with(self, dialog: Dialog) -> EarlyDialog | None:
        return None if dialog is self.dialog else self._early.get(dialog.remote_tag)

    def stream_of(self, dialog: Dialog) -> Stream:
        early = self._early_with(dialog)
        return self.stream if early is None else early.stream

    def glare(self, dialog: Dialog, *, is_offer: bool) -> int:
        early = self._early_with(dialog)
        if early is None:
            return super().glare(dialog, is_offer=is_offer)
        return 491 if is_offer and not early.is_settled else 0

    def tell_media(self, now_ns: int, dialog: Dialog | None = None) -> None:
        early = None if dialog is None else self._early_with(dialog)
        if early is None:
            super().tell_media(now_ns)
        else:
            self.tell(Ringing(now_ns, 183, early.stream.tell()))

    def on_request(
        self, request: Request, dialog: Dialog, transaction: ServerTransaction, now_ns: int
    ) -> None:
        """A callee that has not answered may neither end the call nor begin it anew (§15)."""
        if self.is_early and request.method in ("BYE", "INVITE"):
            self.agent.uas.respond(transaction, 481, now_ns)
        else:
            super().on_request(request, dialog, transaction, now_ns)

    def _on_success(self, transaction: InviteClientTransaction, response: Response, now_ns: int) -> None:
        if self.dialog is not None and self.dialog.remote_tag == response.to_tag:
            if transaction.accepted_ack is not None:
                self.agent.layer.out.append(transaction.accepted_ack)
            return
        self._stop_timer_c()
        early = self._early.get(response.to_tag)
        dialog = self._confirmed(transaction, response, early)
        if self.dialog is not None or self.state is not SessionState.EARLY:
            self.agent.uac.decline(transaction, dialog, now_ns)
            return
        self.dialog = dialog
        self.agent.uac.acknowledge(transaction, dialog)
        self.state = SessionState.CONFIRMED
        if self._cancelling is not _Cancelling.NO or self.is_over:
            self._bye(self._cancel_reason, now_ns)
            return
        try:
            agreed = self._agreed_with(response, early)
        except ValueError as error:
            self._fail(488, str(error), response, now_ns)
            self._bye(UNUSABLE, now_ns)
            return
        headers = {name: displayable(value) for name, value in response.mapping().items()}
        if early is not None:
            self.stream = early.stream
        self.stream.agreed = agreed
        self.stream.passage.settle(agreed.lines)
        self.learn(response)
        self.timer.conclude(response, now_ns)
        self.tell(Answered(now_ns, self.stream.tell() or agreed.audio, headers))
        self.tell_hold(now_ns)

    def _confirmed(
        self, transaction: InviteClientTransaction, response: Response, early: EarlyDialog | None
    ) -> Dialog:
        """The dialog of a 2xx: its routes are the final ones, its numbering goes on (§13.2.2.4)."""
        dialog = Dialog.of_response(transaction.request, response, transaction.way)
        if early is not None:
            dialog.local_sequence = max(dialog.local_sequence, early.dialog.local_sequence)
            dialog.remote_sequence = early.dialog.remote_sequence
        return dialog

    def _agreed_with(self, response: Response, early: EarlyDialog | None) -> Agreement:
        """Raises `ValueError`."""
        if early is not None and early.is_settled and early.stream.agreed is not None:
            return early.stream.agreed
        if response.description:
            return self.stream.read(response.description, is_answer=True)
        heard = [early] if early is not None else list(self._early.values())
        agreed = next((e.stream.agreed for e in heard if e.stream.agreed is not None), None)
        if agreed is None:
            raise offer.NothingFits("the 2xx brought no SDP")
        return agreed

    def _on_refusal(self, transaction: InviteClientTransaction, response: Response, now_ns: int) -> None:
        if self._cancelling is _Cancelling.NO and self._is_worth_another_try(transaction, response):
            self._send_invite(transaction.way, now_ns)
            return
        self._fail(response.status, displayable(response.reason), response, now_ns)
        self.close()

    def _is_worth_another_try(self, transaction: ClientTransaction, response: Response) -> bool:
        proof = self.proof
        if proof is not None and proof.concerns(transaction, response):
            return proof.takes(response, transaction.request)
        return response.status == 422 and self.timer.yield_to(response)

    def _fail(self, status: int, reason: str, response: Response | None, now_ns: int) -> None:
        headers = {} if response is None else response.mapping()
        shown = {name: displayable(value) for name, value in headers.items()}
        _, q850 = ("", 0) if response is None else told(response)
        contacts = () if response is None else contacts_of(response)
        self.tell(Failed(now_ns, status, reason or reason_of(status), shown, q850, contacts))
        self.is_over = True

    def on_failure(self, transaction: ClientTransaction, status: int, now_ns: int) -> None:
        if transaction is self._invite and self.state is SessionState.EARLY:
            text = "no answer" if status == 408 else "the request could not be sent"
            self._fail(status, text, None, now_ns)
            self.close()
        else:
            super().on_failure(transaction, status, now_ns)

    # -- giving up

    def hangup(self, reason: str, now_ns: int) -> None:
        """Before the answer, CANCEL; told as 487 at once, for whatever still comes is dealt with
        here and changes nothing for the owner."""
        if self.state is not SessionState.EARLY:
            super().hangup(reason, now_ns)
            return
        if self.is_over:
            return
        self._give_up(487, "cancelled", reason, now_ns)

    def _give_up(self, status: int, text: str, reason: str, now_ns: int) -> None:
        self._stop_timer_c()
        self._fail(status, text, None, now_ns)
        self._cancelling = _Cancelling.WANTED
        self._cancel_reason = reason
        transaction = self._invite
        if transaction is not None and transaction.is_proceeding:
            self._cancel(transaction, now_ns)

    def _start_timer_c(self, now_ns: int) -> None:
        self._stop_timer_c()
        if not self.is_over:
            limit = now_ns + self.agent.settings.unanswered_seconds * 1000 * MS
            self._timer_c = self.agent.timers.start(limit, self._rang_too_long)

    def _stop_timer_c(self) -> None:
        if self._timer_c is not None:
            self._timer_c.cancel()
            self._timer_c = None

    def _rang_too_long(self, now_ns: int) -> None:
        self._timer_c = None
        if self.is_early and not self.is_over:
            self._give_up(408, "no final answer", _TOO_LONG, now_ns)

    def close(self) -> None:
        self._stop_timer_c()
        if self._invite is not None and self.dialog is not None:
            sequences = {tag: early.dialog.local_sequence for tag, early in self._early.items()}
            self._invite.user = _Left(self.agent, self.dialog.remote_tag, sequences)
        super().close()

    def _cancel(self, transaction: InviteClientTransaction, now_ns: int) -> None:
        self._cancelling = _Cancelling.SENT
        fields = (("Reason", self._cancel_reason),) if self._cancel_reason else ()
        transaction.cancel(NOBODY, now_ns, fields)
