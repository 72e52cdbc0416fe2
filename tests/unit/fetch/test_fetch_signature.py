"""X-Twilio-Signature: the vectors of twiml.md §3.1, and what has to leave it unchanged."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from callrouter.fetch.signature import signature, url_with_body_digest

SECRET = "12345"

VECTORS = [
    (
        "https://mycompany.com/myapp.php?foo=1&bar=2",
        [
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+12349013030"),
            ("Digits", "1234"),
            ("From", "+12349013030"),
            ("To", "+18005551212"),
        ],
        "0/KCTR6DLpKmkAf8muzZqo1nDgQ=",
    ),
    ("https://example.com/voice?CallSid=CA1&From=%2B15550001111", [], "B3Jc6pb9C/W/tzWfaqFgEKhM7+s="),
    (
        "https://example.com/v",
        [("a", "2"), ("a", "1"), ("a", "2"), ("b", "x")],
        "gn/asAF1lsc2N6KltAP/GhBA3uE=",
    ),
    ("https://example.com/p", [("CallerName", ""), ("A", "é")], "cr5lKk7TQPJSDo8Mft7xAgSoIe4="),
]


@pytest.mark.parametrize(("url", "form", "expected"), VECTORS)
def test_published_vectors_are_reproduced(url: str, form: list[tuple[str, str]], expected: str) -> None:
    assert signature(SECRET, url, form) == expected


def test_body_that_is_no_form_is_signed_by_its_digest_in_the_url() -> None:
    url = url_with_body_digest("https://example.com/j", b'{"a":1}')
    assert url.endswith("?bodySHA256=015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862")
    assert signature(SECRET, url) == "6GDIxue6P6vEr2mLx8Gq5cr0sCg="
    assert url_with_body_digest("https://h/j?x=1", b"").startswith("https://h/j?x=1&bodySHA256=")


def test_shared_keys_sign_with_sha256() -> None:
    signed = signature(SECRET, "https://example.com/p", [("x", "y")], algorithm="sha256")
    assert signed == "TU6huAmJ8hH7ftfTx7toxZ5buCN5PIr0a9zyCX/J8FI="


def test_the_fragment_is_not_signed() -> None:
    assert signature(SECRET, "https://h/p#rc=2", []) == signature(SECRET, "https://h/p", [])


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.text(min_size=1, max_size=8), st.text(max_size=8)), max_size=6, unique_by=lambda p: p[0]
    )
)
def test_the_official_validator_accepts_any_form(form: list[tuple[str, str]]) -> None:
    url = "https://example.com/voice?x=1"
    assert RequestValidator(SECRET).validate(url, dict(form), signature(SECRET, url, form))
