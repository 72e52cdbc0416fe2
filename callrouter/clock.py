"""The machine's clocks, behind the `Clock` port."""

from __future__ import annotations

import time


class SystemClock:
    """`CLOCK_MONOTONIC`, the clock of the media engine's events, and UTC for the calendar."""

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def utc_ms(self) -> int:
        return time.time_ns() // 1_000_000
