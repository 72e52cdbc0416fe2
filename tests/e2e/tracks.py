"""What must hold for every metered session."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Any


def assert_partitioned(session: dict[str, Any]) -> None:
    """Each call's intervals follow each other to the millisecond, from its start to its end."""
    assert session["status"] == "ended", session
    for call in session["calls"]:
        track = call["intervals"]
        assert track, call
        assert call["complete"], call
        assert [interval["sequence"] for interval in track] == list(range(len(track)))
        for earlier, later in pairwise(track):
            assert earlier["ended_at"] == later["started_at"], track
        for interval in track:
            span = instant_ms(interval["ended_at"]) - instant_ms(interval["started_at"])
            assert span == interval["duration_ms"], interval


def instant_ms(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int(moment.timestamp()) * 1000 + moment.microsecond // 1000


def modules(call: dict[str, Any]) -> list[tuple[str, str]]:
    """(module, mode) of a call's intervals."""
    return [(interval["module"], interval["mode"]) for interval in call["intervals"]]


def metered_ms(call: dict[str, Any]) -> int:
    return sum(interval["duration_ms"] for interval in call["intervals"])
