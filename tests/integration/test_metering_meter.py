"""The meter over a real journal and database: tracks, costs, funds, outages, restarts."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError

from callrouter.errors import StartupError
from callrouter.storage.database import Database, Write
from callrouter.storage.journal import Journal, JournalUnwritable
from callrouter.storage.workers import claim
from metering.interval import CallFacts, Cause, Holder, Mode
from metering.meter import Meter, Recovery
from metering.plan_book import load_plans
from metering.prometheus import PrometheusMetrics
from metering.settings import Settings
from metering.tables import charges, intervals, ledger_entries, plan_versions
from metering.timeline import partitions
from metering.usage import usage
from tests.patience import PATIENCE_SECONDS

UTC_MS = 1_700_000_000_000
SECOND = 10**9
PLANS: dict[str, Mapping[str, Any]] = {
    "menu": {"prices": {"application": "0.06"}},
    "bridge": {"prices": {"bridge": "0.012"}},
}
DEFAULTS = {"acme.menu": "menu", "platform.bridge": "bridge"}
SETUP = Holder("acme.menu", "acme", Mode.SETUP)
MENU = Holder("acme.menu", "acme", Mode.APPLICATION)
BRIDGE = Holder("platform.bridge", "platform", Mode.BRIDGE, via="acme.menu")


class Clock:
    """Moved by hand, and its UTC may jump."""

    def __init__(self, ns: int = 5_000 * SECOND) -> None:
        self.ns = ns
        self.utc = UTC_MS

    def monotonic_ns(self) -> int:
        return self.ns

    def utc_ms(self) -> int:
        return self.utc

    def advance(self, seconds: float) -> int:
        self.ns += int(seconds * SECOND)
        self.utc += int(seconds * 1000)
        return self.ns


class Disk:
    def __init__(self) -> None:
        self.full = False

    def __call__(self, descriptor: int) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        os.fdatasync(descriptor)


class Outage:
    """A database whose writes fail while it is down."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.down = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def write(self, *writes: Write) -> list[int]:
        if self.down:
            raise OperationalError("", {}, OSError("connection refused"))
        return await self._database.write(*writes)


@dataclass
class Server:
    clock: Clock
    disk: Disk
    journal: Journal
    database: Database
    outage: Outage
    meter: Meter
    metrics: PrometheusMetrics
    recovery: Recovery

    async def stop(self) -> None:
        await self.meter.stop()
        await self.crash()

    async def crash(self) -> None:
        """Go without a word; only the files are left."""
        for task in self.meter._tasks:
            task.cancel()
        await asyncio.gather(*self.meter._tasks, return_exceptions=True)
        await self.journal.close()
        await self.database.close()


async def boot(folder: Path, clock: Clock, *, segment_bytes: int = 1 << 24, start: bool = True) -> Server:
    disk, metrics = Disk(), PrometheusMetrics()
    database = await Database.open(f"sqlite:///{folder / 'test.db'}")
    worker = await claim(database, "w1", clock, boot="b")
    journal = await Journal.open(folder / "journal", segment_bytes=segment_bytes, sync=disk, metrics=metrics)
    plans = await load_plans(database, PLANS, now_ms=clock.utc_ms(), defaults=DEFAULTS)
    outage = Outage(database)
    settings = Settings(heartbeat_seconds=10)
    meter = Meter(journal, outage, clock, plans, worker, metrics=metrics, settings=settings)  # type: ignore[arg-type]  # a double of it
    recovery = await meter.recover()
    if start:
        meter.start()
    return Server(clock, disk, journal, database, outage, meter, metrics, recovery)


@asynccontextmanager
async def running(folder: Path, clock: Clock | None = None, **options: Any) -> AsyncIterator[Server]:
    server = await boot(folder, clock or Clock(), **options)
    yield server
    await server.stop()


def call(number: int = 1, session: int = 0, account: str = "AC1") -> CallFacts:
    sid, root = f"CA{number}", f"CA{session or number}"
    return CallFacts(sid, root, account, "+15550100", parent_sid=root if session else "")


