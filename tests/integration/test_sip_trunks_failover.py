"""Carriers with several gateways: which are tried, which are watched, whose calls are taken."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from callrouter.errors import Unroutable
from callrouter.ports import (
    Answered,
    Confirmed,
    EarlyEnded,
    Failed,
    InfoDigit,
    MediaAddress,
    OutgoingCall,
    ReferProgress,
    Ringing,
    SignalEvent,
    SipLeg,
)
from callrouter.sip.registrar_settings import RegistrarSettings, User
from callrouter.sip.settings import Listen, Trunk
from callrouter.sip.trunk_settings import Gateway, Numbers
from tests.e2e.addresses import free_port, taken
from tests.integration.sip_peer import MEDIA, Peer, hurry_no_answer, peer
from tests.integration.test_sip_sipp import SIPP, scenario, server, sipp
from tests.integration.test_sip_trunks_registrar import filled_in
from tests.narrowing import as_a
from tests.patience import until

CALL = OutgoingCall("+15550101", "+15550100", "", MEDIA)


@contextmanager
def silent() -> Iterator[int]:
    """A port where datagrams arrive and nobody answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        yield deaf.getsockname()[1]


def trunk(*ports: int, transport: str = "udp", **more: object) -> Trunk:
    gateways = [
        Gateway(host="127.0.0.1", port=port, transport=transport, priority=n) for n, port in enumerate(ports)
    ]
    return Trunk(name="carrier", gateways=tuple(gateways), **more)


def rejecting(status: int) -> Callable[[SipLeg], None]:
    return lambda leg: leg.reject(status)


@pytest.mark.parametrize("host", ["nowhere.invalid", "2001:db8::1"])
async def test_a_gateway_that_cannot_be_found_or_reached_is_followed_by_the_next(host: str) -> None:
    async with peer() as good:
        gateways = (Gateway(host=host, transport="udp"), *trunk(good.port()).gateways)
        async with peer(trunks=(Trunk(name="carrier", gateways=gateways),)) as ours:
            assert (await ours.signalling.route("+15550101")).family == 4
            ours.signalling.place(CALL, ours.sink)
            await ours.wait(lambda: bool(ours.told(Answered)))
        async with peer(trunks=(Trunk(name="carrier", gateways=gateways[:1]),)) as ours:
            with pytest.raises(Unroutable, match=r"names nobody|needs IPv6"):
                await ours.signalling.route("+15550101")


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
async def test_a_gateway_that_cannot_is_followed_by_the_next(status: int) -> None:
    async with peer() as bad, peer() as good:
        bad.on_call = rejecting(status)
        async with peer(trunks=(trunk(bad.port(), good.port()),)) as ours:
            leg = ours.signalling.place(CALL, ours.sink)
            await ours.wait(lambda: bool(ours.told(Answered)))
            assert [len(bad.legs), len(good.legs)] == [1, 1]
            assert leg.source.port == good.port()
            assert not ours.told(Failed)
            gateway = f"gateway=127.0.0.1:{bad.port()}"
            assert ours.metrics.counts["trunk_failovers", gateway, "trunk=carrier"] == 1
            leg.hangup()


async def test_what_a_gateway_announces_ends_with_it() -> None:
    """The next one rings first, and then announces something itself."""
    taken: list[SipLeg] = []
    async with peer() as bad, peer() as good:

        def announce_and_fail(leg: SipLeg) -> None:
            leg.progress(MEDIA)
            leg.reject(503)

        bad.on_call, good.on_call = announce_and_fail, taken.append
        async with peer(trunks=(trunk(bad.port(), good.port()),)) as ours:
            leg = ours.signalling.place(CALL, ours.sink)
            await good.wait(lambda: bool(taken))
            taken[0].ring()
            taken[0].progress(MediaAddress("127.0.0.1", 40002))
            await ours.wait(lambda: len(ours.events) == 4)
            taken[0].answer(MediaAddress("127.0.0.1", 40002))
            await ours.wait(lambda: bool(ours.told(Answered)))
            heard, ended, rings, again, answered = ours.events
            assert [port_of(event) for event in (heard, rings, again)] == [40000, 0, 40002]
            as_a(EarlyEnded, ended)
            assert as_a(Answered, answered).audio.remote.port == 40002
            leg.hangup()


def port_of(event: SignalEvent) -> int:
    """Where early media comes from; 0 = there is none."""
    early = as_a(Ringing, event).early
    return 0 if early is None else early.remote.port


