"""The SIP shell on real sockets: calls over UDP and TCP, IPv4 and IPv6, ours and SIPp's."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from dataclasses import replace
from urllib.parse import unquote

import pytest

from callrouter.clock import SystemClock
from callrouter.errors import MediaUnavailable, StartupError, Unroutable
from callrouter.ids import RandomIds
from callrouter.ports import Answered, Ended, Failed, OutgoingCall, Ringing, SipLeg
from callrouter.sip.protocol.dialog import Dialog
from callrouter.sip.settings import Listen, Settings, Trunk
from tests.e2e.addresses import free_port
from tests.integration.sip_peer import MEDIA, CountingMetrics, hurry_no_answer, peer
from tests.narrowing import as_a
from tests.patience import PATIENCE_SECONDS, until


def order(target: str, trunk: str = "") -> OutgoingCall:
    return OutgoingCall(target, "+15550100", "Alice", MEDIA, trunk=trunk)


def ring_and_answer(leg: SipLeg) -> None:
    leg.ring()
    leg.answer(MEDIA)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_call_between_two_servers_is_answered_and_ended(host: str, transport: str) -> None:
    async with peer(host) as ours, peer(host) as theirs:
        port = theirs.port(0 if transport == "udp" else 1)
        literal = f"[{host}]" if ":" in host else host
        target = f"sip:bob@{literal}:{port}" + ("" if transport == "udp" else ";transport=tcp")
        route = await ours.signalling.route(target)
        assert route.family == (6 if ":" in host else 4)
        theirs.on_call = ring_and_answer
        leg = ours.signalling.place(order(target), ours.sink)
        await ours.wait(lambda: bool(ours.told(Answered)))
        assert [type(e) for e in ours.events] == [Ringing, Answered]
        incoming = theirs.legs[0]
        assert incoming.transport == transport
        assert incoming.from_uri.startswith("sip:+15550100@")
        assert incoming.from_name == "Alice"
        assert incoming.request_uri == target
        assert incoming.is_dialog(unquote(leg.replaces_value()))
        assert not leg.is_dialog(unquote(leg.replaces_value())), "it is the other end that is replaced"
        leg.hangup()
        await theirs.wait(lambda: bool(theirs.told(Ended)))


async def test_ipv4_that_comes_and_goes_by_an_ipv6_socket_is_ipv4() -> None:
    every = (Listen(host="::", port=0, transport="udp", advertise="localhost"),)
    async with peer() as ours, peer(listen=every) as theirs:
        theirs.on_call = lambda leg: leg.ring()
        leg = ours.signalling.place(order(f"sip:bob@127.0.0.1:{theirs.port()}"), ours.sink)
        await ours.wait(lambda: bool(ours.told(Ringing)))
        (session,) = theirs.signalling._agent.sessions.values()
        assert as_a(Dialog, session.dialog).hop.host == "127.0.0.1"
        leg.hangup()
        await theirs.wait(lambda: bool(theirs.told(Ended)))

        assert (await theirs.signalling.route(f"sip:bob@127.0.0.1:{ours.port()}")).family == 4
        leg = theirs.signalling.place(order(f"sip:bob@127.0.0.1:{ours.port()}"), theirs.sink)
        await theirs.wait(lambda: bool(theirs.told(Answered)))
        leg.hangup()
        await ours.wait(lambda: len(ours.told(Ended)) == 1)

        theirs.signalling._endpoint.udp.ban("127.0.0.1", 60)
        with socket.socket(type=socket.SOCK_DGRAM) as banned:
            for number in range(50):
                banned.sendto(b"OPTIONS %d" % number, ("127.0.0.1", theirs.port()))
        await until(lambda: theirs.signalling._endpoint.udp.counts[1])


@pytest.mark.parametrize("who", ["caller", "callee"])
async def test_a_far_end_with_a_name_that_means_nothing_here_is_sent_to_where_it_is(who: str) -> None:
    unknown = (Listen(host="127.0.0.1", port=0, transport="udp", advertise="phone.invalid"),)
    async with peer(listen=unknown) as named, peer() as ours:
        calling, called = (named, ours) if who == "caller" else (ours, named)
        leg = calling.signalling.place(order(f"sip:bob@127.0.0.1:{called.port()}"), calling.sink)
        await calling.wait(lambda: bool(calling.told(Answered)))
        await called.wait_for_count("sip_messages", "direction=in", "method=ACK", "transport=udp", "trunk=")
        leg.hangup() if who == "callee" else called.legs[0].hangup()
        await named.wait(lambda: bool(named.told(Ended)))


@pytest.mark.parametrize("ends", ["caller", "callee", "nobody there"])
async def test_nothing_of_a_call_that_was_placed_waits_for_the_collector(ends: str) -> None:
    async with peer() as ours, peer() as theirs:
        if ends == "nobody there":
            theirs.on_call = lambda leg: leg.reject(404)
        gc.disable()
        try:
            leg = ours.signalling.place(order(f"sip:bob@127.0.0.1:{theirs.port()}"), ours.sink)
            await ours.wait(lambda: bool(ours.told(Answered) or ours.told(Failed)))
            if ends == "caller":
                leg.hangup()
                await theirs.wait(lambda: bool(theirs.told(Ended)))
            elif ends == "callee":
                theirs.legs[0].hangup()
                await ours.wait(lambda: bool(ours.told(Ended)))
            known = weakref.ref(leg)
            del leg
            await until(lambda: known() is None)
        finally:
            gc.enable()


async def test_the_callee_ends_a_call_over_the_connection_it_came_by() -> None:
    async with peer() as ours, peer() as theirs:
        ours.signalling.place(order(f"sip:bob@127.0.0.1:{theirs.port(1)};transport=tcp"), ours.sink)
        await ours.wait(lambda: bool(ours.told(Answered)))
        theirs.legs[0].hangup("done")
        await ours.wait(lambda: bool(ours.told(Ended)))
        assert ours.told(Ended)[0].detail == "done (Q.850 16)"


async def test_without_time_to_transcode_a_call_is_placed_in_its_callers_codec_or_not_at_all() -> None:
    async with peer(codecs=("G722", "OPUS")) as ours, peer(codecs=("G722", "OPUS")) as theirs:
        ours.signalling.limit_coding(lambda: False)
        called = order(f"sip:bob@127.0.0.1:{theirs.port()}")
        with pytest.raises(MediaUnavailable, match=r"media\.max_transcoding"):
            ours.signalling.place(called, ours.sink)
        ours.signalling.place(replace(called, codec="OPUS"), ours.sink)
        await ours.wait(lambda: bool(ours.told(Answered)))
        assert ours.told(Answered)[0].audio.codec == "OPUS"


async def test_a_refused_tcp_connection_fails_the_call_with_503() -> None:
    async with peer() as ours:
        ours.signalling.place(order(f"sip:bob@127.0.0.1:{free_port()};transport=tcp"), ours.sink)
        await ours.wait(lambda: bool(ours.told(Failed)))
        assert ours.told(Failed)[0].status == 503


async def test_a_host_name_is_resolved() -> None:
    async with peer() as ours, peer() as theirs:
        ours.signalling.place(order(f"sip:bob@localhost:{theirs.port()}"), ours.sink)
        await ours.wait(lambda: bool(ours.told(Answered)))


async def test_a_number_goes_through_the_trunk() -> None:
    async with peer() as theirs:
        trunk = Trunk(name="carrier", host="127.0.0.1", port=theirs.port(), domain="carrier.example")
        async with peer(trunks=(trunk,)) as ours:
            ours.signalling.place(order("+15550199"), ours.sink)
            await ours.wait(lambda: bool(ours.told(Answered)))
            assert theirs.legs[0].request_uri == "sip:+15550199@carrier.example"
            assert theirs.legs[0].from_uri == "sip:+15550100@carrier.example"
            with pytest.raises(Unroutable, match="no trunk 'other'"):
                await ours.signalling.route("+15550199", "other")


async def test_without_a_trunk_a_number_is_unroutable() -> None:
    async with peer() as ours:
        with pytest.raises(Unroutable, match="no trunk is configured"):
            await ours.signalling.route("+15550199")


async def test_a_call_is_ended_by_a_later_process_from_its_saved_state() -> None:
    async with peer() as theirs:
        async with peer() as first:
            leg = first.signalling.place(order(f"sip:bob@127.0.0.1:{theirs.port()}"), first.sink)
            assert leg.dialog_state() == ""
            await first.wait(lambda: bool(first.told(Answered)))
            state = leg.dialog_state()
        async with peer() as second:
            second.signalling.end_orphan(state, "restarted")
            await theirs.wait(lambda: bool(theirs.told(Ended)))


async def test_a_busy_port_is_named_at_start() -> None:
    async with peer() as ours:
        taken = Settings(listen=(Listen(port=ours.port()),))
        from callrouter.sip.signalling import Signalling

        other = Signalling(taken, SystemClock(), RandomIds(), CountingMetrics())
        with pytest.raises(StartupError, match=rf"udp 127\.0\.0\.1 port {ours.port()}: .*in use"):
            await other.start()


async def test_an_unfinished_head_is_dropped_and_a_ping_answered() -> None:
    async with peer(head_timeout_seconds=0.2) as ours:
        reader, writer = await asyncio.open_connection("127.0.0.1", ours.port(1))
        writer.write(b"\r\n\r\n")
        assert await reader.readexactly(2) == b"\r\n"
        writer.write(b"INVITE sip:a@b SIP/2.0\r\nVia: ")
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await reader.read() == b""
        writer.close()


async def test_messages_are_counted_with_bounded_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry_no_answer(monkeypatch)
    async with peer() as ours, peer() as theirs:
        ours.signalling.place(order(f"sip:bob@127.0.0.1:{theirs.port()}"), ours.sink)
        await ours.wait(lambda: bool(ours.told(Answered)))
        counts = ours.metrics.counts
        assert counts["sip_messages", "direction=out", "method=INVITE", "transport=udp", "trunk="] == 1
        assert (
            counts["sip_responses", "class=2xx", "direction=in", "method=INVITE", "transport=udp", "trunk="]
            == 1
        )
