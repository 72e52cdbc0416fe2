"""`sip:` addresses of `POST Calls`: those that can never be called are refused at once, with the reason."""

from __future__ import annotations

import pytest

from callrouter.api.compat.call_order import call_order
from callrouter.api.compat.errors import RestError
from callrouter.api.compat.form import Form
from callrouter.sip.protocol.uri import Uri

LONG_TOKEN = "callrouter-transfer=module%3A" + "x" * 300


def ordered(to: str, **more: str) -> str:
    given = {"To": to, "From": "+15550199", "Url": "https://app.test/", **more}
    return call_order(Form(given.items()), "AC" + "1" * 32).to


@pytest.mark.parametrize(
    "uri",
    [
        "sip:alice@example.com",
        "sips:alice@example.com:5061",
        "sip:example.com",
        "sip:+1(555)0100;phone-context=x@example.com",
        "sip:alice:secret@example.com",
        "sip:al%40ice@example.com.",
        "sip:alice#1@host_1.example",
        "sip:alice@192.0.2.1:5070;transport=tcp",
        "sip:alice@[2001:db8::1]:5060;transport=TLS;x",
        "sip:alice@example.com;maddr=192.0.2.7;ttl=1",
        "sip:alice@example.com;maddr=[2001:db8::7]",
        "sip:alice@127.0.0.1?X-One=1&X-Two=b%20c",
        f"sip:alice@example.com;{LONG_TOKEN}",
    ],
)
def test_what_can_be_called_is_taken_and_read_alike_by_sip(uri: str) -> None:
    assert ordered(uri) == uri
    assert Uri.parse(uri).is_sip


def test_the_scheme_may_be_in_capitals() -> None:
    assert ordered("SIP:alice@Example.com") == "sip:alice@Example.com"


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("sip:", "it has no host"),
        ("sip:alice@", "it has no host"),
        ("sip::5060", "it has no host"),
        ("sip:alice@:5060", "it has no host"),
        ("sip:@example.com", "the user part before the @ is empty"),
        ("sip::secret@example.com", "the user part before the @ is empty"),
        ("sip:alice@example.com:0", "the port has to be a number from 1 to 65535, not '0'"),
        ("sip:alice@example.com:65536", "not '65536'"),
        ("sip:alice@example.com:99999999999999", "the port has to be"),
        ("sip:alice@example.com:", "the port has to be"),
        ("sip:alice@example.com:x", "not 'x'"),
        ("sip:alice@example.com:5060:1", "an IPv6 address stands in brackets"),
        ("sip:alice@2001:db8::1", "an IPv6 address stands in brackets"),
        ("sip:alice@[2001:db8::1", "the bracket of the IPv6 address is not closed"),
        ("sip:alice@[2001:db8:::::1]", "is no IPv6 address"),
        ("sip:alice@[fe80::1%eth0]", "the zone of an IPv6 address"),
        ("sip:alice@[fe80::1%25eth0]", "the zone of an IPv6 address"),
        ("sip:alice@[192.0.2.1]", "is no IPv6 address"),
        ("sip:alice@[::1]x", "is no port"),
        ("sip:alice@[::]", "nobody's address"),
        ("sip:alice@0.0.0.0", "nobody's address"),
        ("sip:alice@224.0.1.75", "nobody's address"),
        ("sip:alice@[ff02::1]", "nobody's address"),
        ("sip:alice@255.255.255.255", "nobody's address"),
        ("sip:alice@192.0.2.256", "is no IPv4 address"),
        ("sip:alice@192.0.2", "is no IPv4 address"),
        ("sip:alice@exa mple.com", "cannot be the name of a host"),
        ("sip:alice@exa..mple.com", "cannot be the name of a host"),
        ("sip:alice@-example.com", "cannot be the name of a host"),
        (f"sip:alice@{'x' * 64}.com", "cannot be the name of a host"),
        ("sip:alice@example.com/path", "cannot be the name of a host"),
        ("sip:alice@example.com,sip:bob@example.com", "in the user part has to be escaped"),
        ("sip:al ice@example.com", "' ' in the user part"),
        ("sip:alice@home@example.com", "'@' in the user part"),
        ("sip:<alice>@example.com", "'<' in the user part"),
        ('sip:"alice"@example.com', "in the user part"),
        ("sip:al%4ice@example.com", "'%' in the user part"),
        ("sip:alice\r\nX-Evil: 1@example.com", "in the user part"),
        ("sip:alice%0d%0aX-Evil%3a%201@example.com", "control characters"),
        ("sip:alice\x00@example.com", "in the user part"),
        ("sip:alice@example.com\r\nX-Evil: 1", "cannot be the name of a host"),
        ("sip:alice@example.com;x=1\r\nX-Evil: 1", "malformed parameter"),
        ("sip:alice@example.com;", "malformed parameter"),
        ("sip:alice@example.com;=1", "malformed parameter"),
        ("sip:alice@example.com;transport=pigeon", "the transport of sip: has to be one of udp, tcp"),
        ("sips:alice@example.com;transport=udp", "the transport of sips: has to be one of tcp, tls"),
        ("sip:alice@example.com;maddr=", "it has no host"),
        ("sip:alice@example.com;maddr=224.0.0.1", "nobody's address"),
        ("sip:alic\u00e9@example.com", "beyond ASCII"),
        ("sip:alice@ex\u00e4mple.com", "beyond ASCII"),
        (f"sip:{'a' * 250}@example.com", "more than 255 characters"),
    ],
)
def test_what_can_never_be_is_refused_and_named(uri: str, why: str) -> None:
    for name, code in (("To", 21211), ("From", 21212)):
        with pytest.raises(RestError) as told:
            ordered(**{"to": "+15550100", "From": uri} if name == "From" else {"to": uri})
        assert (told.value.status, told.value.code) == (400, code)
        assert told.value.message.startswith(f"{name} is not a SIP address that can be called: ")
        assert why in told.value.message
        assert told.value.message.isprintable(), "nothing of it gets into a log or a header as it is"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ("X-A=" + "b" * 1020, 21227),
        ("", 21228),
        ("=1", 21228),
        ("X-A", 21228),
        ("X A=1", 21228),
        ("X-A%0d%0a=1", 21228),
        ("X-A=b%0d%0aEvil%3a%201", 21229),
        ("X-A=b\r\nEvil: 1", 21229),
        ("X-A=\u00e9", 21229),
    ],
)
def test_headers_of_an_address_have_errors_of_their_own(headers: str, code: int) -> None:
    with pytest.raises(RestError) as told:
        ordered(f"sip:alice@example.com?{headers}")
    assert (told.value.status, told.value.code) == (400, code)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("SipAuthUsername", "a" * 256, 21221),
        ("SipAuthUsername", "a\r\nb", 21222),
        ("SipAuthPassword", "a" * 256, 21223),
        ("SipAuthPassword", "a\x00b", 21224),
    ],
)
def test_a_login_that_cannot_be_proved_is_refused(name: str, value: str, code: int) -> None:
    with pytest.raises(RestError) as told:
        ordered("sip:alice@example.com", **{name: value})
    assert told.value.code == code
