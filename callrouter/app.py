"""The composition root: the one place that builds every room and joins them.

The order of `serving` matters: what is durable comes first (database, journal, recovery of what a
dead process left), then what calls need (engine, speech, HTTP client), and what lets calls in
(REST, SIP) last.  Stopping goes the other way.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import DBAPIError

from callrouter import collector
from callrouter.api.context import Context
from callrouter.api.server import ApiServer
from callrouter.calls.control import Orders
from callrouter.calls.exchange import Exchange
from callrouter.calls.incoming import Incoming
from callrouter.calls.loops import Loops
from callrouter.calls.records import CallLog
from callrouter.calls.recovery import close_dead_calls, end_orphans
from callrouter.calls.services import Services
from callrouter.clock import SystemClock
from callrouter.config import Config
from callrouter.declared.apply import apply, pending
from callrouter.declared.difference import rendered
from callrouter.errors import StartupError
from callrouter.fetch.client import HttpFetcher
from callrouter.fetch.guard import Guard
from callrouter.identity.secrets import SecretBox, load_key
from callrouter.ids import RandomIds
from callrouter.media.rtp import RtpMedia, mix_down
from callrouter.ports import Fetcher, FetchOrder
from callrouter.sip.signalling import Signalling
from callrouter.speech.offline import OfflineSpeech
from callrouter.storage.database import Database
from callrouter.storage.journal import Journal
from callrouter.storage.outbox import OutboxRow
from callrouter.storage.sender import OutboxSender
from callrouter.storage.workers import claim
from callrouter.verbs.program import compile_body
from dispatcher.dispatch import Dispatcher
from dispatcher.rows import load_snapshot
from dispatcher.snapshot import Snapshot
from metering.funds import Funds
from metering.meter import Meter, Recovery
from metering.plan_book import PlanBook, load_plans
from metering.prometheus import PrometheusMetrics

logger = structlog.get_logger(__name__)

RECOVERY_SECONDS = 10.0
"""How long the start waits for what the journal has and the database lacks."""
SAMPLE_SECONDS = 1.0
"""How often the gauges and the engine's counters are brought up to date."""

RESTART_SECONDS = 5.0
"""How long a background task that failed waits before it begins again."""


class Available:
    """The dispatcher's view of money: what an account has left, in memory."""

    def __init__(self, funds: Funds) -> None:
        self._funds = funds

    async def available(self, account_sid: str) -> int:
        return self._funds.available_micro(account_sid)


class Server:
    """A running server; `callrouter.cli` waits on it, tests look into it."""

    def __init__(self, services: Services, signalling: Signalling, rest: tuple[str, int]) -> None:
        self.services = services
        self.signalling = signalling
        self.rest = rest

    async def drain(self) -> None:
        """Take no new calls, let the live ones end, hang up the rest."""
        await self.services.exchange.drain(self.services.settings.drain_seconds)


@asynccontextmanager
async def serving(config: Config) -> AsyncIterator[Server]:
    """Everything up on entry, down on exit.  Raises `StartupError`, `ConfigurationError`."""
    async with AsyncExitStack() as stack:
        clock, metrics = SystemClock(), PrometheusMetrics()
        durable = await _durable(config, clock, metrics, stack)
        engines = await _engines(config, metrics, stack)
        services = _services(config, durable, engines, clock, metrics)
        await _background(
            stack,
            OutboxSender(
                durable.database, _deliver(engines.fetcher, durable.snapshot), clock, metrics=metrics
            ).run,
        )
        await _background(stack, lambda: _sample(services, engines.media))
        await _background(stack, lambda: collector.collect(lambda: len(services.exchange) > 0))
        rest = await _doors(config, durable, engines, services, metrics, stack)
        server = Server(services, engines.signalling, rest)
        stack.push_async_callback(server.drain)
        logger.info("serving", rest=services.public_url, calls_recovered=len(durable.recovery.closed_calls))
        yield server


@dataclass(frozen=True, slots=True)
class _Durable:
    """What outlives the process, and what a dead one left in it."""

    database: Database
    box: SecretBox
    snapshot: Snapshot
    meter: Meter
    recovery: Recovery


