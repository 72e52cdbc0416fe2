"""Who answered, from the attributes of an order to what is told of it: a person, machines, nobody."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from twilio.rest import Client

from callrouter.caller.answering import Manner
from tests.e2e.documents import Asked
from tests.e2e.rest_client import Elsewhere
from tests.e2e.server import ACCOUNT, TOKEN
from tests.e2e.stage import NUMBERS, Desk, Stage, desk, open_stage
from tests.patience import punctually
from tests.unit.media.sound import chatter, silence, sine, write_wav

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

OWN = NUMBERS[0]
PAUSE = "<Pause length='9'/>"


SAID = {
    "person": silence(0.2) + chatter(0.6) + silence(4),
    "greeting": silence(0.2) + chatter(1.8) + silence(4),
    "answering-machine": silence(0.2) + chatter(1.8) + silence(0.4) + sine(1000, 0.4) + silence(4),
    "nobody": silence(5),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with open_stage(tmp_path_factory.mktemp("detection")) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desks(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Desk]]:
    """Who picks up by name, says so, and stays."""
    folder = tmp_path_factory.mktemp("desks")
    async with AsyncExitStack() as stack:
        opened = {}
        for name, sound in SAID.items():
            manner = Manner(write_wav(folder / f"{name}.wav", sound), ring_seconds=0.1, hang_up=False)
            opened[name] = await stack.enter_async_context(desk(folder / name, manner, user=name))
        yield opened


class Verdicts:
    """Calls by the official client, and what the server tells of them."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._client = Client(ACCOUNT, TOKEN, http_client=Elsewhere(stage.server.api))

    async def of(self, called: Desk, mode: str = "Enable", **wanted: Any) -> tuple[Asked, str]:
        """The request that tells who answered, and `answered_by` of the finished call."""
        path = f"/verdict/{secrets.token_hex(4)}"
        self._stage.documents.on(path, PAUSE)
        where = {"url": self._stage.documents.url(path)}
        if wanted.get("async_amd"):
            where = {
                "twiml": f"<Response>{PAUSE}</Response>",
                "async_amd_status_callback": self._stage.documents.url(path),
            }
        call = await asyncio.to_thread(
            self._client.calls.create,
            to=called.uri,
            from_=OWN,
            machine_detection=mode,
            **where,
            **wanted,
        )
        asked = await self._stage.documents.request(path)
        await asyncio.to_thread(self._client.calls(call.sid).update, status="completed")
        done = await asyncio.to_thread(self._client.calls(call.sid).fetch)
        assert asked.form["CallSid"] == call.sid
        return asked, str(done.answered_by)


PAUSE_SECONDS = 0.1
"""A machine that stands still for longer makes pauses in what is said, and waits of its own."""
QUICK = {"machine_detection_speech_threshold": 1000, "machine_detection_speech_end_threshold": 500}


async def test_the_thresholds_of_an_order_decide_and_its_document_is_asked_for_with_the_verdict(
    stage: Stage, desks: dict[str, Desk]
) -> None:
    cases: list[tuple[str, dict[str, Any], str, int, int]] = [
        ("person", QUICK, "human", 1100, 2100),
        ("greeting", QUICK, "machine_start", 1000, 1900),
        ("greeting", {"machine_detection_speech_end_threshold": 500}, "human", 2300, 3300),
        ("nobody", {"machine_detection_silence_timeout": 2000}, "unknown", 1900, 3400),
        ("nobody", {"machine_detection_timeout": 3}, "unknown", 2900, 4400),
    ]

    async def all_are_told_apart() -> None:
        verdicts = Verdicts(stage)
        found = await asyncio.gather(*(verdicts.of(desks[name], **wanted) for name, wanted, *_ in cases))
        for (name, wanted, answerer, earliest, latest), (asked, recorded) in zip(cases, found, strict=True):
            assert asked.form["AnsweredBy"] == recorded == answerer, (name, wanted)
            assert earliest <= int(asked.form["MachineDetectionDuration"]) <= latest, (name, wanted)
            assert asked.form["CallStatus"] == "in-progress", "the document's own request"

    await punctually(all_are_told_apart, PAUSE_SECONDS)


async def test_a_verdict_nobody_waits_for_is_posted_at_the_end_of_the_greeting(
    stage: Stage, desks: dict[str, Desk]
) -> None:
    async def the_end_is_found() -> None:
        verdicts = Verdicts(stage)
        (beep, recorded), (gone, silent) = await asyncio.gather(
            verdicts.of(desks["answering-machine"], "DetectMessageEnd", async_amd="true", **QUICK),
            verdicts.of(desks["greeting"], "DetectMessageEnd", async_amd="true", **QUICK),
        )
        assert (recorded, silent) == ("machine_end_beep", "machine_end_silence")
        assert set(beep.form) == {"CallSid", "AccountSid", "AnsweredBy", "MachineDetectionDuration"}
        assert beep.form["AnsweredBy"] == recorded
        assert 2400 <= int(beep.form["MachineDetectionDuration"]) <= 3400
        assert 3500 <= int(gone.form["MachineDetectionDuration"]) <= 4800

    await punctually(the_end_is_found, PAUSE_SECONDS)


async def test_a_dialled_party_is_told_apart_while_it_is_connected(
    stage: Stage, desks: dict[str, Desk]
) -> None:
    stage.documents.on("/dialled", "")
    number = stage.number(
        "<Dial><Sip machineDetection='Enable' machineDetectionSpeechThreshold='1000' "
        f"amdStatusCallback='{stage.documents.url('/dialled')}'>{desks['greeting'].uri}</Sip></Dial>"
    )
    async with stage.call(number) as phone:
        told = await stage.documents.request("/dialled")
        assert told.form["AnsweredBy"] == "machine_start"
        calls = {call["sid"]: call for call in await stage.server.calls()}
        child = calls[told.form["CallSid"]]
        assert (child["status"], child["direction"]) == ("in-progress", "outbound-dial")
        assert child["answered_by"] == "machine_start"
        assert calls[child["parent_call_sid"]]["answered_by"] is None
        await phone.hangup()
