"""How often an outbox row is tried, by kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

_TOTAL_TIMEOUT = 11203
"""The request was sent and nothing came back in time: trying again would tell the
receiver twice."""
_GONE = 410


@dataclass(frozen=True, slots=True)
class Attempt:
    """How a delivery went."""

    status: int
    """Of the HTTP answer, 0 if there was none."""
    code: int = 0
    """TwiML error code of the failure."""
    retryable: bool = False
    detail: str = ""

    @property
    def delivered(self) -> bool:
        return 200 <= self.status < 300

    @property
    def outcome(self) -> str:
        """Label for the metrics and the table."""
        if self.delivered:
            return "delivered"
        return "refused" if self.status else "unreachable"


@dataclass(frozen=True, slots=True)
class Retries:
    """When to try again."""

    delays_ms: tuple[int, ...]
    """Before the second, third … attempt."""
    worthwhile: Callable[[Attempt], bool]

    def delay_ms(self, attempts: int, attempt: Attempt) -> int | None:
        """Time to wait after the attempt number `attempts`; None: give up, or it was delivered."""
        if attempt.delivered or attempts > len(self.delays_ms) or not self.worthwhile(attempt):
            return None
        return self.delays_ms[attempts - 1]


def _never_arrived(attempt: Attempt) -> bool:
    return attempt.status == 0 and attempt.retryable and attempt.code != _TOTAL_TIMEOUT


def _not_gone(attempt: Attempt) -> bool:
    return attempt.status != _GONE


_SECOND, _MINUTE, _HOUR = 1000, 60_000, 3_600_000

CALLBACK = Retries((_SECOND,), _never_arrived)
"""A status callback: once more if no connection came about."""

NOTIFICATION = Retries(
    (
        5 * _SECOND,
        5 * _MINUTE,
        30 * _MINUTE,
        2 * _HOUR,
        5 * _HOUR,
        10 * _HOUR,
        14 * _HOUR,
        20 * _HOUR,
        24 * _HOUR,
    ),
    _not_gone,
)
"""Standard Webhooks 1.0: 75 hours in all, whatever the failure except 410."""

RETRIES: Mapping[str, Retries] = {"callback": CALLBACK, "notification": NOTIFICATION}
