"""The meter: who holds which call since when, journaled before anybody relies on it.

    meter = Meter(journal, database, clock, plans, worker)
    recovery = await meter.recover()        # before anything else
    meter.start()
    await meter.begin(call, holder, at_ns=…, cause=Cause.ARRIVAL)
    await meter.transfer(call.call_sid, other, at_ns=…, cause=Cause.VERB)
    await meter.end(call.call_sid, at_ns=…, cause=Cause.HANGUP)

What is live is kept in memory, together with what has ended but is not yet in the database; the
`Projector` brings the journal there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import structlog

from callrouter.ports import Clock, Metrics
from callrouter.storage.database import Database
from callrouter.storage.journal import Journal, JournalUnwritable
from callrouter.storage.workers import Worker
from metering import facts
from metering.charges import Prices, costs
from metering.funds import Funds
from metering.interval import CallFacts, Cause, Holder, Interval
from metering.projector import Projector
from metering.settings import Settings
from metering.timeline import (
    SESSION_INTERVALS,
    CallTimeline,
    TimelineEntry,
    of_session,
    totals,
    tracks_of_rows,
)
from metering.tracks import Anchor, Changed, Ended, Track, Tracks

log = structlog.get_logger(__name__)

_DRAIN_SECONDS = 5


@dataclass(frozen=True, slots=True)
class ClosedCall:
    """A call whose worker died; it ended at the worker's last sign of life."""

    call: CallFacts
    end_ms: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a dead epoch left behind."""

    closed_calls: tuple[ClosedCall, ...]
    orphan_dialogs: tuple[tuple[str, str], ...]
    """Call sid and dialog state: to be ended with a BYE, then `drop_dialog`."""


@dataclass(frozen=True, slots=True)
class Unposted:
    """A call as far as it is known by now."""

    intervals: tuple[Interval, ...]
    until_ms: int
    """This moment in the call's own time: the end of an interval that still runs."""


_MOST_AWAITED = 256
"""Calls that wait for the journal: at 500 a second as many as a quarter of a second brings, since each waits
twice."""


