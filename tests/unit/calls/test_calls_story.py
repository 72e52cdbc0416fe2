"""Stories of whole calls, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callrouter.errors import FetchFailed, MediaUnavailable, NoSuchFamily
from callrouter.ports import Answered, CallStatus, NewCall, Replace, Transfer
from callrouter.testing.world import AUDIO, Callee, LoopTime
from dispatcher.flows import Application, Instance
from modules.module import Layer, Module, module_sid

ACCOUNT = "AC" + "1" * 32
VOICE = "http://app.test/voice"


def parameters(house: Any, url: str) -> dict[str, str]:
    return dict([order for order in house.fetcher.requests if order.url == url][-1].parameters)


async def test_a_call_hears_its_document_and_is_hung_up_at_the_end(house: Any) -> None:
    h = house("<Response><Say>Hello</Say></Response>")
    leg = await h.call()
    await h.idle()
    assert h.speech.said == ["Hello"]
    assert leg.actions == ["answer", "hangup"]
    (track,) = h.meter.tracks.values()
    assert track.names() == ["demo.self:setup", "demo.self:application"]
    assert [status for _, status in h.log.statuses][-1] == "completed"
    assert h.log.measures == [h.log.statuses[-1][0]], "once, after the end"


async def test_standard_parameters_go_with_the_first_request(house: Any) -> None:
    h = house("<Response/>")
    await h.call()
    await h.idle()
    sent = parameters(h, VOICE)
    assert sent["CallStatus"] == "ringing"
    assert sent["From"] == sent["Caller"] == "+15551234"
    assert sent["To"] == "+15550100"
    assert sent["Direction"] == "inbound"
    assert sent["ApiVersion"] == "2010-04-01"


async def test_an_unknown_number_is_404_and_leaves_no_call(house: Any) -> None:
    h = house("<Response/>")
    leg = await h.call(to="+15559999")
    await h.idle()
    assert leg.actions == ["reject 404"]
    assert h.meter.tracks == {}


@pytest.mark.parametrize(
    ("error", "status"),
    [(MediaUnavailable("all ports are taken"), 503), (NoSuchFamily("no IPv6 address for audio"), 488)],
)
async def test_a_call_without_audio_is_refused_by_whether_trying_again_may_help(
    house: Any, monkeypatch: pytest.MonkeyPatch, error: MediaUnavailable, status: int
) -> None:
    h = house("<Response/>")

    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(h.services.media, "open", refuse)
    leg = await h.call()
    await h.idle()
    assert leg.actions == [f"reject {status}"]
    assert h.log.warnings == [(16000, str(error))]


async def test_too_many_calls_are_503(house: Any) -> None:
    h = house("<Response><Pause length='5'/></Response>")
    h.services.settings = h.services.settings.model_copy(update={"max_calls": 1})
    await h.call()
    second = await h.call()
    assert second.actions == ["reject 503"]
    await h.idle()


async def test_a_burst_gets_no_more_calls_in_than_there_is_room_for(house: Any) -> None:
    h = house("<Response><Pause length='5'/></Response>")
    h.services.settings = h.services.settings.model_copy(update={"max_calls": 3})
    legs = [h.ring() for _ in range(10)]
    await h.begun()
    await h.idle()
    assert [leg.actions for leg in legs].count(["reject 503"]) == 7
    leg = await h.call()
    assert leg.actions != ["reject 503"]
    await h.idle()


async def test_without_a_journal_no_call_is_taken(house: Any) -> None:
    h = house("<Response/>")
    h.meter.writable = False
    leg = await h.call()
    assert leg.actions == ["reject 503"]


@pytest.mark.parametrize(
    "document",
    [
        "<Response/>",
        "<Response><Unknown/></Response>",
        "<Response><Pause/></Response>",
        "<Response><Play digits='xyz'/><Say/></Response>",
        "<Response><Redirect>/nothing</Redirect></Response>",
    ],
)
async def test_a_document_with_nothing_to_do_is_answered_and_hung_up(house: Any, document: str) -> None:
    h = house({VOICE: document, "http://app.test/nothing": "<Response/>"})
    leg = await h.call()
    await h.idle()
    assert [action for action in leg.actions if action != "ring"] == ["answer", "hangup"]
    assert [status for _, status in h.log.statuses][-1] == "completed"


async def test_a_call_lives_no_longer_than_the_settings_allow(house: Any) -> None:
    h = house("<Response><Say>Hello</Say><Pause length='1000'/></Response>")
    h.services.settings = h.services.settings.model_copy(update={"max_call_seconds": 60})
    began = asyncio.get_running_loop().time()
    leg = await h.call()
    await h.idle()
    assert 60 <= asyncio.get_running_loop().time() - began < 61
    assert leg.actions[-1] == "hangup"
    (track,) = h.meter.tracks.values()
    assert track.end_ns is not None


async def test_gathered_digits_reach_the_action(house: Any) -> None:
    h = house(
        {
            VOICE: "<Response><Gather action='/next' numDigits='1'><Say>Press</Say></Gather></Response>",
            "http://app.test/next": "<Response><Say>Thanks</Say></Response>",
        }
    )
    await h.call()
    await asyncio.sleep(1)
    h.press("7")
    await h.idle()
    assert parameters(h, "http://app.test/next")["Digits"] == "7"
    assert h.speech.said == ["Press", "Thanks"]


async def test_a_dead_module_costs_a_spoken_error(house: Any) -> None:
    h = house({VOICE: FetchFailed("refused", url=VOICE, code=11201)})
    leg = await h.call()
    await h.idle()
    assert leg.actions == ["answer", "hangup"]
    assert h.speech.said == ["An application error has occurred. Goodbye."]
    assert h.log.failed_requests == [(11201, "refused")]
    assert h.log.warnings == [], "the developer is told once"


async def test_the_fallback_takes_over_once_with_the_error(house: Any) -> None:
    h = house(
        {VOICE: "not xml", "http://app.test/spare": "<Response><Redirect>/voice</Redirect></Response>"},
        fallback="http://app.test/spare",
    )
    await h.call()
    await h.idle()
    sent = parameters(h, "http://app.test/spare")
    assert sent["ErrorCode"] == "12100"
    assert sent["ErrorUrl"] == VOICE
    assert h.speech.said == ["An application error has occurred. Goodbye."]


async def test_hangup_while_recording_still_requests_the_action(house: Any) -> None:
    h = house(
        {
            VOICE: "<Response><Record action='/done' playBeep='false'/></Response>",
            "http://app.test/done": "<Response><Say>never heard</Say></Response>",
        }
    )
    leg = await h.call()
    await asyncio.sleep(3)
    leg.bye()
    await h.idle()
    sent = parameters(h, "http://app.test/done")
    assert sent["Digits"] == "hangup"
    assert sent["RecordingUrl"].startswith("http://callrouter.test/2010-04-01/Accounts/AC")
    assert sent["CallStatus"] == "completed"
    assert h.speech.said == []


DIAL = "<Response><Dial action='/after'><Sip>sip:agent@host</Sip></Dial></Response>"


async def test_dial_bridges_and_its_action_follows(house: Any) -> None:
    h = house(
        {VOICE: DIAL, "http://app.test/after": "<Response><Say>Bye</Say></Response>"},
        {"sip:agent@host": Callee(answers_after=1, hangs_up_after=10)},
    )
    await h.call()
    await h.idle()
    sent = parameters(h, "http://app.test/after")
    assert sent["DialCallStatus"] == "completed"
    assert sent["DialCallDuration"] == "10"
    assert sent["DialBridged"] == "true"
    root, child = h.meter.tracks.values()
    assert root.names() == [
        "demo.self:setup",
        "demo.self:application",
        "platform.bridge:bridge",
        "demo.self:application",
    ]
    assert root.rows[2][1].via == "demo.self"
    assert all(holder.driven_by for _, holder, _ in child.rows)
    assert child.names()[-1] == "platform.bridge:bridge"


async def test_a_busy_callee_is_reported_to_the_action(house: Any) -> None:
    h = house(
        {VOICE: DIAL, "http://app.test/after": "<Response/>"},
        {"sip:agent@host": Callee(answers_after=1, status=486)},
    )
    await h.call()
    await h.idle()
    assert parameters(h, "http://app.test/after")["DialCallStatus"] == "busy"


async def test_a_callee_that_hangs_up_in_the_tick_it_answers_did_answer(house: Any) -> None:
    h = house(
        {VOICE: DIAL, "http://app.test/after": "<Response/>"}, {"sip:agent@host": Callee(answers_after=None)}
    )
    await h.call()
    await asyncio.sleep(1)
    (_, callee) = h.signalling.placed[0]
    callee.say(Answered(LoopTime().monotonic_ns(), AUDIO, {}))
    callee.bye()
    await h.idle()
    assert parameters(h, "http://app.test/after")["DialCallStatus"] == "completed"


async def test_an_unreachable_callee_is_failed(house: Any) -> None:
    h = house({VOICE: DIAL, "http://app.test/after": "<Response/>"})
    await h.call()
    await h.idle()
    assert parameters(h, "http://app.test/after")["DialCallStatus"] == "failed"


async def test_the_caller_leaving_a_bridge_ends_the_callee_and_requests_the_action(house: Any) -> None:
    h = house(
        {VOICE: DIAL, "http://app.test/after": "<Response/>"}, {"sip:agent@host": Callee(answers_after=1)}
    )
    leg = await h.call()
    await asyncio.sleep(20)
    leg.bye()
    await h.idle()
    assert parameters(h, "http://app.test/after")["CallStatus"] == "completed"
    assert h.signalling.placed[0][1].actions == ["hangup"]


async def test_the_caller_hears_what_the_callee_sends_before_it_answers(house: Any) -> None:
    h = house(
        "<Response><Dial><Sip>sip:agent@host</Sip></Dial></Response>",
        {"sip:agent@host": Callee(rings_after=0.5, early=True, answers_after=4, hangs_up_after=2)},
    )
    await h.call()
    await asyncio.sleep(2)
    legs = list(h.media.legs.values())
    assert [leg.partner for leg in legs] != [None, None]
    assert not h.root.services.exchange.session(h.root.call.sid)[1].call.is_answered
    await h.idle()


async def test_star_hands_the_caller_back(house: Any) -> None:
    h = house(
        "<Response><Dial hangupOnStar='true'><Sip>sip:agent@host</Sip></Dial><Say>Back</Say></Response>",
        {"sip:agent@host": Callee(answers_after=1)},
    )
    await h.call()
    await asyncio.sleep(5)
    h.press("*")
    await h.idle()
    assert h.speech.said == ["Back"]


async def test_a_whisper_runs_on_the_callee_before_the_bridge(house: Any) -> None:
    h = house(
        {
            VOICE: "<Response><Dial><Number url='/whisper'>+15550123</Number></Dial></Response>",
            "http://app.test/whisper": "<Response><Say>A call for you</Say></Response>",
        },
        {"+15550123": Callee(answers_after=1, hangs_up_after=30)},
    )
    await h.call()
    await h.idle()
    assert h.speech.said == ["A call for you"]
    sent = parameters(h, "http://app.test/whisper")
    assert sent["Direction"] == "outbound-dial"
    assert sent["ParentCallSid"] != sent["CallSid"]
    _, child = h.meter.tracks.values()
    assert any(holder.on_behalf_of == ACCOUNT for _, holder, _ in child.rows)


async def test_new_instructions_replace_the_running_verb(house: Any) -> None:
    h = house(
        {
            VOICE: "<Response><Pause length='100'/></Response>",
            "http://app.test/new": "<Response><Say>New</Say></Response>",
        }
    )
    await h.call()
    await asyncio.sleep(2)
    await h.orders.interrupt(h.root.call.sid, Replace("http://app.test/new"))
    await h.idle()
    assert h.speech.said == ["New"]


async def test_replacing_a_bridged_parent_ends_the_callee(house: Any) -> None:
    h = house({VOICE: DIAL}, {"sip:agent@host": Callee(answers_after=1)})
    await h.call()
    await asyncio.sleep(5)
    await h.orders.interrupt(h.root.call.sid, Replace(twiml="<Response><Say>Alone</Say></Response>"))
    await h.idle()
    assert h.speech.said == ["Alone"]
    assert h.signalling.placed[0][1].is_over


async def test_a_child_with_a_document_of_its_own_leaves_its_parent(house: Any) -> None:
    h = house(
        {VOICE: DIAL, "http://app.test/after": "<Response><Say>Parent</Say></Response>"},
        {"sip:agent@host": Callee(answers_after=1)},
    )
    await h.call()
    await asyncio.sleep(5)
    child = next(c for c in h.services.exchange if c.call.facts.parent_sid)
    await h.orders.interrupt(child.call.sid, Replace(twiml="<Response><Say>Child</Say></Response>"))
    await h.idle()
    assert sorted(h.speech.said) == ["Child", "Parent"]
    assert h.meter.sessions == {child.call.sid: child.call.sid}
    assert child.call.split_from
    assert not h.meter.tracks[child.call.sid].rows[-1][1].driven_by


async def test_a_transfer_to_resume_ends_the_bridge_and_the_document_goes_on(house: Any) -> None:
    h = house(
        "<Response><Dial><Sip>sip:agent@host</Sip></Dial><Say>Where were we</Say></Response>",
        {"sip:agent@host": Callee(answers_after=1)},
    )
    await h.call()
    await asyncio.sleep(5)
    await h.orders.interrupt(h.root.call.sid, Transfer("resume:", "api"))
    await h.idle()
    assert h.speech.said == ["Where were we"]
    root = next(iter(h.meter.tracks.values()))
    assert root.rows[-1][2].value == "resume"


async def test_a_call_by_api_is_placed_and_runs_its_document(house: Any) -> None:
    h = house(
        {"http://app.test/out": "<Response><Say>Hello there</Say></Response>"},
        {"+15557777": Callee(answers_after=2)},
    )
    await h.orders.create(NewCall(ACCOUNT, "+15557777", "+15550100", target="http://app.test/out"))
    await h.idle()
    assert h.speech.said == ["Hello there"]
    assert parameters(h, "http://app.test/out")["Direction"] == "outbound-api"
    assert [status for _, status in h.log.statuses] == [
        "queued",
        "initiated",
        "ringing",
        "in-progress",
        "completed",
    ]


async def test_a_ringing_call_can_be_canceled(house: Any) -> None:
    h = house({}, {"+15557777": Callee(answers_after=None)})
    sid = await h.orders.create(NewCall(ACCOUNT, "+15557777", "+15550100", twiml="<Response/>"))
    await asyncio.sleep(3)
    assert await h.orders.cancel(sid)
    await h.idle()
    assert h.log.statuses[-1] == (sid, "canceled")


async def test_an_unanswered_call_by_api_ends_as_no_answer(house: Any) -> None:
    h = house({}, {"+15557777": Callee(answers_after=None)})
    await h.orders.create(NewCall(ACCOUNT, "+15557777", "+15550100", twiml="<Response/>", timeout_seconds=20))
    await h.idle()
    assert h.log.statuses[-1][1] == CallStatus.NO_ANSWER.value


def application() -> dict[str, Any]:
    def module(code: str, layer: Layer, inlet: str) -> Module:
        return Module(
            code=code, owner=code.split(".")[0], layer=layer, inlet=inlet, sid=module_sid(code), is_open=True
        )

    flow = Application(
        sid="AP" + "a" * 32,
        name="demo",
        account_sid=ACCOUNT,
        start="menu",
        instances={
            "menu": Instance("menu", "acme.menu"),
            "bridge": Instance("bridge", "platform.bridge", (("target", "sip:agent@host"),)),
            "survey": Instance("survey", "beta.survey"),
        },
        edges={("menu", "agent"): "bridge"},
        events={("bridge", "ended"): "survey", ("bridge", "failed"): "survey"},
    )
    return {
        "modules": [
            module("acme.menu", Layer.APPLICATION, "http://acme.test/menu"),
            module("beta.survey", Layer.SERVICE, "http://beta.test/survey"),
        ],
        "applications": [flow],
    }


MENU = "<Response><Redirect>outlet:agent</Redirect></Response>"


async def test_three_owners_take_turns_by_outlet_and_event_mapping(house: Any) -> None:
    h = house(
        {
            "http://acme.test/menu": f"<Response><Say>Menu</Say>{MENU[10:]}",
            "http://beta.test/survey": "<Response><Say>Survey</Say></Response>",
        },
        {"sip:agent@host": Callee(answers_after=1, hangs_up_after=5)},
        target="app:AP" + "a" * 32,
        snapshot=application(),
    )
    await h.call()
    await h.idle()
    assert h.speech.said == ["Menu", "Survey"]
    root = next(iter(h.meter.tracks.values()))
    assert root.names() == [
        "acme.menu:setup",
        "acme.menu:application",
        "platform.bridge:bridge",
        "beta.survey:service",
    ]
    assert [cause.value for _, _, cause in root.rows] == ["arrival", "answer", "outlet", "event"]


async def test_a_bridge_that_does_not_come_about_takes_its_failed_mapping(house: Any) -> None:
    h = house(
        {"http://acme.test/menu": MENU, "http://beta.test/survey": "<Response><Say>Survey</Say></Response>"},
        {"sip:agent@host": Callee(answers_after=1, status=486)},
        target="app:AP" + "a" * 32,
        snapshot=application(),
    )
    await h.call()
    await h.idle()
    assert h.speech.said == ["Survey"]


async def test_an_unwired_outlet_warns_and_the_document_goes_on(house: Any) -> None:
    h = house("<Response><Redirect>outlet:nowhere</Redirect><Say>Still here</Say></Response>")
    await h.call()
    await h.idle()
    assert h.speech.said == ["Still here"]
    assert any("outlet" in message for _, message in h.log.warnings)


async def test_a_redirect_loop_ends_with_an_error(house: Any) -> None:
    h = house("<Response><Redirect/></Response>")
    await h.call()
    await h.idle()
    assert h.speech.said == ["An application error has occurred. Goodbye."]
    assert len(h.fetcher.requests) <= 51


async def test_a_document_may_play_its_own_recording_without_a_request(house: Any) -> None:
    h = house({VOICE: "<Response/>", "http://app.test/out": "<Response/>"})
    sid = "RE" + "a" * 32
    folder = h.services.recordings / ACCOUNT
    folder.mkdir(parents=True)
    (folder / f"{sid}.wav").write_bytes(b"RIFF")
    url = f"http://callrouter.test/2010-04-01/Accounts/{ACCOUNT}/Recordings/{sid}"
    h.fetcher.pages[VOICE] = [f"<Response><Play>{url}</Play></Response>"]
    await h.call()
    await h.idle()
    assert [prompt.key for prompt in h.media.prompts] == [sid]


async def test_an_order_to_record_keeps_the_whole_call(house: Any) -> None:
    h = house({}, {"+15557777": Callee(answers_after=1)})
    document = "<Response><Say>Hello</Say></Response>"
    await h.orders.create(NewCall(ACCOUNT, "+15557777", "+15550100", twiml=document, record=True))
    await h.idle()
    assert [row.split()[0] for row in h.log.recordings] == ["started", "ended"]