async def _durable(
    config: Config, clock: SystemClock, metrics: PrometheusMetrics, stack: AsyncExitStack
) -> _Durable:
    """The database, the declared state and the meter, recovered and running."""
    database = await _database(config)
    stack.push_async_callback(database.close)
    box = SecretBox(load_key(config.storage.data_directory, os.environ))
    snapshot = await _declared(config, database, box, clock)
    plans = await _plans(config, database, clock)
    meter = await _meter(config, database, clock, plans, metrics, stack)
    recovery = await meter.recover()
    meter.start()
    stack.push_async_callback(meter.stop)
    await _projected(meter)
    await close_dead_calls(database, config.storage.worker, [closed.call for closed in recovery.closed_calls])
    return _Durable(database, box, snapshot, meter, recovery)


@dataclass(frozen=True, slots=True)
class _Engines:
    """What calls use to reach the world."""

    guard: Guard
    fetcher: HttpFetcher
    speech: OfflineSpeech
    media: RtpMedia
    signalling: Signalling


async def _engines(config: Config, metrics: PrometheusMetrics, stack: AsyncExitStack) -> _Engines:
    """All but signalling started: that lets calls in, and comes last."""
    guard = Guard(config.private_hosts())
    fetcher = HttpFetcher(config.fetch, guard, metrics)
    await _entered(stack, fetcher.start, fetcher.stop)
    speech = OfflineSpeech(config.speech, metrics)
    await _entered(stack, speech.start, speech.stop)
    media = RtpMedia(config.media)
    await _entered(stack, media.start, media.stop)
    signalling = Signalling(config.sip, SystemClock(), RandomIds(), metrics, media.fingerprint)
    signalling.limit_coding(media.may_transcode)
    return _Engines(guard, fetcher, speech, media, signalling)


def _services(
    config: Config, durable: _Durable, engines: _Engines, clock: SystemClock, metrics: PrometheusMetrics
) -> Services:
    ids = RandomIds()
    return Services(
        clock=clock,
        ids=ids,
        metrics=metrics,
        media=engines.media,
        signalling=engines.signalling,
        fetcher=engines.fetcher,
        speech=engines.speech,
        dispatcher=Dispatcher(durable.snapshot, Available(durable.meter.funds)),
        meter=durable.meter,
        log=CallLog(durable.database, clock, ids, config.storage.worker),
        exchange=Exchange(),
        compile=compile_body,
        settings=config.calls,
        recordings=config.storage.data_directory / "recordings",
        loops=Loops(ids.token(32), config.calls.max_chain),
        public_url=config.calls.public_url.rstrip("/"),
    )


async def _doors(
    config: Config,
    durable: _Durable,
    engines: _Engines,
    services: Services,
    metrics: PrometheusMetrics,
    stack: AsyncExitStack,
) -> tuple[str, int]:
    """Open REST, then SIP, and say goodbye to the parties a dead process left; REST's address."""
    api = ApiServer(_context(config, services, engines.signalling, durable, metrics))
    stack.push_async_callback(api.stop)
    host, port = await api.start()
    services.public_url = services.public_url or f"http://{host}:{port}"
    engines.guard.own(host, port)
    engines.signalling.on_incoming(Incoming(services))
    engines.signalling.limit_calls(lambda: durable.meter.keeps_up)
    await _entered(stack, engines.signalling.start, engines.signalling.stop)
    for sid in end_orphans(engines.signalling, durable.recovery.orphan_dialogs):
        durable.meter.drop_dialog(sid)
    return host, port


async def run(config: Config) -> None:
    """Serve until SIGINT or SIGTERM; a second signal does not wait for calls to end.  SIGHUP reads
    the certificates again."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    force = asyncio.Event()

    def signalled() -> None:
        (force if stop.is_set() else stop).set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, signalled)
    async with _database_told(), serving(config) as server:
        collector.spare()
        loop.add_signal_handler(signal.SIGHUP, server.signalling.reload)
        await stop.wait()
        logger.info("draining", calls=len(server.services.exchange))
        draining = asyncio.create_task(server.drain())
        forced = asyncio.create_task(force.wait())
        await asyncio.wait((draining, forced), return_when=asyncio.FIRST_COMPLETED)
        for task in (draining, forced):
            task.cancel()
        if force.is_set():
            await server.services.exchange.drain(0)


@asynccontextmanager
async def _database_told() -> AsyncIterator[None]:
    """Say in a sentence what the database refused to the start."""
    try:
        yield
    except DBAPIError as error:
        raise StartupError(f"the database cannot be used: {error.orig}") from error


async def apply_configuration(config: Config, *, only_show: bool) -> str:
    """Bring the database to the declared state, or only say what that would change; the changes."""
    database = await _database(config)
    currency = config.metering.currency
    try:
        if only_show:
            return rendered(await pending(config, database, currency=currency))
        box = SecretBox(load_key(config.storage.data_directory, os.environ))
        now_ms = SystemClock().utc_ms()
        return rendered(await apply(config, database, box, currency=currency, now_ms=now_ms))
    finally:
        await database.close()


async def _database(config: Config) -> Database:
    storage = config.storage
    try:
        storage.data_directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(
            f"the data directory {storage.data_directory} cannot be made: {error.strerror}"
        ) from error
    return await Database.open(storage.url, busy_seconds=storage.busy_seconds)


async def _declared(config: Config, database: Database, box: SecretBox, clock: SystemClock) -> Snapshot:
    """Apply the file's declared state and load what the database then holds."""
    currency = config.metering.currency
    changes = await apply(config, database, box, currency=currency, now_ms=clock.utc_ms())
    if changes:
        logger.info("configuration_applied", changes=len(changes))
    return await load_snapshot(database, box, config.dispatcher)