@pytest.mark.parametrize("status", [404, 480, 484, 486, 488, 600, 603, 513])
async def test_what_the_callee_answered_is_final(status: int) -> None:
    async with peer() as first, peer() as second:
        first.on_call = rejecting(status)
        async with peer(trunks=(trunk(first.port(), second.port()),)) as ours:
            ours.signalling.place(CALL, ours.sink)
            await ours.wait(lambda: bool(ours.told(Failed)))
            assert [event.status for event in ours.told(Failed)] == [status]
            assert second.legs == []


async def test_a_busy_callee_behind_a_vague_status_is_final() -> None:
    async with peer() as first, peer() as second:
        first.on_call = lambda leg: leg.reject(503, "", (("Reason", "Q.850;cause=17"),))
        async with peer(trunks=(trunk(first.port(), second.port()),)) as ours:
            ours.signalling.place(CALL, ours.sink)
            await ours.wait(lambda: bool(ours.told(Failed)))
            assert [(event.status, event.q850) for event in ours.told(Failed)] == [(503, 17)]
            assert second.legs == []


async def test_a_gateway_that_asks_to_be_left_alone_comes_behind_the_others_for_so_long() -> None:
    async with peer() as full, peer() as good:
        full.on_call = lambda leg: leg.reject(503, "", (("Retry-After", "200 (full);duration=9"),))
        async with peer(trunks=(trunk(full.port(), good.port()),)) as ours:
            for _ in range(3):
                leg = ours.signalling.place(CALL, ours.sink)
                await ours.wait(lambda: bool(ours.told(Answered)))
                ours.events.clear()
                assert len(full.legs) == 1
                leg.hangup()
            assert len(good.legs) == 3
            good.on_call = rejecting(500)
            ours.signalling.place(CALL, ours.sink)
            await ours.wait(lambda: bool(ours.told(Failed)))
            assert len(full.legs) == 2, "better than nothing"
            ours.skip(190)
            assert ours.signalling._trunks.resting
            ours.skip(20)
            assert not ours.signalling._trunks.resting
            ours.signalling.place(CALL, ours.sink)
            await full.wait(lambda: len(full.legs) == 3)


async def test_a_silent_gateway_is_given_up_in_time_and_answers_too_late() -> None:
    with silent() as port:
        async with peer() as good, peer(trunks=(trunk(port, good.port(), try_seconds=0.3),)) as ours:
            begun = asyncio.get_running_loop().time()
            leg = ours.signalling.place(CALL, ours.sink)
            await ours.wait(lambda: bool(ours.told(Answered)))
            assert asyncio.get_running_loop().time() - begun < 30, (
                "an INVITE alone would be given up after 32"
            )
            leg.hangup()


async def test_a_gateway_that_refuses_connections_is_followed_by_the_next() -> None:
    closed = free_port()
    async with peer() as good, peer(trunks=(trunk(closed, good.port(1), transport="tcp"),)) as ours:
        leg = ours.signalling.place(CALL, ours.sink)
        await ours.wait(lambda: bool(ours.told(Answered)))
        leg.hangup()


async def test_when_all_have_failed_the_last_failure_is_told() -> None:
    async with peer() as first, peer() as second:
        first.on_call, second.on_call = rejecting(503), rejecting(500)
        async with peer(trunks=(trunk(first.port(), second.port()),)) as ours:
            ours.signalling.place(CALL, ours.sink)
            await ours.wait(lambda: bool(ours.told(Failed)))
            assert [event.status for event in ours.told(Failed)] == [500]


async def test_a_call_given_up_while_a_gateway_is_silent_goes_nowhere_else() -> None:
    with silent() as port:
        async with peer() as good, peer(trunks=(trunk(port, good.port(), try_seconds=0.2),)) as ours:
            ours.signalling.place(CALL, ours.sink).hangup()
            await asyncio.sleep(0.5)
            assert [event.status for event in ours.told(Failed)] == [487]
            assert good.legs == []


@pytest.mark.e2e
@pytest.mark.skipif(SIPP is None, reason="SIPp is not installed")
async def test_sipp_without_a_line_is_followed_by_sipp_with_one(tmp_path: Path) -> None:
    full, free = free_port(), free_port()
    (tmp_path / "full").mkdir()
    scenario = filled_in("unavailable_gateway", tmp_path, status=503)
    async with (
        peer(trunks=(trunk(full, free),)) as ours,
        sipp(tmp_path / "full", *scenario, "-p", str(full), "-m", "10"),
        sipp(tmp_path, "-sn", "uas", "-p", str(free), "-m", "10"),
    ):
        await taken(full)
        await taken(free)
        legs = [ours.signalling.place(CALL, ours.sink) for _ in range(10)]
        await ours.wait(lambda: len(ours.told(Answered)) == 10)
        for leg in legs:
            leg.hangup()
        assert ours.told(Failed) == []


