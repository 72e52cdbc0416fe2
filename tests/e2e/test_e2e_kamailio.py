"""Kamailio in between: as a proxy that records its route, as a carrier that wants a password, as the
registrar of a trunk, and in front of our registrar."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from callrouter.caller.answering import Manner
from callrouter.caller.voice import write_hum
from tests.e2e.addresses import free_port
from tests.e2e.baresip import BARESIP, Baresip
from tests.e2e.kamailio import KAMAILIO, SECRET, Kamailio
from tests.e2e.server import Server
from tests.e2e.sipp import SIPP, Sipp
from tests.e2e.stage import NUMBERS, Stage, answer_path, desk, open_stage
from tests.e2e.tracks import assert_partitioned
from tests.patience import PATIENCE_SECONDS

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(KAMAILIO is None, reason="Kamailio is not installed (Debian: kamailio)"),
    pytest.mark.skipif(SIPP is None, reason="SIPp is not installed (Debian: sip-tester)"),
]
WAYS = [("u1", "udp"), ("u1", "tcp"), ("t1", "udp"), ("t1", "tcp")]
"""How the telephone speaks to the proxy, and the proxy to the server."""
OPTIONAL = ' optional="true"'


async def test_calls_through_a_proxy_that_stays_in_the_way(tmp_path: Path) -> None:
    """Hold, resume and a goodbye of the caller; a goodbye of the server; a call given up."""
    async with open_stage(tmp_path) as stage:
        await asyncio.gather(*(calls_through(stage, tmp_path, *way) for way in WAYS))


async def calls_through(stage: Stage, tmp_path: Path, transport: str, onwards: str) -> None:
    server, folder = stage.server, tmp_path / f"{transport}-{onwards}"
    async with Kamailio(folder, server.sip_port, server_transport=onwards) as proxy:

        async def call(scenario: str, document: str, **values: int | str) -> None:
            number = stage.number(document)
            caller = Sipp(
                scenario, proxy.address, folder / scenario, number, transport=transport, values=values
            )
            await caller.run()
            (placed,) = await server.calls(To=number)
            assert_partitioned(await server.session(placed["sid"]))

        await asyncio.gather(
            call("holds", '<Say loop="0">Hello.</Say>', talk_ms=300, hold_ms=300),
            call("hears_out", "<Say>Hello.</Say>"),
            # Which of its two answers is first is up to the proxy, which answers one of them itself.
            call("cancels", '<Pause length="20"/><Say>Nobody.</Say>', patience_ms=500, two_hundred=OPTIONAL),
        )
        within = [line.split() for line in proxy.within()]
    assert Counter(method for method, *_ in within) == {"ACK": 4, "INVITE": 2, "BYE": 2}, within
    theirs, ours = ("tcp" if transport == "t1" else "udp"), onwards
    assert Counter(way for method, way, _ in within if method == "BYE") == Counter((theirs, ours))


@pytest.mark.parametrize(("algorithm", "onwards"), [("MD5", "udp"), ("SHA-256", "tcp")])
async def test_a_carrier_that_wants_a_password_before_it_calls_anybody(
    tmp_path: Path, algorithm: str, onwards: str
) -> None:
    carrier_port = free_port()
    trunk = {
        "name": "carrier",
        "host": "127.0.0.1",
        "port": carrier_port,
        "transport": onwards,
        "username": "line",
        "password": SECRET,
    }
    write_hum(tmp_path / "voice.wav", 300)
    manner = Manner(tmp_path / "voice.wav", ring_seconds=0.2)
    async with (
        open_stage(tmp_path, sip={"trunks": [trunk]}) as stage,
        desk(tmp_path / "desk", manner) as agent,
    ):
        number = stage.number('<Dial callerId="+15550199">+15550777</Dial>')
        async with Kamailio(
            tmp_path / "carrier",
            stage.server.sip_port,
            telephone=int(agent.uri.rpartition(":")[2]),
            server_transport=onwards,
            algorithm=algorithm,
            port=carrier_port,
        ) as carrier:
            async with stage.call(number) as phone:
                asked = await stage.documents.request(f"/answer/{number[1:]}")
                session = await stage.server.session(asked.form["CallSid"])
                await phone.hangup()
            words = carrier.log()
            figures = await stage.server.text("/metrics")
        outbound = [call for call in session["calls"] if call["direction"] != "inbound"]
        assert [call["status"] for call in outbound] == ["completed"], words
        challenged = f'class="4xx",direction="in",method="INVITE",transport="{onwards}",trunk="carrier"'
        assert f"callrouter_sip_responses_total{{{challenged}}} " in figures
        assert "WITHIN ACK" in words
        assert "WITHIN BYE" in words


async def test_a_trunk_that_registers_with_the_carrier_is_called_there(tmp_path: Path) -> None:
    """Also after the registration was renewed, which the carrier grants for 4 of the 60 seconds asked for."""
    carrier_port, digits = free_port(), NUMBERS[-1].removeprefix("+")
    trunk = {
        "name": "line",
        "host": "127.0.0.1",
        "port": carrier_port,
        "username": digits,
        "password": SECRET,
        "register": True,
        "register_seconds": 60,
        "numbers": {"bare": "international"},
    }
    async with open_stage(tmp_path, sip={"trunks": [trunk]}) as stage:
        stage.documents.on(answer_path(f"+{digits}"), "<Say>Hello.</Say>")
        async with Kamailio(
            tmp_path / "carrier", stage.server.sip_port, algorithm="SHA-256", port=carrier_port, longest=4
        ) as carrier:
            # It may have found nobody at first, and tries again after a pause.
            await reaches(stage, 'callrouter_trunk_registered{trunk="line"}', 1)
            answered = 'callrouter_sip_responses_total{class="2xx",direction="in",method="REGISTER"'
            await reaches(stage, f'{answered},transport="udp",trunk="line"}}', 3)
            await Sipp("hears_out", carrier.address, tmp_path / "sipp", number=digits).run()
            (call,) = await stage.server.calls(To=f"+{digits}")
            assert_partitioned(await stage.server.session(call["sid"]))
            assert [line.split()[0] for line in carrier.within()] == ["ACK", "BYE"]


async def reaches(stage: Stage, figure: str, least: float) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await stage.server.figure(figure, unless_there=0) < least:
            await asyncio.sleep(0.1)


@pytest.mark.skipif(BARESIP is None, reason="baresip is not installed (Debian: baresip)")
async def test_telephones_behind_a_proxy_register_call_each_other_and_transfer(tmp_path: Path) -> None:
    """Their registrations bring a Path, and calls to them follow it; what is within a call follows the
    recorded route, both ways."""
    users = [{"name": name, "password": f"{name}-secret"} for name in ("alice", "bob", "carol")]
    sip = {"registrar": {"users": users}, "peers": []}
    async with open_stage(tmp_path, sip=sip) as stage:
        server = stage.server
        number = stage.number('<Dial timeout="60"><Client>bob</Client></Dial>')
        async with (
            Kamailio(tmp_path / "proxy", server.sip_port) as proxy,
            telephone(tmp_path, server, proxy, "alice") as alice,
            telephone(tmp_path, server, proxy, "bob") as bob,
            telephone(tmp_path, server, proxy, "carol") as carol,
        ):
            for phone in (alice, bob, carol):
                await phone.registered()
            await alice.dial(f"sip:{number}@{server.sip}")
            await bob.event("CALL_INCOMING")
            await bob.command("accept")
            await bob.event("CALL_ESTABLISHED")
            await alice.command("hold")
            await asyncio.sleep(0.5)
            await alice.command("resume")
            await asyncio.sleep(0.5)
            await bob.command("transfer", f"sip:carol@{server.sip}")
            await carol.event("CALL_INCOMING")
            await carol.command("accept")
            await bob.event("CALL_CLOSED")
            await carol.command("hangup")
            await alice.event("CALL_CLOSED")
            session = await server.last_session()
            words = proxy.within()
        assert_partitioned(session)
        assert [call["status"] for call in session["calls"]] == ["completed"] * 3
        count = Counter(line.split()[0] for line in words)
        assert (count["BYE"], count["REFER"]) == (3, 1), words
        assert count["NOTIFY"] in (2, 3), words
        assert count["INVITE"] >= 2, words


def telephone(folder: Path, server: Server, proxy: Kamailio, user: str) -> Baresip:
    account = (
        f'<sip:{user}@{server.sip}>;auth_pass={user}-secret;outbound="sip:{proxy.address};lr";regint=120;'
        "answermode=manual;audio_codecs=pcmu\n"
    )
    return Baresip(folder / user, user=user, account=account)
