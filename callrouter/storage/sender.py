"""Delivers the outbox."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.exc import SQLAlchemyError

from callrouter.errors import CallError
from callrouter.ports import Clock, Metrics
from callrouter.storage.database import Database
from callrouter.storage.outbox import INSERT, OutboxRow, row_of
from callrouter.storage.retries import CALLBACK, RETRIES, Attempt, Retries
from callrouter.storage.tables import outbox

log = structlog.get_logger(__name__)

Deliver = Callable[[OutboxRow], Awaitable[int]]
"""Makes the request; its HTTP status.  Raises `FetchFailed` where there was no usable answer."""

_OPEN = outbox.c.done_ms.is_(None)
_HEAD = outbox.alias("head")
_FIRST_OF_KEY = (
    select(func.min(_HEAD.c.id))
    .where(_HEAD.c.key == outbox.c.key, _HEAD.c.done_ms.is_(None))
    .correlate(outbox)
    .scalar_subquery()
)
_DUE = (
    select(outbox)
    .where(_OPEN, outbox.c.id == _FIRST_OF_KEY)
    .where(outbox.c.key.not_in(bindparam("busy_keys", expanding=True)))
    .where(outbox.c.destination.not_in(bindparam("busy_destinations", expanding=True)))
    .where(outbox.c.next_at_ms <= bindparam("now_ms"))
    .order_by(outbox.c.next_at_ms, outbox.c.id)
    .limit(bindparam("room"))
)
_NEXT = (
    select(func.min(outbox.c.next_at_ms).label("next_at_ms"))
    .where(_OPEN, outbox.c.id == _FIRST_OF_KEY)
    .where(outbox.c.key.not_in(bindparam("busy_keys", expanding=True)))
    .where(outbox.c.destination.not_in(bindparam("busy_destinations", expanding=True)))
)
_PENDING = select(func.count().label("rows")).select_from(outbox).where(_OPEN)
_AGAIN = (
    update(outbox)
    .where(outbox.c.id == bindparam("row"))
    .values(attempts=bindparam("tried"), next_at_ms=bindparam("at_ms"), outcome=bindparam("went"))
)
_DONE = (
    update(outbox)
    .where(outbox.c.id == bindparam("row"))
    .values(attempts=bindparam("tried"), done_ms=bindparam("at_ms"), outcome=bindparam("went"))
)
_PRUNE = delete(outbox).where(outbox.c.done_ms < bindparam("before_ms"))

_KEPT_MS = 7 * 24 * 3600 * 1000
_PRUNE_MS = 3600 * 1000
_IDLE_SECONDS = 60.0
_OUTAGE_SECONDS = 1.0


class OutboxSender:
    """`run` it as a task; rows written by anybody are noticed at their commit."""

    def __init__(
        self,
        database: Database,
        deliver: Deliver,
        clock: Clock,
        *,
        metrics: Metrics | None = None,
        retries: Mapping[str, Retries] = RETRIES,
        at_once: int = 64,
        at_once_per_destination: int = 8,
    ) -> None:
        self._database = database
        self._deliver = deliver
        self._clock = clock
        self._metrics = metrics
        self._retries = retries
        self._at_once = at_once
        self._at_once_per_destination = at_once_per_destination
        self._busy: dict[str, str] = {}
        """Destination by key of the deliveries under way."""
        self._wake = asyncio.Event()
        self._pruned_ms = 0
        database.watch(INSERT, self._wake.set)

    async def run(self) -> None:
        """Deliver until cancelled; what is under way then is delivered again after a restart."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                try:
                    seconds = await self._start_due(group)
                except SQLAlchemyError as error:
                    log.error("outbox_unreadable", error=str(error))
                    seconds = _OUTAGE_SECONDS
                await self._sleep(seconds)

    async def _start_due(self, group: asyncio.TaskGroup) -> float:
        """Start what is due and fits; seconds until there may be more."""
        now_ms = self._clock.utc_ms()
        await self._prune(now_ms)
        room = self._at_once - len(self._busy)
        if room > 0:
            rows = await self._database.read(_DUE, {**self._occupied(), "now_ms": now_ms, "room": room})
            for row in map(row_of, rows):
                if self._crowded(row.destination):
                    continue
                self._busy[row.key] = row.destination
                group.create_task(self._attempt(row), name=f"outbox-{row.id}")
        await self._measure()
        if len(self._busy) >= self._at_once:
            return _IDLE_SECONDS  # the end of a delivery wakes us
        ahead = await self._database.read(_NEXT, self._occupied())
        next_ms = ahead[0]["next_at_ms"]
        return _IDLE_SECONDS if next_ms is None else max(next_ms - self._clock.utc_ms(), 0) / 1000

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(min(seconds, _IDLE_SECONDS)):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _occupied(self) -> dict[str, Any]:
        """Keys and destinations that must wait for a delivery to end."""
        counts = Counter(self._busy.values())
        crowded = [name for name in counts if self._crowded(name)]
        return {"busy_keys": list(self._busy), "busy_destinations": crowded}

    def _crowded(self, destination: str) -> bool:
        return list(self._busy.values()).count(destination) >= self._at_once_per_destination

    async def _attempt(self, row: OutboxRow) -> None:
        try:
            attempt = await self._try(row)
            await self._record(row, attempt)
        finally:
            del self._busy[row.key]
            self._wake.set()

    async def _try(self, row: OutboxRow) -> Attempt:
        try:
            return Attempt(await self._deliver(row))
        except CallError as error:
            status = getattr(error, "status", 0)
            return Attempt(status, error.code, error.retryable, str(error))
        except Exception as error:
            log.exception("outbox_delivery_failed", row=row.id, kind=row.kind, key=row.key)
            return Attempt(0, detail=str(error))

    async def _record(self, row: OutboxRow, attempt: Attempt) -> None:
        """Note how it went, however long the database takes to be there: until then the key waits."""
        attempts = row.attempts + 1
        delay_ms = self._retries.get(row.kind, CALLBACK).delay_ms(attempts, attempt)
        if self._metrics is not None:
            self._metrics.count("callbacks", outcome=attempt.outcome)
        if not attempt.delivered:
            log.warning(
                "outbox_not_delivered",
                row=row.id,
                kind=row.kind,
                key=row.key,
                destination=row.destination,
                status=attempt.status,
                code=attempt.code,
                again_in_ms=delay_ms,
            )
        at_ms = self._clock.utc_ms() + (delay_ms or 0)
        statement = _DONE if delay_ms is None else _AGAIN
        went = (f"{attempt.outcome} {attempt.status or attempt.code} {attempt.detail}".strip())[:255]
        while True:
            try:
                await self._database.write(
                    (statement, {"row": row.id, "tried": attempts, "at_ms": at_ms, "went": went})
                )
                return
            except SQLAlchemyError as error:
                log.error("outbox_unwritable", row=row.id, error=str(error))
                await asyncio.sleep(_OUTAGE_SECONDS)

    async def _measure(self) -> None:
        if self._metrics is not None:
            rows = await self._database.read(_PENDING)
            self._metrics.gauge("outbox_pending", rows[0]["rows"])

    async def _prune(self, now_ms: int) -> None:
        if now_ms - self._pruned_ms >= _PRUNE_MS:
            self._pruned_ms = now_ms
            await self._database.write((_PRUNE, {"before_ms": now_ms - _KEPT_MS}))
