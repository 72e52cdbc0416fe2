"""Who is asked again, and when."""

from __future__ import annotations

import pytest

from callrouter.storage.retries import CALLBACK, NOTIFICATION, Attempt

HOUR = 3_600_000


@pytest.mark.parametrize(
    ("attempts", "attempt", "delay_ms"),
    [
        (1, Attempt(200), None),
        (1, Attempt(0, code=11205, retryable=True), 1000),
        (2, Attempt(0, code=11205, retryable=True), None),
        (1, Attempt(0, code=11203, retryable=True), None),
        (1, Attempt(0, code=11236, retryable=False), None),
        (1, Attempt(500, retryable=True), None),
        (1, Attempt(404), None),
    ],
)
def test_a_callback_is_repeated_once_if_it_never_arrived(
    attempts: int, attempt: Attempt, delay_ms: int | None
) -> None:
    assert CALLBACK.delay_ms(attempts, attempt) == delay_ms


def test_a_notification_is_repeated_for_75_hours() -> None:
    failed = Attempt(503)
    delays = [NOTIFICATION.delay_ms(attempts, failed) for attempts in range(1, 11)]
    assert delays[:3] == [5000, 300_000, 1_800_000]
    assert delays[-1] is None
    assert 75 * HOUR < sum(delay for delay in delays if delay) < 76 * HOUR


@pytest.mark.parametrize("status", [204, 410])
def test_a_notification_that_arrived_or_is_unwanted_is_not_repeated(status: int) -> None:
    assert NOTIFICATION.delay_ms(1, Attempt(status)) is None


@pytest.mark.parametrize(
    ("attempt", "outcome"),
    [
        (Attempt(201), "delivered"),
        (Attempt(302), "refused"),
        (Attempt(500), "refused"),
        (Attempt(0), "unreachable"),
    ],
)
def test_outcomes_are_few(attempt: Attempt, outcome: str) -> None:
    assert attempt.outcome == outcome
