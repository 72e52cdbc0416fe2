"""Strangers, scanners and floods: what they get, and that nobody else pays for it."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from callrouter.sip.protocol.agent import AgentSettings
from callrouter.sip.protocol.hop import Hop
from callrouter.sip.protocol.message import Request, Response, parse
from callrouter.sip.protocol.shield import Shield, ShieldSettings
from callrouter.sip.protocol.sources import Allowance
from callrouter.sip.protocol.timers import MS
from tests.narrowing import as_a
from tests.protocol.stranger import CONTACT, OFFER, Stranger, invite, text
from tests.protocol.wire import SECOND, counting_tokens

CARRIER = "203.0.113.1"


def shielded(**more: Any) -> Stranger:
    stranger = Stranger()
    settings = ShieldSettings(Allowance(per_second=10, burst=20, ban_seconds=300, sources=100), **more)
    stranger.agent.shield = Shield(settings, counting_tokens("c"), lambda host: host == CARRIER)
    return stranger


def shield_of(stranger: Stranger) -> Shield:
    return as_a(Shield, stranger.agent.shield)


def at(stranger: Stranger, host: str, transport: str = "udp") -> Stranger:
    stranger.hop = Hop(transport, host, 5060)
    return stranger


def options(number: int, *lines: str) -> str:
    return text("OPTIONS", *lines, branch=f"z9hG4bKo{number}", call_id=f"o{number}")


def scan(stranger: Stranger, requests: int, first: int = 0) -> int:
    """How many were answered."""
    return sum(bool(stranger.send(options(first + n))) for n in range(requests))


def test_a_scan_is_cut_off_and_its_sender_not_heard_for_five_minutes() -> None:
    stranger = shielded()
    assert scan(stranger, 1000) == 20
    assert shield_of(stranger).sources.bans == ["192.0.2.9"]
    assert not stranger.send(invite())
    stranger.now += 299 * SECOND
    assert not stranger.send(options(2000))
    stranger.now += 2 * SECOND
    assert stranger.send(options(2001))


def test_a_scan_costs_nobody_else_anything() -> None:
    stranger = shielded()
    scan(stranger, 1000)
    at(stranger, "192.0.2.10").send(invite())
    assert stranger.calls
    assert scan(at(stranger, CARRIER), 200) == 200


@pytest.mark.parametrize(("by", "then"), [("udp", "tcp"), ("udp", "wss"), ("tls", "udp"), ("tcp", "ws")])
def test_who_is_banned_is_so_however_it_comes(by: str, then: str) -> None:
    stranger = shielded()
    assert scan(at(stranger, "192.0.2.9", by), 1000) == 20
    assert not at(stranger, "192.0.2.9", then).send(options(5000))
    assert shield_of(stranger).sources.bans == ["192.0.2.9"]
    stranger.now += 301 * SECOND
    assert stranger.send(options(5001))


def test_what_came_by_datagrams_and_by_connections_is_counted_apart() -> None:
    """Datagrams in somebody's name are no part of what it asks itself."""
    stranger = shielded()
    assert scan(stranger, 20) == 20
    assert scan(at(stranger, "192.0.2.9", "tcp"), 15, first=100) == 15


def test_whoever_forges_datagrams_of_a_user_does_not_cut_the_connection_it_has_registered_by() -> None:
    stranger = shielded()
    shield_of(stranger).is_proved = lambda hop: hop.connection == 7
    scan(stranger, 1000)
    stranger.hop = Hop("tls", "192.0.2.9", 5060, connection=8)
    assert not stranger.send(options(5000))
    stranger.hop = Hop("tls", "192.0.2.9", 5060, connection=7)
    assert scan(stranger, 1000, first=6000) == 20, "by itself it is banned as anybody"
    assert not stranger.send(options(5001))


def test_a_patient_peer_is_never_cut_off() -> None:
    stranger = shielded()
    for number in range(300):
        assert stranger.send(options(number))
        stranger.now += 100 * MS


def test_fifty_thousand_sources_fit_into_a_bounded_table() -> None:
    stranger = shielded()
    for number in range(50_000):
        at(stranger, f"198.18.{number >> 8 & 255}.{number & 255}").send(options(number))
    assert len(shield_of(stranger).sources) <= 200


