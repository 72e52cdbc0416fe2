"""Names of SIP servers, against a DNS server of the test's own."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import dns.message
import dns.rcode
import dns.rrset
import pytest

from callrouter.ports import Answered, OutgoingCall
from callrouter.sip.protocol.hop import Hop
from callrouter.sip.resolver import Place, Resolver, Unresolvable, split_server
from callrouter.sip.settings import Trunk
from tests.integration.sip_peer import MEDIA, peer

ZONE = """
naptr.example. 60 IN NAPTR 20 50 "s" "SIP+D2U" "" _sip._udp.naptr.example.
naptr.example. 60 IN NAPTR 10 50 "s" "SIPS+D2T" "" _sips._tcp.naptr.example.
naptr.example. 60 IN NAPTR 15 50 "s" "SIP+D2T" "" _sip._tcp.naptr.example.
_sip._tcp.naptr.example. 60 IN SRV 1 0 5070 gw1.example.
srv.example. 60 IN A 127.0.0.99
_sip._udp.srv.example. 7 IN SRV 20 0 5082 gw2.example.
_sip._udp.srv.example. 7 IN SRV 10 0 5081 gw1.example.
plain.example. 30 IN A 127.0.0.3
plain.example. 30 IN AAAA ::1
gw1.example. 60 IN A 127.0.0.1
gw2.example. 60 IN A 127.0.0.2
"""


class HandClock:
    now_ns = 10**9

    def monotonic_ns(self) -> int:
        return self.now_ns

    def utc_ms(self) -> int:
        return 0


class Zone(asyncio.DatagramProtocol):
    def __init__(self, text: str) -> None:
        self.records = [line.split(None, 4) for line in text.strip().splitlines()]
        self.asked: Counter[str] = Counter()
        self.silent = ""
        """A domain that is not answered for."""
        self.fails = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked[f"{kind} {question.name}"] += 1
        if self.silent and str(question.name).endswith(self.silent):
            return
        answer = dns.message.make_response(query)
        if self.fails:
            answer.set_rcode(dns.rcode.SERVFAIL)
        found = [r for r in self.records if not self.fails and r[0] == str(question.name) and r[3] == kind]
        if found:
            answer.answer.append(
                dns.rrset.from_text(found[0][0], int(found[0][1]), "IN", kind, *[r[4] for r in found])
            )
        self.transport.sendto(answer.to_wire(), addr)


@asynccontextmanager
async def zone(text: str = ZONE) -> AsyncIterator[tuple[Zone, str]]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: Zone(text), local_addr=("127.0.0.1", 0))
    try:
        yield protocol, f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    finally:
        transport.close()


def resolver(server: str, clock: HandClock, *transports: str) -> Resolver:
    return Resolver(
        clock, lambda size: "0" * size, (server,), lambda: frozenset(transports or ("udp", "tcp"))
    )


V4 = frozenset({4})


async def test_naptr_chooses_the_best_transport_that_we_have() -> None:
    async with zone() as (_, server):
        found = await resolver(server, HandClock()).locate(Place("naptr.example"), V4)
    assert found == (Hop("tcp", "127.0.0.1", 5070, name="naptr.example"),)


async def test_srv_orders_the_servers() -> None:
    async with zone() as (_, server):
        found = await resolver(server, HandClock()).locate(Place("srv.example"), V4)
    assert [(hop.transport, hop.host, hop.port) for hop in found] == [
        ("udp", "127.0.0.1", 5081),
        ("udp", "127.0.0.2", 5082),
    ]


SHARES = """
_sip._udp.shares.example. 60 IN SRV 10 3 5081 gw1.example.
_sip._udp.shares.example. 60 IN SRV 10 1 5082 gw2.example.
_sip._udp.shares.example. 60 IN SRV 20 9 5083 gw1.example.
gw1.example. 60 IN A 127.0.0.1
gw2.example. 60 IN A 127.0.0.2
"""


async def test_each_call_draws_its_server_by_weight_while_the_answer_is_kept() -> None:
    draws = itertools.count()
    async with zone(SHARES) as (asked, server):
        ours = Resolver(HandClock(), lambda size: f"{next(draws):0{2 * size}x}", (server,))
        place = Place("shares.example")
        found = [await ours.locate(place, V4) for _ in range(8)]
        known = [ours.known(place) or () for _ in range(8)]
    assert asked.asked["SRV _sip._udp.shares.example."] == 1
    for calls in (found, known):
        assert Counter(hops[0].port for hops in calls) == {5081: 6, 5082: 2}
        assert all(hops[2].port == 5083 for hops in calls)


async def test_without_srv_the_name_itself_is_the_server() -> None:
    async with zone() as (_, server):
        ours = resolver(server, HandClock())
        assert await ours.locate(Place("plain.example"), V4) == (
            Hop("udp", "127.0.0.3", 5060, name="plain.example"),
        )
        both = await ours.locate(Place("plain.example", 0, "tcp"), frozenset({4, 6}))
    assert [hop.host for hop in both] == ["127.0.0.3", "::1"]


async def test_a_port_in_the_name_leaves_only_addresses_to_be_asked_for() -> None:
    async with zone() as (asked, server):
        found = await resolver(server, HandClock()).locate(Place("srv.example", 5099), V4)
    assert found == (Hop("udp", "127.0.0.99", 5099, name="srv.example"),)
    assert list(asked.asked) == ["A srv.example."]


async def test_answers_are_kept_as_long_as_they_hold() -> None:
    clock = HandClock()
    async with zone() as (asked, server):
        ours = resolver(server, clock)
        await ours.locate(Place("srv.example"), V4)
        first = asked.asked.total()
        clock.now_ns += 6 * 10**9
        assert ours.known(Place("srv.example")) is not None
        await ours.locate(Place("srv.example"), V4)
        assert asked.asked.total() == first
        clock.now_ns += 2 * 10**9
        assert ours.known(Place("srv.example")) is None
        await ours.locate(Place("srv.example"), V4)
        assert asked.asked["SRV _sip._udp.srv.example."] == 2


async def test_a_domain_whose_servers_are_silent_keeps_no_other_from_being_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("callrouter.sip.resolver._LOOKUP_SECONDS", 0.3)
    async with zone() as (asked, server):
        asked.silent = "silent.example."
        ours = resolver(server, HandClock())
        for _ in range(2):
            with pytest.raises(Unresolvable):
                await ours.locate(Place("silent.example"), V4)
        assert {name for name in asked.asked if "silent" in name} == {"NAPTR silent.example."}
        found = await ours.locate(Place("naptr.example"), V4)
    assert found == (Hop("tcp", "127.0.0.1", 5070, name="naptr.example"),)


@pytest.mark.parametrize("place", [Place("srv.example"), Place("gw1.example", 5099)])
async def test_a_server_stays_where_it_was_until_the_dns_says_so(place: Place) -> None:
    clock = HandClock()
    async with zone() as (dns_server, server):
        ours = resolver(server, clock)
        before = await ours.locate(place, V4)
        dns_server.fails = True
        for _ in range(3):
            clock.now_ns += 61 * 10**9
            assert await ours.locate(place, V4) == before
        dns_server.fails = False
        dns_server.records = [
            ["_sip._udp.srv.example.", "60", "IN", "SRV", "1 0 5083 gw1.example."],
            ["gw1.example.", "60", "IN", "A", "127.0.0.77"],
        ]
        clock.now_ns += 61 * 10**9
        (moved,) = await ours.locate(place, V4)
    assert (moved.host, moved.port) == ("127.0.0.77", place.port or 5083)


async def test_the_addresses_of_srvs_servers_are_asked_for_anew_when_they_have_run_out() -> None:
    clock = HandClock()
    async with zone(
        "_sip._udp.far.example. 600 IN SRV 1 0 5080 gw.example.\ngw.example. 2 IN A 127.0.0.1"
    ) as (
        dns_server,
        server,
    ):
        ours = resolver(server, clock)
        (before,) = await ours.locate(Place("far.example"), V4)
        dns_server.records[1][4] = "127.0.0.2"
        clock.now_ns += 1_900_000_000
        assert ours.known(Place("far.example")) == (before,)
        clock.now_ns += 200_000_000
        (after,) = await ours.locate(Place("far.example"), V4)
    assert (before.host, after.host) == ("127.0.0.1", "127.0.0.2")


async def test_a_name_that_is_taken_out_of_the_dns_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(self: Resolver, host: str, families: frozenset[int]) -> list[str]:
        raise Unresolvable(host)

    monkeypatch.setattr(Resolver, "_ask_system", unknown)
    clock = HandClock()
    async with zone() as (dns_server, server):
        ours = resolver(server, clock)
        await ours.locate(Place("plain.example"), V4)
        dns_server.records.clear()
        clock.now_ns += 31 * 10**9
        for _ in range(2):
            with pytest.raises(Unresolvable):
                await ours.locate(Place("plain.example"), V4)


async def test_a_service_that_the_dns_says_is_not_there_is_passed_over() -> None:
    text = (
        "_sip._udp.none.example. 60 IN SRV 0 0 5060 .\n"
        "_sip._tcp.none.example. 60 IN SRV 0 0 5070 gw.example.\n"
        "gw.example. 60 IN A 127.0.0.1"
    )
    async with zone(text) as (asked, server):
        (found,) = await resolver(server, HandClock()).locate(Place("none.example"), V4)
    assert (found.transport, found.port) == ("tcp", 5070)
    assert not [question for question in asked.asked if question.endswith(" .")]


async def test_what_nobody_knows_is_unresolvable() -> None:
    async with zone() as (_, server):
        with pytest.raises(Unresolvable):
            await resolver(server, HandClock()).locate(Place("nowhere.invalid"), V4)


def test_addresses_are_not_asked_for() -> None:
    ours = Resolver(HandClock())
    assert ours.known(Place("192.0.2.1")) == (Hop("udp", "192.0.2.1", 5060),)
    assert ours.known(Place("2001:db8::1", 0, "tls")) == (Hop("tls", "2001:db8::1", 5061),)
    assert ours.known(Place("example.com")) is None


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("192.0.2.53", ("192.0.2.53", 53)),
        ("192.0.2.53:5353", ("192.0.2.53", 5353)),
        ("2001:db8::53", ("2001:db8::53", 53)),
        ("[2001:db8::53]:5353", ("2001:db8::53", 5353)),
        ("[2001:db8::53]", ("2001:db8::53", 53)),
    ],
)
def test_a_dns_server_is_an_address_with_or_without_port(text: str, server: tuple[str, int]) -> None:
    assert split_server(text) == server


@pytest.mark.parametrize("text", ["ns.example.com", "192.0.2.53:0", "192.0.2.53:x", ""])
def test_anything_else_is_no_dns_server(text: str) -> None:
    with pytest.raises(ValueError, match="no DNS server"):
        split_server(text)


async def test_a_call_goes_on_to_the_next_server_of_the_name_and_its_calls_are_the_carriers() -> None:
    async with peer() as bad, peer() as good:
        bad.on_call = lambda leg: leg.reject(503)
        text = (
            f"_sip._udp.carrier.example. 60 IN SRV 1 0 {bad.port()} gw1.example.\n"
            f"_sip._udp.carrier.example. 60 IN SRV 2 0 {good.port()} gw1.example.\n"
            "gw1.example. 60 IN A 127.0.0.1\n"
        )
        carrier = Trunk(name="carrier", host="carrier.example")
        async with (
            zone(text) as (_, server),
            peer(trunks=(carrier,), dns_servers=(server,), peers=()) as ours,
        ):
            assert (await ours.signalling.route("+15550101")).family == 4
            leg = ours.signalling.place(OutgoingCall("+15550101", "+15550100", "", MEDIA), ours.sink)
            await ours.wait(lambda: bool(ours.told(Answered)))
            assert [len(bad.legs), len(good.legs)] == [1, 1]
            assert good.legs[0].request_uri == "sip:+15550101@carrier.example"
            leg.hangup()
            back = OutgoingCall(f"sip:+15550100@127.0.0.1:{ours.port()}", "+15550101", "", MEDIA)
            good.signalling.place(back, good.sink)
            await ours.wait(lambda: bool(ours.legs))
