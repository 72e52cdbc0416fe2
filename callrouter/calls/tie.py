"""What the far end of one joined leg does that the far end of the other has to know: keys that the
media do not carry across, hold, and the codec it speaks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from callrouter.calls.hosted import InnerLeg
from callrouter.ports import NegotiatedAudio

if TYPE_CHECKING:
    from callrouter.calls.leg import Leg


class Tie:
    """From `leg` to `other`, one of a pair, between `begin` and `end`."""

    def __init__(self, leg: Leg, other: Leg) -> None:
        self._leg = leg
        self._other = other
        self._holds = False
        self._keys = ""
        """Waiting until those before them have gone out."""
        self._sending: asyncio.Future[None] | None = None

    def begin(self) -> None:
        self._leg.tie = self
        if self._leg.sip is not None and self._leg.sip.is_held:
            self.holds(True)

    def agree(self) -> None:
        """Both are answered."""
        if self._leg.audio is not None:
            self.speaks(self._leg.audio)

    def end(self) -> None:
        """Whoever goes on is held by nobody any more."""
        self._leg.tie = None
        self.holds(False)

    def holds(self, on: bool) -> None:
        """The far end wants to hear nothing, or to hear again: the other one is put on hold, or taken
        off it."""
        if on is self._holds:
            return
        self._holds = on
        if not self._other.gone and self._other.sip is not None:
            self._other.sip.hold(on)

    def speaks(self, audio: NegotiatedAudio) -> None:
        """Of two legs face to face within this server the caller's side says what both speak: what its
        far end does, so that all that must be transcoded is transcoded once."""
        inner = self._other.sip
        if isinstance(inner, InnerLeg) and not self._other.gone:
            inner.speak(audio)

    # -- keys

    def fed(self, digit: str) -> None:
        """A key that came by signalling."""
        if not self._is_retold:
            self._send(digit)

    def heard(self, digit: str) -> None:
        """A key that was received, whatever way."""
        if self._is_retold:
            self._send(digit)

    @property
    def _is_retold(self) -> bool:
        """Telephone events of this far end would be lost on the other one, which did not agree on any, as
        would all keys on one that takes them by signalling."""
        return not _has_events(self._other) and (_has_events(self._leg) or self._takes_signalled)

    @property
    def _takes_signalled(self) -> bool:
        sip = self._other.sip
        return sip is not None and sip.takes_keys and not _has_events(self._other)

    def _send(self, digit: str) -> None:
        if self._other.sip is not None and self._takes_signalled:
            self._other.sip.press(digit)
            return
        self._keys += digit
        if self._sending is None:
            self._go_on()

    def _go_on(self, _done: asyncio.Future[None] | None = None) -> None:
        keys, self._keys, self._sending = self._keys, "", None
        if keys and not self._other.gone:
            self._sending = self._other.start_digits(keys)
            self._sending.add_done_callback(self._go_on)


def _has_events(leg: Leg) -> bool:
    return leg.audio is not None and leg.audio.dtmf_payload_type is not None


def tied(one: Leg, other: Leg) -> tuple[Tie, Tie]:
    """Both directions, begun."""
    ties = Tie(one, other), Tie(other, one)
    for tie in ties:
        tie.begin()
    return ties
