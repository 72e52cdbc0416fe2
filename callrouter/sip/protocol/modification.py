"""Changes to a call that is up: re-INVITE and UPDATE, both ways (RFC 3261 §14, RFC 3311).

Hold, resume, moved media, late offers, session refreshes; and glare, when both ends want something
at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import ref

from callrouter.ports import EndCause, LinesAnswered, LinesOffered, LinesRetracted, Passing
from callrouter.sip.protocol.bodies import SDP
from callrouter.sip.protocol.dialog import Dialog
from callrouter.sip.protocol.grammar import Fields
from callrouter.sip.protocol.message import Request, Response
from callrouter.sip.protocol.session_timer import is_too_small
from callrouter.sip.protocol.stream import OutOfOrder
from callrouter.sip.protocol.timers import MS, Timer
from callrouter.sip.protocol.transactions.client import ClientTransaction, InviteClientTransaction
from callrouter.sip.protocol.transactions.server import ServerTransaction
from callrouter.sip.protocol.validate import check_body, refusal_of

if TYPE_CHECKING:
    from callrouter.sip.protocol.session import Session

RETRY_LATER = (("Retry-After", "1"),)
_REFRESH_AGAIN = 10_000 * MS
"""After a refresh that was refused for reasons of the moment."""


@dataclass(frozen=True, slots=True)
class Deferred:
    """An offer of theirs that waits for what somebody else says to it."""

    request: Request
    dialog: Dialog
    transaction: ServerTransaction


class Modification:
    """Of one session.  At most one request of ours is under way."""

    __slots__ = (
        "__weakref__",
        "_deferred",
        "_is_cancelled",
        "_is_recalled",
        "_retry",
        "_wants_refresh",
        "_whole",
        "request",
    )

    def __init__(self, session: Session) -> None:
        self._whole = ref(session)
        self.request: ClientTransaction | None = None
        """Ours, waiting for its answer."""
        self._retry: Timer | None = None
        self._wants_refresh = False
        self._deferred: Deferred | None = None
        self._is_recalled = False
        """What we ask for is wanted no more …"""
        self._is_cancelled = False
        """… and they have been told so."""

    @property
    def _session(self) -> Session:
        session = self._whole()
        if session is None:
            raise OutOfOrder("the session is gone")
        return session

    @property
    def is_deferring(self) -> bool:
        """An offer of theirs has no answer yet."""
        return self._deferred is not None

    def stop(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    # -- theirs

    def receive(self, request: Request, dialog: Dialog, transaction: ServerTransaction, now_ns: int) -> None:
        """A re-INVITE, or an UPDATE: the same but for the ACK, and that an UPDATE without offer
        gets none."""
        session, agent = self._session, self._session.agent
        refusal = check_body(request)
        if refusal is not None:
            agent.uas.refuse(transaction, refusal, now_ns)
            return
        status = session.glare(dialog, is_offer=request.method == "INVITE" or bool(request.description))
        if status:
            agent.uas.respond(transaction, status, now_ns, fields=RETRY_LATER if status == 500 else ())
            return
        if is_too_small(request, agent.settings.min_session_seconds):
            least = (("Min-SE", str(agent.settings.min_session_seconds)),)
            agent.uas.respond(transaction, 422, now_ns, fields=least)
            return
        session.stream_of(dialog).source = transaction.hop.host
        try:
            is_ours_alone = session.is_early or not request.description
            must_ask = not is_ours_alone and session.stream.must_ask(request.description)
        except ValueError as error:
            agent.uas.refuse(transaction, refusal_of(error), now_ns)
            return
        if must_ask:
            self._defer(request, dialog, transaction, now_ns)
        else:
            self._accept(request, dialog, transaction, now_ns)

    def _defer(self, request: Request, dialog: Dialog, transaction: ServerTransaction, now_ns: int) -> None:
        session = self._session
        if request.method == "INVITE":
            transaction.belongs_to(session)
            session.agent.uas.respond(transaction, 100, now_ns, tag="")
        self._deferred = Deferred(request, dialog, transaction)
        session.tell(LinesOffered(now_ns, session.stream.offered_by(request.description)))

    def settle(self, status: int, passing: Passing, now_ns: int) -> None:
        """Answer what was deferred: with `passing`, or with a refusal that changes nothing."""
        deferred, self._deferred = self._deferred, None
        if deferred is None:
            return
        stream = self._session.stream
        try:
            has_audio = stream.offered_by(deferred.request.description).has_audio
        except ValueError:
            has_audio = False  # a fax alone, of use only while somebody was there to pass it to
        if status == 200 and (has_audio or passing.lines):
            stream.passage.written = passing
            self._accept(deferred.request, deferred.dialog, deferred.transaction, now_ns)
        else:
            status = status if status >= 300 else 488
            fields = RETRY_LATER if status in (500, 503) else ()
            self._session.agent.uas.respond(deferred.transaction, status, now_ns, fields=fields)
        self.pursue(now_ns)

    def retract(self, transaction: ServerTransaction, now_ns: int) -> None:
        """Whoever made the deferred offer has thought better of it."""
        if self._deferred is None or self._deferred.transaction is not transaction:
            return
        self.drop(now_ns)
        self._session.tell(LinesRetracted(now_ns))
        self.pursue(now_ns)

    def drop(self, now_ns: int) -> None:
        """The call ends: what was deferred is answered with nothing."""
        deferred, self._deferred = self._deferred, None
        if deferred is not None:
            self._session.agent.uas.respond(deferred.transaction, 487, now_ns)

    def _accept(self, request: Request, dialog: Dialog, transaction: ServerTransaction, now_ns: int) -> None:
        session, agent = self._session, self._session.agent
        is_invite = request.method == "INVITE"
        try:
            body = self._answer_to(request, dialog)
        except ValueError as error:
            agent.uas.refuse(transaction, refusal_of(error), now_ns)
            return
        dialog.refresh(request, transaction.hop)
        timing = () if session.is_early else session.timer.accept(request, now_ns)
        fields = (*session.own_fields(transaction.hop), *timing, *(SDP if body else ()))
        data = agent.uas.respond(transaction, 200, now_ns, fields=fields, body=body)
        if is_invite:
            is_late = not request.description
            session.await_ack(data, request, transaction.back, wants_answer=is_late, now_ns=now_ns)
        if request.description:
            session.tell_media(now_ns, dialog)

    def _answer_to(self, request: Request, dialog: Dialog) -> bytes:
        stream = self._session.stream_of(dialog)
        if request.description:
            stream.agreed = stream.read(request.description)
            return stream.next_answer()
        return stream.next_offer() if request.method == "INVITE" else b""

    # -- ours

    def pursue(self, now_ns: int) -> None:
        """Offer what is wanted, unless that has been agreed, or something else is under way: then
        this is called again when it is over."""
        session = self._session
        if session.is_settling or self.request is not None or self._retry is not None:
            return
        if session.stream.hold_wanted != session.stream.hold_offered or session.stream.passage.is_wanting:
            self._send_invite((), now_ns)
        elif self._wants_refresh:
            self._send_refresh((), now_ns)

    def refresh(self, now_ns: int) -> None:
        """Show that we are still there, and learn whether they are."""
        self._wants_refresh = True
        self.pursue(now_ns)

    def _send_refresh(self, credentials: Fields, now_ns: int) -> None:
        if "UPDATE" not in self._session.allowed:
            self._send_invite(credentials, now_ns)
            return
        self._send("UPDATE", credentials, b"", now_ns)

    def _send_invite(self, credentials: Fields, now_ns: int) -> None:
        self._send("INVITE", credentials, self._session.stream.next_offer(), now_ns)

    def _send(self, method: str, credentials: Fields, body: bytes, now_ns: int) -> None:
        session = self._session
        dialog = session.established
        own = session.own_fields(dialog.next_hop(session.agent.settings.mentionable))
        fields = (*own, *session.timer.request_fields(), *(SDP if body else ()), *credentials)
        self.request = session.agent.uac.send_in_dialog(
            dialog, method, session, now_ns, fields=fields, body=body
        )

    def recall(self, now_ns: int) -> None:
        """The lines we ask for are wanted no more: CANCEL, once it is certain that the INVITE has arrived
        (§9.1)."""
        passage = self._session.stream.passage
        if passage.is_asked and self.request is not None and not self._is_recalled:
            self._is_recalled = True
            self._cancel(now_ns)
        elif passage.is_wanting and not passage.is_asked:
            passage.wanted = None
            self._session.tell(LinesAnswered(now_ns, 487, self._session.stream.passed_to_us))

    def _cancel(self, now_ns: int) -> None:
        request = self.request
        if isinstance(request, InviteClientTransaction) and request.is_proceeding:
            self._is_cancelled = True
            request.cancel(self._session, now_ns)

    # -- what came of it

    def on_response(self, transaction: ClientTransaction, response: Response, now_ns: int) -> None:
        if response.status < 200:
            if self._is_recalled and not self._is_cancelled:
                self._cancel(now_ns)
            return
        self.request, self._is_recalled, self._is_cancelled = None, False, False
        if response.status < 300:
            self._succeeded(transaction, response, now_ns)
        else:
            self._refused(transaction, response, now_ns)

    def _succeeded(self, transaction: ClientTransaction, response: Response, now_ns: int) -> None:
        session = self._session
        dialog = session.established
        dialog.refresh(response, dialog.hop)
        self._wants_refresh = False
        if transaction.request.method == "INVITE":
            session.agent.uac.acknowledge(transaction, dialog)
            self._take_answer(response, now_ns)
        session.timer.conclude(response, now_ns)
        self.pursue(now_ns)

    def _take_answer(self, response: Response, now_ns: int) -> None:
        stream = self._session.stream
        was_asked = stream.passage.is_asked
        try:
            stream.agreed = stream.read(response.description, is_answer=True)
        except ValueError:
            # The offer was taken without a word: everything stays as it was.
            stream.passage.revert(forget=True)
            if was_asked:
                self._session.tell(LinesAnswered(now_ns, 488, stream.passed_to_us))
            return
        stream.passage.settle(stream.agreed.lines)
        self._session.tell_media(now_ns)
        if was_asked:
            self._session.tell(LinesAnswered(now_ns, 200, stream.passed_to_us))

    def _refused(self, transaction: ClientTransaction, response: Response, now_ns: int) -> None:
        session, status = self._session, response.status
        if status in (408, 481):
            session.lose(EndCause.TIMEOUT, f"{transaction.request.method} was answered {status}", now_ns)
        elif status == 491 and not session.stream.passage.is_relayed:
            session.stream.passage.revert(forget=False)
            self._wait(transaction, now_ns)
        elif (again := session.authorize(transaction, response)) is not None:
            self._send(transaction.request.method, again, transaction.request.body, now_ns)
        elif status == 422 and session.timer.yield_to(response):
            self._send(transaction.request.method, (), transaction.request.body, now_ns)
        elif status in (405, 501) and transaction.request.method == "UPDATE":
            session.allowed -= {"UPDATE"}
            self.pursue(now_ns)
        else:
            self._give_up(status, now_ns)

    def _wait(self, transaction: ClientTransaction, now_ns: int) -> None:
        """2.1 to 4 s for the owner of the Call-ID, up to 2 s for the other, in steps of 10 ms
        (RFC 3261 §14.1)."""
        session = self._session
        if transaction.request.body:
            session.stream.hold_offered = not session.stream.hold_offered
        chance = int(session.agent.token(2), 16) / 0xFFFF
        ms = 2100 + 1900 * chance if session.owns_call_id else 2000 * chance
        wait = int(ms) // 10 * 10 * MS
        self._retry = session.agent.timers.start(now_ns + wait, self._try_again)

    def _try_again(self, now_ns: int) -> None:
        self._retry = None
        self.pursue(now_ns)

    def _give_up(self, status: int, now_ns: int) -> None:
        """What was refused is not asked for again; a refresh is, as long as there is time."""
        if self._wants_refresh:
            self._wants_refresh = False
            self._session.timer.retry(now_ns, _REFRESH_AGAIN)
        passage = self._session.stream.passage
        if passage.is_asked:
            passage.revert(forget=True)
            self._session.tell(LinesAnswered(now_ns, status, self._session.stream.passed_to_us))
            self.pursue(now_ns)

    def on_failure(self, transaction: ClientTransaction, status: int, now_ns: int) -> None:
        was_cancelled = self._is_cancelled
        self.request, self._is_recalled, self._is_cancelled = None, False, False
        if was_cancelled and status == 408:
            self._give_up(487, now_ns)  # what has been cancelled need not be answered (§9.1)
            return
        cause = EndCause.TIMEOUT if status == 408 else EndCause.TRANSPORT
        self._session.lose(cause, f"no answer to {transaction.request.method}", now_ns)
