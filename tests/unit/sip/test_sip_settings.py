"""What an operator may say, what is refused, and where calls go."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from callrouter.sip.registrar_settings import RegistrarSettings, User
from callrouter.sip.settings import Listen, Settings, Trunk
from callrouter.sip.trunk_settings import Gateway, Numbers


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_wildcard_without_an_advertised_address_is_refused(host: str) -> None:
    with pytest.raises(ValidationError, match="ambiguous: set `advertise`"):
        Listen(host=host)
    assert Listen(host=host, advertise="192.0.2.1").advertise == "192.0.2.1"


@pytest.mark.parametrize(
    ("advertise", "why"),
    [
        ("0.0.0.0", "cannot reach"),
        ("::", "cannot reach"),
        ("224.0.0.1", "cannot reach"),
        ("203.0.113.5:5060", "advertise_port"),
        ("[2001:db8::1]", "no brackets"),
        ("sip example", "neither an IP address nor a name"),
    ],
)
def test_an_advertised_address_is_one_that_peers_can_reach(advertise: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Listen(host="0.0.0.0", advertise=advertise)
    assert Listen(host="::", advertise="sip.example.com").advertise == "sip.example.com"


def test_a_host_to_bind_is_an_address() -> None:
    with pytest.raises(ValidationError, match="not an IP address"):
        Listen(host="example.com")


def test_trunk_names_are_unique_and_the_default_exists() -> None:
    a = Trunk(name="a", host="192.0.2.1")
    with pytest.raises(ValidationError, match="same name"):
        Settings(trunks=(a, a))
    with pytest.raises(ValidationError, match="'b' is not among the trunks \\(a\\)"):
        Settings(trunks=(a,), default_trunk="b")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({}, "needs `host` or `gateways`"),
        ({"host": "192.0.2.1", "gateways": (Gateway(host="192.0.2.2"),)}, "not both"),
        ({"host": "192.0.2.1", "register": True}, "needs a username"),
        ({"sources": ("192.0.2.0/24",), "register": True, "username": "u"}, "a gateway to register with"),
        ({"host": "192.0.2.1", "inbound_username": "u"}, "go together"),
        ({"host": "192.0.2.1", "owned": ("02071838750",)}, "no number such as"),
    ],
)
def test_a_trunk_that_does_not_fit_together_is_refused(wrong: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Trunk(name="a", **wrong)


def test_national_numbers_need_their_country() -> None:
    with pytest.raises(ValidationError, match="country_code"):
        Numbers(style="national")


def test_registered_users_have_names_of_their_own() -> None:
    alice = User(name="alice", password="x")
    with pytest.raises(ValidationError, match="same name"):
        RegistrarSettings(users=(alice, alice))
    trunk = Trunk(name="a", sources=("192.0.2.1",), inbound_username="alice", inbound_password="y")
    with pytest.raises(ValidationError, match="inbound_username"):
        Settings(trunks=(trunk,), registrar=RegistrarSettings(users=(alice,)))


def test_the_lengths_of_registrations_are_in_order() -> None:
    with pytest.raises(ValidationError, match="min_seconds"):
        RegistrarSettings(min_seconds=600, default_seconds=60)