def test_ipv4_within_ipv6_counts_as_the_address_it_is() -> None:
    stranger = shielded()
    for number in range(100):
        at(stranger, "::ffff:203.0.113.7" if number % 2 else "203.0.113.7").send(options(number))
    for banned in ("203.0.113.7", "::ffff:203.0.113.7", "::ffff:cb00:7107"):
        assert at(stranger, banned).send(options(200)) == []
    for other in ("203.0.113.8", "::ffff:203.0.113.8", "::1"):
        assert at(stranger, other).send(options(201)), other


def test_an_ipv6_scanner_cannot_hide_in_its_own_network() -> None:
    stranger = shielded()
    answered = [bool(at(stranger, f"2001:db8::{n:x}").send(options(n))) for n in range(100)]
    assert sum(answered) == 20


@pytest.mark.parametrize("agent", ["friendly-scanner", "sipvicious", "SIPCLI/v1.8", "VaxSIPUserAgent/3.1"])
@pytest.mark.parametrize("method", ["OPTIONS", "INVITE", "REGISTER"])
def test_scanners_learn_nothing_not_even_that_somebody_is_here(agent: str, method: str) -> None:
    assert not shielded().send(text(method, CONTACT, f"User-Agent: {agent}"))


def test_guessing_numbers_by_invite_is_cut_off_too() -> None:
    stranger = shielded()
    refused = 0
    for number in range(200):
        stranger.send(invite(branch=f"z9hG4bKi{number}", call_id=f"i{number}", from_tag=f"f{number}"))
        while stranger.calls:
            stranger.calls.pop().reject(404, "", (), stranger.now)
        refused += any(isinstance(m, Response) and m.status == 404 for m in stranger.take())
    assert 20 <= refused <= 21


def test_a_call_that_is_up_is_heard_whatever_its_address_did_since() -> None:
    stranger = shielded()
    stranger.send(invite())
    ok = stranger.picks_up()
    scan(stranger, 1000)
    bye = text("BYE", to_tag=ok.to_tag, cseq="2 BYE", branch="z9hG4bKbye")
    assert stranger.status(bye) == 200


def test_a_cancel_is_heard_while_its_invite_waits() -> None:
    stranger = shielded()
    stranger.send(invite())
    scan(stranger, 1000)
    sent = stranger.send(text("CANCEL", cseq="1 CANCEL"))
    assert [m.status for m in sent if isinstance(m, Response)] == [200, 487]


# -- the gate


def flooded(stranger: Stranger, calls: int, *, seconds: float = 1.0) -> list[Response]:
    """The 503s of `calls` new calls within `seconds`."""
    turned_away = []
    for number in range(calls):
        sent = stranger.send(invite(branch=f"z9hG4bKi{number}", call_id=f"i{number}", from_tag=f"f{number}"))
        turned_away += [m for m in sent if isinstance(m, Response) and m.status == 503]
        stranger.now += int(seconds / calls * SECOND)
    return turned_away


def test_calls_beyond_the_rate_are_told_to_come_back_each_at_another_time() -> None:
    stranger = shielded(calls_per_second=100)
    turned_away = flooded(stranger, 1000)
    assert 90 <= 1000 - len(turned_away) <= 125
    waits = {int(m.get("Retry-After") or 0) for m in turned_away}
    assert waits <= set(range(5, 31))
    assert len(waits) > 20


def test_the_gate_closes_under_load_and_opens_again() -> None:
    gate = shield_of(shielded()).gate
    let_in = []
    for second in range(6):  # 1,000 calls a second arrive, and the machine cannot keep up
        let_in.append(0)
        for tick in range(10):
            start = (1000 * second + 100 * tick) * MS
            let_in[-1] += sum(gate.admits(start + call * MS) for call in range(100))
            gate.tick(1.5, 0.1)
    assert 0 < let_in[-1] < 600
    for tick in range(50):  # five seconds of peace
        gate.admits((6000 + 100 * tick) * MS)
        gate.tick(0.1, 0.1)
    assert all(gate.admits(11 * SECOND) for _ in range(1000))