async def _plans(config: Config, database: Database, clock: SystemClock) -> PlanBook:
    return await load_plans(
        database,
        {code: plan.content() for code, plan in config.plans.items()},
        now_ms=clock.utc_ms(),
        currency=config.metering.currency,
        defaults=config.default_plans(),
    )


async def _meter(
    config: Config,
    database: Database,
    clock: SystemClock,
    plans: PlanBook,
    metrics: PrometheusMetrics,
    stack: AsyncExitStack,
) -> Meter:
    storage = config.storage
    journal = await Journal.open(
        storage.journal_directory, segment_bytes=storage.journal_segment_bytes, metrics=metrics
    )
    stack.push_async_callback(journal.close)
    worker = await claim(database, storage.worker, clock)
    return Meter(journal, database, clock, plans, worker, metrics=metrics, settings=config.metering)


async def _projected(meter: Meter) -> None:
    """The ends of dead calls are read from their tracks: bring those into the database first."""
    try:
        async with asyncio.timeout(RECOVERY_SECONDS):
            await meter.settled()
    except TimeoutError:
        logger.warning("journal_not_projected", waited_seconds=RECOVERY_SECONDS, troubles=meter.troubles())


def _deliver(fetcher: Fetcher, snapshot: Snapshot) -> Callable[[OutboxRow], Awaitable[int]]:
    async def deliver(row: OutboxRow) -> int:
        account = snapshot.account(row.account_sid)
        secret = account.token if account else ""
        return await fetcher.callback(FetchOrder(row.url, row.method, row.parameters, secret, row.headers))

    return deliver


def _context(
    config: Config,
    services: Services,
    signalling: Signalling,
    durable: _Durable,
    metrics: PrometheusMetrics,
) -> Context:
    meter = durable.meter

    def not_ready() -> list[str]:
        reasons = ["draining"] if services.exchange.draining else []
        if not signalling.is_open:
            reasons.append("SIP is not listened for")
        return reasons if meter.writable else [*reasons, "the journal cannot be written"]

    return Context(
        settings=config.api,
        accounts=durable.snapshot.accounts,
        control=Orders(services),
        database=durable.database,
        meter=meter,
        clock=services.clock,
        figures=metrics,
        metrics=metrics.render,
        not_ready=not_ready,
        degraded=meter.troubles,
        mix_down=mix_down,
        box=durable.box,
        trace=signalling.trace,
        trunks=signalling.trunk_states,
        public_url=config.calls.public_url,
    )


async def _sample(services: Services, media: RtpMedia) -> None:
    """Keep the gauges current."""
    while True:
        counts = {"ringing": 0, "in-progress": 0}
        for controller in services.exchange:
            state = "in-progress" if controller.call.is_answered else "ringing"
            counts[state] += 1
        for state, number in counts.items():
            services.metrics.gauge("calls_live", number, state=state)
        media.report(services.metrics)
        await asyncio.sleep(SAMPLE_SECONDS)


async def _entered(
    stack: AsyncExitStack, start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]
) -> None:
    """Start a part and have it stopped when the stack unwinds, even if it started only half."""
    stack.push_async_callback(stop)
    await start()


async def _background(stack: AsyncExitStack, work: Callable[[], Awaitable[None]]) -> None:
    """A task that lives as long as the server: a bug ends one round of it, not the task."""

    name = getattr(work, "__qualname__", "background")

    async def endless() -> None:
        while True:
            try:
                await work()
            except Exception:
                logger.exception("background_failed", task=name, again_in_seconds=RESTART_SECONDS)
            await asyncio.sleep(RESTART_SECONDS)

    task = asyncio.create_task(endless(), name=name)

    async def end() -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(end)
