"""Who may place a call: carriers, users and peers; everybody else is challenged or refused."""

from __future__ import annotations

import ipaddress

import pytest

from callrouter.sip.protocol.admission import _REMEMBERED, Admission, Origin, OriginKind, TrunkAccess
from callrouter.sip.protocol.digest_server import DigestServer
from callrouter.sip.protocol.domains import Domains
from callrouter.sip.protocol.message import Response
from tests.protocol.registering import CARRIER, PEER, Office, with_credentials
from tests.protocol.stranger import invite, text
from tests.protocol.wire import SECOND, counting_tokens

STRANGER = "203.0.113.66"


def from_alice(written: str) -> str:
    return written.replace("From: <sip:peer@192.0.2.9>", "From: <sip:alice@192.0.2.2>")


def origins(office: Office) -> list[Origin]:
    return [session.origin for session in office.calls]


def test_a_carrier_is_known_by_its_address() -> None:
    office = Office().at(CARRIER)
    office.send(invite())
    assert origins(office) == [Origin(OriginKind.TRUNK, "carrier")]


def test_an_address_that_a_carriers_name_leads_to_is_learnt_and_forgotten() -> None:
    office = Office(challenge_strangers=False).at(STRANGER)
    office.admission.learn("carrier", [STRANGER])
    office.send(invite())
    assert origins(office) == [Origin(OriginKind.TRUNK, "carrier")]
    office.admission.learn("carrier", [])
    assert office.one(invite(branch="z9hG4bK2", call_id="c2")).status == 403


def test_a_peer_that_the_configuration_names_may_call() -> None:
    office = Office().at(PEER)
    office.send(invite())
    assert origins(office) == [Origin(OriginKind.PEER)]


@pytest.mark.parametrize(("challenges", "status"), [(True, 401), (False, 403)])
def test_everybody_else_is_challenged_or_refused(challenges: bool, status: int) -> None:
    office = Office(challenge_strangers=challenges).at(STRANGER)
    response = office.one(invite())
    assert response.status == status
    assert bool(response.all("WWW-Authenticate")) is challenges
    assert office.calls == []
    assert office.agent.is_idle, "nothing is kept for strangers"


@pytest.mark.parametrize("host", [STRANGER, PEER, CARRIER])
def test_whoever_says_to_be_a_user_has_to_prove_it(host: str) -> None:
    office = Office(challenge_strangers=False).at(host)
    response = office.one(from_alice(invite()))
    assert response.status == 401
    proved = with_credentials(from_alice(invite(cseq="2 INVITE")), response, "alice", "wonderland")
    assert office.send(proved) == []
    assert origins(office) == [Origin(OriginKind.USER, "alice")]


@pytest.mark.parametrize("challenges", [True, False])
def test_a_stranger_cannot_tell_users_from_names_nobody_has(challenges: bool) -> None:
    """Not by calling as them, nor by registering as them, nor by asking for them."""

    def answers(user: str) -> list[tuple[int, list[str]]]:
        office = Office(challenge_strangers=challenges).at(STRANGER)
        called = invite().replace("From: <sip:peer@192.0.2.9>", f"From: <sip:{user}@192.0.2.2>")
        asked = text("OPTIONS", uri=f"sip:{user}@192.0.2.2", branch="z9hG4bKo")
        subscribed = text("SUBSCRIBE", uri=f"sip:{user}@192.0.2.2", branch="z9hG4bKs")
        wrong = office.register("<sip:a@203.0.113.66>", user=user, password="guess")
        seen = [office.one(called), office.one(asked), office.one(subscribed), wrong]
        assert office.calls == []
        return [(m.status, [name for name, _ in m.fields]) for m in seen]

    assert answers("alice") == answers("mallory")


