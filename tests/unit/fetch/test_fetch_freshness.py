"""How long a fetched audio file is believed (RFC 9111)."""

from __future__ import annotations

import pytest

from callrouter.fetch.freshness import fresh_seconds

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("cache_control", "expires", "seconds"),
    [
        ("", "", 0),
        ("max-age=60", "", 60),
        ('public, Max-Age="60"', "", 60),
        ("max-age=60, s-maxage=5", "", 5),
        ("no-cache, max-age=60", "", 0),
        ("no-store", "Tue, 14 Nov 2023 22:14:20 GMT", 0),
        ("max-age=banana", "Tue, 14 Nov 2023 22:14:20 GMT", 0),
        ("max-age=" + "9" * 5000, "", 7 * 86400),
        ("", "Tue, 14 Nov 2023 22:14:20 GMT", 60),
        ("", "Tue, 14 Nov 2023 22:12:20 GMT", 0),
        ("", "0", 0),
        ("", "Tue, 14 Nov 99999 22:12:20 GMT", 0),
    ],
)
def test_freshness_follows_the_headers(cache_control: str, expires: str, seconds: float) -> None:
    assert fresh_seconds(cache_control, expires, NOW) == seconds
