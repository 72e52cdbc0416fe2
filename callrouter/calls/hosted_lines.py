"""Video and fax between two legs face to face within this server: what one end offers the other one is
told, and answers, as by re-INVITE (RFC 3264)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from callrouter.ports import (
    AUDIO_ALONE,
    LineEvent,
    LinesAnswered,
    LinesOffered,
    LinesRetracted,
    MediaAddress,
    PassedLine,
    Passing,
)

GLARE, NOT_ACCEPTABLE, TERMINATED = 491, 488, 487


class InnerLines:
    """Of one end: the part of `SipLeg` that is about lines.  `peer` is the other end's."""

    def __init__(self, host: str, tell: Callable[[LineEvent], None], now_ns: Callable[[], int]) -> None:
        """`host` is where both ends reach each other."""
        self._host = host
        self._tell = tell
        self._now_ns = now_ns
        self.peer = self
        self.written = AUDIO_ALONE
        """What this end has described last, as far as the other one took it."""
        self.told = AUDIO_ALONE
        """What the other one has described last, taken or not."""
        self._is_open = False
        self._asked: Passing | None = None
        """Offered, and not answered yet."""
        self._wanted: Passing | None = None
        """To be offered when the other end's offer has been answered."""

    def invite(self, lines: tuple[PassedLine, ...]) -> None:
        self.peer.told = self._nearby(Passing(lines))

    def accept(self, passing: Passing) -> None:
        """The call is answered, and the lines that it was offered with."""
        self._agree(self.told, passing)

    @property
    def is_passing(self) -> bool:
        return bool(self.written.lines) or not self.written.has_audio

    @property
    def slots(self) -> int:
        return 1 + max((line.slot for line in (*self.written.lines, *self.told.lines)), default=0)

    def open(self, is_open: bool) -> None:
        self._is_open = is_open
        if not is_open:
            self.answer(200, AUDIO_ALONE)

    def offer(self, passing: Passing, *, is_relayed: bool) -> None:
        if self.peer._asked is not None or self._asked is not None:
            if is_relayed:
                self._tell(LinesAnswered(self._now_ns(), GLARE, self.told))
            else:
                self._wanted = passing
            return
        self._asked = self._nearby(passing)
        if self.peer._is_open:
            self.peer._tell(LinesOffered(self._now_ns(), self._asked))
        else:
            self.peer.answer(200, AUDIO_ALONE)

    def recall(self) -> None:
        if self._asked is None:
            return
        self._asked = None
        now_ns = self._now_ns()
        self.peer._tell(LinesRetracted(now_ns))
        self._tell(LinesAnswered(now_ns, TERMINATED, self.told))
        self._go_on()

    def answer(self, status: int, passing: Passing) -> None:
        """What the other end has offered."""
        offered, self.peer._asked = self.peer._asked, None
        if offered is None:
            return
        if status == 200 and not (offered.has_audio or passing.lines):
            status = NOT_ACCEPTABLE
        if status == 200:
            self.told = offered
            self._agree(offered, replace(passing, has_audio=offered.has_audio))
        self.peer._tell(LinesAnswered(self._now_ns(), status, self.peer.told))
        self._go_on()

    def withdraw(self) -> None:
        if self.is_passing:
            self.offer(AUDIO_ALONE, is_relayed=False)

    def _agree(self, offered: Passing, answered: Passing) -> None:
        kinds = {line.slot: line.kind for line in answered.lines}
        kept = tuple(line for line in offered.lines if kinds.get(line.slot) == line.kind)
        self.peer.written = replace(offered, lines=kept)
        self.written = self.peer.told = self._nearby(answered)

    def _go_on(self) -> None:
        for end in (self, self.peer):
            wanted, end._wanted = end._wanted, None
            if wanted is not None:
                end.offer(wanted, is_relayed=False)

    def _nearby(self, passing: Passing) -> Passing:
        """As the other end reaches them: the world is told another host."""
        near = tuple(
            replace(line, address=MediaAddress(self._host, line.address.port), control=None)
            for line in passing.lines
        )
        return replace(passing, lines=near)
