"""Identifiers: of the shape that the compatible API has, never twice, in the order they were made."""

from __future__ import annotations

import re
import time

import pytest

from callrouter.ids import RandomIds


def test_a_sid_is_a_prefix_and_32_hex_digits_that_do_not_come_again() -> None:
    ids = RandomIds()
    made = [ids.sid("CA") for _ in range(1000)]
    assert all(re.fullmatch("CA[0-9a-f]{32}", sid) for sid in made)
    assert len({sid[10:] for sid in made}) == len(made)


def test_later_sids_lie_behind_earlier_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = RandomIds()
    now = time.time()
    made = []
    for second in range(20):
        monkeypatch.setattr(time, "time", lambda at=now + second: at)
        made.append(ids.sid("CA"))
    assert made == sorted(made)
