"""Video and fax that two calls exchange while they are connected: what one wants is offered to the
other, and its answer is the answer.  Nobody here reads any of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import structlog

from callrouter.errors import MediaUnavailable
from callrouter.ports import (
    AUDIO_ALONE,
    CloseLine,
    JoinLines,
    LineEvent,
    LinesAnswered,
    LinesOffered,
    LinesReset,
    LinesRetracted,
    Media,
    OpenedLine,
    PassedLine,
    Passing,
    SetLine,
    SipLeg,
)

if TYPE_CHECKING:
    from callrouter.calls.controller import Controller
    from callrouter.calls.leg import Leg

logger = structlog.get_logger(__name__)

PATIENCE_SECONDS = 25
"""How long one end is given to answer what the other wants."""
GLARE = 491
NOT_ACCEPTABLE = 488
_OURS_ALONE = frozenset({401, 407, 408, 422, 481, 487})
"""Refusals that are about our own request: the other end is told that its wish cannot be met."""


@dataclass(eq=False, slots=True)
class Side:
    """One of the two calls, and the lines it has open, by slot of its descriptions."""

    leg: Leg
    lines: dict[int, OpenedLine] = field(default_factory=dict)
    slots: dict[int, int] = field(default_factory=dict)
    """The other side's slot for each of this side's."""

    @property
    def sip(self) -> SipLeg | None:
        return None if self.leg.gone else self.leg.sip

    @property
    def described(self) -> Passing:
        """What the far end described last."""
        return AUDIO_ALONE if self.sip is None else self.sip.passed_to_us


class Passage:
    """Between the caller's leg and the callee's.  `begin` when they are joined, `end` after it."""

    def __init__(self, media: Media, caller: Leg, callee: Leg) -> None:
        self._media = media
        self._caller = Side(caller)
        self._callee = Side(callee)
        self._asking: Side | None = None
        """Whose offer waits for the other's answer."""
        self._restoring: Side | None = None
        """Who was asked for what nobody wants any more, and is still to answer that, or to be put back."""
        self._is_put_back = False
        """It is asked to be as it was before."""
        self._patience: asyncio.TimerHandle | None = None
        self._has_begun = False
        self._waiting: list[tuple[Passing, Side, Side]] = []
        """Offers that came before the two were joined."""

    # ------------------------------------------------------------------ before they are joined

    def invitation(self) -> tuple[PassedLine, ...]:
        """What the callee is offered besides audio: what the caller offered us."""
        offered = self._caller.described
        return self._dressed(offered, self._caller, self._callee, first_free=1).lines

    def answer(self) -> Passing:
        """What the caller is answered: what the callee accepted."""
        callee = self._callee.sip
        if callee is None or not callee.is_passing:
            return AUDIO_ALONE
        return self._dressed(callee.passed_to_us, self._callee, self._caller)

    def open(self) -> None:
        """From now on nothing is declined that the other end has not been asked for; it waits until
        they are joined."""
        for side, told in ((self._caller, self._from_caller), (self._callee, self._from_callee)):
            if side.sip is not None:
                side.sip.open_passage(True)
                side.leg.on_lines = told

    # ------------------------------------------------------------------ while they are

    def begin(self) -> None:
        """What the callee has accepted and the caller was declined is offered to the caller now."""
        self._has_begun = True
        caller = self._caller.sip
        accepted = self.answer()
        if caller is not None and accepted.lines and not caller.is_passing:
            caller.offer_lines(accepted)
        else:
            self._connect()
        waiting, self._waiting = self._waiting, []
        for offered, side, other in waiting:
            self._offered(offered, side, other)

    def end(self) -> None:
        """Nothing is passed any more; whoever goes on is offered audio alone when it is used again."""
        self._stop_asking()
        for side in (self._caller, self._callee):
            side.leg.on_lines = None
            if side.sip is not None:
                side.sip.open_passage(False)
            self._close(side, list(side.lines))

    def _from_caller(self, event: LineEvent) -> None:
        self._told(event, self._caller, self._callee)

    def _from_callee(self, event: LineEvent) -> None:
        self._told(event, self._callee, self._caller)

    def _told(self, event: LineEvent, side: Side, other: Side) -> None:
        if isinstance(event, LinesOffered):
            self._offered(event.offered, side, other)
        elif isinstance(event, LinesRetracted):
            self._retracted(side, other)
        elif isinstance(event, LinesReset):
            self._replaced(side, other)
        elif self._restoring is side:
            self._restored(event, side, other)
        elif self._asking is other:
            self._answered(event, side, other)
        else:
            self._settled(event, side, other)

    def _offered(self, offered: Passing, side: Side, other: Side) -> None:
        sip, others = side.sip, other.sip
        if sip is None or others is None:
            return
        if not self._has_begun:
            self._waiting.append((offered, side, other))
            return
        if self._asking is not None or self._restoring is not None:
            sip.answer_lines(GLARE)
            return
        if _bare(offered) == _bare(side.described) and self._is_on(side, offered):
            # The same as before from elsewhere: nobody else need know.
            sip.answer_lines(200, self._dressed(other.described, other, side))
            self._connect()
            return
        wanted = self._dressed(offered, side, other)
        if not wanted.lines and not others.is_passing:
            # Nothing of it can ever reach the other end.
            sip.answer_lines(200)
            return
        self._asking = side
        loop = asyncio.get_running_loop()
        self._patience = loop.call_later(PATIENCE_SECONDS, self._lost_patience, other)
        others.offer_lines(wanted, is_relayed=True)

    def _answered(self, event: LinesAnswered, side: Side, other: Side) -> None:
        """`side` says what it makes of the other's offer."""
        self._stop_asking()
        if other.sip is None:
            return
        if event.status == 200:
            other.sip.answer_lines(200, self._dressed(event.answered, side, other))
            self._connect()
        else:
            other.sip.answer_lines(NOT_ACCEPTABLE if event.status in _OURS_ALONE else event.status)

    def _settled(self, event: LinesAnswered, side: Side, other: Side) -> None:
        """`side` answered an offer of our own, or switched something off unasked: the other gets no
        more than that."""
        others = other.sip
        if others is None:
            return
        common = self._dressed(event.answered if event.status == 200 else AUDIO_ALONE, side, other)
        wanted = {line.slot for line in common.lines}
        has = {line.slot for line in other.described.lines}
        if has - wanted and others.is_passing:
            others.offer_lines(common)
        self._connect()

    def _retracted(self, side: Side, other: Side) -> None:
        """`side` wants what it offered no more."""
        self._waiting = [offer for offer in self._waiting if offer[1] is not side]
        if self._asking is side:
            self._recall(other)

    def _recall(self, asked: Side) -> None:
        """Nobody waits for its answer any more; it may have taken the offer all the same."""
        self._stop_asking()
        self._restoring, self._is_put_back = asked, False
        if asked.sip is not None:
            asked.sip.recall_lines()

    def _restored(self, event: LinesAnswered, side: Side, other: Side) -> None:
        """`side` has answered.  What it took is offered back to what the other one has."""
        self._restoring = None
        described = self._dressed(other.described, other, side)
        if event.status == 200 and side.sip is not None and not _is_alike(event.answered, described):
            self._restoring, self._is_put_back = side, True
            side.sip.offer_lines(described)
            return
        self._connect()
        has_audio = side.described.has_audio
        if self._is_put_back and event.status != 200 and has_audio is not other.described.has_audio:
            # One has a fax, the other one audio: they have nothing to say to each other.
            mute = other.leg if has_audio else side.leg
            if mute.on_mute is not None:
                mute.on_mute()

    def _lost_patience(self, asked: Side) -> None:
        asking = self._asking
        self._recall(asked)
        if asking is not None and asking.sip is not None:
            asking.sip.answer_lines(NOT_ACCEPTABLE)

    def _replaced(self, side: Side, other: Side) -> None:
        """Somebody else is at the far end of `side`: offered what the other one has on."""
        was_asking, was_asked = self._asking is side, self._asking is other
        self._stop_asking()
        self._restoring = None
        self._waiting = [offer for offer in self._waiting if offer[1] is not side]
        self._close(side, list(side.lines))
        side.slots.clear()
        other.slots.clear()
        self._match(side, other)
        if was_asking:
            self._recall(other)
        if other.sip is None or side.sip is None or not self._has_begun:
            return
        if was_asked:
            other.sip.answer_lines(GLARE)
        wanted = self._dressed(other.described, other, side)
        if other.sip.is_passing and not was_asking:
            side.sip.offer_lines(wanted)

    def _match(self, side: Side, other: Side) -> None:
        """Lines of one kind are each other's, where `side` has offered such."""
        free = list(side.described.lines)
        for line in other.described.lines:
            found = next((theirs for theirs in free if theirs.kind == line.kind), None)
            if found is not None:
                free.remove(found)
                other.slots[line.slot], side.slots[found.slot] = found.slot, line.slot

    def _stop_asking(self) -> None:
        self._asking = None
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    # ------------------------------------------------------------------ lines

    def _is_on(self, side: Side, offered: Passing) -> bool:
        return all(line.slot in side.lines for line in offered.lines)

    def _dressed(self, passing: Passing, side: Side, other: Side, *, first_free: int = 0) -> Passing:
        """What `side` described, as `other` is to read it: its own slots, our addresses there."""
        lines: list[PassedLine] = []
        passes = frozenset() if other.sip is None else other.sip.passes
        for line in passing.lines:
            if other.sip is not None and line.kind not in passes:
                continue
            slot = self._slot(line.slot, side, other, first_free)
            try:
                opened = other.lines.get(slot) or other.leg.open_line()
            except MediaUnavailable as error:
                logger.warning("line_not_passed", kind=line.kind, error=str(error))
                continue
            other.lines[slot] = opened
            lines.append(replace(line, slot=slot, address=opened.local, control=None))
        return Passing(tuple(lines), passing.has_audio)

    def _slot(self, slot: int, side: Side, other: Side, first_free: int) -> int:
        """The same place as before; that of the audio for whatever has taken its place; else a new one."""
        if side.sip is not None and slot == side.sip.audio_slot and other.sip is not None:
            return other.sip.audio_slot
        known = side.slots.get(slot)
        if known is None:
            least = first_free or (1 if other.sip is None else other.sip.slots)
            known = max([least - 1, *other.slots]) + 1
            side.slots[slot] = known
            other.slots[known] = slot
        return known

    def _connect(self) -> None:
        """Pass on what both ends have on, and give back the ports of everything else."""
        kept: tuple[set[int], set[int]] = set(), set()
        for theirs, ours in self._pairs():
            self._join(theirs, ours)
            kept[0].add(theirs.slot)
            kept[1].add(ours.slot)
        for side, slots in zip((self._caller, self._callee), kept, strict=True):
            self._close(side, [slot for slot in side.lines if slot not in slots])

    def _pairs(self) -> list[tuple[PassedLine, PassedLine]]:
        """What each end described of the lines that both have on."""
        caller, callee = self._caller, self._callee
        heard = {line.slot: line for line in callee.described.lines if line.slot in callee.lines}
        found = []
        for line in caller.described.lines:
            other = heard.get(self._slot(line.slot, caller, callee, 0))
            if other is not None and line.slot in caller.lines and other.kind == line.kind:
                found.append((line, other))
        return found

    def _join(self, theirs: PassedLine, ours: PassedLine) -> None:
        caller, callee = self._caller, self._callee
        a, b = caller.lines[theirs.slot], callee.lines[ours.slot]
        self._media.submit(
            _place(caller, a, theirs),
            _place(callee, b, ours),
            JoinLines(caller.leg.id, a.line, callee.leg.id, b.line),
        )

    def _close(self, side: Side, slots: list[int]) -> None:
        for slot in slots:
            self._media.submit(CloseLine(side.leg.id, side.lines.pop(slot).line))


def passage_of(controller: Controller, callee: Leg) -> Passage:
    """What the call and one it has placed may exchange beside their audio."""
    return callee.passage or Passage(controller.services.media, controller.leg(), callee)


def _is_alike(one: Passing, other: Passing) -> bool:
    return one.has_audio == other.has_audio and _slots(one) == _slots(other)


def _slots(passing: Passing) -> set[int]:
    return {line.slot for line in passing.lines}


def _bare(passing: Passing) -> Passing:
    """Without the addresses."""
    nowhere = [replace(line, address=passing.lines[0].address, control=None) for line in passing.lines]
    return replace(passing, lines=tuple(nowhere))


def _place(side: Side, opened: OpenedLine, line: PassedLine) -> SetLine:
    return SetLine(side.leg.id, opened.line, line.address, line.control, "udptl" if line.is_fax else "rtp")
