"""Interrupts at any instant of any verb leave nothing behind: no leg, task, recording or interval.

Hang-up by either side, replacement and transfer, two at once, and in the very tick a leg answers.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callrouter.ports import (
    CallStatus,
    EndCause,
    Ended,
    Hangup,
    MediaChanged,
    Replace,
    Route,
    Shutdown,
    Side,
    Transfer,
    causes,
)
from callrouter.testing import virtual_time
from callrouter.testing.world import AUDIO, Callee, LoopTime

VOICE = "http://app.test/voice"
AGENT = "sip:agent@host"
NOUNS = "<Sip url='/whisper'>sip:agent@host</Sip><Sip>sip:other@host</Sip>"
VERBS = {
    "say": "<Say>Hello</Say>",
    "play": "<Play loop='3'>/a.wav</Play>",
    "pause first": "<Pause length='4'/><Say>Late</Say>",
    "row": "<Say>One</Say><Pause length='2'/><Play>/a.wav</Play><Say>Two</Say>",
    "gather": "<Gather numDigits='3' timeout='2'><Say>Press</Say><Pause length='1'/></Gather><Say>None</Say>",
    "record": "<Record action='/next' maxLength='4' timeout='3'/>",
    "dial": f"<Dial action='/next' record='record-from-answer-dual'>{NOUNS}</Dial>",
    "dial on bridge": f"<Dial answerOnBridge='true' timeLimit='3'>{NOUNS}</Dial><Say>After</Say>",
    "dial tel": "<Dial><Number>+15550123</Number></Dial>",
    "redirect": "<Redirect>/next</Redirect>",
    "outside": "<Redirect>sip:agent@host</Redirect>",
    "reject": "<Reject/>",
    "hangup": "<Hangup/>",
}
PAGES = {
    "http://app.test/whisper": "<Response><Say>For you</Say></Response>",
    "http://app.test/next": "<Response><Say>Next</Say></Response>",
    "http://app.test/new": "<Response><Record playBeep='false' maxLength='2' action='/next'/></Response>",
}
CALLEES = {
    AGENT: Callee(rings_after=0.1, answers_after=1.0, hangs_up_after=4.0),
    "sip:other@host": Callee(rings_after=0.2, answers_after=1.5, hangs_up_after=2.0),
    "+15550123": Callee(answers_after=0.5, hangs_up_after=6.0),
}

instants = st.one_of(
    st.floats(0, 12, allow_nan=False),
    # The very ticks at which something answers, ends or times out.
    st.sampled_from([0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 1.05, 1.1, 1.5, 2.0, 2.05, 3.05, 5.0, 5.05]),
)
kinds = st.sampled_from(
    ["bye", "hangup", "replace", "twiml", "transfer", "resume", "shutdown", "key", "child bye"]
)


def _interrupt(house: Any, leg: Any, kind: str) -> None:
    controllers = list(house.services.exchange)
    if not controllers:
        return
    root = next((c for c in controllers if not c.call.facts.parent_sid), controllers[0])
    match kind:
        case "bye":
            if not leg.is_over:
                leg.bye()
        case "child bye":
            for _, child in house.signalling.placed:
                if not child.is_over:
                    child.bye()
        case "hangup":
            root.interrupt(Hangup(Side.US, "api"))
        case "replace":
            root.interrupt(Replace("http://app.test/new"))
        case "twiml":
            controllers[-1].interrupt(Replace(twiml="<Response><Say>Inline</Say></Response>"))
        case "transfer":
            root.interrupt(Transfer("http://app.test/next", "api"))
        case "resume":
            root.interrupt(Transfer("resume:", "event"))
        case "shutdown":
            root.interrupt(Shutdown("restart"))
        case "key":
            if root.call.leg is not None and root.call.leg.id in house.media.legs:
                house.media.press(root.call.leg.id, "5")


@pytest.mark.parametrize("verb", VERBS)
@given(plan=st.lists(st.tuples(instants, kinds, st.booleans()), min_size=1, max_size=3))
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_interrupted_calls_leave_nothing_behind(
    house: Any, tmp_path: Path, verb: str, plan: list[tuple[float, str, bool]]
) -> None:
    async def story() -> None:
        built = house({**PAGES, VOICE: f"<Response>{VERBS[verb]}</Response>"}, CALLEES)
        leg = await built.call()

        async def disturb(at: float, kind: str, twice: bool) -> None:
            await asyncio.sleep(at)
            _interrupt(built, leg, kind)
            if twice:
                _interrupt(built, leg, "bye")

        await asyncio.gather(*(disturb(*step) for step in plan))
        await asyncio.wait_for(built.idle(), 600)
        built.check_nothing_left()

    virtual_time.run(story())


async def test_a_browser_that_closes_its_audio_has_hung_up(house: Any) -> None:
    h = house("<Response><Say loop='0'>Hello</Say></Response>")
    leg = await h.call()
    await asyncio.sleep(1)
    [controller] = h.services.exchange
    controller.call.leg.on_unsecured("closed")
    await h.idle()
    assert (controller.call.status, leg.causes) == (CallStatus.COMPLETED, [causes.NORMAL])
    h.check_nothing_left()


async def test_a_caller_gone_before_the_leg_is_open_leaves_no_call(house: Any) -> None:
    """INVITE and CANCEL in one breath: nobody may be called, metered or looked after for a minute."""
    h = house("<Response><Say loop='0'>Hello</Say></Response>")
    leg = h.ring()
    leg.say(Ended(LoopTime().monotonic_ns(), EndCause.CANCEL, ""))
    await asyncio.sleep(1)
    h.check_nothing_left()
    assert h.fetcher.requests == []
    assert [status for _, status in h.log.statuses][-1] == "no-answer"
    (track,) = h.meter.tracks.values()
    assert track.names() == ["platform.router:setup"]


async def test_a_signal_that_cannot_be_handled_ends_the_call(
    house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    h = house("<Response><Say loop='0'>Hello</Say></Response>")
    leg = await h.call()
    await asyncio.sleep(1)

    def broken(_: Any) -> None:
        raise ValueError("that is no address")

    monkeypatch.setattr(h.root.call.leg, "connect", broken)
    leg.say(MediaChanged(LoopTime().monotonic_ns(), AUDIO))
    await asyncio.sleep(1)
    assert leg.actions[-1] == "hangup"
    h.check_nothing_left()


@pytest.mark.parametrize("ticks", range(8))
async def test_whoever_hangs_up_as_somebody_is_being_called_lets_nobody_ring_on(
    house: Any, ticks: int
) -> None:
    """In the moment between the look-up of where a call goes and its INVITE."""
    pages = {VOICE: f"<Response><Dial><Sip>{AGENT}</Sip></Dial></Response>"}
    h = house(pages, {AGENT: Callee(answers_after=None)})
    known = asyncio.Event()

    async def looks_up(target: str, trunk: str = "") -> Route:
        await known.wait()
        return Route(4)

    h.signalling.route = looks_up
    caller = await h.call()
    await asyncio.sleep(1)
    caller.bye()
    for _ in range(ticks):
        await asyncio.sleep(0)
    known.set()
    await h.idle()
    (child,) = {sid for sid, _ in h.log.statuses} - {
        sid for sid, status in h.log.statuses if status == "in-progress"
    }
    assert [status for sid, status in h.log.statuses if sid == child][-1] == "canceled"
