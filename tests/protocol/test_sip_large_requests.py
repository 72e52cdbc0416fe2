"""Requests that do not fit into a datagram (RFC 3261 §18.1.1), without sockets."""

from __future__ import annotations

from callrouter.sip.protocol.agent import Agent, AgentSettings
from callrouter.sip.protocol.hop import Hop, Listener
from callrouter.sip.protocol.large import LargeRequests
from callrouter.sip.protocol.message import Request, parse
from callrouter.sip.protocol.timers import LIFETIME, T1
from callrouter.sip.protocol.transactions.client import NOBODY, ClientTransaction

HOP = Hop("udp", "192.0.2.9", 5060)
UDP = Listener("udp", "192.0.2.1", 5060)
TCP = Listener("tcp", "192.0.2.1", 5062)


def agent(*listeners: Listener) -> Agent:
    made = Agent(AgentSettings(), lambda size: "0" * (2 * size))
    made.listeners.extend(listeners)
    return made


def send(one: Agent, size: int, now_ns: int = 0) -> ClientTransaction:
    fields = [("From", "<sip:a@b>;tag=1"), ("To", "<sip:c@d>"), ("Call-ID", "x"), ("CSeq", "1 MESSAGE")]
    request = one.uac.request("MESSAGE", "sip:c@d", HOP, fields, b"")
    request.body = b"x" * (size - len(bytes(request)) - len(str(size)) + 1)
    return one.layer.client(request, HOP, NOBODY, now_ns)


def sent(one: Agent) -> tuple[Request, Hop]:
    packets, one.layer.out = one.layer.out, []
    assert len(packets) == 1
    message = parse(packets[0].data)
    assert isinstance(message, Request)
    return message, packets[0].hop


def test_thirteen_hundred_octets_fit_and_one_more_does_not() -> None:
    for size, transport in [(1300, "udp"), (1301, "tcp")]:
        one = agent(UDP, TCP)
        transaction = send(one, size)
        request, hop = sent(one)
        assert len(bytes(request)) == size
        assert hop.transport == transport
        assert request.via.transport == transport.upper()
        assert transaction.way == HOP


def test_via_names_the_stream_and_keeps_the_branch() -> None:
    one = agent(UDP, TCP)
    transaction = send(one, 2000)
    request, hop = sent(one)
    assert (hop.host, hop.port, hop.listener) == (HOP.host, HOP.port, 1)
    assert request.via.branch == transaction.branch
    assert (request.via.host, request.via.port) == ("192.0.2.1", 5062)
    one.timers.run(2 * T1)
    assert one.layer.out == [], "a stream repeats for itself"


def test_a_refused_stream_gives_way_to_a_datagram_that_is_repeated() -> None:
    one = agent(UDP, TCP)
    transaction = send(one, 2000)
    [packet] = one.layer.out
    one.layer.out = []
    one.undeliverable(packet, 1)
    request, hop = sent(one)
    assert hop == HOP
    assert request.via.transport == "UDP"
    assert request.via.branch == transaction.branch
    one.timers.run(T1 + 1)
    assert sent(one)[1] == HOP
    one.undeliverable(packet, T1 + 2)
    assert transaction.is_unanswered is False, "the datagram could not be sent either"


def test_a_stream_that_is_reset_unheard_gives_way_too() -> None:
    one = agent(UDP, TCP)
    send(one, 2000)
    _, stream = sent(one)
    one.connection_lost(stream._replace(connection=7), 1)
    request, hop = sent(one)
    assert (hop, request.via.transport) == (HOP, "UDP")
    send(one, 2000, 2)
    assert sent(one)[1] == HOP, "the next one does not try"


def test_a_peer_that_refused_is_not_asked_again_for_a_while() -> None:
    large = LargeRequests([UDP, TCP])
    large.refused(HOP, 0)
    assert large.way(HOP, 299 * 10**9) == HOP
    assert large.way(HOP._replace(port=5070), 1).transport == "tcp"
    assert large.way(HOP, 301 * 10**9).transport == "tcp"


def test_what_is_remembered_is_bounded() -> None:
    large = LargeRequests([TCP])
    for number in range(3000):
        large.refused(HOP._replace(port=number), 0)
    assert len(large._refused) == 1000
    large.refused(HOP, 301 * 10**9)
    assert list(large._refused) == [(HOP.host, HOP.port)]


def test_without_a_stream_of_the_family_the_datagram_it_is() -> None:
    for listeners in [(UDP,), (UDP, Listener("tcp", "2001:db8::1", 5060, 6))]:
        one = agent(*listeners)
        send(one, 2000)
        assert sent(one)[1] == HOP


def test_an_answer_that_never_comes_ends_the_transaction_all_the_same() -> None:
    one = agent(UDP, TCP)
    transaction = send(one, 2000)
    one.timers.run(LIFETIME + 1)
    assert not transaction.is_unanswered
    assert one.is_idle
