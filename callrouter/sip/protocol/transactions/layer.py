"""Which transaction a message belongs to (RFC 3261 §17.1.3 and §17.2.3)."""

from __future__ import annotations

from collections.abc import Callable

from callrouter.sip.protocol import responses
from callrouter.sip.protocol.headers.via import has_cookie
from callrouter.sip.protocol.hop import Hop, Packet
from callrouter.sip.protocol.message import Request, Response
from callrouter.sip.protocol.timers import Endings, Timers
from callrouter.sip.protocol.transactions.client import (
    ClientTransaction,
    ClientUser,
    InviteClientTransaction,
)
from callrouter.sip.protocol.transactions.server import InviteServerTransaction, ServerTransaction

Key = tuple[str | int | None, ...]
MergeKey = tuple[str, str, int, str]
MAX_DATAGRAM = 1300
"""Octets of a request that surely fit into one packet of the path (RFC 3261 §18.1.1)."""


class TransactionLayer:
    """All transactions, their timers, and the bytes they want sent."""

    def __init__(self, token: Callable[[int], str], *, answers_where_via_says: bool = False) -> None:
        self.timers = Timers()
        self.endings = Endings(self.timers)
        self.out: list[Packet] = []
        self.servers: dict[Key, ServerTransaction] = {}
        self.clients: dict[tuple[str, str], ClientTransaction] = {}
        self._first: dict[MergeKey, Key] = {}
        """What has arrived, and the transaction that it arrived by first."""
        self._token = token
        self._answers_where_via_says = answers_where_via_says
        self.max_datagram = MAX_DATAGRAM
        self.way_for_large: Callable[[Hop, int], Hop] = lambda hop, now_ns: hop
        """The stream that a request too large for UDP takes to a hop; that hop when there is none."""
        self.via_for: Callable[[Hop, str], str] = lambda hop, branch: ""
        """Via of a request of ours: its way and its branch."""
        self.sign: Callable[[str], str] = lambda token: token
        """Has a branch or tag of ours known again by whoever reads the sockets, when it comes back."""

    # -- requests that come in

    def answer_port(self, request: Request, hop: Hop) -> int:
        """Port that an answer goes to; 0: the one its request came from."""
        return responses.answer_port(request, hop) if self._answers_where_via_says else 0

    def key_of(self, request: Request) -> Key:
        """What a request shares with its retransmissions, an INVITE also with its ACK and, but for
        the method, its CANCEL.  Raises `ValueError` when there is no Via to tell by."""
        via = request.via
        method = "INVITE" if request.method == "ACK" else request.method
        branch = via.branch
        if has_cookie(branch):
            # The Call-ID adds nothing between peers that keep the rules; others use branches twice.
            return (branch, via.host, via.port, request.call_id, method)
        # RFC 2543 peers: no unique branch, so everything that stays the same is compared.  The To
        # tag is left out: the ACK of a refusal carries ours.
        return (
            request.uri,
            request.from_tag,
            request.call_id,
            str(request.cseq.number),
            request.via_value,
            method,
        )

    def serves(self, request: Request) -> bool:
        """There is a transaction for this request."""
        try:
            return self.key_of(request) in self.servers
        except ValueError:
            return False

    def server(self, key: Key, request: Request, hop: Hop) -> ServerTransaction:
        kind = InviteServerTransaction if request.method == "INVITE" else ServerTransaction
        transaction = self.servers[key] = kind(self, key, request, hop)
        return transaction

    def is_merged(self, transaction: ServerTransaction, request: Request) -> bool:
        """True when this new request has already arrived by another path (RFC 3261 §8.2.2.2)."""
        tag = request.from_tag
        if not tag:
            return False
        key = (request.call_id, tag, request.cseq.number, request.method)
        if self._first.setdefault(key, transaction.key) != transaction.key:
            return True
        transaction.merge_key = key
        return False

    def cancelled_by(self, key: Key) -> ServerTransaction | None:
        """The INVITE that a CANCEL of this key is about (RFC 3261 §9.2)."""
        return self.servers.get((*key[:-1], "INVITE"))

    def owes(self, hop: Hop) -> bool:
        """A request that came by the connection of `hop` has had no final answer yet."""
        servers = self.servers.values()
        return any(each.hop.connection == hop.connection and not each.is_answered for each in servers)

    def unmerge(self, transaction: ServerTransaction) -> None:
        """What was this transaction's may come by another one now."""
        if transaction.merge_key is not None:
            self._first.pop(transaction.merge_key, None)
            transaction.merge_key = None

    def forget_server(self, transaction: ServerTransaction) -> None:
        self.servers.pop(transaction.key, None)
        self.unmerge(transaction)

    # -- requests of ours

    def new_branch(self) -> str:
        return self.sign(f"z9hG4bK{self._token(10)}")

    def new_tag(self) -> str:
        """For our end of a dialog."""
        return self.sign(self._token(8))

    def client(self, request: Request, hop: Hop, user: ClientUser, now_ns: int) -> ClientTransaction:
        """Send a request of ours."""
        if request.method == "INVITE":
            return self.invite(request, hop, user, now_ns)
        return self.client_with_branch(request.branch, request, hop, user, now_ns)

    def invite(self, request: Request, hop: Hop, user: ClientUser, now_ns: int) -> InviteClientTransaction:
        """`client` for an INVITE."""
        transaction = InviteClientTransaction(self, request.branch, request, hop, user)
        self.clients[transaction.branch, "INVITE"] = transaction
        transaction.start(now_ns)
        return transaction

    def client_with_branch(
        self, branch: str, request: Request, hop: Hop, user: ClientUser, now_ns: int
    ) -> ClientTransaction:
        transaction = ClientTransaction(self, branch, request, hop, user)
        self.clients[branch, request.method] = transaction
        transaction.start(now_ns)
        return transaction

    def client_of(self, response: Response) -> ClientTransaction | None:
        """Raises `ValueError` when Via or CSeq cannot be read."""
        return self.clients.get((response.via.branch, response.cseq.method))

    def forget_client(self, transaction: ClientTransaction) -> None:
        self.clients.pop((transaction.branch, transaction.request.method), None)