class Meter:
    """Used from one event loop; every instant comes as nanoseconds of the monotonic clock."""

    def __init__(
        self,
        journal: Journal,
        database: Database,
        clock: Clock,
        plans: Prices,
        worker: Worker,
        *,
        metrics: Metrics | None = None,
        settings: Settings | None = None,
    ) -> None:
        self._journal = journal
        self._database = database
        self._clock = clock
        self._plans = plans
        self._worker = worker
        self._metrics = metrics
        self._settings = settings or Settings()
        self._tracks = Tracks()
        self._ended: dict[str, tuple[int, Track]] = {}
        """Ended but maybe not in the database, with the journal's sequence of the end."""
        self.funds = Funds(database, clock, self._unposted_cost)
        self._projector = Projector(
            journal, database, plans, self.funds, self._settings, self._forget, metrics=metrics
        )
        self._last = 0
        self._tasks: list[asyncio.Task[None]] = []

    # ---------------------------------------------------------------- life

    async def recover(self) -> Recovery:
        """Replay the journal, begin this worker's epoch, and close what dead epochs left open at
        their last sign of life: exactly once, since the closing is one journal record."""
        async for record in self._journal.cursor().all():
            self._tracks.apply(record.kind, record.body)
        self._journal.on_rotate("meter", self._tracks.snapshot)
        await self.funds.load()
        await self._projector.load_position()
        # A database begun anew counts epochs from one again; the journal remembers better.
        epoch = max(self._worker.epoch, self._tracks.epoch + 1)
        now_ns = self._clock.monotonic_ns()
        self._last = self._record(facts.EPOCH, {"epoch": epoch, "boot": self._worker.boot, "ns": now_ns})
        dead = self._tracks.dead()
        ends = {track.call.call_sid: self._tracks.last_sign_ms(track) for track in dead}
        closed = tuple(ClosedCall(track.call, ends[track.call.call_sid]) for track in dead)
        if ends:
            self._record(facts.RECOVERED, {"ends": ends})
        await self._journal.durable(self._last)
        orphans = tuple(
            (sid, dialog.state) for sid, dialog in self._tracks.dialogs.items() if dialog.epoch < epoch
        )
        log.info("meter_recovered", epoch=epoch, closed_calls=len(closed), orphan_dialogs=len(orphans))
        return Recovery(closed, orphans)

    def start(self) -> None:
        """Begin heartbeats and projection; `stop` ends them."""
        self._tasks = [
            asyncio.create_task(self._beat(), name="meter-heartbeat"),
            asyncio.create_task(self._projector.keep_running(), name="meter-projector"),
        ]

    async def stop(self) -> None:
        """Bring the database up to date if it answers, and stop."""
        if not self._tasks:
            return
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                await self.settled()
        except TimeoutError:
            log.warning("meter_not_settled", projected=self._projector.position, journal=self._last)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    @property
    def writable(self) -> bool:
        """False while the journal cannot be written: no paid call may begin."""
        return self._journal.writable

    @property
    def keeps_up(self) -> bool:
        """Not too many wait for the journal: more calls than the disk can take would only wait too."""
        return self._journal.awaited < _MOST_AWAITED

    def troubles(self) -> list[str]:
        """Why the database is behind the journal or lacks some of it; calls go on all the same."""
        return self._projector.troubles()

    # ---------------------------------------------------------------- control of a call

    async def begin(self, call: CallFacts, holder: Holder, *, at_ns: int, cause: Cause) -> None:
        """A call begins; returns when that is on disk.  Raises `JournalUnwritable`: the call must
        not go on then (its track is closed again)."""
        sid = call.call_sid
        if sid in self._tracks.live:
            raise ValueError(f"call {sid} has begun already")
        anchor = self._tracks.anchors.get(call.session_sid) or self._anchor(at_ns)
        sequence = self._record(
            facts.BEGIN,
            {
                "call": facts.call_to_json(call),
                "anchor": [anchor.ns, anchor.utc_ms],
                "holder": facts.holder_to_json(holder),
                "at": anchor.ms(at_ns),
                "cause": cause.value,
            },
        )
        try:
            await self._journal.durable(sequence)
        except JournalUnwritable:
            self.post_end(sid, at_ns=at_ns, cause=cause)
            raise

    async def transfer(
        self, call_sid: str, holder: Holder, *, at_ns: int, cause: Cause, session_sid: str = ""
    ) -> None:
        """Control passes to `holder`; returns when that is on disk.  The same holder: the interval
        goes on.  `session_sid` detaches the call into that session.  Nothing for an ended call."""
        if sequence := self.post_transfer(
            call_sid, holder, at_ns=at_ns, cause=cause, session_sid=session_sid
        ):
            await self._journal.durable(sequence)

    def post_transfer(
        self, call_sid: str, holder: Holder, *, at_ns: int, cause: Cause, session_sid: str = ""
    ) -> int:
        """Like `transfer`, without waiting; the journal's sequence, 0 if nothing changed."""
        track = self._tracks.live.get(call_sid)
        if track is None:
            log.debug("transfer_of_ended_call", call=call_sid, module=holder.module)
            return 0
        if track.running.holder == holder and not session_sid:
            return 0
        body: dict[str, Any] = {
            "call": call_sid,
            "holder": facts.holder_to_json(holder),
            "at": track.clamped_ms(at_ns),
            "cause": cause.value,
        }
        if session_sid:
            body["session"] = session_sid
        return self._record(facts.TRANSFER, body)

    async def end(self, call_sid: str, *, at_ns: int, cause: Cause) -> None:
        """The call is over; returns when its end is on disk, which may have been recorded before."""
        self.post_end(call_sid, at_ns=at_ns, cause=cause)
        if ended := self._ended.get(call_sid):
            await self._journal.durable(ended[0])

    def post_end(self, call_sid: str, *, at_ns: int, cause: Cause) -> int:
        """Like `end`, without waiting; the journal's sequence, 0 if nothing changed."""
        track = self._tracks.live.get(call_sid)
        if track is None:
            return 0
        return self._record(
            facts.END, {"call": call_sid, "at": track.clamped_ms(at_ns), "cause": cause.value}
        )

    def heartbeat(self) -> None:
        """One record says that all live calls still live."""
        if self._tracks.live:
            self._record(facts.HEARTBEAT, {"ns": self._clock.monotonic_ns()})

    # ---------------------------------------------------------------- dialogs

    async def save_dialog(self, call_sid: str, state: str) -> None:
        """Keep what `Signalling.end_orphan` needs; returns when it is on disk."""
        await self._journal.durable(self._record(facts.DIALOG, {"call": call_sid, "state": state}))

    def drop_dialog(self, call_sid: str) -> None:
        """The dialog has ended."""
        if call_sid in self._tracks.dialogs:
            self._record(facts.DIALOG_ENDED, {"call": call_sid})

    # ---------------------------------------------------------------- questions

    def holder(self, call_sid: str) -> Holder | None:
        """Who holds a live call."""
        track = self._tracks.live.get(call_sid)
        return track.running.holder if track else None

    def live_calls(self) -> list[CallFacts]:
        return [track.call for track in self._tracks.live.values()]

    def live_cost(self, session_sid: str, now_ns: int) -> dict[str, int]:
        """Micro-units by currency that a session costs by now, whoever pays.  Complete while it is
        live; of a finished one only what the database does not have yet: see `timeline`."""
        live = (self._tracks.live[sid] for sid in self._tracks.members.get(session_sid, ()))
        ended = (track for _, track in self._ended.values())
        parts = (
            of_session(track.intervals, session_sid, self._plans, track.anchor.ms(now_ns))
            for track in (*live, *ended)
            if any(interval.call.session_sid == session_sid for interval in track.intervals)
        )
        return totals(entry for part in parts if part for entry in part.entries)

    async def timeline(self, session_sid: str, now_ns: int | None = None) -> list[TimelineEntry]:
        """All intervals of a session with their cost, the root call's first; empty if unknown."""
        return [entry for call in await self.session(session_sid, now_ns) for entry in call.entries]

    async def session(self, session_sid: str, now_ns: int | None = None) -> list[CallTimeline]:
        """The calls of a session, the root first, each as far as it belongs to it; empty if unknown."""
        now_ns = self._clock.monotonic_ns() if now_ns is None else now_ns
        now_ms = self._clock.utc_ms()
        until_ms = {track.call.call_sid: track.anchor.ms(now_ns) for track in self._in_memory()}
        tracks = await self._tracks_of(session_sid)
        order = sorted(tracks, key=lambda sid: (sid != session_sid, tracks[sid][0].start_ms, sid))
        parts = (
            of_session(tracks[sid], session_sid, self._plans, until_ms.get(sid, now_ms)) for sid in order
        )
        return [part for part in parts if part is not None]

    @property
    def prices(self) -> Prices:
        """The plans that price the tracks."""
        return self._plans

    def unposted(self, now_ns: int) -> dict[str, Unposted]:
        """Calls whose charges are not in the database, by sid: live ones and those just ended.  Ask
        before reading the database, lest a call be missed on its way there."""
        return {
            track.call.call_sid: Unposted(tuple(track.intervals), track.anchor.ms(now_ns))
            for track in self._unposted()
        }

    def in_memory(self) -> dict[str, list[Interval]]:
        """Tracks that the database may not have as they are: live ones and those just ended.  Ask
        before reading the database, lest a track be missed on its way there."""
        return {track.call.call_sid: list(track.intervals) for track in self._in_memory()}

    async def settled(self) -> None:
        """Return when the database has everything that was recorded before."""
        await self._projector.settled(self._last)

    # ---------------------------------------------------------------- inside

    def _record(self, kind: str, body: dict[str, Any]) -> int:
        sequence = self._journal.post(kind, body)
        if kind != facts.HEARTBEAT:
            self._last = sequence
        for change in self._tracks.apply(kind, body):
            if isinstance(change, Ended):
                self._ended[change.track.call.call_sid] = (sequence, change.track)
            elif isinstance(change, Changed):
                self._count(change.interval)
        return sequence

    def _count(self, interval: Interval) -> None:
        if self._metrics is not None and interval.duration_ms:
            holder = interval.holder
            self._metrics.count(
                "module_seconds", interval.duration_ms / 1000, module=holder.module, mode=holder.mode.value
            )

    def _anchor(self, at_ns: int) -> Anchor:
        since_ns = self._clock.monotonic_ns() - at_ns
        return Anchor(at_ns, self._clock.utc_ms() - since_ns // 1_000_000)

    def _in_memory(self) -> Iterable[Track]:
        yield from self._tracks.live.values()
        for _, track in self._ended.values():
            yield track

    def _unposted_cost(self, account_sid: str) -> int:
        now_ns = self._clock.monotonic_ns()
        return sum(
            amount
            for track in self._unposted()
            if track.concerns(account_sid)
            for (payer, _), amount in costs(track.intervals, self._plans, track.anchor.ms(now_ns)).items()
            if payer == account_sid
        )

    def _unposted(self) -> Iterable[Track]:
        yield from self._tracks.live.values()
        for sequence, track in self._ended.values():
            if sequence > self._projector.position:
                yield track

    async def _tracks_of(self, session_sid: str) -> dict[str, list[Interval]]:
        # Memory first: what is no longer there by now is in the database that is read afterwards.
        remembered = {
            sid: track
            for sid, track in self.in_memory().items()
            if any(interval.call.session_sid == session_sid for interval in track)
        }
        rows = await self._database.read(SESSION_INTERVALS, {"session_sid": session_sid})
        return tracks_of_rows(rows) | remembered

    def _forget(self, position: int) -> None:
        """Drop ended tracks that are in the database and whose session has ended."""
        done = [
            sid
            for sid, (sequence, track) in self._ended.items()
            if sequence <= position and track.call.session_sid not in self._tracks.members
        ]
        for sid in done:
            del self._ended[sid]

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._settings.heartbeat_seconds)
            try:
                self.heartbeat()
            except Exception:
                # Without heartbeats a crash would cost all that calls did since: try the next one.
                log.exception("heartbeat_failed")
            if self._metrics is not None:
                self._metrics.gauge("journal_unprojected", self._projector.behind)
