"""X-Twilio-Signature: published vectors, and what has to leave it unchanged."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from callrouter.fetch.signature import signature

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