async def a_call(server: Server, number: int = 1, *, menu: float = 60, bridge: float = 10) -> None:
    """Half a second of setup, then a menu, then a bridge."""
    clock, meter, sid = server.clock, server.meter, f"CA{number}"
    await meter.begin(call(number), SETUP, at_ns=clock.ns, cause=Cause.ARRIVAL)
    await meter.transfer(sid, MENU, at_ns=clock.advance(0.5), cause=Cause.ANSWER)
    await meter.transfer(sid, BRIDGE, at_ns=clock.advance(menu), cause=Cause.VERB)
    await meter.end(sid, at_ns=clock.advance(bridge), cause=Cause.HANGUP)


async def entries(database: Database) -> dict[str, int]:
    found = await database.read(
        select(ledger_entries.c.account, func.sum(ledger_entries.c.amount_micro).label("sum")).group_by(
            ledger_entries.c.account
        )
    )
    return {row["account"]: row["sum"] for row in found}


async def test_a_call_is_metered_rated_and_posted(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        await server.meter.funds.credit("AC1", 5_000_000, "USD", key="opening")
        await a_call(server)
        await server.meter.settled()
        timeline = await server.meter.timeline("CA1")
        assert [
            (entry.interval.holder.module, entry.interval.holder.mode, entry.duration_ms, entry.cost_micro)
            for entry in timeline
        ] == [
            ("acme.menu", Mode.SETUP, 500, 0),
            ("acme.menu", Mode.APPLICATION, 60_000, 60_000),
            ("platform.bridge", Mode.BRIDGE, 10_000, 2_000),
        ]
        assert timeline[1].rate == "0.06 USD/min"
        assert timeline[1].interval.start_ms == UTC_MS + 500
        assert [entry.interval.cause for entry in timeline] == [Cause.ARRIVAL, Cause.ANSWER, Cause.VERB]
        assert partitions([entry.interval for entry in timeline])
        assert await entries(server.database) == {
            "cash": -5_000_000,
            "prepaid:AC1": 5_000_000 - 62_000,
            "owner_payable:acme": 54_000,
            "platform_revenue": 6_000 + 2_000,
        }
        assert server.meter.funds.balance_micro("AC1") == 4_938_000
        text_of = server.metrics.render().decode()
        assert 'callrouter_module_seconds_total{mode="bridge",module="platform.bridge"} 10.0' in text_of
        assert server.meter.in_memory() == {}


async def test_a_running_call_tells_its_cost_and_uses_up_the_balance(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        funds, meter, clock = server.meter.funds, server.meter, server.clock
        await funds.credit("AC1", 60_000, "USD", key="opening")
        assert await funds.credit("AC1", 60_000, "USD", key="opening") is False
        await meter.begin(call(), MENU, at_ns=clock.ns, cause=Cause.ARRIVAL)
        assert funds.available_micro("AC1") == 60_000
        now_ns = clock.advance(30)
        assert meter.live_cost("CA1", now_ns) == {"USD": 30_000}
        assert funds.balance_micro("AC1") == 30_000
        (entry,) = await meter.timeline("CA1")
        assert (entry.running, entry.duration_ms, entry.cost_micro) == (True, 30_000, 30_000)
        clock.advance(30)
        assert funds.available_micro("AC1") == 0
        await funds.credit("AC1", 1_000_000, "USD", key="top-up")
        assert funds.available_micro("AC1") == 1_000_000, "money paid in counts at once"
        with pytest.raises(ValueError, match="kept in USD"):
            await funds.credit("AC1", 1, "EUR", key="euro")
        await meter.end("CA1", at_ns=clock.ns, cause=Cause.HANGUP)


async def test_an_account_that_does_not_pay_in_advance_owes(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        await a_call(server)
        await server.meter.settled()
        assert (await entries(server.database))["receivable:AC1"] == -62_000
        assert server.meter.funds.balance_micro("AC1") == -62_000
    async with running(tmp_path) as server:
        assert server.meter.funds.balance_micro("AC1") == -62_000


async def test_the_same_holder_goes_on_and_time_never_goes_back(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        meter, clock = server.meter, server.clock
        start = clock.ns
        await meter.begin(call(), MENU, at_ns=start, cause=Cause.ARRIVAL)
        await meter.transfer("CA1", MENU, at_ns=start + SECOND, cause=Cause.VERB)
        assert meter.holder("CA1") == MENU
        await meter.transfer("CA1", BRIDGE, at_ns=start + 3 * SECOND, cause=Cause.VERB)
        await meter.transfer("CA1", MENU, at_ns=start + 2 * SECOND, cause=Cause.EVENT)
        await meter.end("CA1", at_ns=start - SECOND, cause=Cause.HANGUP)
        await meter.end("CA1", at_ns=start + 9 * SECOND, cause=Cause.HANGUP)
        await meter.transfer("CA1", BRIDGE, at_ns=start + 9 * SECOND, cause=Cause.API)
        timeline = await meter.timeline("CA1")
        assert [(entry.interval.holder, entry.duration_ms) for entry in timeline] == [
            (MENU, 3000),
            (BRIDGE, 0),
            (MENU, 0),
        ]
        assert meter.holder("CA1") is None
        await meter.begin(call(2), MENU, at_ns=start, cause=Cause.ARRIVAL)
        with pytest.raises(ValueError, match="begun already"):
            await meter.begin(call(2), MENU, at_ns=start, cause=Cause.ARRIVAL)
        await meter.end("CA2", at_ns=start, cause=Cause.HANGUP)


async def test_the_wall_clock_may_jump_during_a_session(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        meter, clock = server.meter, server.clock
        await meter.begin(call(), MENU, at_ns=clock.ns, cause=Cause.ARRIVAL)
        clock.utc -= 86_400_000
        await meter.begin(call(2, session=1), BRIDGE, at_ns=clock.advance(1), cause=Cause.VERB)
        clock.utc += 2 * 86_400_000
        await meter.end("CA2", at_ns=clock.advance(1), cause=Cause.HANGUP)
        await meter.end("CA1", at_ns=clock.advance(1), cause=Cause.HANGUP)
        root, leg = await meter.timeline("CA1")
        assert (root.interval.start_ms, root.duration_ms) == (UTC_MS, 3000)
        assert (leg.interval.start_ms, leg.duration_ms) == (UTC_MS + 1000, 1000)


async def test_a_session_shows_its_root_first_and_a_detached_call_where_it_belongs(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        meter, clock = server.meter, server.clock
        driven = replace(BRIDGE, driven_by="CA9")
        await meter.begin(call(9), MENU, at_ns=clock.ns, cause=Cause.ARRIVAL)
        await meter.begin(call(1, session=9), driven, at_ns=clock.advance(1), cause=Cause.VERB)
        await meter.transfer("CA1", MENU, at_ns=clock.advance(1), cause=Cause.API, session_sid="CA1")
        await meter.end("CA9", at_ns=clock.advance(1), cause=Cause.HANGUP)
        for _ in range(2):
            nine, one = await meter.timeline("CA9"), await meter.timeline("CA1")
            assert [(entry.interval.call.call_sid, entry.duration_ms) for entry in nine] == [
                ("CA9", 3000),
                ("CA1", 1000),
            ]
            assert [(entry.interval.sequence, entry.duration_ms) for entry in one] == [(1, 1000)]
            if meter.holder("CA1"):
                await meter.end("CA1", at_ns=clock.ns, cause=Cause.HANGUP)
                await meter.settled()


async def test_usage_adds_up_by_number_module_and_mode_running_calls_included(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        meter, clock = server.meter, server.clock
        await a_call(server, 1)
        await a_call(server, 2)
        await meter.settled()
        await meter.begin(call(3), MENU, at_ns=clock.ns, cause=Cause.ARRIVAL)
        clock.advance(5)
        over = partial(usage, server.database, meter, clock)
        whole = partial(over, from_ms=UTC_MS, to_ms=UTC_MS + 10**9)
        found = await whole(key_number="+15550100")
        assert [(use.module, use.mode, use.duration_ms, use.calls) for use in found] == [
            ("acme.menu", Mode.APPLICATION, 125_000, 3),
            ("acme.menu", Mode.SETUP, 1_000, 2),
            ("platform.bridge", Mode.BRIDGE, 20_000, 2),
        ]
        part = await over(from_ms=UTC_MS + 1500, to_ms=UTC_MS + 2500)
        assert [(use.module, use.duration_ms) for use in part] == [("acme.menu", 1000)]
        assert await whole(accounts=["AC2"]) == []
        await meter.end("CA3", at_ns=clock.ns, cause=Cause.HANGUP)


async def test_a_restart_after_a_crash_closes_at_the_last_heartbeat_exactly_once(tmp_path: Path) -> None:
    clock = Clock()
    server = await boot(tmp_path, clock)
    await a_call(server, 1)
    await server.meter.begin(call(2), MENU, at_ns=clock.ns, cause=Cause.ARRIVAL)
    await server.meter.save_dialog("CA2", '{"branch": 1}')
    await server.meter.save_dialog("CA3", "{}")
    server.meter.drop_dialog("CA3")
    clock.advance(30)
    server.meter.heartbeat()
    clock.advance(0.9)
    await server.meter.begin(call(4), MENU, at_ns=clock.ns, cause=Cause.ARRIVAL)
    await server.crash()

    later = Clock(ns=7 * SECOND)  # the machine was restarted: another monotonic clock
    later.utc = UTC_MS + 3_600_000
    server = await boot(tmp_path, later)
    ended = {closed.call.call_sid: closed.end_ms for closed in server.recovery.closed_calls}
    assert ended == {"CA2": UTC_MS + 70_500 + 30_000, "CA4": UTC_MS + 70_500 + 30_900}
    assert server.recovery.orphan_dialogs == (("CA2", '{"branch": 1}'),)
    (entry,) = await server.meter.timeline("CA2")
    assert (entry.interval.estimated, entry.interval.end_cause) == (True, Cause.RECOVERY)
    assert entry.cost_micro == 30_000
    await server.meter.settled()
    before = await entries(server.database)
    assert before["receivable:AC1"] == -62_000 - 30_000
    await server.crash()

    server = await boot(tmp_path, later)
    assert server.recovery.closed_calls == ()
    assert server.recovery.orphan_dialogs == (("CA2", '{"branch": 1}'),), "until its BYE was sent"
    server.meter.drop_dialog("CA2")
    await server.meter.settled()
    assert await entries(server.database) == before
    await server.stop()
    async with running(tmp_path, later) as server:
        assert server.recovery == Recovery((), ())


async def test_projecting_the_journal_again_changes_nothing(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, clock) as server:
        await a_call(server, 1)
        await a_call(server, 2)
    tables = [select(table) for table in (intervals, charges, ledger_entries)]
    database = await Database.open(f"sqlite:///{tmp_path / 'test.db'}")
    before = [await database.read(statement) for statement in tables]
    await database.write((text("DELETE FROM positions"), None))
    await database.close()
    async with running(tmp_path, clock) as server:
        await server.meter.settled()
        assert [await server.database.read(statement) for statement in tables] == before


async def test_files_of_the_journal_go_once_projected_and_recovery_needs_only_the_rest(
    tmp_path: Path,
) -> None:
    clock = Clock()
    server = await boot(tmp_path, clock, segment_bytes=64 * 1024)
    await server.meter.begin(call(1), MENU, at_ns=clock.ns, cause=Cause.ARRIVAL)
    await server.meter.save_dialog("CA1", "{}")
    for number in range(2, 202):
        await a_call(server, number, menu=1, bridge=1)
    await server.meter.settled()
    clock.advance(1)
    server.meter.heartbeat()
    assert server.journal.segments[0] > 1
    await server.crash()
    server = await boot(tmp_path, clock)
    (closed,) = server.recovery.closed_calls
    assert closed.call == call(1)
    assert server.recovery.orphan_dialogs == (("CA1", "{}"),)
    (entry,) = await server.meter.timeline("CA1")
    assert entry.duration_ms == 200 * 2500 + 1000
    await server.meter.settled()
    rows = await server.database.read(select(func.count().label("n")).select_from(intervals))
    assert rows[0]["n"] == 1 + 200 * 3
    await server.stop()


async def test_calls_go_on_while_the_database_is_down_and_it_catches_up(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        server.outage.down = True
        await a_call(server, 1)
        await server.meter.begin(call(2), MENU, at_ns=server.clock.ns, cause=Cause.ARRIVAL)
        await asyncio.sleep(0.05)
        assert await entries(server.database) == {}
        assert len(await server.meter.timeline("CA1")) == 3
        assert server.meter.funds.balance_micro("AC1") == -62_000, "not yet posted, but known"
        server.outage.down = False
        async with asyncio.timeout(PATIENCE_SECONDS):
            await server.meter.settled()
        assert (await entries(server.database))["receivable:AC1"] == -62_000
        assert server.meter.funds.balance_micro("AC1") == -62_000
        await server.meter.end("CA2", at_ns=server.clock.ns, cause=Cause.HANGUP)


async def test_with_the_journal_unwritable_no_call_begins_and_live_ones_end(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        meter, clock = server.meter, server.clock
        await meter.begin(call(1), MENU, at_ns=clock.ns, cause=Cause.ARRIVAL)
        server.disk.full = True
        with pytest.raises(JournalUnwritable):
            await meter.begin(call(2), MENU, at_ns=clock.advance(1), cause=Cause.ARRIVAL)
        assert not meter.writable
        assert meter.holder("CA2") is None
        meter.post_end("CA1", at_ns=clock.advance(1), cause=Cause.HANGUP)
        server.disk.full = False
        async with asyncio.timeout(PATIENCE_SECONDS):
            await meter.settled()
        assert meter.writable
        assert [entry.duration_ms for entry in await meter.timeline("CA1")] == [2000]
        assert [entry.cost_micro for entry in await meter.timeline("CA2")] == [0]


async def test_whoever_waits_for_an_end_that_was_recorded_before_waits_for_the_disk(tmp_path: Path) -> None:
    """Or the row of a call says more than its track does, where the server is killed in between."""
    async with running(tmp_path) as server:
        meter, clock = server.meter, server.clock
        await meter.begin(call(1), MENU, at_ns=clock.ns, cause=Cause.ARRIVAL)
        server.disk.full = True
        meter.post_end("CA1", at_ns=clock.advance(1), cause=Cause.HANGUP)
        with pytest.raises(JournalUnwritable):
            await meter.end("CA1", at_ns=clock.advance(1), cause=Cause.HANGUP)
        server.disk.full = False
        async with asyncio.timeout(PATIENCE_SECONDS):
            await meter.settled()
            await meter.end("CA1", at_ns=clock.advance(1), cause=Cause.HANGUP)
        assert [entry.duration_ms for entry in await meter.timeline("CA1")] == [1000]


async def test_a_database_ahead_of_its_journal_is_refused(tmp_path: Path) -> None:
    clock = Clock()
    async with running(tmp_path, clock) as server:
        await a_call(server)
    path = tmp_path / "journal" / "0000000000000001.journal"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StartupError, match="restore the journal"):
        await boot(tmp_path, clock, start=False)


async def test_ledger_entries_cannot_be_changed_or_removed(tmp_path: Path) -> None:
    async with running(tmp_path) as server:
        await server.meter.funds.credit("AC1", 1_000_000, "USD", key="opening")
        for statement in (update(ledger_entries).values(amount_micro=0), delete(ledger_entries)):
            with pytest.raises(IntegrityError, match="never changed"):
                await server.database.write((statement, None))


async def test_a_changed_price_is_a_new_version_and_the_old_one_is_kept(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite:///{tmp_path / 'test.db'}")
    changed = {**PLANS, "menu": {"prices": {"application": "0.12"}}}
    for now_ms, configured in ((1000, PLANS), (2000, PLANS), (3000, changed), (4000, {})):
        book = await load_plans(database, configured, now_ms=now_ms, defaults=DEFAULTS)
    plan = book.plan(MENU)
    assert plan is not None
    assert [(version.number, version.valid_from_ms) for version in plan.versions] == [(1, 1000), (2, 3000)]
    assert plan.rate_text(Mode.APPLICATION, 2999) == "0.06 USD/min"
    assert plan.rate_text(Mode.APPLICATION, 3000) == "0.12 USD/min"
    assert len(await database.read(select(plan_versions))) == 3
    await database.close()
