"""What is made of a carrier's INVITE: the number it is for, if that is one of the carrier's."""

from __future__ import annotations

import pytest

from callrouter.sip.arrivals import Arrivals, NotOwned
from callrouter.sip.protocol.admission import Origin, OriginKind
from callrouter.sip.protocol.domains import Domains
from callrouter.sip.protocol.hop import Hop
from callrouter.sip.protocol.incoming import NewCall
from callrouter.sip.protocol.message import parse
from callrouter.sip.settings import Settings, Trunk
from callrouter.sip.trunk_settings import Numbers
from callrouter.sip.trunks import Trunks
from tests.protocol.stranger import Stranger

CARRIER = Trunk(
    name="carrier",
    sources=("192.0.2.9/32",),
    owned=("+442071838750",),
    numbers=Numbers(country_code="44", bare="international"),
)


def called(uri: str) -> str:
    stranger = Stranger()
    invite = (
        f"INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n"
        f"From: <sip:0123@192.0.2.9>;tag=a\r\nTo: <{uri}>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n"
        "Contact: <sip:192.0.2.9>\r\nContent-Length: 0\r\n\r\n"
    ).encode()
    stranger.agent.receive(parse(invite), Hop("udp", "192.0.2.9", 5060), 0)
    (session,) = [event.session for _, event in stranger.agent.events if isinstance(event, NewCall)]
    session.origin = Origin(OriginKind.TRUNK, "carrier")
    settings = Settings(trunks=(CARRIER,))
    arrivals = Arrivals(
        settings, Trunks(settings, lambda size: "0" * size), Domains((), stranger.agent.listeners)
    )
    return arrivals.read(session).request_uri


@pytest.mark.parametrize(
    "uri",
    ["tel:+442071838750", "tel:+44-20-7183-8750;npdi", "tel:02071838750", "tel:442071838750"],
)
def test_a_carrier_may_name_its_number_itself(uri: str) -> None:
    assert called(uri) == "tel:+442071838750"


def test_a_carrier_may_name_its_number_at_any_host() -> None:
    assert called("sip:02071838750;npdi@192.0.2.2;user=phone") == ("sip:+442071838750@192.0.2.2;user=phone")


@pytest.mark.parametrize("uri", ["tel:+442071838751", "tel:", "sip:+442071838751@192.0.2.2", "sip:192.0.2.2"])
def test_a_number_of_somebody_else_is_not_the_carriers_to_send(uri: str) -> None:
    with pytest.raises(NotOwned):
        called(uri)
