"""Far ends behind a NAT that call themselves by an address of their own network: what belongs to their
calls goes where they are seen, also from a server that has a way to such addresses."""

from __future__ import annotations

import pytest

from callrouter.sip.protocol.dialog import Dialog
from callrouter.sip.protocol.hop import Hop
from callrouter.sip.protocol.message import Request, Response, parse
from callrouter.sip.protocol.outgoing import Invitation
from tests.protocol.stranger import OFFER, SDP_TYPE, Stranger, invite, reply
from tests.protocol.wire import CALLEE_MEDIA, CALLER_MEDIA

NEAR = Hop("udp", "10.0.0.9", 40_123)
"""Where the far end is seen: so near that its mention of private addresses counts."""
OWN = "192.168.1.7"


def sent_to(stranger: Stranger) -> list[tuple[str, str, int]]:
    """What goes out, and where to."""
    packets = list(stranger.agent.layer.out)
    stranger.agent.layer.out.clear()
    return [(packet.data.split(b" ", 1)[0].decode(), packet.hop.host, packet.hop.port) for packet in packets]


def bye_of(*, via: str, contact: str, lines: tuple[str, ...] = ()) -> tuple[str, str, int]:
    """Of a call that came from NEAR."""
    stranger = Stranger()
    stranger.hop = NEAR
    written = invite(*lines).replace("UDP 192.0.2.9:5060", f"UDP {via}")
    stranger.send(written.replace("<sip:peer@192.0.2.9>\r\nContent-Type", f"<{contact}>\r\nContent-Type"))
    call = stranger.calls[0]
    stranger.picks_up()
    call.hangup("", stranger.now)
    (bye,) = sent_to(stranger)
    return bye


def test_a_caller_behind_a_nat_is_sent_its_bye_where_its_call_came_from() -> None:
    assert bye_of(via=f"{OWN}:5060", contact=f"sip:peer@{OWN}:5060") == ("BYE", NEAR.host, NEAR.port)


@pytest.mark.parametrize(
    ("via", "contact", "lines", "to"),
    [
        (f"{NEAR.host}:5060", f"sip:peer@{OWN}:5070", (), (OWN, 5070)),  # it names somebody else, not itself
        ("192.0.2.77:5060", "sip:peer@192.0.2.77:5070", (), ("192.0.2.77", 5070)),  # whom everybody reaches
        (f"{OWN}:5060", f"sip:peer@{OWN}", ("Record-Route: <sip:10.0.0.3:5080;lr>",), ("10.0.0.3", 5080)),
    ],
)
def test_whoever_is_reached_as_it_says_is_sent_it_there(
    via: str, contact: str, lines: tuple[str, ...], to: tuple[str, int]
) -> None:
    assert bye_of(via=via, contact=contact, lines=lines) == ("BYE", *to)


def answered(called: str, contact: str, *, route: bool = False) -> list[tuple[str, str, int]]:
    """The ACK and BYE of a call to `called`, which was sent to NEAR."""
    stranger = Stranger()
    fields = (("Route", "<sip:10.0.0.9:40123;lr>"),) if route else ()
    session = stranger.agent.call(
        Invitation(called, "<sip:us@192.0.2.2>", "us", CALLER_MEDIA, fields), "ours-1"
    )
    session.start(NEAR, stranger.now)
    (sent,) = stranger.take()
    assert isinstance(sent, Request)
    ok = parse(reply(sent, 200, f"Contact: <{contact}>", SDP_TYPE, body=OFFER).encode())
    assert isinstance(ok, Response)
    stranger.agent.receive(ok, NEAR, stranger.now)
    session.hangup("", stranger.now)
    return sent_to(stranger)


def test_a_callee_behind_a_nat_is_sent_all_of_its_call_where_it_was_called() -> None:
    there = [(method, NEAR.host, NEAR.port) for method in ("ACK", "BYE")]
    assert answered(f"sip:bob@{OWN}:5060", f"sip:bob@{OWN}:5060") == there


@pytest.mark.parametrize(
    ("called", "contact", "route", "to"),
    [
        (f"sip:bob@{NEAR.host}", f"sip:bob@{OWN}:5070", False, (OWN, 5070)),  # a gateway hands the call on
        ("sip:bob@office.example", f"sip:bob@{OWN}:5070", False, (OWN, 5070)),
        (f"sip:bob@{OWN}", f"sip:bob@{OWN}:5070", True, (OWN, 5070)),  # a proxy that stays out of the way
    ],
)
def test_a_callee_that_names_another_address_is_sent_it_there(
    called: str, contact: str, route: bool, to: tuple[str, int]
) -> None:
    assert answered(called, contact, route=route) == [("ACK", *to), ("BYE", *to)]


def test_the_next_process_knows_of_the_nat_too() -> None:
    stranger = Stranger()
    stranger.hop = NEAR
    written = (
        invite()
        .replace("UDP 192.0.2.9:5060", f"UDP {OWN}:5060")
        .replace("peer@192.0.2.9>\r\nC", f"peer@{OWN}>\r\nC")
    )
    stranger.send(written)
    call = stranger.calls[0]
    call.answer(CALLEE_MEDIA, stranger.now)
    read = Dialog.from_json(call.established.to_json())
    assert (read.next_hop().host, read.next_hop().port) == (NEAR.host, NEAR.port)
