"""Who answered: instructions that wait for it or do not, and whoever is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callrouter.ports import Answerer, DetectAnswer, MachineDetection, NewCall
from callrouter.testing.world import Callee
from tests.unit.calls.conftest import ACCOUNT, VOICE

OUT = "http://app.test/out"
TOLD = "http://app.test/amd"
SHORT = "<Response><Pause length='1'/></Response>"
LONG = "<Response><Pause length='20'/></Response>"


def out(house: Any, document: str = SHORT, **callee: Any) -> Any:
    return house({OUT: document}, {"+15557777": Callee(**callee)})


def order(wanted: MachineDetection, **rest: Any) -> NewCall:
    return NewCall(ACCOUNT, "+15557777", "+15550100", target=OUT, detection=wanted, **rest)


def asked(h: Any) -> list[dict[str, str]]:
    return [dict(request.parameters) for request in h.fetcher.requests]


async def test_instructions_wait_for_the_verdict_and_are_asked_for_with_it(house: Any) -> None:
    h = out(house)
    h.media.answerer, h.media.detection_seconds = Answerer.MACHINE_START, 3.0
    await h.orders.create(order(MachineDetection(is_awaited=True)))
    await asyncio.sleep(3.5)
    assert asked(h) == [], "answered a second after it was called, and not yet known by whom"
    await h.idle()
    (request,) = asked(h)
    assert (request["AnsweredBy"], request["MachineDetectionDuration"]) == ("machine_start", "3000")
    assert [row[1:] for row in h.log.detections] == [("machine_start", 3000, "")]
    assert h.log.warnings == []


async def test_instructions_that_do_not_wait_say_nothing_and_the_callback_is_told(house: Any) -> None:
    h = out(house, LONG, hangs_up_after=10)
    h.media.answerer, h.media.detection_seconds = Answerer.MACHINE_END_BEEP, 6.0
    await h.orders.create(order(MachineDetection(to_end=True, callback=TOLD)))
    await asyncio.sleep(2)
    (request,) = asked(h)
    assert "AnsweredBy" not in request
    assert h.log.detections == []
    await h.idle()
    assert [row[1:] for row in h.log.detections] == [("machine_end_beep", 6000, TOLD)]


async def test_the_order_reaches_the_engine_in_its_units(house: Any) -> None:
    h = out(house)
    wanted = MachineDetection(True, 12, 1100, 600, 2100, is_awaited=True)
    await h.orders.create(order(wanted))
    await h.idle()
    (given,) = [command for command in h.media.commands if isinstance(command, DetectAnswer)]
    assert (given.to_end, given.timeout_ms) == (True, 12_000)
    assert (given.speech_ms, given.speech_end_ms, given.silence_ms) == (1100, 600, 2100)


@pytest.mark.parametrize("is_awaited", [True, False])
async def test_who_hangs_up_first_stays_unknown_and_that_is_told_before_the_end(
    house: Any, is_awaited: bool
) -> None:
    h = out(house, LONG, hangs_up_after=2)
    h.media.detection_seconds = 9.0
    wanted = MachineDetection(is_awaited=is_awaited, callback="" if is_awaited else TOLD)
    sid = await h.orders.create(order(wanted))
    await h.idle()
    assert h.log.detections == [(sid, "unknown", 2000, wanted.callback)]
    assert len(asked(h)) == (0 if is_awaited else 1)


async def test_without_anybody_to_tell_a_warning_says_so(house: Any) -> None:
    h = out(house)
    await h.orders.create(order(MachineDetection()))
    await h.idle()
    assert [code for code, _ in h.log.warnings] == [21262]


async def test_a_dialled_party_is_connected_at_once_and_told_apart_meanwhile(house: Any) -> None:
    document = (
        f"<Response><Dial><Number machineDetection='DetectMessageEnd' machineDetectionTimeout='7' "
        f"amdStatusCallback='{TOLD}'>+15557777</Number></Dial></Response>"
    )
    h = house({VOICE: document}, {"+15557777": Callee(hangs_up_after=8)})
    h.media.answerer, h.media.detection_seconds = Answerer.FAX, 4.0
    await h.call()
    await asyncio.sleep(2.5)
    legs = [state for state in h.media.legs.values() if state.partner is not None]
    assert len(legs) == 2, "connected"
    assert h.log.detections == []
    await h.idle()
    ((sid, *told),) = h.log.detections
    assert told == ["fax", 4000, TOLD]
    assert sid != h.log.statuses[0][0], "the child was told apart, not the caller"
    (given,) = [command for command in h.media.commands if isinstance(command, DetectAnswer)]
    assert (given.to_end, given.timeout_ms) == (True, 7000)


async def test_nobody_who_did_not_answer_is_told_apart(house: Any) -> None:
    h = out(house, status=486)
    await h.orders.create(order(MachineDetection(is_awaited=True)))
    await h.idle()
    assert h.log.detections == []