def test_the_password_says_who_it_is_whatever_from_says() -> None:
    office = Office().at(STRANGER)
    challenged = office.one(invite())
    office.send(with_credentials(invite(cseq="2 INVITE"), challenged, "bob", "builder"))
    assert origins(office) == [Origin(OriginKind.USER, "bob")]


@pytest.mark.parametrize("user", ["alice", "nobody"])
def test_a_wrong_password_is_refused_whoever_it_is_for(user: str) -> None:
    office = Office().at(STRANGER)
    challenged = office.one(invite())
    response = office.one(with_credentials(invite(cseq="2 INVITE"), challenged, user, "guess"))
    assert response.status == 403
    assert office.calls == []


def test_a_carrier_without_a_fixed_address_is_known_by_its_password() -> None:
    office = Office().at(STRANGER)
    challenged = office.one(invite())
    office.send(with_credentials(invite(cseq="2 INVITE"), challenged, "trunk-user", "trunk-password"))
    assert origins(office) == [Origin(OriginKind.TRUNK, "dynamic")]


def test_an_ipv4_peer_on_an_ipv6_socket_is_the_same_peer() -> None:
    office = Office().at(f"::ffff:{PEER}")
    office.send(invite())
    assert origins(office) == [Origin(OriginKind.PEER)]


@pytest.mark.parametrize("network", ["198.51.100.16/28", "::ffff:198.51.100.16/124"])
@pytest.mark.parametrize("host", ["198.51.100.17", "::ffff:198.51.100.17", "::ffff:c633:6411"])
def test_ipv4_within_ipv6_is_the_carriers_or_peers_ipv4(network: str, host: str) -> None:
    listed = ipaddress.ip_network(network)
    office = Office(challenge_strangers=False)
    trunk = TrunkAccess("listed", (listed,))
    for trunks, peers, origin in (
        ((trunk,), (), Origin(OriginKind.TRUNK, "listed")),
        ((), (listed,), Origin(OriginKind.PEER)),
    ):
        office.agent.admission = Admission(
            trunks,
            {},
            peers,
            DigestServer("office", b"key", counting_tokens("d")),
            Domains((), office.agent.listeners),
            challenge_strangers=False,
        )
        office.at(host).send(invite(branch=f"z9hG4bK{origin.kind.value}", call_id=origin.kind.value))
        assert office.calls[-1].origin == origin
        assert office.at("::ffff:198.51.100.33").one(invite(call_id="c", branch="z9hG4bKc")).status == 403
    office.agent.admission = office.admission
    office.admission.learn("carrier", ["198.51.100.99"])
    assert office.admission.carrier_at("::ffff:198.51.100.99") == "carrier"


def test_what_belongs_to_a_call_is_never_challenged() -> None:
    office = Office(challenge_strangers=False).at(CARRIER)
    office.send(invite())
    session = office.calls[0]
    session.hangup("", office.now)
    office.take()
    office.send(text("ACK", to_tag=session.local_tag))
    office.at(STRANGER)
    assert office.status(text("BYE", to_tag="unknown", branch="z9hG4bK3", cseq="3 BYE")) == 481
    assert [r.status for r in office.send(text("OPTIONS", branch="z9hG4bK4")) if isinstance(r, Response)] == [
        200
    ]


def test_a_challenge_that_took_too_long_is_asked_again() -> None:
    office = Office().at(STRANGER)
    challenged = office.one(invite())
    office.now += 301 * SECOND
    again = office.one(with_credentials(invite(cseq="2 INVITE"), challenged, "bob", "builder"))
    assert again.status == 401
    assert all("stale=true" in value for value in again.all("WWW-Authenticate"))


def test_addresses_that_no_carrier_has_are_not_remembered_without_end() -> None:
    admission = Office().admission
    for number in range(3 * _REMEMBERED):
        assert admission.carrier_at(f"10.{number >> 8}.{number & 255}.1") == ""
    assert len(admission._carriers) <= _REMEMBERED
    assert admission.carrier_at(CARRIER) == "carrier"
