"""Video and fax between two calls: who is asked, what is answered, and who is put back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from callrouter.calls.hosted_lines import InnerLines
from callrouter.calls.leg import Leg
from callrouter.calls.passage import PATIENCE_SECONDS, Passage
from callrouter.ports import (
    AUDIO_ALONE,
    CloseLine,
    JoinLines,
    LineEvent,
    LinesAnswered,
    LinesOffered,
    LinesReset,
    LinesRetracted,
    MediaAddress,
    PassedLine,
    Passing,
    SetLine,
)
from callrouter.testing.engine import ScriptedMedia
from callrouter.testing.world import LoopTime


def line(kind: str, slot: int, port: int) -> PassedLine:
    profile = "UDPTL" if kind == "image" else "RTP/AVP"
    return PassedLine(slot, kind, profile, ("97",), MediaAddress("192.0.2.1", port))


VIDEO = Passing((line("video", 1, 6000),))
FAX = Passing((line("image", 0, 7000),), has_audio=False)


def shown(passing: Passing) -> str:
    return " ".join(
        [*(["audio"] if passing.has_audio else []), *(f"{x.slot}:{x.kind}" for x in passing.lines)]
    )


@dataclass
class End:
    """The part of a `SipLeg` that is about lines, and its leg; the far end does what a test says."""

    media: ScriptedMedia
    acts: list[str] = field(default_factory=list)
    passes: frozenset[str] = frozenset({"video", "image"})
    passed_to_us: Passing = AUDIO_ALONE
    is_passing: bool = False
    audio_slot: int = 0
    slots: int = 1
    ended: bool = False
    leg: Leg = field(init=False)

    def __post_init__(self) -> None:
        self.leg = Leg(self.media, LoopTime(), 4)
        self.leg.sip = cast(Any, self)
        self.leg.on_mute = lambda: setattr(self, "ended", True)

    def open_passage(self, is_open: bool) -> None:
        self.acts.append("open" if is_open else "close")

    def offer_lines(self, passing: Passing, *, is_relayed: bool = False) -> None:
        self.acts.append(f"offer {shown(passing)}")

    def recall_lines(self) -> None:
        self.acts.append("recall")

    def answer_lines(self, status: int, passing: Passing = AUDIO_ALONE) -> None:
        self.acts.append(f"answer {status} {shown(passing)}" if status == 200 else f"answer {status}")
        self.is_passing = status == 200 and passing != AUDIO_ALONE

    def offers(self, passing: Passing) -> None:
        self.leg.told_lines(LinesOffered(0, passing))

    def takes(self, passing: Passing) -> None:
        """What this end has offered, and what came of it, is described from now on."""
        self.passed_to_us = passing

    def answers(self, status: int, passing: Passing = AUDIO_ALONE) -> None:
        if status == 200:
            self.passed_to_us = passing
            self.is_passing = passing != AUDIO_ALONE
        self.leg.told_lines(LinesAnswered(0, status, self.passed_to_us))

    def did(self) -> list[str]:
        acts, self.acts = self.acts, []
        return acts


@dataclass
class Talk:
    media: ScriptedMedia
    a: End
    b: End
    passage: Passage

    def joined(self) -> bool:
        """Lines of both ends are joined, and have not been closed since."""
        joins = [n for n, c in enumerate(self.media.commands) if isinstance(c, JoinLines)]
        closes = [n for n, c in enumerate(self.media.commands) if isinstance(c, CloseLine)]
        return bool(joins) and joins[-1] > max(closes, default=-1)

    def agree_on(self, passing: Passing) -> None:
        """`a` has it passed, and `b` takes it."""
        self.a.offers(passing)
        self.a.takes(passing)
        self.b.answers(200, passing)
        self.a.did()
        self.b.did()


@pytest.fixture
async def talk() -> Talk:
    media = ScriptedMedia()
    a, b = End(media), End(media)
    passage = Passage(media, a.leg, b.leg)
    passage.open()
    passage.begin()
    assert a.did() == b.did() == ["open"]
    return Talk(media, a, b, passage)


async def test_the_answer_of_one_end_is_the_others(talk: Talk) -> None:
    talk.a.offers(VIDEO)
    assert talk.b.did() == ["offer audio 1:video"]
    assert talk.a.did() == [], "it waits"
    talk.a.takes(VIDEO)
    talk.b.answers(200, Passing((line("video", 1, 8000),)))
    assert talk.a.did() == ["answer 200 audio 1:video"]
    assert talk.joined()
    places = {c.leg: c.remote.port for c in talk.media.commands if isinstance(c, SetLine)}
    assert places == {talk.a.leg.id: 6000, talk.b.leg.id: 8000}


@pytest.mark.parametrize(("status", "told"), [(488, 488), (606, 606), (491, 491), (408, 488), (487, 488)])
async def test_a_refusal_is_passed_on_unless_it_is_about_our_own_request(
    talk: Talk, status: int, told: int
) -> None:
    talk.a.offers(VIDEO)
    talk.b.answers(status)
    assert talk.a.did() == [f"answer {told}"]
    talk.a.offers(VIDEO)
    assert talk.b.did()[-1] == "offer audio 1:video", "and it may ask again"


async def test_of_two_who_want_something_at_once_the_second_is_told_491(talk: Talk) -> None:
    talk.a.offers(VIDEO)
    talk.b.offers(VIDEO)
    assert talk.b.did() == ["offer audio 1:video", "answer 491"]


async def test_what_is_taken_back_is_taken_back_from_who_was_asked(talk: Talk) -> None:
    talk.a.offers(VIDEO)
    talk.a.leg.told_lines(LinesRetracted(0))
    assert talk.b.did() == ["offer audio 1:video", "recall"]
    talk.a.offers(VIDEO)
    assert talk.a.did() == ["answer 491"], "the other end has not said yet that it is over"
    talk.b.answers(487)
    talk.a.offers(VIDEO)
    assert talk.b.did() == ["offer audio 1:video"]


async def test_who_took_what_was_taken_back_is_put_back(talk: Talk) -> None:
    talk.a.offers(VIDEO)
    talk.a.leg.told_lines(LinesRetracted(0))
    talk.b.answers(200, VIDEO)
    assert talk.b.did()[-1] == "offer audio"
    talk.b.answers(200)
    assert not talk.joined()
    assert (talk.a.ended, talk.b.ended) == (False, False)


async def test_who_keeps_the_fax_that_nobody_else_has_is_ended(talk: Talk) -> None:
    talk.a.offers(FAX)
    talk.a.leg.told_lines(LinesRetracted(0))
    talk.b.answers(200, FAX)
    assert talk.b.did()[-1] == "offer audio"
    talk.b.answers(488)
    assert (talk.a.ended, talk.b.ended) == (False, True)


async def test_who_keeps_its_video_is_left_with_it(talk: Talk) -> None:
    talk.a.offers(VIDEO)
    talk.a.leg.told_lines(LinesRetracted(0))
    talk.b.answers(200, VIDEO)
    talk.b.answers(488)
    assert (talk.a.ended, talk.b.ended) == (False, False), "they hear each other"


async def test_who_does_not_answer_in_time_is_taken_to_refuse(talk: Talk) -> None:
    talk.a.offers(VIDEO)
    await asyncio.sleep(PATIENCE_SECONDS - 1)
    assert talk.a.did() == []
    await asyncio.sleep(2)
    assert talk.a.did() == ["answer 488"]
    assert talk.b.did() == ["offer audio 1:video", "recall"]
    talk.b.answers(200, VIDEO)
    assert talk.b.did() == ["offer audio"], "too late"


async def test_whoever_takes_the_place_of_one_end_is_offered_what_the_other_has(talk: Talk) -> None:
    talk.agree_on(VIDEO)
    talk.a.takes(Passing((line("video", 2, 9000),)))
    talk.a.is_passing, talk.a.slots = False, 3
    talk.a.leg.told_lines(LinesReset(0))
    assert talk.a.did() == ["offer audio 2:video"], "its own line of that kind"
    talk.a.answers(200, Passing((line("video", 2, 9000),)))
    assert talk.joined()
    assert talk.b.did() == []


async def test_whoever_takes_the_place_and_has_no_video_ends_it_for_the_other(talk: Talk) -> None:
    talk.agree_on(VIDEO)
    talk.a.takes(AUDIO_ALONE)
    talk.a.is_passing = False
    talk.a.leg.told_lines(LinesReset(0))
    talk.a.answers(488)
    assert talk.b.did() == ["offer audio"]


async def test_who_is_replaced_while_it_is_asked_leaves_the_other_to_ask_again(talk: Talk) -> None:
    talk.b.offers(VIDEO)
    talk.a.leg.told_lines(LinesReset(0))
    assert talk.b.did() == ["answer 491"]
    talk.b.offers(VIDEO)
    assert talk.a.did() == ["offer audio 1:video"] * 2


async def test_at_the_end_nothing_is_passed_and_nobody_is_asked(talk: Talk) -> None:
    talk.agree_on(VIDEO)
    talk.passage.end()
    assert not talk.joined()
    assert talk.a.did() == talk.b.did() == ["close"]
    talk.a.offers(VIDEO)
    assert talk.a.did() == ["answer 200 audio"], "declined in place"


async def test_who_plays_after_a_fax_waits_until_there_is_audio_again(talk: Talk) -> None:
    talk.agree_on(FAX)
    talk.passage.end()
    talk.b.acts.clear()
    talk.b.withdraw_lines = lambda: talk.b.acts.append("withdraw")  # type: ignore[attr-defined]  # it has none
    waiting = talk.b.leg.reclaim()
    assert waiting is not None
    assert talk.b.leg.reclaim() is waiting
    assert not waiting.done()
    talk.b.answers(200)
    assert waiting.done()
    assert talk.b.leg.reclaim() is None
    talk.b.passed_to_us = FAX
    talk.b.leg.reclaim()
    talk.b.answers(488)
    assert talk.b.ended, "it keeps to its fax, and hears nothing"


# -- face to face within the server


def facing(*, are_open: bool = True) -> tuple[InnerLines, InnerLines, list[LineEvent], list[LineEvent]]:
    at_a: list[LineEvent] = []
    at_b: list[LineEvent] = []
    a, b = InnerLines("127.0.0.1", at_a.append, lambda: 5), InnerLines("127.0.0.1", at_b.append, lambda: 5)
    a.peer, b.peer = b, a
    if are_open:
        a.open(True)
        b.open(True)
    return a, b, at_a, at_b


NEAR = Passing((PassedLine(1, "video", "RTP/AVP", ("97",), MediaAddress("127.0.0.1", 6000)),))


async def test_an_inner_end_offers_and_the_other_answers() -> None:
    a, b, at_a, at_b = facing()
    a.offer(VIDEO, is_relayed=True)
    assert at_b == [LinesOffered(5, NEAR)]
    b.answer(200, VIDEO)
    assert at_a == [LinesAnswered(5, 200, NEAR)]
    assert a.is_passing
    assert b.is_passing
    assert (a.told, b.told, a.slots) == (NEAR, NEAR, 2)
    b.withdraw()
    assert at_a[-1] == LinesOffered(5, AUDIO_ALONE)
    a.answer(200, AUDIO_ALONE)
    assert not a.is_passing
    assert not b.is_passing


async def test_an_inner_end_that_passes_nothing_on_declines_at_once_and_is_not_asked() -> None:
    a, b, at_a, at_b = facing(are_open=False)
    a.offer(VIDEO, is_relayed=True)
    assert at_b == []
    assert at_a == [LinesAnswered(5, 200, AUDIO_ALONE)]
    assert not a.is_passing
    b.open(True)
    a.offer(VIDEO, is_relayed=True)
    b.open(False)
    assert len(at_a) == 2, "what was asked before it closed is declined as well"
    assert not b.is_passing


async def test_of_two_inner_offers_the_relayed_one_is_told_491_and_ours_waits() -> None:
    a, b, at_a, at_b = facing()
    a.offer(VIDEO, is_relayed=True)
    b.offer(VIDEO, is_relayed=True)
    assert at_b[-1] == LinesAnswered(5, 491, AUDIO_ALONE)
    b.offer(AUDIO_ALONE, is_relayed=False)
    b.answer(488, AUDIO_ALONE)
    assert at_a == [LinesAnswered(5, 488, AUDIO_ALONE), LinesOffered(5, AUDIO_ALONE)]


async def test_an_inner_end_that_runs_a_document_declines_and_a_fax_is_refused() -> None:
    a, b, at_a, at_b = facing()
    b.open(False)
    a.offer(VIDEO, is_relayed=True)
    a.offer(FAX, is_relayed=True)
    assert at_a == [LinesAnswered(5, 200, AUDIO_ALONE), LinesAnswered(5, 488, AUDIO_ALONE)]
    assert at_b == []
    assert not a.is_passing


async def test_an_inner_offer_is_taken_back() -> None:
    a, b, at_a, at_b = facing()
    a.offer(VIDEO, is_relayed=True)
    a.recall()
    assert at_b[-1] == LinesRetracted(5)
    assert at_a == [LinesAnswered(5, 487, AUDIO_ALONE)]
    b.answer(200, VIDEO)
    assert not b.is_passing, "too late"
