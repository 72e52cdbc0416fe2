"""Answering those who want to know who asks: a server, proxies before it, or both (RFC 3261 §22)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from callrouter.sip.protocol.auth import Challenge, Credentials, answer, strongest
from callrouter.sip.protocol.grammar import Fields
from callrouter.sip.protocol.message import Request, Response

if TYPE_CHECKING:
    from callrouter.sip.protocol.transactions.client import ClientTransaction

MOST = 4
"""Challenges answered for one request: a server's and a proxy's, and each once more for a nonce that has
grown stale.  Whoever finds every nonce stale would have us go on forever."""


@dataclass(slots=True)
class _Nonce:
    challenge: Challenge
    uses: int = 0


class Proof:
    """The answers of one account to whoever has challenged it."""

    def __init__(
        self, credentials: Credentials, token: Callable[[int], str], host: str = "", *, trusts: bool = False
    ) -> None:
        """`trusts`: within a call the first realm that asks is the account's.  Else one that has asked
        before the call is."""
        self._credentials = credentials
        self._token = token
        self._trusts = trusts
        self.host = host
        """IP literal from where a call came or to where it went: within the call nobody else is answered,
        for anybody on the way could ask for a digest of our password otherwise."""
        self._nonces: dict[str, _Nonce] = {}
        """By the header that answers: `Authorization` for a server, `Proxy-Authorization` for a proxy."""
        self._answered = 0

    def concerns(self, transaction: ClientTransaction, response: Response) -> bool:
        """It is a challenge, by whom the call is with."""
        return response.status in (401, 407) and transaction.hop.host == self.host

    def again(self, transaction: ClientTransaction, response: Response) -> Fields | None:
        """The headers with which a request within a call is to be sent again; None where there is no
        challenge, or we owe the challenger nothing."""
        request = transaction.request
        if not self.concerns(transaction, response) or not (self._trusts or self._knows(response)):
            return None
        if not self.takes(response, request):
            return None
        return self.fields(request.method, request.uri, request.body)

    def _knows(self, response: Response) -> bool:
        """The challenge is of a realm that was answered before."""
        _, challenge = _asked(response)
        return challenge is not None and any(
            nonce.challenge.realm == challenge.realm for nonce in self._nonces.values()
        )

    def takes(self, response: Response, request: Request) -> bool:
        """Whether to send `request` again, with `fields`.  False: it cannot be answered, or it was and
        the password is wrong."""
        name, challenge = _asked(response)
        if challenge is None:
            return False
        if not any(request.get(header) for header in ("Authorization", "Proxy-Authorization")):
            self._answered = 0
        known = self._nonces.get(name)
        if known is not None and request.get(name) is not None and not self._may_try_again(known, challenge):
            return False
        if known is not None and known.challenge.realm != challenge.realm:
            return False
        if self._answered >= MOST:
            return False
        self._answered += 1
        uses = known.uses if known is not None and known.challenge.nonce == challenge.nonce else 0
        self._nonces[name] = _Nonce(challenge, uses)
        return True

    def _may_try_again(self, known: _Nonce, challenge: Challenge) -> bool:
        """An answer was refused: for its nonce, then, which some accept but once without saying so."""
        return challenge.stale or (known.uses > 1 and known.challenge.nonce != challenge.nonce)

    def fields(self, method: str, uri: str, body: bytes = b"") -> Fields:
        """The headers for a request; none before the first challenge."""
        found = []
        for name, nonce in self._nonces.items():
            nonce.uses += 1
            value = answer(
                nonce.challenge,
                self._credentials,
                method=method,
                uri=uri,
                body=body,
                cnonce=self._token(8),
                count=nonce.uses,
            )
            found.append((name, value))
        return tuple(found)


def _asked(response: Response) -> tuple[str, Challenge | None]:
    """The header to answer with, and the challenge to answer."""
    if response.status == 407:
        return "Proxy-Authorization", strongest(response.all("Proxy-Authenticate"))
    return "Authorization", strongest(response.all("WWW-Authenticate"))
