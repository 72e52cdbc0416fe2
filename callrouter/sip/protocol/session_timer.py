"""Session timers (RFC 4028): a call whose ends have lost each other does not stay up for ever.

One end refreshes, at half of the interval; the other gives the call up when no refresh came.  Which
is which is agreed anew with each INVITE or UPDATE.  A peer that knows nothing of it costs nothing:
then it is us who refresh.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol
from weakref import ref

from callrouter.sip.protocol.grammar import Fields, number, parameter, parse_parameters
from callrouter.sip.protocol.message import Message, Request, Response
from callrouter.sip.protocol.timers import MS, Timer, Timers

OPTION = "timer"
SMALLEST = 90
"""Seconds; nobody may ask for less (§5)."""
_SHORTEST = 10
"""What we keep to when somebody answers with less all the same: who is not refreshed in time hangs up.  Below
this it would be no life for either end."""
EXPIRED = 'Q.850;cause=102;text="session timer expired"'
_SECOND = 1_000 * MS
_MARGIN = 32


class Interval(NamedTuple):
    """A `Session-Expires` value."""

    seconds: int
    refresher: str
    """`uac`, `uas`, or "" where it was left open."""


def interval_of(message: Message) -> Interval | None:
    """None where there is none, or none that can be read: then there is nothing to keep to."""
    value = message.get("Session-Expires")
    if value is None:
        return None
    text, _, rest = value.partition(";")
    try:
        refresher = parameter(parse_parameters(rest), "refresher") if rest else None
        return Interval(number(text.strip()), (refresher or "").lower())
    except ValueError:
        return None


def least(message: Message) -> int:
    """Its `Min-SE` in seconds, at least what the RFC puts in its place."""
    value = message.get("Min-SE")
    if value is None:
        return SMALLEST
    try:
        return max(SMALLEST, number(value.partition(";")[0].strip()))
    except ValueError:
        return SMALLEST


def knows(message: Message) -> bool:
    return OPTION in message.tokens("Supported") or OPTION in message.tokens("Require")


def is_too_small(request: Request, minimum: int) -> bool:
    """The request asks for an interval that it can be made to raise (§9); from a peer that knows
    nothing of timers a refusal would be the end."""
    asked = interval_of(request)
    return asked is not None and asked.seconds < minimum and knows(request)


class Refreshed(Protocol):
    """Whose call it is; not kept alive (`Provisionals` says why)."""

    def refresh(self, now_ns: int) -> None:
        """It is our turn."""

    def expire(self, now_ns: int) -> None:
        """The call is over."""


class SessionTimer:
    """The longest interval is `wanted` seconds; 0 leaves the matter to the peer."""

    __slots__ = (
        "_call",
        "_deadline",
        "_minimum",
        "_timer",
        "_timers",
        "_wanted",
        "is_ours",
        "seconds",
    )

    def __init__(
        self,
        timers: Timers,
        wanted: int,
        minimum: int,
        call: ref[Refreshed],
    ) -> None:
        self._timers = timers
        self._wanted = wanted
        self._minimum = max(minimum, SMALLEST)
        self._call = call
        self._timer: Timer | None = None
        self._deadline = 0
        self.seconds = 0
        """As agreed; 0 while there is no agreement."""
        self.is_ours = False
        """We refresh."""

    # -- what is said

    def request_fields(self) -> Fields:
        """For an INVITE or UPDATE of ours."""
        seconds = max(self.seconds or self._wanted, self._minimum)
        if not (self.seconds or self._wanted):
            return ()
        role = "" if not self.seconds else f";refresher={'uac' if self.is_ours else 'uas'}"
        asked = (("Session-Expires", f"{seconds}{role}"),)
        return asked if self._minimum == SMALLEST else (*asked, ("Min-SE", str(self._minimum)))

    def accept(self, request: Request, now_ns: int) -> Fields:
        """For our 2xx to an INVITE or UPDATE; from here on it counts."""
        asked = interval_of(request)
        if asked is None and not self._wanted:
            self.stop()
            return ()
        longest = asked.seconds if asked is not None else max(self._wanted, least(request))
        if self._wanted:
            longest = min(longest, max(self._wanted, least(request)))
        self.seconds = max(longest, SMALLEST)
        refresher = self._refresher(asked, request)
        self.is_ours = refresher == "uas"
        self._start(now_ns)
        fields: Fields = (("Session-Expires", f"{self.seconds};refresher={refresher}"),)
        return fields if self.is_ours else (*fields, ("Require", OPTION))

    def _refresher(self, asked: Interval | None, request: Request) -> str:
        if not knows(request):
            return "uas"
        if asked is not None and asked.refresher in ("uac", "uas"):
            return asked.refresher
        return "uas" if self.is_ours else "uac"

    def conclude(self, response: Response, now_ns: int) -> None:
        """A 2xx to an INVITE or UPDATE of ours."""
        got = interval_of(response)
        if got is not None and got.seconds:
            self.seconds = max(got.seconds, _SHORTEST)
            self.is_ours = got.refresher != "uas"
        elif self.seconds or self._wanted:
            # They know nothing of it, and will answer our refreshes all the same (§7.2).
            self.seconds = max(self.seconds or self._wanted, self._minimum)
            self.is_ours = True
        else:
            return
        self._start(now_ns)

    def yield_to(self, response: Response) -> bool:
        """A 422: True when its `Min-SE` leaves something to try."""
        minimum = least(response)
        if minimum <= max(self.seconds or self._wanted, self._minimum):
            return False
        self._minimum = minimum
        if self.seconds:
            self.seconds = minimum
        return True

    # -- what happens

    def _start(self, now_ns: int) -> None:
        self._deadline = now_ns + (self.seconds - min(_MARGIN, self.seconds // 3)) * _SECOND
        if self.is_ours:
            self._set(now_ns + self.seconds * _SECOND // 2, self._due)
        else:
            self._set(self._deadline, self._expire)

    def retry(self, now_ns: int, after_ns: int) -> None:
        """A refresh of ours came to nothing; there may be time for another one."""
        if not self.seconds:
            return
        if now_ns + after_ns < self._deadline:
            self._set(now_ns + after_ns, self._due)
        else:
            self._set(self._deadline, self._expire)

    def _due(self, now_ns: int) -> None:
        self._set(self._deadline, self._expire)
        call = self._call()
        if call is not None:
            call.refresh(now_ns)

    def _expire(self, now_ns: int) -> None:
        call = self._call()
        if call is not None:
            call.expire(now_ns)

    def _set(self, at_ns: int, action: Callable[[int], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._timers.start(at_ns, action)

    def stop(self) -> None:
        self.seconds = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
