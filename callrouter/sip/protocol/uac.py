"""The user agent client (RFC 3261 §8.1): writes requests of ours, and hears what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from callrouter.sip.protocol.dialog import Dialog
from callrouter.sip.protocol.grammar import Fields
from callrouter.sip.protocol.hop import Hop, Packet, default_port
from callrouter.sip.protocol.large import LargeRequests
from callrouter.sip.protocol.message import Request, Response
from callrouter.sip.protocol.transactions.client import (
    NOBODY,
    ClientTransaction,
    ClientUser,
    InviteClientTransaction,
)
from callrouter.sip.protocol.validate import is_usable

if TYPE_CHECKING:
    from callrouter.sip.protocol.agent import Agent

_ORPHAN_LEAP = 100_000
"""More requests than a dialog ever sends after its state was saved: a CSeq must not go back."""


class UserAgentClient:
    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._layer = agent.layer
        self._listeners = agent.listeners
        self._name = agent.name
        self._large = LargeRequests(agent.listeners)
        self._layer.way_for_large = self._large.way
        self._layer.via_for = self._listeners.via

    # -- requests

    def end_orphan(self, dialog: Dialog, reason: str, now_ns: int) -> None:
        """BYE for a dialog that another process had."""
        fields = (("Reason", reason),) if reason else ()
        dialog.local_sequence += _ORPHAN_LEAP
        self.send_in_dialog(dialog, "BYE", NOBODY, now_ns, fields=fields)

    def request(
        self, method: str, uri: str, hop: Hop, fields: list[tuple[str, str]], body: bytes = b""
    ) -> Request:
        """A request with a Via of its own."""
        branch = self._layer.new_branch()
        via = self._listeners.via(hop, branch)
        request = Request(method, uri, [("Via", via), *fields, *self._name], body)
        request.branch = branch
        return request

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
        """A request within `dialog`, next in its sequence, along its route (RFC 3261 §12.2.1); `user`
        hears the answers."""
        dialog.local_sequence += 1
        hop = dialog.next_hop(self._agent.settings.mentionable)
        request = self._in_dialog(dialog, method, hop, dialog.local_sequence, fields, body)
        return self._layer.client(request, hop, user, now_ns)

    def acknowledge(self, transaction: ClientTransaction, dialog: Dialog) -> None:
        """The ACK of a 2xx: a request of its own, sent again for each repeated 2xx (§13.2.2.4)."""
        invite = transaction.request
        hop = dialog.next_hop(self._agent.settings.mentionable)
        names = ("Authorization", "Proxy-Authorization")
        fields = tuple((n, v) for n, v in invite.fields if n in names)
        ack = self._in_dialog(dialog, "ACK", hop, invite.cseq.number, fields, b"")
        packet = Packet(bytes(ack), hop)
        if isinstance(transaction, InviteClientTransaction):
            transaction.accepted_ack = packet
        self._layer.out.append(packet)

    def decline(self, transaction: InviteClientTransaction, dialog: Dialog, now_ns: int) -> None:
        """ACK and BYE for one more callee that has picked up."""
        kept = transaction.accepted_ack
        self.acknowledge(transaction, dialog)
        transaction.accepted_ack = kept
        self.send_in_dialog(dialog, "BYE", NOBODY, now_ns)

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

    # -- what becomes of them

    def receive(self, response: Response, now_ns: int) -> None:
        """A response goes to the transaction it answers, if there is one (§17.1.3)."""
        if is_usable(response):
            transaction = self._layer.client_of(response)
            if transaction is not None and self._is_sent_by_us(response, transaction):
                transaction.receive(response, now_ns)

    def _is_sent_by_us(self, response: Response, transaction: ClientTransaction) -> bool:
        """Via names us as the request did; what names somebody else is discarded (§18.1.2)."""
        via, own = response.via, self._listeners.of(transaction.hop)
        port = via.port or default_port(own.transport)
        return port == own.port and via.host.lower() == own.host.lower()

    def undeliverable(self, packet: Packet, now_ns: int) -> None:
        """The shell could not send `packet`."""
        transaction = packet.transaction
        if isinstance(transaction, ClientTransaction):
            self._not_sent(transaction, now_ns)

    def _not_sent(self, transaction: ClientTransaction, now_ns: int) -> None:
        """A stream that was taken for a request's size alone gives way to the datagram."""
        stream = transaction.hop
        if transaction.fall_back(now_ns):
            self._large.refused(stream, now_ns)
        else:
            transaction.fail(503, now_ns)

    def connection_lost(self, hop: Hop, now_ns: int) -> None:
        """Requests that went out on this connection and had no sign of life yet will have none, as
        when a host resets whatever comes by TCP; a peer that has answered once may answer on another one."""
        lost = [c for c in self._layer.clients.values() if c.is_unanswered and c.hop[:3] == hop[:3]]
        for transaction in lost:
            self._not_sent(transaction, now_ns)
