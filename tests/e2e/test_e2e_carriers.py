"""SIPp as a carrier: gateways that fail late, who is said to call, and a call that its callee moves."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from callrouter.caller.answering import Manner
from callrouter.caller.hearing import sounds_in
from callrouter.caller.voice import write_hum
from tests.e2e.addresses import free_port
from tests.e2e.sipp import SIPP, Sipp
from tests.e2e.stage import Stage, answer_path, desk, heard, open_stage
from tests.e2e.tracks import assert_partitioned
from tests.patience import PATIENCE_SECONDS

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(SIPP is None, reason="SIPp is not installed (Debian: sip-tester)"),
]
ELSEWHERE = "+15550777"


def announcing(folder: Path, status: int, ms: int) -> Sipp:
    """A gateway that returns what is said to it, and fails after that time."""
    values: dict[str, str | int] = {"status": status, "ms": ms}
    return Sipp("announces_and_fails", "127.0.0.1:9", folder, values=values, options=("-rtp_echo",))


async def test_a_gateway_that_announces_and_then_fails_is_followed_by_the_next(tmp_path: Path) -> None:
    """What it announced is forgotten: the callee of the second one is heard, and told apart."""
    write_hum(tmp_path / "voice.wav", 30_000)
    manner = Manner(tmp_path / "voice.wav", ring_seconds=0.2)
    failing = announcing(tmp_path / "gateway", 503, 500)
    async with desk(tmp_path / "desk", manner, ELSEWHERE) as agent:
        gateways = [
            {"host": "127.0.0.1", "port": failing.port},
            {"host": "127.0.0.1", "port": int(agent.uri.rpartition(":")[2]), "priority": 1},
        ]
        trunks = [{"name": "carrier", "gateways": gateways}]
        async with open_stage(tmp_path, sip={"trunks": trunks}) as stage:
            gateway = await failing.start()
            number = stage.number(f'<Dial callerId="+15550199">{ELSEWHERE}</Dial>')
            async with stage.call(number) as phone:
                await failing.finish(gateway)
                await connected(stage)
                await asyncio.sleep(1)  # to be heard
                await phone.hangup()
                session = await stage.session(phone.story.call_id)
            figures = await stage.server.text("/metrics")
    assert [call["status"] for call in session["calls"]] == ["completed", "completed"]
    assert_partitioned(session)
    label = f'gateway="127.0.0.1:{failing.port}",trunk="carrier"'
    assert f"callrouter_trunk_failovers_total{{{label}}} 1.0" in figures
    assert sounds_in(heard(phone))
    assert sounds_in(agent.heard()) == ()


async def test_who_calls_is_believed_of_trusted_carriers_alone(tmp_path: Path) -> None:
    hosts = {"127.0.0.2": True, "127.0.0.3": False}
    trunks = [
        {"name": f"carrier-{host}", "sources": [f"{host}/32"], "trusted": trusted}
        for host, trusted in hosts.items()
    ]
    said = (
        'P-Asserted-Identity: "Office" <sip:+15550188@carrier.example>',
        "Diversion: <sip:+15550177@carrier.example>;reason=unconditional",
    )
    async with open_stage(tmp_path, sip={"trunks": trunks, "peers": []}) as stage:

        async def shown(host: str, *headers: str) -> tuple[str | None, ...]:
            number = stage.number("<Hangup/>")
            folder = tmp_path / number
            await Sipp("hears_out", stage.server.sip, folder, number, host=host, headers=headers).run()
            form = (await stage.documents.request(answer_path(number))).form
            return tuple(form.get(name) for name in ("From", "CallerName", "ForwardedFrom"))

        private = (*said, "Privacy: id")
        results = await asyncio.gather(*(shown(host, *h) for host in hosts for h in (said, private)))
    assert results == [
        ("+15550188", "Office", "+15550177"),
        ("anonymous", "Anonymous", "+15550177"),
        ("+15550199", None, None),
        ("+15550199", None, None),
    ]


async def test_a_carrier_is_told_who_withholds_the_number_and_whom_the_call_was_for(tmp_path: Path) -> None:
    port = free_port()
    values = {"after_ms": 0, "reached_at": port}
    carrier = Sipp("takes_lossy", "127.0.0.1:9", tmp_path / "carrier", port=port, values=values)
    trunk = {
        "name": "carrier",
        "host": "127.0.0.1",
        "port": port,
        "identity": "p-asserted-identity",
        "diversion": True,
    }
    async with open_stage(tmp_path, sip={"trunks": [trunk]}) as stage:
        number = stage.number(f'<Dial callerId="anonymous">{ELSEWHERE}</Dial>')
        program = await carrier.start()
        async with stage.call(number) as phone:
            await connected(stage)
            await phone.hangup()
        await carrier.finish(program)
    invite = carrier.messages().partition("INVITE ")[2].partition("\n\n")[0]
    assert 'From: "Anonymous" <sip:anonymous@anonymous.invalid>' in invite
    assert "Privacy: id" in invite
    assert f"P-Asserted-Identity: <sip:{number}@" in invite
    assert f"Diversion: <sip:{number}@" in invite


async def connected(stage: Stage) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while [call["status"] for call in await stage.server.calls(To=ELSEWHERE)] != ["in-progress"]:
            await asyncio.sleep(0.1)


async def test_a_callee_moves_the_call_with_the_token_of_its_invite_alone(tmp_path: Path) -> None:
    agent = Sipp("moves_by_token", "127.0.0.1:9", tmp_path / "agent")
    async with open_stage(tmp_path) as stage:
        stage.documents.on("/next", '<Pause length="1"/>')
        target = stage.documents.url("/next").replace(":", "%3A").replace("/", "%2F")
        callee = f"sip:agent@127.0.0.1:{agent.port};callrouter-transfer={target}"
        number = stage.number(f"<Dial><Sip>{callee}</Sip></Dial>")
        program = await agent.start()
        async with stage.call(number) as phone:
            await agent.finish(program)
            session = await stage.session(phone.story.call_id)
        assert len(stage.documents.requests("/next")) == 1
    assert_partitioned(session)
    causes = [interval["cause"] for interval in session["calls"][0]["intervals"]]
    assert causes.count("sip") == 1
