"""What the API tests share: accounts, a fake `CallControl`, a server on loopback over real SQLite."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from callrouter.api.context import Context
from callrouter.api.server import ApiServer
from callrouter.api.settings import Settings
from callrouter.calls.tables import call_events, calls, recordings
from callrouter.identity.accounts import Account, Accounts, AccountStatus, ApiKey
from callrouter.identity.secrets import SecretBox, digest
from callrouter.media.rtp import mix_down
from callrouter.ports import Hangup, Interrupt, NewCall, TracedMessage
from callrouter.ports.carriers import TrunkState
from callrouter.storage.database import Database
from callrouter.storage.journal import Journal
from callrouter.storage.workers import claim
from metering.meter import Meter
from metering.plan_book import PlanBook
from metering.prometheus import PrometheusMetrics

OWNER = "AC" + "a" * 32
OTHER = "AC" + "b" * 32
CHILD = "AC" + "c" * 32
CLOSED = "AC" + "d" * 32
KEY = "SK" + "e" * 32
NOW_MS = 1_700_000_000_000

ACCOUNTS = Accounts(
    [
        Account(OWNER, "owner", "Owner Ltd", token="owner-token"),
        Account(OTHER, "other", "Other Ltd", token="other-token"),
        Account(CHILD, "child", "Child Ltd", parent=OWNER, token="child-token"),
        Account(CLOSED, "closed", "Closed Ltd", AccountStatus.SUSPENDED, token="closed-token"),
    ],
    [ApiKey(KEY, OWNER, digest("key-secret"))],
)


def call_sid(number: int) -> str:
    return f"CA{number:032x}"


def login(user: str, password: str) -> dict[str, str]:
    """Headers of somebody who logs in."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


class StillClock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def monotonic_ns(self) -> int:
        return self.now_ms * 1_000_000

    def utc_ms(self) -> int:
        return self.now_ms


class FakeControl:
    """A `CallControl` that writes rows as the real one would."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.orders: list[NewCall] = []
        self.causes: list[tuple[str, Interrupt]] = []
        self.cancelled: list[str] = []
        self.lives: dict[str, str] = {}
        self.tokens: list[tuple[str, str, int]] = []
        self.error: Exception | None = None

    async def create(self, order: NewCall) -> str:
        if self.error is not None:
            raise self.error
        self.orders.append(order)
        sid = call_sid(1000 + len(self.orders))
        await self._database.write(
            (
                calls.insert(),
                call_row(sid, order.account_sid, from_=order.from_, to=order.to, status="queued"),
            )
        )
        return sid

    async def interrupt(self, sid: str, cause: Interrupt) -> bool:
        self.causes.append((sid, cause))
        if isinstance(cause, Hangup) and sid in self.lives:
            del self.lives[sid]
            self._end(sid, "completed")
            return True
        return sid in self.lives

    async def cancel(self, sid: str) -> bool:
        self.cancelled.append(sid)
        if self.lives.get(sid) in {"queued", "ringing"}:
            del self.lives[sid]
            self._end(sid, "canceled")
            return True
        return False

    def transfer_token(self, sid: str, target: str, seconds: int = 300) -> str | None:
        if sid not in self.lives:
            return None
        self.tokens.append((sid, target, seconds))
        return f"token-{len(self.tokens)}"

    def live(self, sid: str) -> Mapping[str, Any] | None:
        return {"status": self.lives[sid]} if sid in self.lives else None

    def _end(self, sid: str, status: str) -> None:
        # As the real one does: posted, not awaited.
        statement = calls.update().where(calls.c.sid == sid).values(status=status, end_ms=NOW_MS)
        self._database.post((statement, {}))


def call_row(sid: str, account: str = OWNER, **fields: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "sid": sid,
        "account_sid": account,
        "parent_sid": "",
        "session_sid": sid,
        "split_from": "",
        "key_number": "+15550100",
        "direction": "outbound-api",
        "from_": "+15550199",
        "to": "+15550100",
        "status": "completed",
        "created_ms": NOW_MS,
        "start_ms": None,
        "answered_ms": None,
        "end_ms": None,
        "updated_ms": NOW_MS,
        "sip_status": 0,
        "sip_call_id": "",
        "forwarded_from": "",
        "caller_name": "",
        "answered_by": "",
        "error_code": 0,
        "end_detail": "",
        "worker": "w1",
    }
    return row | fields


def recording_row(sid: str, path: Path, account: str = OWNER, **fields: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "sid": sid,
        "account_sid": account,
        "call_sid": call_sid(1),
        "source": "RecordVerb",
        "channels": 1,
        "status": "completed",
        "path": str(path),
        "start_ms": NOW_MS,
        "duration_ms": 2600,
        "size_bytes": 41644,
        "error_code": 0,
    }
    return row | fields


def event_row(sid: str, call: str, account: str = OWNER, **fields: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": sid,
        "call_sid": call,
        "account_sid": account,
        "at_ms": NOW_MS,
        "kind": "request",
        "level": "info",
        "code": 0,
        "message": "",
        "line": 0,
        "url": "https://example.com/voice",
        "method": "POST",
        "request": '[["CallSid", "CA1"], ["From", "+1555"]]',
        "status": 200,
        "response": "<Response/>",
        "duration_ms": 12,
    }
    return row | fields


class Bench:
    """A running server."""

    def __init__(self, database: Database, meter: Meter, clock: StillClock) -> None:
        self.database = database
        self.control = FakeControl(database)
        self.clock = clock
        self.meter = meter
        self.figures = PrometheusMetrics()
        self.reasons: list[str] = []
        self.troubles: list[str] = []
        self.traces: dict[str, tuple[TracedMessage, ...]] = {}
        self.trunks: tuple[TrunkState, ...] = ()
        self.base = ""

    async def add_calls(self, *rows: dict[str, Any]) -> None:
        await self.database.write(*((calls.insert(), row) for row in rows))

    async def add_recordings(self, *rows: dict[str, Any]) -> None:
        await self.database.write(*((recordings.insert(), row) for row in rows))

    async def add_events(self, *rows: dict[str, Any]) -> None:
        await self.database.write(*((call_events.insert(), row) for row in rows))

    def context(self, **settings: Any) -> Context:
        return Context(
            settings=Settings.model_validate({"port": 0, **settings}),
            accounts=ACCOUNTS,
            control=self.control,
            database=self.database,
            meter=self.meter,
            clock=self.clock,
            figures=self.figures,
            metrics=self.figures.render,
            not_ready=lambda: self.reasons,
            degraded=lambda: self.troubles,
            mix_down=mix_down,
            box=SecretBox(bytes(32)),
            trunks=lambda: self.trunks,
            trace=lambda call_id: (self.traces.get(call_id, ()), 0),
        )


@asynccontextmanager
async def serving(folder: Path, prices: PlanBook | None = None, **settings: Any) -> AsyncIterator[Bench]:
    database = await Database.open(f"sqlite:///{folder}/api.db")
    journal = await Journal.open(folder / "journal")
    clock = StillClock()
    worker = await claim(database, "w1", clock, boot="b")
    meter = Meter(journal, database, clock, prices or PlanBook(), worker)
    await meter.recover()
    meter.start()
    bench = Bench(database, meter, clock)
    server = ApiServer(bench.context(**settings))
    try:
        host, port = await server.start()
        bench.base = f"http://{host}:{port}"
        yield bench
    finally:
        await server.stop()
        await meter.stop()
        await journal.close()
        await database.close()


async def in_thread(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Run a blocking client without blocking the server."""
    return await asyncio.to_thread(function, *args, **kwargs)
