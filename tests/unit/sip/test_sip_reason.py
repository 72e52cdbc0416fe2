"""Reason headers (RFC 3326), as they are written."""

from __future__ import annotations

import pytest

from callrouter.sip.leg import reason_header
from callrouter.sip.protocol.headers.reason import Reason


@pytest.mark.parametrize(
    ("text", "q850", "written"),
    [
        ("", 16, 'Q.850;cause=16;text="normal call clearing"'),
        ('it is "over"', 17, 'Q.850;cause=17;text="it is \\"over\\""'),
        ("", 99, "Q.850;cause=99"),
        (
            'SIP;cause=200;text="Call completed elsewhere"',
            16,
            'SIP;cause=200;text="Call completed elsewhere"',
        ),
    ],
)
def test_a_reason_says_words_and_a_cause(text: str, q850: int, written: str) -> None:
    assert reason_header(text, q850) == written
    assert Reason.parse(written).cause in (q850, 200)
