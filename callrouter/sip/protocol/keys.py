"""Keys sent by signalling, to a far end that takes them so: by INFO without a package (RFC 6086 §2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callrouter.ports import EndCause, KeysRefused
from callrouter.sip.protocol import dtmf_info
from callrouter.sip.protocol.grammar import Fields
from callrouter.sip.protocol.message import Response
from callrouter.sip.protocol.transactions.client import ClientTransaction, ClientUser

if TYPE_CHECKING:
    from callrouter.sip.protocol.session import Session


class Keys(ClientUser):
    """One after the other: who loses one hears those behind it no earlier."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._waiting = ""
        """The first of them is under way."""
        self.are_refused = False

    def press(self, keys: str, now_ns: int) -> None:
        is_busy = bool(self._waiting)
        self._waiting += keys
        if not is_busy:
            self._send((), now_ns)

    def _send(self, credentials: Fields, now_ns: int) -> None:
        session = self._session
        if not session.is_up:
            self._waiting = ""
        elif self._waiting:
            fields = (("Content-Type", dtmf_info.RELAY), *credentials)
            body = dtmf_info.write(self._waiting[0])
            session.agent.uac.send_in_dialog(
                session.established, "INFO", self, now_ns, fields=fields, body=body
            )

    def on_response(self, transaction: ClientTransaction, response: Response, now_ns: int) -> None:
        """What became of the INFO on its way: the next key follows; 481 ends the call (RFC 3261
        §12.2.1.2), and any other refusal is told as `KeysRefused`."""
        status = response.status
        if status < 200:
            return
        if status < 300:
            self._waiting = self._waiting[1:]
            self._send((), now_ns)
        elif status == 481:
            self._session.lose(EndCause.TIMEOUT, "INFO was answered 481", now_ns)
        elif (again := self._session.authorize(transaction, response)) is not None:
            self._send(again, now_ns)
        else:
            self._give_up(now_ns)

    def on_failure(self, transaction: ClientTransaction, status: int, now_ns: int) -> None:
        self._give_up(now_ns)

    def _give_up(self, now_ns: int) -> None:
        self.are_refused = True
        keys, self._waiting = self._waiting, ""
        self._session.tell(KeysRefused(now_ns, keys))
