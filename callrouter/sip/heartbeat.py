"""How loaded we are, looked at ten times a second, for the gate that lets new calls in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from callrouter.ports import Clock, Metrics
from callrouter.sip.protocol.shield import Shield

log = structlog.get_logger(__name__)
_EVERY_NS = 100_000_000
_MOST_LAG_NS = 100_000_000
_MOST_BUSY = 0.97
"""Share of one processor: all of Python runs on one."""
_MOST_QUEUED = 512 * 1024
"""Bytes in a receive buffer, the kernel's own included, so some 200 messages: what waits there waits
unseen."""
_RISE, _FALL = 0.3, 0.8
"""Weight of the last tenth of a second against those before: a neighbour's burst is not our overload,
and when it is over it is over."""


class Heartbeat:
    """`queued` says how many bytes wait in the fullest receive buffer."""

    def __init__(self, shield: Shield, clock: Clock, metrics: Metrics, queued: Callable[[], int]) -> None:
        self._shield = shield
        self._clock = clock
        self._metrics = metrics
        self._queued = queued
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._last_ns = 0
        self._worked_ns = 0
        self._was_open = True
        self._signs: tuple[float, ...] = (0.0, 0.0, 0.0)
        """Lag, work and queue, each as a share of what is too much; smoothed."""

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._last_ns, self._worked_ns = self._clock.monotonic_ns(), time.thread_time_ns()
        self._handle = self._loop.call_later(_EVERY_NS / 1e9, self._beat)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _beat(self) -> None:
        now, worked = self._clock.monotonic_ns(), time.thread_time_ns()
        elapsed = max(1, now - self._last_ns)
        signs = (
            (elapsed - _EVERY_NS) / _MOST_LAG_NS,
            (worked - self._worked_ns) / elapsed / _MOST_BUSY,
            self._queued() / _MOST_QUEUED,
        )
        self._signs = tuple(
            old + (new - old) * (_RISE if new > old else _FALL)
            for old, new in zip(self._signs, signs, strict=True)
        )
        self._last_ns, self._worked_ns = now, worked
        self._shield.gate.tick(max(self._signs), elapsed / 1e9)
        self._report()
        if self._loop is not None:
            self._handle = self._loop.call_later(_EVERY_NS / 1e9, self._beat)

    def _report(self) -> None:
        shield = self._shield
        for source in shield.sources.bans:
            log.warning("sip_source_banned", source=source)
        if shield.sources.bans:
            self._metrics.count("sip_errors", len(shield.sources.bans), kind="banned")
            shield.sources.bans.clear()
        if shield.dropped:
            self._metrics.count("sip_errors", shield.dropped, kind="unwelcome")
            shield.dropped = 0
        if shield.gate.turned_away:
            self._metrics.count("sip_errors", shield.gate.turned_away, kind="overload")
            shield.gate.turned_away = 0
        is_open = not shield.gate.per_second
        if is_open is not self._was_open:
            self._was_open = is_open
            log.warning("sip_gate_changed", calls_per_second=round(shield.gate.per_second, 1))
