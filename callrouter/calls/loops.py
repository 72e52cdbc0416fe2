"""Calls that come round again.  A number that passes a call on marks it, and a call that comes to a
number whose mark it has is not taken; and no call comes through more than so many numbers, or servers
(RFC 7332)."""

from __future__ import annotations

from hashlib import blake2b

from callrouter.calls.call import Call
from callrouter.calls.party import party_of
from callrouter.errors import CallError
from callrouter.ports import History


class Looped(CallError):
    """A number called itself, through whatever others."""

    code = 13224
    sip_status = 482


class TooFar(Looped):
    """The call has passed as many servers as it may."""

    sip_status = 483


class Loops:
    def __init__(self, secret: str, longest: int) -> None:
        """`secret`: without it nobody can say which number a mark is of.  `longest`: numbers that a call
        may come through."""
        self._secret = secret.encode()[:64]
        self._longest = longest

    def mark(self, number: str) -> str:
        return blake2b(number.encode(), key=self._secret, digest_size=8).hexdigest()

    def marks(self, call: Call) -> tuple[str, ...]:
        """What a call that is dialled from `call` is marked with."""
        return (*call.marks, *map(self.mark, call.chain))

    def check_arrival(self, number: str, history: History) -> None:
        """Raises `Looped` for a call to `number` that has been there."""
        if self.mark(number) in history.marks:
            raise Looped(f"{number} calls itself: it has passed on this call before")
        if number in map(party_of, history.diverted_by[1:]):
            raise Looped(f"{number} calls itself: it has diverted this call before")
        if max(len(history.marks), len(history.diverted_by)) >= self._longest:
            raise Looped(f"{number} is not called: this call went through {self._longest} numbers already")

    def check_hosted(self, number: str, call: Call) -> None:
        """Raises `Looped` for a dialled call that goes on to `number` of this server."""
        if number in call.chain or self.mark(number) in call.marks:
            passed = " to ".join((*call.chain, number))
            raise Looped(f"{number} calls itself: this call went from {passed}")
        if len(call.marks) + len(call.chain) >= self._longest:
            raise Looped(f"{number} is not called: this call went through {self._longest} numbers already")
        self.check_departure(number, call)

    def check_departure(self, uri: str, call: Call) -> None:
        """Raises `Looped` for a dialled call that has gone far enough."""
        if call.hops_left < 1:
            raise TooFar(f"{uri} is not called: this call has passed as many servers as Max-Forwards let it")
