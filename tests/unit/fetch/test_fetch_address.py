"""Which URL is sent, and which is signed."""

from __future__ import annotations

import pytest

from callrouter.fetch.address import BadUrl, parse_address, without_credentials


@pytest.mark.parametrize(
    ("given", "signed", "sent"),
    [
        ("https://h/p", "https://h/p", "https://h/p"),
        ("https://h:443/p", "https://h/p", "https://h/p"),
        ("http://h:80/p", "http://h/p", "http://h/p"),
        ("http://h:443/p", "http://h:443/p", "http://h:443/p"),
        ("https://h:8443/p?b=%20&a=+", "https://h:8443/p?b=%20&a=+", "https://h:8443/p?b=%20&a=+"),
        ("https://h", "https://h/", "https://h/"),
        ("https://h?x=1#rc=2", "https://h/?x=1", "https://h/?x=1"),
        ("https://u:p%40@h/p", "https://u:p%40@h/p", "https://h/p"),
        ("  https://h/a b?é  ", "https://h/a%20b?%C3%A9", "https://h/a%20b?%C3%A9"),
        ("http://[::1]:8080/", "http://[::1]:8080/", "http://[::1]:8080/"),
    ],
)
def test_url_is_kept_but_for_what_never_travels(given: str, signed: str, sent: str) -> None:
    address = parse_address(given)
    assert (address.signed, address.sent) == (signed, sent)


def test_credentials_and_fragment_are_taken_apart() -> None:
    address = parse_address("https://us%3Aer:p%40ss@Host.example:8443/x#ct=1")
    assert (address.username, address.password, address.fragment) == ("us:er", "p@ss", "ct=1")
    assert address.origin == ("https", "host.example", 8443)


def test_get_parameters_follow_the_query_that_is_there() -> None:
    address = parse_address("https://u@h/p?x=1").with_query((("To", "+1 5"), ("e", "é")))
    assert address.sent == "https://h/p?x=1&To=%2B1+5&e=%C3%A9"
    assert address.signed == "https://u@h/p?x=1&To=%2B1+5&e=%C3%A9"
    assert parse_address("https://h").with_query((("a", "b"),)).sent == "https://h/?a=b"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "voice.xml",
        "file:///etc/passwd",
        "gopher://h/",
        "http://",
        "http://h:0/",
        "http://h:99999/",
        "http://exa mple/",
        "http://[::1/",
        "http://u:secret@h\\@evil/",
        "http://h/" + "x" * 20000,
    ],
)
def test_what_cannot_be_fetched_is_refused_without_telling_secrets(text: str) -> None:
    with pytest.raises(BadUrl) as raised:
        parse_address(text)
    assert "secret" not in str(raised.value)


def test_credentials_are_left_out_of_messages() -> None:
    assert without_credentials("https://u:p@h/x?y#ct=1") == "https://h/x?y"
    assert without_credentials("//u:p@h/x") == "//h/x"
    assert without_credentials("/x@y") == "/x@y"
