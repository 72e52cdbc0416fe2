"""What an operator may say, what is refused, and where calls go."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from callrouter.errors import Unroutable
from callrouter.sip.settings import Listen, Settings, Trunk
from callrouter.sip.trunks import Trunks, escape_user


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_wildcard_without_an_advertised_address_is_refused(host: str) -> None:
    with pytest.raises(ValidationError, match="ambiguous: set `advertise`"):
        Listen(host=host)
    assert Listen(host=host, advertise="192.0.2.1").advertise == "192.0.2.1"


def test_a_host_to_bind_is_an_address() -> None:
    with pytest.raises(ValidationError, match="not an IP address"):
        Listen(host="example.com")


def test_trunk_names_are_unique_and_the_default_exists() -> None:
    a = Trunk(name="a", host="192.0.2.1")
    with pytest.raises(ValidationError, match="same name"):
        Settings(trunks=(a, a))
    with pytest.raises(ValidationError, match="'b' is not among the trunks \\(a\\)"):
        Settings(trunks=(a,), default_trunk="b")


def trunks() -> Trunks:
    a = Trunk(name="a", host="192.0.2.1", port=5080, transport="tcp", username="u", password="p")
    b = Trunk(name="b", host="sip.example.com", domain="example.com")
    return Trunks(Settings(trunks=(a, b), default_trunk="b"))


def test_a_number_goes_through_the_named_or_the_default_trunk() -> None:
    by_default, named = trunks().destination("+15550100"), trunks().destination("tel:+15550100", "a")
    assert (by_default.uri, by_default.host, by_default.transport) == (
        "sip:+15550100@example.com",
        "sip.example.com",
        "udp",
    )
    assert named.uri == "sip:+15550100@192.0.2.1:5080;transport=tcp"
    assert named.credentials is not None
    assert by_default.credentials is None


def test_a_sip_uri_is_called_where_it_says() -> None:
    there = trunks().destination("sip:bob@[2001:db8::1]:5070;transport=TCP?X=y")
    assert (there.host, there.port, there.transport) == ("2001:db8::1", 5070, "tcp")
    assert there.uri == "sip:bob@[2001:db8::1]:5070;transport=TCP"


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("sip:", "not a SIP URI"),
        ("sip:bob@example.com;transport=tls", "nothing listens there"),
        ("sips:bob@example.com", "nothing listens there"),
        ("", "not a number"),
        ("12 34", "not a number"),
    ],
)
def test_what_cannot_be_called(target: str, why: str) -> None:
    with pytest.raises(Unroutable, match=why):
        trunks().destination(target)


def test_user_parts_are_escaped() -> None:
    assert escape_user("+1 (5)@x") == "+1%20(5)%40x"
