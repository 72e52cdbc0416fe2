"""One task per call: performs steps, takes interrupts in order, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import structlog

from callrouter.calls import referral, steps
from callrouter.calls.call import Call
from callrouter.calls.conversation import Linked, Talk
from callrouter.calls.early import EarlyAudio
from callrouter.calls.leg import Leg
from callrouter.calls.referral import Referral
from callrouter.calls.search import Search
from callrouter.calls.services import Services
from callrouter.calls.steps.step import Step
from callrouter.errors import CallError, CallGone, FetchFailed
from callrouter.ports import (
    Answered,
    CallStatus,
    Failed,
    Hangup,
    Interrupt,
    Replace,
    Shutdown,
    Side,
    SipLeg,
    Transfer,
    causes,
)
from dispatcher.grant import Control
from metering.interval import Cause, Holder, Mode

logger = structlog.get_logger(__name__)


class Controller:
    """The owner of one call.  Everything that happens to the call goes through here."""

    partner: Controller | None = None
    """Who it is connected with."""
    talk: Talk | None = None
    """What it has with its partner."""
    search: Search | None = None
    """Whom it dials, until it is connected with one of them."""
    referral: Referral | None = None
    """The transfer by a telephone that it takes part in."""
    is_spoken_for = False
    """It goes on without whoever dialled it."""
    has_handed_on = False
    """Its far end has handed its conversation on, and goes."""
    on_ringing: Callable[[int], None] | None = None
    """Told each provisional status of an outgoing call."""
    transfer_asked: tuple[SipLeg, int] | None = None
    """Whose leg asked by SIP for the transfer that is under way, and its request."""

    def __init__(self, call: Call, services: Services) -> None:
        self.call = call
        self.services = services
        self.control: Control | None = None
        self.over = asyncio.Event()
        """Set the moment the far end is gone or the call was hung up."""
        self.detached = asyncio.Event()
        """Set when a driven child got a document of its own."""
        self.finished = asyncio.Event()
        """Set when the task has released everything."""
        self.answer: asyncio.Future[Answered | Failed] = asyncio.get_running_loop().create_future()
        """How an outgoing INVITE ended."""
        self.early = EarlyAudio()
        """Of the far end of an outgoing call."""
        self.picking_up = asyncio.Lock()
        """Held by whoever answers an incoming call."""
        self.connected = asyncio.Event()
        """Set while it has a partner."""
        self.referrals: asyncio.Queue[Referral | Linked] = asyncio.Queue()
        """What such transfers want of it: somebody else to be called, or to be connected with."""
        self._step: Step = Step()
        """What is being performed."""
        self._pending: deque[Interrupt] = deque()
        self._signal: asyncio.Future[None] | None = None
        self._documents: deque[int] = deque()
        self._metered = False
        self._over_ns = call.created_ns
        self._joins_session = ""
        """Session that the next transfer takes the call into, "" to stay."""
        self._timers: list[asyncio.TimerHandle] = []
        self._log = logger.bind(call=call.sid, session=call.facts.session_sid, account=call.facts.account_sid)

    # ------------------------------------------------------------------ the task

    async def run(self, first: Step) -> None:
        """Perform steps from `first` until there is none; then close the call, whatever happened."""
        step: Step | None = first
        try:
            while step is not None:
                step = await self._advance(step)
        except CallError as error:
            self._log.warning("call_failed", error=str(error), code=error.code)
            self.call.error_code = self.call.error_code or error.code
            self._refuse(error)
        except Exception:  # noqa: BLE001 - the one boundary of the call's task: a fault costs this call only
            self._log.exception("call_crashed")
            self.call.error_code = 12400
        finally:
            await self._close()
            self._step = Step()  # a verb's scope knows the controller: neither is to wait for the collector
            self.finished.set()

    async def _advance(self, step: Step) -> Step | None:
        """Perform steps up to an interrupt; the step that this leads to."""
        if self._pending:
            return await self._divert(step, self._pending.popleft())
        self._step = step
        work = asyncio.create_task(self._perform())
        try:
            while not work.done():
                await self._work_or_signal(work)
                if not work.done() and self._pending and self._step.yields_to(self._pending[0]):
                    cause = self._pending.popleft()
                    await self._stop(work)
                    return await self._divert(_result_or(work, self._step), cause)
        except asyncio.CancelledError:
            await self._stop(work)
            raise
        try:
            return work.result()
        except CallGone:
            return await self._divert(self._step, self._pending.popleft()) if self._pending else None
        finally:
            del work  # a task keeps its exception, and that this frame

    async def _perform(self) -> Step | None:
        """One step after the other while nothing interrupts; the one that is to follow."""
        try:
            while True:
                following = await self._step.perform(self)
                # A step may finish although it was cancelled: the next is not begun then.
                if following is None or self._pending or _is_being_cancelled():
                    return following
                self._step = following
        except asyncio.CancelledError as cancelled:
            # A cancelled task keeps its exception, that its frames, and those the task: each call that
            # was interrupted would be left to the collector, whose full rounds stop everybody.
            raise cancelled.with_traceback(None) from None

    async def _work_or_signal(self, work: asyncio.Future[Step | None]) -> None:
        """Until `work` is done or an interrupt comes; with one pending that has to wait, until it is done."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        work.add_done_callback(lambda _: None if woken.done() else woken.set_result(None))
        self._signal = None if self._pending else woken
        try:
            await woken
        finally:
            self._signal = None

    async def _stop(self, work: asyncio.Future[Step | None]) -> None:
        """Cancel once and wait for the clean-up, within bounds."""
        work.cancel()
        limit = self.services.settings.cleanup_seconds
        done, _ = await asyncio.wait((work,), timeout=limit)
        if not done:
            self._log.error("cleanup_too_slow", limit_seconds=limit)
            work.cancel()

    async def _divert(self, step: Step | None, cause: Interrupt) -> Step | None:
        owed = None if step is None else await step.owed(self, cause)
        match cause:
            case Hangup() | Shutdown():
                return owed
            case Replace() | Transfer():
                return owed or steps.instructions_of(self, cause)

    # ------------------------------------------------------------------ interrupts

    def interrupt(self, cause: Interrupt) -> None:
        """Queue `cause`.  A hang-up ends the track at this instant; what comes after it is dropped."""
        if self.over.is_set():
            return
        match cause:
            case Hangup():
                self.part_company(self.services.clock.monotonic_ns(), cause)
            case Shutdown():
                end = Hangup(Side.US, cause.detail, q850=causes.TEMPORARY_FAILURE)
                self.part_company(self.services.clock.monotonic_ns(), end)
            case Replace() | Transfer():
                pass
        self._queue(cause)

    def left(self, at_ns: int, cause: Hangup) -> None:
        """The far end has gone, at `at_ns`."""
        self.part_company(at_ns, cause)
        self._queue(cause)

    def _queue(self, cause: Interrupt) -> None:
        self._pending.append(cause)
        if self._signal is not None and not self._signal.done():
            self._signal.set_result(None)

    def part_company(self, at_ns: int, cause: Hangup) -> None:
        """The conversation is over at `at_ns`: hang up if need be, stop the meter, free waiters."""
        if self.over.is_set():
            return
        call = self.call
        call.end_detail = call.end_detail or cause.detail
        if call.end_ms is None:
            call.end_ms = self.wall_ms(at_ns)
        if self._metered:
            self.services.meter.post_end(call.sid, at_ns=at_ns, cause=Cause.HANGUP)
        if not call.status.final:
            call.status = (
                cause.status
                if call.is_answered or cause.status is not CallStatus.COMPLETED
                else (CallStatus.NO_ANSWER)
            )
        if call.leg is not None:
            if call.leg.sip is not None:
                call.leg.sip.hangup(cause.detail, cause.cause)
            call.leg.depart()
        self._over_ns = at_ns
        self.over.set()

    def fail(self, status: CallStatus = CallStatus.FAILED, at_ns: int | None = None) -> None:
        """The call came to nothing: `status` is its end."""
        at_ns = self.services.clock.monotonic_ns() if at_ns is None else at_ns
        self.part_company(at_ns, Hangup(Side.US, self.call.end_detail, status))

    def conclude_transfer(self, status: int) -> None:
        """Tell the party that asked for a transfer by SIP how it ended, if there is one."""
        asked, self.transfer_asked = self.transfer_asked, None
        if asked is not None:
            asked[0].tell_transfer(asked[1], status)

    # ------------------------------------------------------------------ control and the meter

    async def take(self, control: Control, cause: Cause, *, at_ns: int | None = None) -> None:
        """Control of the call passes to `control`; returns when that is journaled."""
        self.control = control
        if self.over.is_set() and self._metered:
            return
        at_ns = self.services.clock.monotonic_ns() if at_ns is None else at_ns
        holder = self._holder(control)
        if self._metered:
            session, self._joins_session = self._joins_session, ""
            await self.services.meter.transfer(
                self.call.sid, holder, at_ns=at_ns, cause=cause, session_sid=session
            )
        else:
            await self.start_track(holder)

    async def start_track(self, holder: Holder) -> None:
        """Open the call's first interval, at the instant the call began."""
        self._metered = True
        meter, call = self.services.meter, self.call
        await meter.begin(call.facts, holder, at_ns=call.created_ns, cause=Cause.ARRIVAL)

    def _holder(self, control: Control) -> Holder:
        return control.holder if self.call.is_answered else replace(control.holder, mode=Mode.SETUP)

    async def answered(self, at_ns: int) -> None:
        """The call was picked up at `at_ns`: from here on the holder's own mode counts."""
        call, services = self.call, self.services
        call.answered_ns, call.answered_ms = at_ns, self.wall_ms(at_ns)
        call.sip_status = 200
        self.enter(CallStatus.IN_PROGRESS)
        services.metrics.observe("call_setup_seconds", (at_ns - call.created_ns) / 1e9)
        self.limit(services.settings.max_call_seconds, "maximum call length reached", causes.TIMER_EXPIRED)
        if self._metered and self.control is not None and not self.over.is_set():
            holder = self._holder(self.control)
            await services.meter.transfer(call.sid, holder, at_ns=at_ns, cause=Cause.ANSWER)

    async def save_dialog(self) -> None:
        """Keep on disk what a BYE after a crash needs; until then nobody may rely on the dialog."""
        sip = self.call.leg.sip if self.call.leg is not None else None
        await self.services.meter.save_dialog(self.call.sid, sip.dialog_state() if sip is not None else "")

    def limit(self, seconds: int, detail: str, q850: int = causes.NORMAL) -> None:
        """Hang up when `seconds` have passed."""
        if self.over.is_set():
            return
        end = Hangup(Side.US, detail, q850=q850)
        timer = asyncio.get_running_loop().call_later(seconds, self.interrupt, end)
        self._timers.append(timer)

    def may_fetch(self) -> bool:
        """Count a document against the limit per minute; False when it is one too many."""
        now = self.services.clock.monotonic_ns()
        while self._documents and now - self._documents[0] > 60_000_000_000:
            self._documents.popleft()
        self._documents.append(now)
        return len(self._documents) <= self.services.settings.max_documents_per_minute

    # ------------------------------------------------------------------ relations

    def meet(self, partner: Controller, talk: Talk) -> None:
        """The two are connected."""
        self.partner, self.talk, self.search = partner, talk, None
        self.connected.set()

    def part(self) -> None:
        """They are not any more."""
        self.partner = self.talk = None
        self.connected.clear()

    def dialled(self, call: Call) -> Controller:
        """The controller of a call that this one dials."""
        return Controller(call, self.services)

    def join_session(self, session_sid: str) -> None:
        """It belongs to another session from its next interval on."""
        self.call.facts = replace(self.call.facts, session_sid=session_sid)
        self._joins_session = session_sid

    def detach(self) -> None:
        """A dialled call gets instructions of its own: it leaves the bridge and its parent's scope."""
        if not self.call.facts.parent_sid or self.detached.is_set():
            return
        self.call.split_from = self.call.facts.session_sid
        self.join_session(self.call.sid)
        if self.control is not None:
            self.control = replace(self.control, holder=replace(self.control.holder, driven_by=""))
        self.detached.set()

    # ------------------------------------------------------------------ facts

    def enter(self, status: CallStatus) -> None:
        """The call reached `status`: record it and tell those who asked to be told."""
        self.call.status = status
        self.services.log.changed(self.call)

    def warn(self, code: int, message: str, line: int = 0, *, level: str = "warning") -> None:
        self._log.info("document_warning", code=code, message=message, line=line)
        self.services.metrics.count("warnings", code=str(code))
        self.services.log.warned(self.call, code, message, line, level)

    def report(self, error: CallError, line: int = 0) -> None:
        """Tell the developer of an error; of a failed request the call's events tell already."""
        if isinstance(error, FetchFailed) and error.recorded:
            self._log.info("document_not_fetched", code=error.code, message=str(error))
            self.services.metrics.count("warnings", code=str(error.code))
        else:
            self.warn(error.code, str(error), line, level="error")

    def wall_ms(self, at_ns: int) -> int:
        """UTC milliseconds of a monotonic instant, on the call's own anchor."""
        return self.call.created_ms + (at_ns - self.call.created_ns) // 1_000_000

    def leg(self) -> Leg:
        """The leg, while there is somebody at its other end."""
        if self.call.leg is None or self.call.leg.gone:
            raise CallGone("the call has ended")
        return self.call.leg

    # ------------------------------------------------------------------ the end

    def _refuse(self, error: CallError) -> None:
        """A call that failed before it was answered is refused with the error's status."""
        sip = self.call.leg.sip if self.call.leg is not None else None
        if self.call.direction == "inbound" and not self.call.is_answered and sip is not None:
            sip.reject(error.sip_status)
            self.call.sip_status = error.sip_status
            self.fail()

    async def _close(self) -> None:
        now = self.services.clock.monotonic_ns()
        self.part_company(now, Hangup(Side.US, self.call.end_detail or "end of document"))
        for timer in self._timers:
            timer.cancel()
        call, services = self.call, self.services
        referral.abandon(self)
        self.conclude_transfer(referral.CANCELLED)
        if not self.answer.done():
            self.answer.cancel()
        await self._end_track()
        if call.leg is not None:
            call.leg.on_measured = functools.partial(services.log.measured, call)
            call.leg.close()
        services.meter.drop_dialog(call.sid)
        services.log.changed(call)
        services.metrics.count("calls", direction=call.direction, outcome=call.status.value)
        self._log.info(
            "call_ended",
            status=call.status.value,
            detail=call.end_detail,
            seconds=call.duration_seconds,
            q850=call.q850,
        )

    async def _end_track(self) -> None:
        """Have the whole track on disk, which may refuse: the call is over all the same, and the
        journal writes its end as soon as it can."""
        try:
            if not self._metered:
                await self.start_track(Holder("platform.router", "platform", Mode.SETUP))
            # Where the conversation ended before the track had begun, the track is still open.
            await self.services.meter.end(self.call.sid, at_ns=self._over_ns, cause=Cause.HANGUP)
        except CallError as error:
            self._log.error("call_end_not_on_disk", error=str(error))


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _result_or(work: asyncio.Future[Step | None], step: Step) -> Step | None:
    """The step that follows if `work` finished all the same, else the one that was interrupted."""
    if not work.done() or work.cancelled() or work.exception() is not None:
        return step
    return work.result()