# -- health


async def test_a_gateway_that_went_away_gets_no_calls_until_it_is_back() -> None:
    port = free_port()

    def are_up(ours: Peer) -> list[float | None]:
        ports = [gateway.port for gateway in ours.signalling.trunk_states()[0].gateways]
        names = [("trunk_gateway_up", f"gateway=127.0.0.1:{port}", "trunk=carrier") for port in ports]
        return [ours.metrics.gauges.get(name) for name in names]

    async with peer() as spare, peer(trunks=(trunk(port, spare.port(), health_seconds=0.2),)) as ours:
        await until(lambda: are_up(ours) == [0, 1])
        gone, other = ours.signalling.trunk_states()[0].gateways
        assert (gone.port, gone.is_up, gone.reason) == (port, False, "no answer")
        assert (other.port, other.is_up) == (spare.port(), True)
        leg = ours.signalling.place(CALL, ours.sink)
        assert leg.source.port == spare.port(), "at once"
        await ours.wait(lambda: bool(ours.told(Answered)))
        leg.hangup()
        async with peer(listen=(Listen(port=port),)) as back:
            await until(lambda: are_up(ours)[0])
            assert ours.signalling.trunk_states()[0].gateways[0].is_up
            ours.signalling.place(CALL, ours.sink)
            await until(lambda: bool(back.legs))


# -- registration with a carrier, and calls from it


def carriers_side() -> RegistrarSettings:
    return RegistrarSettings(
        users=(User(name="office", password="secret"),), algorithms=("SHA-256", "MD5"), min_seconds=60
    )


async def test_we_register_with_a_carrier_and_its_calls_find_us() -> None:
    async with peer(registrar=carriers_side()) as carrier:
        account = trunk(
            carrier.port(),
            username="office",
            password="secret",
            register=True,
            register_seconds=30,  # refused with 423: the carrier wants 60
            owned=("+44207*",),
            numbers=Numbers(country_code="44", style="national"),
        )
        async with peer(trunks=(account,)) as ours:
            await until(lambda: ours.metrics.gauges.get(("trunk_registered", "trunk=carrier")) == 1)
            call = OutgoingCall("client:office", "02071838751", "", MEDIA)
            carrier.signalling.place(call, carrier.sink)
            await carrier.wait(lambda: bool(carrier.told(Failed)))
            assert carrier.told(Failed)[0].status == 404, "To names no number of ours"
            assert ours.legs == []
        await until(lambda: not _registered(carrier))


def _registration(ours: Peer) -> tuple[str, str]:
    """State and reason."""
    found = ours.signalling.trunk_states()[0].registration
    return (found.state, found.detail.partition(" ")[0]) if found is not None else ("", "")


def _registered(carrier: Peer) -> bool:
    registrar = carrier.signalling._agent.registrar
    return registrar is not None and len(registrar.bindings) > 0


async def test_a_wrong_password_is_tried_once_and_then_not_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hurry_no_answer(monkeypatch)
    async with peer(registrar=carriers_side()) as carrier:
        account = trunk(carrier.port(), username="office", password="guess", register=True)
        async with peer(trunks=(account,)) as ours:
            received = ("sip_messages", "direction=in", "method=REGISTER", "transport=udp", "trunk=")
            await until(lambda: _registration(ours) == ("failed", "403"))
            await asyncio.sleep(0.3)
            assert carrier.metrics.counts[received] == 2
            assert ours.metrics.gauges["trunk_registered", "trunk=carrier"] == 0


