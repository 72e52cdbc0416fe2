"""Connection overrides in URL fragments."""

from __future__ import annotations

import pytest

from callrouter.fetch.overrides import BadRetryPolicy, Limits, with_overrides


def test_defaults_hold_without_a_fragment() -> None:
    assert with_overrides(Limits(), "") == Limits(5000, 15000, 15000, 1, frozenset({"ct"}))


def test_every_key_is_read() -> None:
    assert with_overrides(Limits(), "ct=200&rt=300&tt=400&rc=3&rp=5xx,rt&sni=n&e=dublin") == Limits(
        200, 300, 400, 3, frozenset({"5xx", "rt"})
    )


@pytest.mark.parametrize(
    ("fragment", "limits"),
    [
        ("ct=1", Limits(connect_ms=100)),
        ("ct=99999", Limits(connect_ms=10000)),
        ("rt=" + "9" * 5000, Limits(read_ms=15000)),
        ("tt=16000", Limits(total_ms=15000)),
        ("rc=9", Limits(retries=5)),
        ("rc=-1", Limits()),
        ("ct=abc&rt=&tt=١٢", Limits()),
        ("section-2", Limits()),
    ],
)
def test_numbers_are_moved_into_range_and_nonsense_is_ignored(fragment: str, limits: Limits) -> None:
    assert with_overrides(Limits(), fragment) == limits


def test_all_means_every_condition() -> None:
    assert with_overrides(Limits(), "rp=all").retry_on == {"4xx", "5xx", "ct", "rt"}


def test_unknown_condition_is_an_error_that_names_it() -> None:
    with pytest.raises(BadRetryPolicy, match="3xx"):
        with_overrides(Limits(), "rp=3xx,ct")
