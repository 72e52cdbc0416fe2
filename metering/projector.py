"""From the journal to the database: intervals, charges and their ledger entries.

The journal is the truth, the database catches up: in the same transaction as the rows goes the
position reached, so a crash anywhere repeats or loses nothing; unique keys guard that once more.
While the database is down, the journal spools.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy import bindparam, select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from callrouter.errors import StartupError
from callrouter.ports import Metrics
from callrouter.storage.database import Database, Write
from callrouter.storage.journal import Journal
from callrouter.storage.outage import is_outage
from callrouter.storage.segment import Record
from callrouter.storage.statements import insert_once, upsert
from callrouter.storage.tables import positions
from metering import ledger
from metering.charges import Charge, Prices, charges
from metering.funds import Funds
from metering.interval import Interval
from metering.ledger import Transaction
from metering.plans import decimal_text
from metering.rating import Rated
from metering.settings import Settings
from metering.tables import charges as charges_table
from metering.tables import intervals
from metering.tracks import Changed, Tracks

log = structlog.get_logger(__name__)

READER = "meter"
_json = json.JSONEncoder(check_circular=False).encode
_PUT_INTERVAL = upsert(intervals, ("call_sid", "sequence"))
_PUT_CHARGE = insert_once(charges_table)
_PUT_POSITION = upsert(positions, ("journal", "reader"))
_POSITION = select(positions.c.sequence).where(
    positions.c.journal == bindparam("journal"), positions.c.reader == READER
)
_RETRY_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)
_TOGETHER = 500
_PACE_SECONDS = 0.05
"""Between two transactions while the journal is nearly caught up with: a few rows each would cost
several times as much, and whoever asks meanwhile is answered from memory."""
_RESTART_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_REFUSALS = (IntegrityError, DataError)
"""Errors that lie in the row itself."""


@dataclass(slots=True)
class _Rows:
    """What some records lead to."""

    intervals: dict[tuple[str, int], Interval] = field(default_factory=dict)
    charges: list[Charge] = field(default_factory=list)
    transactions: list[Transaction] = field(default_factory=list)

    def add(self, other: _Rows) -> None:
        self.intervals.update(other.intervals)
        self.charges += other.charges
        self.transactions += other.transactions

    def writes(self) -> list[Write]:
        result: list[Write] = []
        if self.intervals:
            result.append((_PUT_INTERVAL, [_interval_row(interval) for interval in self.intervals.values()]))
        if self.charges:
            result.append((_PUT_CHARGE, [_charge_row(charge) for charge in self.charges]))
        return result + ledger.writes(self.transactions)


class Projector:
    """Follows one journal.  `projected` is called with each position reached."""

    def __init__(
        self,
        journal: Journal,
        database: Database,
        prices: Prices,
        funds: Funds,
        settings: Settings,
        projected: Callable[[int], None],
        *,
        metrics: Metrics | None = None,
    ) -> None:
        self._journal = journal
        self._database = database
        self._prices = prices
        self._funds = funds
        self._settings = settings
        self._projected = projected
        self._metrics = metrics
        self._outage = ""
        self._failure = ""
        self._failed_at = 0
        self._refused = 0
        self._missing = ""
        self._tracks = Tracks()
        self._moved = asyncio.Event()
        self.position = 0
        """Everything up to here is in the database."""

    async def load_position(self) -> None:
        """Where an earlier run stopped.  Raises `StartupError` if the journal is shorter than that."""
        rows = await self._database.read(_POSITION, {"journal": self._journal.identity})
        self.position = rows[0]["sequence"] if rows else 0
        last = self._journal.position.sequence
        if self.position > last:
            raise StartupError(
                f"the database knows journal record {self.position} of {self._journal.directory}, which ends "
                f"with {last}: restore the journal from a backup, or move it away to begin a new one"
            )
        oldest = self._journal.segments[0]
        if self.position < oldest - 1:
            self._missing = f"{self.position + 1} to {oldest - 1}"
            directory = str(self._journal.directory)
            log.error("journal_records_missing", records=self._missing, directory=directory)

    @property
    def behind(self) -> int:
        """Records of the journal that are not in the database."""
        return self._journal.position.sequence - self.position

    def troubles(self) -> list[str]:
        """What an operator has to see to, in words."""
        found = []
        if self._outage:
            found.append(
                f"the database cannot be written: {self._outage}; the journal keeps {self.behind} records"
            )
        if self._failure:
            found.append(
                f"the projection of the journal failed behind record {self.position} and is being tried "
                f"again: {self._failure}"
            )
        if self._refused:
            found.append(
                f"the database refused {self._refused} journal records since the start: see "
                "journal_record_refused in the log"
            )
        if self._missing:
            found.append(
                f"the database lacks the journal records {self._missing}, whose files are gone: it is older "
                "than the journal; restore a newer backup"
            )
        return found

    async def keep_running(self) -> None:
        """Follow the journal until it is closed.  A failure is a bug: it is logged and told, and the
        projection starts again from what the database has, after a while that grows until one
        gets further than the one before.  Calls go on meanwhile, and the journal keeps all."""
        attempt = 0
        while True:
            before = self.position
            try:
                await self.run()
                return
            except Exception as error:
                log.exception("projector_failed", position=self.position)
                self._failure = repr(error)
                self._failed_at = self._journal.position.sequence
            attempt = 0 if self.position > before else attempt + 1
            await asyncio.sleep(_RESTART_SECONDS[min(attempt, len(_RESTART_SECONDS) - 1)])
            if self._metrics is not None:
                self._metrics.count("projector_restarts")

    async def run(self) -> None:
        """Follow the journal, from its beginning, until it is closed."""
        self._tracks = Tracks()
        cursor = self._journal.cursor()
        while records := await cursor.take(_TOGETHER):
            rows = [(record, self._rows(record)) for record in records]
            await self._store([(record, found) for record, found in rows if record.sequence > self.position])
            if records[-1].sequence >= self._failed_at:
                self._failure = ""
            if len(records) < _TOGETHER:
                await asyncio.sleep(_PACE_SECONDS)

    async def settled(self, sequence: int) -> None:
        """Return when the database has everything up to `sequence`."""
        while self.position < sequence:
            self._moved.clear()
            await self._moved.wait()

    def _rows(self, record: Record) -> _Rows:
        rows = _Rows()
        for change in self._tracks.apply(record.kind, record.body):
            if isinstance(change, Changed):
                interval = change.interval
                rows.intervals[interval.call.call_sid, interval.sequence] = interval
            elif record.sequence > self.position:
                rows.charges += charges(change.track.intervals, self._prices)
        for charge in rows.charges:
            rows.transactions += self._transactions(charge)
        return rows

    def _transactions(self, charge: Charge) -> list[Transaction]:
        plan = charge.scope.plan
        if plan is None:
            log.error("plan_unknown", plan=charge.scope.holder.plan, module=charge.scope.holder.module)
            return []
        transaction = ledger.charge_transaction(
            charge,
            self._funds.payer(charge.scope.payer, plan.currency),
            currency=plan.currency,
            at_ms=charge.last_ms,
            platform_basis_points=self._settings.platform_share_basis_points,
        )
        return [transaction] if transaction else []

    async def _store(self, rows: Sequence[tuple[Record, _Rows]]) -> None:
        if not rows:
            return
        together = _Rows()
        for _, found in rows:
            together.add(found)
        last = rows[-1][0].sequence
        try:
            if writes := together.writes():
                await self._write(writes, last)
            self._funds.posted(together.transactions)
        except _REFUSALS as error:
            if len(rows) > 1:
                for row in rows:
                    await self._store([row])
                return
            self._refuse(rows[0][0], error)
        self.position = last
        self._moved.set()
        self._projected(last)
        self._journal.release(last)

    def _refuse(self, record: Record, error: DBAPIError) -> None:
        """One record that the database will never take must not hold up all that follow; the log
        keeps what it said."""
        log.error(
            "journal_record_refused",
            sequence=record.sequence,
            kind=record.kind,
            record=dict(record.body),
            error=str(error),
        )
        self._refused += 1
        if self._metrics is not None:
            self._metrics.count("journal_records_refused")

    async def _write(self, writes: Sequence[Write], sequence: int) -> None:
        """Write until the database takes or refuses it."""
        position = {"journal": self._journal.identity, "reader": READER, "sequence": sequence}
        attempt = 0
        while True:
            try:
                await self._database.write(*writes, (_PUT_POSITION, position))
            except DBAPIError as error:
                if not is_outage(error):
                    self._outage = ""
                    raise
                if attempt == 0:
                    log.error("database_unavailable", error=str(error), spooled_from=self.position + 1)
                self._outage = str(error.orig)
                await asyncio.sleep(_RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)])
                attempt += 1
            else:
                if attempt:
                    log.info("database_caught_up", sequence=sequence)
                self._outage = ""
                return


def _interval_row(interval: Interval) -> dict[str, Any]:
    call, holder = interval.call, interval.holder
    return {
        "call_sid": call.call_sid,
        "sequence": interval.sequence,
        "session_sid": call.session_sid,
        "parent_sid": call.parent_sid,
        "account_sid": call.account_sid,
        "key_number": call.key_number,
        "module": holder.module,
        "owner": holder.owner,
        "mode": holder.mode.value,
        "instance": holder.instance,
        "application": holder.application,
        "via": holder.via,
        "on_behalf_of": holder.on_behalf_of,
        "driven_by": holder.driven_by,
        "plan": holder.plan,
        "start_ms": interval.start_ms,
        "cause": interval.cause.value,
        "end_ms": interval.end_ms,
        "end_cause": interval.end_cause.value if interval.end_cause else None,
        "estimated": interval.estimated,
    }


def _charge_row(charge: Charge) -> dict[str, Any]:
    scope, call, rated = charge.scope, charge.first.call, charge.rated
    plan = scope.plan
    return {
        "key": scope.key,
        "call_sid": call.call_sid,
        "session_sid": call.session_sid,
        "account_sid": scope.payer,
        "key_number": call.key_number,
        "module": scope.holder.module,
        "owner": scope.holder.owner,
        "mode": scope.holder.mode.value,
        "plan": plan.code if plan else scope.holder.plan,
        "plan_version": plan.version_at(charge.first.start_ms).number if plan else 0,
        "status": "rated" if plan else "unrated",
        "start_ms": charge.first.start_ms,
        "duration_ms": scope.duration_ms,
        "billed_ms": rated.billed_ms,
        "amount_micro": rated.amount_micro,
        "currency": plan.currency if plan else "",
        "exact": str(rated.exact),
        "detail": _json(_detail(rated)),
    }


def _detail(rated: Rated) -> dict[str, Any]:
    """Enough to derive the charge again by hand."""
    return {
        "connect_fee": decimal_text(rated.connect_fee),
        "segments": [
            {
                "version": segment.version,
                "band": segment.band,
                "slot": segment.slot,
                "from_ms": segment.from_ms,
                "increments": segment.increments,
                "increment_ms": segment.rate.increment_ms,
                "price": decimal_text(segment.rate.price),
                "unit_ms": segment.rate.unit_ms,
            }
            for segment in rated.segments
        ],
    }
