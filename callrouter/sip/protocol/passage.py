"""What one call's descriptions pass on unread: what we last wrote, and what we are to write next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from callrouter.ports import AUDIO_ALONE, PassedLine, Passing
from callrouter.sip.protocol.passed import by_slot, fits, passable
from callrouter.sip.protocol.sdp import MediaLine


class Passage:
    """Of one stream.  While it is not open, lines that are offered are declined."""

    __slots__ = ("_asked", "_before", "is_open", "is_relayed", "is_secret", "kinds", "wanted", "written")

    def __init__(self) -> None:
        self.kinds: frozenset[str] = frozenset()
        """Of lines that may be passed."""
        self.is_secret = False
        """Nobody on the way can read what is written."""
        self.is_open = False
        """Somebody answers for the other call."""
        self.written = AUDIO_ALONE
        self.wanted: Passing | None = None
        self.is_relayed = False
        """Somebody waits for what comes of it: it is not tried again after a glare."""
        self._asked: Passing | None = None
        """What of `wanted` is in an offer that has no answer yet; more may be wanted meanwhile."""
        self._before = AUDIO_ALONE

    def fork(self) -> Passage:
        other = Passage()
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        return other

    def passable(self, lines: Sequence[MediaLine]) -> tuple[PassedLine, ...]:
        return passable(lines, self.kinds, is_secret=self.is_secret)

    def takes(self, lines: Sequence[MediaLine]) -> bool:
        """A description without audio will do."""
        return bool(self.passable(lines)) and (self.is_open or not self.written.has_audio)

    def want(self, passing: Passing, *, is_relayed: bool) -> None:
        self.wanted, self.is_relayed = passing, is_relayed

    @property
    def is_wanting(self) -> bool:
        return self.wanted is not None

    @property
    def is_asked(self) -> bool:
        return self._asked is not None

    def in_offer(self) -> dict[int, PassedLine]:
        if self.wanted is not None:
            if self._asked is None:
                self._before = self.written
            self.written = self._asked = self.wanted
        return by_slot(self.written, is_secret=self.is_secret)

    def in_answer(self, lines: Sequence[MediaLine], *, has_audio: bool) -> dict[int, PassedLine]:
        """Of what is passed, that to which there is a line in their offer."""
        if not self.written.lines and self.written.has_audio is has_audio:
            return {}
        kept = tuple(
            line for line in self.written.lines if line.slot < len(lines) and fits(line, lines[line.slot])
        )
        self.written = Passing(kept, has_audio)
        return by_slot(self.written, is_secret=self.is_secret)

    def settle(self, lines: Sequence[MediaLine]) -> None:
        """They answered our offer: what they did not take is off."""
        self._conclude()
        kept = tuple(
            line for line in self.written.lines if line.slot < len(lines) and fits(line, lines[line.slot])
        )
        self.written = replace(self.written, lines=kept)

    def revert(self, *, forget: bool) -> None:
        """Our offer was refused; everything is as it was.  Unless we `forget`, it is wanted still."""
        if self._asked is None:
            return
        self.written = self._before
        if forget:
            self._conclude()
        self._asked = None

    def _conclude(self) -> None:
        if self.wanted is self._asked:
            self.wanted = None
        self._asked = None
