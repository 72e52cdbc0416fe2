"""The garbage collector: while there is no call, or once there is too much to wait any longer."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from callrouter import collector
from callrouter.collector import MOST_OBJECTS, QUIET_SECONDS, is_due


@pytest.mark.parametrize(
    ("waited", "grown", "has_calls", "due"),
    [
        (QUIET_SECONDS, 0, False, True),
        (QUIET_SECONDS - 1, MOST_OBJECTS, False, False),
        (60 * QUIET_SECONDS, MOST_OBJECTS, True, False),
        (1, MOST_OBJECTS + 1, True, True),
    ],
)
def test_it_looks_when_nobody_waits_for_it_or_when_it_must(
    waited: float, grown: int, has_calls: bool, due: bool
) -> None:
    assert is_due(waited, grown, has_calls=has_calls) == due


class Knot:
    def __init__(self) -> None:
        self.itself = self


@pytest.mark.parametrize("has_calls", [False, True])
async def test_what_only_knows_itself_goes_while_there_is_no_call(
    monkeypatch: pytest.MonkeyPatch, has_calls: bool
) -> None:
    monkeypatch.setattr(collector, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(collector, "QUIET_SECONDS", 0.002)
    gc.disable()
    try:
        knot = weakref.ref(Knot())
        assert knot() is not None
        looking = asyncio.create_task(collector.collect(lambda: has_calls))
        for _ in range(10_000 if not has_calls else 10):
            if knot() is None:
                break
            await asyncio.sleep(0.001)
        assert (knot() is None) == (not has_calls)
        looking.cancel()
    finally:
        gc.enable()


def test_the_server_begins_no_collection_unasked() -> None:
    was_enabled = gc.isenabled()
    try:
        collector.spare()
        before = gc.get_stats()[0]["collections"]
        kept: list[list[int]] = [[] for _ in range(50_000)]
        assert gc.get_stats()[0]["collections"] == before
        assert gc.get_count()[0] >= len(kept), "but it knows how many there are"
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()