async def test_calls_from_a_carrier_come_in_e164_with_whom_it_vouches_for() -> None:
    async with peer() as carrier:
        account = Trunk(
            name="carrier",
            sources=("127.0.0.1/32",),
            owned=("+442071838750",),
            numbers=Numbers(country_code="44", bare="international"),
        )
        async with peer(trunks=(account,), peers=()) as ours:
            headers = (
                ("P-Asserted-Identity", '"Office" <sip:02071838799@carrier.example>'),
                ("Diversion", "<sip:02071830000@carrier.example>;reason=unconditional"),
            )
            call = OutgoingCall(f"sip:02071838750@127.0.0.1:{ours.port()}", "0123", "", MEDIA, headers)
            leg = carrier.signalling.place(call, carrier.sink)
            await ours.wait(lambda: bool(ours.legs))
            arrived = ours.legs[0]
            assert arrived.request_uri == f"sip:+442071838750@127.0.0.1:{ours.port()}"
            assert arrived.from_uri == "sip:+442071838799@carrier.example"
            assert arrived.from_name == "Office"
            assert arrived.headers["Diversion"] == "<sip:+442071830000@carrier.example>"
            leg.hangup()
            other = OutgoingCall(f"sip:02071838759@127.0.0.1:{ours.port()}", "0123", "", MEDIA)
            carrier.signalling.place(other, carrier.sink)
            await carrier.wait(lambda: 404 in {event.status for event in carrier.told(Failed)})
            assert len(ours.legs) == 1


async def test_a_carrier_that_has_to_prove_itself_does() -> None:
    account = Trunk(name="carrier", sources=("127.0.0.1/32",), inbound_username="c", inbound_password="p")
    taken: list[SipLeg] = []
    async with peer() as carrier, peer(trunks=(account,), peers=()) as ours:
        ours.on_call = taken.append
        target = f"sip:+15550101@127.0.0.1:{ours.port()}"
        for password in ("wrong", "p"):
            call = OutgoingCall(target, "+15550100", "", MEDIA, username="c", password=password)
            carrier.signalling.place(call, carrier.sink)
        await carrier.wait(lambda: bool(carrier.told(Failed)))
        await ours.wait(lambda: bool(taken))
        assert [event.status for event in carrier.told(Failed)] == [403]
        assert len(taken) == 1
        taken[0].reject(486)


@pytest.mark.e2e
@pytest.mark.skipif(SIPP is None, reason="SIPp is not installed")
async def test_sipp_calls_as_a_carrier_and_asks_for_a_password_within_its_call(tmp_path: Path) -> None:
    """It checks the answers: to a re-INVITE, a REFER and the BYE."""
    account = Trunk(
        name="carrier", sources=("127.0.0.1/32",), host="127.0.0.9", username="alice", password="secret"
    )
    async with peer(trunks=(account,), peers=()) as ours:
        ours.on_call = lambda leg: leg.answer(MEDIA)
        async with sipp(tmp_path, *scenario("challenges_within"), "-m", "1", server(ours, "u1")):
            await ours.wait(lambda: bool(ours.told(Confirmed)))
            ours.legs[0].hold(True)
            await ours.wait(lambda: bool(ours.told(InfoDigit)))
            ours.legs[0].refer("sip:carol@127.0.0.1")
            await ours.wait(lambda: bool(ours.told(ReferProgress)))
            assert [event.status for event in ours.told(ReferProgress)] == [202]
            ours.legs[0].hangup()


@pytest.mark.parametrize("trusts", [True, False])
async def test_what_a_peer_says_of_identity_counts_only_if_it_is_trusted(trusts: bool) -> None:
    async with peer() as theirs, peer(trusted_peers=trusts) as ours:
        headers = (("P-Asserted-Identity", "<sip:+15550199@x.example>"), ("X-Mine", "yes"))
        call = OutgoingCall(f"sip:+15550101@127.0.0.1:{ours.port()}", "+15550100", "", MEDIA, headers)
        leg = theirs.signalling.place(call, theirs.sink)
        await ours.wait(lambda: bool(ours.legs))
        assert (ours.legs[0].from_uri == "sip:+15550199@x.example") is trusts
        assert ("P-Asserted-Identity" in ours.legs[0].headers) is trusts
        assert ours.legs[0].headers["X-Mine"] == "yes"
        leg.hangup()


async def test_a_private_call_of_a_trusted_carrier_is_from_nobody() -> None:
    account = Trunk(name="carrier", sources=("127.0.0.1/32",))
    async with peer() as carrier, peer(trunks=(account,)) as ours:
        headers = (("P-Asserted-Identity", "<sip:+15550199@x.example>"), ("Privacy", "id"))
        call = OutgoingCall(f"sip:+15550101@127.0.0.1:{ours.port()}", "+15550100", "", MEDIA, headers)
        leg = carrier.signalling.place(call, carrier.sink)
        await ours.wait(lambda: bool(ours.legs))
        assert ours.legs[0].from_uri == "sip:anonymous@anonymous.invalid"
        leg.hangup()
