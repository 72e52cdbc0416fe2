"""The appointment book of the core."""

from __future__ import annotations

from functools import partial

import pytest

from callrouter.sip.protocol.timers import LIFETIME, MS, Endings, Timers


def test_timers_fire_in_order_and_once() -> None:
    timers = Timers()
    fired: list[tuple[int, int]] = []

    def fire(at: int, now: int) -> None:
        fired.append((at, now))

    for at in (30, 10, 20):
        timers.start(at, partial(fire, at))
    assert timers.next_ns == 10
    timers.run(25)
    assert fired == [(10, 25), (20, 25)]
    assert (timers.next_ns, len(timers)) == (30, 1)


def test_a_cancelled_timer_neither_fires_nor_counts() -> None:
    timers = Timers()
    fired: list[int] = []
    timer = timers.start(10, fired.append)
    timer.cancel()
    timer.cancel()
    assert (timers.next_ns, len(timers)) == (None, 0)
    timers.run(20)
    assert fired == []


def test_a_timer_may_start_and_cancel_others() -> None:
    timers = Timers()
    fired: list[object] = []
    victim = timers.start(11, fired.append)

    def first(now: int) -> None:
        victim.cancel()
        timers.start(now, lambda at: fired.append(("second", at)))

    timers.start(10, first)
    timers.run(15)
    assert fired == [("second", 15)]
    assert len(timers) == 0


def test_many_cancelled_timers_leave_the_heap() -> None:
    timers = Timers()
    kept = [timers.start(10**9 + i, lambda now: None) for i in range(10)]
    for i in range(50_000):
        timers.start(10**6 + i, lambda now: None).cancel()
    assert len(timers) == len(kept)
    assert len(timers._heap) < 20_000


class Mayfly:
    def __init__(self) -> None:
        self.ends_ns = 0
        self.is_over = False

    def terminate(self) -> None:
        self.is_over = True


def test_one_ending_that_fails_does_not_hold_up_the_others() -> None:
    class Failing(Mayfly):
        def terminate(self) -> None:
            raise RuntimeError

    timers = Timers()
    endings, flies = Endings(timers), [Failing(), Mayfly()]
    for fly in flies:
        endings.add(fly, 0)
    with pytest.raises(RuntimeError):
        timers.run(LIFETIME)
    timers.run(LIFETIME + 1_000 * MS)
    assert flies[1].is_over


def test_what_ends_in_order_never_ends_early_and_needs_one_timer() -> None:
    timers = Timers()
    endings, flies = Endings(timers), [Mayfly() for _ in range(1_000)]
    for begun_ms, fly in enumerate(flies):
        endings.add(fly, begun_ms * MS)
    assert len(timers) == 1
    runs = 0
    while (due := timers.next_ns) is not None:
        timers.run(due)
        runs += 1
        assert [fly.is_over for fly in flies] == [fly.ends_ns <= due for fly in flies]
    assert flies[-1].ends_ns == 999 * MS + LIFETIME
    assert (len(timers), all(fly.is_over for fly in flies)) == (0, True)
    assert runs < 100, "one run each is what this is to save"