def test_what_is_let_in_under_a_flood_is_about_what_can_be_carried() -> None:
    gate = shield_of(shielded()).gate
    now, backlog, carried = SECOND, 0, []
    for tick in range(200):  # 600 calls a second can be carried, 6,000 arrive from the second second on
        arriving, letting_in = 60 if tick < 10 else 600, 0
        for _ in range(arriving):
            letting_in += gate.admits(now)
            now += 100 * MS // arriving
        done = min(backlog + letting_in, 60)
        backlog += letting_in - done
        carried.append(done)
        gate.tick(backlog / 10, 0.1)
    assert sum(carried[10:]) > 0.9 * 60 * 190
    assert backlog < 60


def test_a_gate_that_turns_calls_away_is_not_opened() -> None:
    gate = shield_of(shielded()).gate
    let_in = []
    for tick in range(100):
        start = SECOND + tick * 100 * MS
        let_in.append(sum(gate.admits(start + call * MS // 2) for call in range(200)))
        gate.tick(2.0 if tick < 10 else 0.9, 0.1)
    assert max(let_in[10:]) < 200
    assert sum(let_in[-10:]) > sum(let_in[10:20])


def test_what_waited_at_the_door_is_not_turned_away_for_load() -> None:
    gate = shield_of(shielded()).gate
    for now in range(SECOND, 2 * SECOND, MS):
        gate.admits(now)
        if now % (100 * MS) == 0:
            gate.tick(2.0, 0.1)
    assert not all(gate.admits(2 * SECOND) for _ in range(1000))
    assert all(gate.admits(2 * SECOND, has_waited=True) for _ in range(1000))


def test_one_slow_moment_closes_nothing() -> None:
    gate = shield_of(shielded()).gate
    for pressure in (0.2, 20.0, 0.2, 5.0, 5.0, 0.3):
        gate.tick(pressure, 0.1)
    assert all(gate.admits(SECOND) for _ in range(1000))


# -- nothing is sent where a message merely points


def up(stranger: Stranger, *lines: str, contact: str = "sip:peer@192.0.2.9") -> Hop:
    """Where the BYE of a call from 192.0.2.9 goes."""
    stranger.send(invite(*lines).replace(CONTACT, f"Contact: <{contact}>"))
    stranger.picks_up()
    stranger.calls[0].hangup("", stranger.now)
    (packet,) = stranger.agent.layer.out
    message = parse(packet.data)
    assert isinstance(message, Request)
    assert message.method == "BYE"
    return packet.hop


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1.2.3",
        "0.0.0.0",
        "169.254.169.254",
        "255.255.255.255",
        "224.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[ff02::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fc00::1]",
    ],
)
@pytest.mark.parametrize("where", ["contact", "route", "maddr"])
def test_a_public_peer_cannot_point_us_at_the_inside(host: str, where: str) -> None:
    stranger = Stranger()
    if where == "contact":
        hop = up(stranger, contact=f"sip:peer@{host}")
    elif where == "maddr":
        hop = up(stranger, contact=f"sip:peer@192.0.2.9;maddr={host}")
    else:
        hop = up(stranger, f"Record-Route: <sip:{host};lr>")
    assert (hop.host, hop.port) == ("192.0.2.9", 5060)


def test_a_public_address_may_be_pointed_at() -> None:
    assert up(Stranger(), "Record-Route: <sip:198.51.100.4;lr>").host == "198.51.100.4"


def test_a_peer_of_the_same_machine_may_point_at_it() -> None:
    assert up(at(Stranger(), "127.0.0.1"), contact="sip:peer@127.0.0.2:5070").port == 5070


def test_what_the_operator_allows_may_be_pointed_at() -> None:
    stranger = Stranger()
    allowed = (ipaddress.ip_network("10.0.0.0/8"),)
    stranger.agent.settings = AgentSettings(mentionable=allowed)
    assert up(stranger, contact="sip:peer@10.0.0.7").host == "10.0.0.7"


def test_a_name_remembers_who_mentioned_it() -> None:
    hop = up(Stranger(), contact="sip:peer@inside.example.com")
    assert (hop.host, hop.mentioned_by) == ("inside.example.com", "192.0.2.9")


def test_media_goes_to_no_neighbour_of_ours_that_an_offer_names() -> None:
    stranger = at(shielded(), "192.0.2.9")
    stranger.send(invite(body=OFFER.replace("192.0.2.1", "127.0.0.1")))
    (session,) = stranger.calls
    assert session.audio is not None
    assert session.audio.remote.host == "192.0.2.9"
