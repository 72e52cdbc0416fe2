"""Redirections: which addresses of a 3xx are read, and which of them may be called."""

from __future__ import annotations

import pytest

from callrouter.ports import Failed, MediaAddress, Redirect
from callrouter.sip.protocol.admission import PEER, Origin, OriginKind
from callrouter.sip.protocol.agent import Agent, AgentSettings
from callrouter.sip.protocol.domains import Domains
from callrouter.sip.protocol.hop import Hop, Listener
from callrouter.sip.protocol.message import Response, parse
from callrouter.sip.protocol.outgoing import Invitation
from callrouter.sip.protocol.redirection import contacts_of
from callrouter.sip.redirect_settings import Redirects
from callrouter.sip.redirections import Redirections
from callrouter.sip.referrals import Referrals
from callrouter.sip.registrar_settings import RegistrarSettings, User
from callrouter.sip.settings import Settings, Trunk
from callrouter.sip.trunk_settings import Gateway
from callrouter.sip.trunks import Trunks
from tests.narrowing import as_a
from tests.protocol.wire import counting_tokens

HERE = Listener("udp", "192.0.2.2", 5060)
BOB = Origin(OriginKind.USER, "bob")
CARRIER = Origin(OriginKind.TRUNK, "carrier")
SOURCE = "198.51.100.1"


def answer(status: int, *contacts: str) -> tuple[str, ...]:
    lines = [f"SIP/2.0 {status} Moved", "Via: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK1", "From: <sip:a@b>;tag=1"]
    lines += ["To: <sip:c@d>;tag=2", "Call-ID: c", "CSeq: 1 INVITE", *(f"Contact: {c}" for c in contacts)]
    return contacts_of(as_a(Response, parse("\r\n".join([*lines, "Content-Length: 0", "", ""]).encode())))


def test_the_best_contact_comes_first_and_what_it_says_of_the_invite_is_dropped() -> None:
    one, two = "<sip:low@a.example>;q=0.2, <sip:top@a.example>", "<sip:mid@a.example?Subject=x>;q=0.5"
    assert answer(302, one, two) == ("sip:top@a.example", "sip:mid@a.example", "sip:low@a.example")


@pytest.mark.parametrize("status", [303, 305, 380, 486])
def test_what_is_no_redirection_leads_nowhere(status: int) -> None:
    assert answer(status, "<sip:a@a.example>") == ()


def test_what_cannot_be_read_or_called_is_left_out() -> None:
    assert answer(302, "<sip:", "<mailto:a@a.example>", "<http://a.example>", "<tel:+15550100>") == (
        "tel:+15550100",
    )
    assert len(answer(300, *(f"<sip:{n}@a.example>" for n in range(50)))) == 10


def read(
    origin: Origin, *contacts: str, rule: Redirects = Redirects.OWN, **trunk: object
) -> tuple[Redirect, ...]:
    settings = Settings(
        redirects=rule,
        registrar=RegistrarSettings(users=(User(name="bob", password="x"), User(name="carol", password="x"))),
        trunks=(
            Trunk(
                name="carrier",
                gateways=(Gateway(host="198.51.100.1"), Gateway(host="gw.carrier.example")),
                domain="carrier.example",
                **trunk,
            ),
        ),
    )
    agent = Agent(AgentSettings(), counting_tokens("a"))
    agent.listeners.append(HERE)
    trunks = Trunks(settings, counting_tokens("b"))
    referrals = Referrals(settings, trunks, Domains(("here.example",), (HERE,)))
    invitation = Invitation(
        "sip:callee@pbx.example", "<sip:a@192.0.2.2>", "a", MediaAddress("192.0.2.2", 4000), callee=origin
    )
    session = agent.call(invitation, "c")
    session.start(Hop("udp", SOURCE, 5060), 0)
    failed = Failed(0, 302, "Moved", {}, contacts=contacts)
    return Redirections(settings, trunks, referrals).read(session, failed).redirects


def test_a_carrier_redirects_to_its_own_servers_alone() -> None:
    inside = ("sip:1@198.51.100.1", "sip:1@GW.carrier.example:5070", "sip:1@carrier.example")
    outside = (
        "sip:1@198.51.100.2",
        "sip:1@127.0.0.1",
        "sip:1@carrier.example;maddr=127.0.0.1",
        "tel:+15550100",
    )
    assert read(CARRIER, *inside, *outside) == tuple(Redirect(uri, "carrier") for uri in inside)


def test_a_carrier_may_be_let_redirect_anywhere_it_may_mention() -> None:
    found = read(CARRIER, "sip:1@203.0.113.9", rule=Redirects.OFF, redirects=Redirects.ANYWHERE)
    assert found == (Redirect("sip:1@203.0.113.9", "", SOURCE),)


@pytest.mark.parametrize("origin", [CARRIER, BOB, PEER])
def test_redirections_can_be_turned_off(origin: Origin) -> None:
    contacts = ("sip:1@198.51.100.1", "sip:carol@here.example", "sip:x@pbx.example")
    assert read(origin, *contacts, rule=Redirects.OFF) == ()


def test_a_user_redirects_to_users_and_numbers_here() -> None:
    contacts = ("sip:carol@192.0.2.2", "sip:+15550100@here.example", "tel:+1-555-0101", "sip:x@203.0.113.9")
    assert read(BOB, *contacts) == (
        Redirect("client:carol"),
        Redirect("tel:+15550100"),
        Redirect("tel:+15550101"),
    )
    assert read(BOB, "sip:x@203.0.113.9", rule=Redirects.ANYWHERE) == (
        Redirect("sip:x@203.0.113.9", "", SOURCE),
    )


def test_any_other_address_redirects_within_its_host() -> None:
    contacts = ("sip:other@pbx.example", "sip:other@elsewhere.example", "sip:other@127.0.0.1")
    assert read(PEER, *contacts) == (Redirect("sip:other@pbx.example", "", SOURCE),)
