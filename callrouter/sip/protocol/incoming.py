"""A call that comes in: the callee's side of an INVITE (RFC 3261 §13.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callrouter.ports import EndCause, MediaAddress
from callrouter.sip.protocol.admission import PEER
from callrouter.sip.protocol.dialog import Dialog
from callrouter.sip.protocol.grammar import displayable
from callrouter.sip.protocol.message import Request
from callrouter.sip.protocol.session import SDP, Session, SessionState
from callrouter.sip.protocol.timers import MS, Timer
from callrouter.sip.protocol.transactions.server import ServerTransaction
from callrouter.sip.protocol.uri import Uri

if TYPE_CHECKING:
    from callrouter.sip.protocol.agent import Agent

_TRYING_AFTER = 100 * MS
"""100 is owed unless something else follows within 200 ms (§17.2.1)."""
_REMIND_EVERY = 60_000 * MS
"""A provisional response is repeated each minute, or proxies give up (§13.3.1.1)."""


class IncomingSession(Session):
    """Raises `ValueError` from the constructor when the offer cannot be used."""

    def __init__(self, agent: Agent, invite: Request, transaction: ServerTransaction, now_ns: int) -> None:
        super().__init__(agent, invite.call_id, agent.token(8))
        self.invite = invite
        self.received_ns = now_ns
        self.origin = PEER
        self.dialog = Dialog.of_request(invite, self.local_tag, transaction.hop)
        self.learn(invite)
        if invite.body:
            self.stream.agreed = self.stream.read(invite.body)
        self._transaction = transaction
        self._provisional: tuple[int, bytes] = (100, b"")
        self._timer: Timer | None = agent.layer.timers.start(now_ns + _TRYING_AFTER, self._remind)

    # -- what the owner asks for

    def ring(self, now_ns: int) -> None:
        self._provide(180, b"", now_ns)

    def progress(self, local: MediaAddress, now_ns: int) -> None:
        """Without an offer there is nothing to answer, and so no early media."""
        if self.state is not SessionState.EARLY or self.is_over:
            return
        self._provide(183, self.stream.first_answer(local), now_ns)

    def answer(self, local: MediaAddress, now_ns: int) -> None:
        if self.state is not SessionState.EARLY or self.is_over:
            return
        self._stop_reminder()
        stream = self.stream
        has_offer = stream.agreed is not None
        body = stream.first_answer(local) if has_offer else stream.first_offer(local)
        transaction, invite = self._transaction, self.invite
        fields = (*self.own_fields(transaction.hop), *self.timer.accept(invite, now_ns), *SDP)
        data = self.agent.respond(transaction, 200, now_ns, fields=fields, body=body, tag=self.local_tag)
        self.state = SessionState.ANSWERED
        self.await_ack(data, invite, transaction.hop, wants_answer=not has_offer, now_ns=now_ns)

    def reject(self, status: int, reason: str, fields: tuple[tuple[str, str], ...], now_ns: int) -> None:
        if self.state is not SessionState.EARLY or self.is_over:
            return
        self._refuse(status, now_ns, reason=reason, fields=fields)

    def hangup(self, reason: str, now_ns: int) -> None:
        if self.state is SessionState.EARLY:
            self.reject(480, "", (("Reason", reason),) if reason else (), now_ns)
        else:
            super().hangup(reason, now_ns)

    # -- what the caller asks for

    def cancel(self, request: Request, now_ns: int) -> None:
        """Its CANCEL has been answered; too late once we have (§9.2)."""
        if self.state is SessionState.EARLY:
            self._tell_end(EndCause.CANCEL, displayable(request.get("Reason") or ""), now_ns)
            self._refuse(487, now_ns)

    def _on_bye(self, request: Request, transaction: ServerTransaction, now_ns: int) -> None:
        if self.state is not SessionState.EARLY:
            super()._on_bye(request, transaction, now_ns)
            return
        self.agent.respond(transaction, 200, now_ns)
        self._tell_end(EndCause.BYE, displayable(request.get("Reason") or ""), now_ns)
        self._refuse(487, now_ns)

    def close(self) -> None:
        self._stop_reminder()
        super().close()

    # -- responses

    def _contact_user(self) -> str:
        try:
            return Uri.parse(self.invite.uri).user
        except ValueError:
            return ""

    def _provide(self, status: int, body: bytes, now_ns: int) -> None:
        if self.state is not SessionState.EARLY or self.is_over:
            return
        self._provisional = (status, body)
        self._send_provisional(now_ns)

    def _send_provisional(self, now_ns: int) -> None:
        status, body = self._provisional
        transaction = self._transaction
        if status == 100:
            self.agent.respond(transaction, 100, now_ns, tag="")
        else:
            contact = self.agent.contact(transaction.hop, self._contact_user())
            fields = (contact, *SDP) if body else (contact,)
            self.agent.respond(transaction, status, now_ns, fields=fields, body=body, tag=self.local_tag)
        self._stop_reminder()
        self._timer = self.agent.layer.timers.start(now_ns + _REMIND_EVERY, self._remind)

    def _remind(self, now_ns: int) -> None:
        self._timer = None
        self._send_provisional(now_ns)

    def _stop_reminder(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(
        self,
        status: int,
        now_ns: int,
        *,
        reason: str = "",
        fields: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.agent.respond(
            self._transaction, status, now_ns, reason=reason, fields=fields, tag=self.local_tag
        )
        self.close()
