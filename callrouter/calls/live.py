"""`LiveCall` for one verb: what the verb creates belongs to this scope and ends with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import structlog

from callrouter.calls import recording
from callrouter.calls.child import Child, FailedChild, place
from callrouter.calls.playlist import Playlist
from callrouter.calls.question import resolve
from callrouter.calls.search import Search
from callrouter.calls.waiting import first_of
from callrouter.errors import CallGone
from callrouter.ports import (
    AUDIO_ALONE,
    ChildCall,
    DialTarget,
    Digits,
    Join,
    Parameters,
    Part,
    Passing,
    Played,
    PlayEnd,
    PlayItem,
    PlayPrompt,
    PlayTone,
    Recorded,
    RecordOrder,
    Referred,
)
from callrouter.verbs.beside import beside
from metering.interval import Cause

if TYPE_CHECKING:
    from callrouter.calls.controller import Controller
    from callrouter.calls.steps.context import Context

logger = structlog.get_logger(__name__)

RECLAIM_SECONDS = 5
"""For a far end that sends a fax to answer that audio is wanted again."""


class ScopedCall:
    """The call as the running verb sees it."""

    def __init__(self, controller: Controller, context: Context) -> None:
        self._controller = controller
        self._context = context
        self._children: list[Child] = []
        self._placed: list[ChildCall] = []
        self._search: Search | None = None
        self.last_recording: Recorded | None = None

    # ------------------------------------------------------------------ facts

    @property
    def sid(self) -> str:
        return self._controller.call.sid

    @property
    def account_sid(self) -> str:
        return self._controller.call.facts.account_sid

    @property
    def from_(self) -> str:
        return self._controller.call.from_

    @property
    def to(self) -> str:
        return self._controller.call.to

    @property
    def is_answered(self) -> bool:
        return self._controller.call.is_answered

    @property
    def is_sip_origin(self) -> bool:
        return self.from_.startswith(("sip:", "sips:"))

    @property
    def placed(self) -> Sequence[ChildCall]:
        return self._placed

    @property
    def is_screening(self) -> bool:
        return self._context.screening

    def resolve(self, url: str) -> str:
        return resolve(self._context.url, url)

    def warn(self, code: int, message: str, line: int = 0) -> None:
        self._controller.warn(code, message, line)

    # ------------------------------------------------------------------ the leg

    async def answer(self, passing: Passing = AUDIO_ALONE, codec: str = "") -> None:
        """Pick up once, however many ask at the same time, in `codec` where the caller can.  What ends
        the dialog after a crash is on disk before the caller hears that it exists."""
        controller = self._controller
        async with controller.picking_up:
            if controller.call.is_answered:
                await self._reclaim()
                return
            sip = controller.leg().sip
            if sip is None:
                raise CallGone("the call has no signalling to answer")
            await controller.save_dialog()
            leg = controller.leg()
            at_ns = controller.services.clock.monotonic_ns()
            sip.answer(leg.local, passing, codec)
            if sip.audio is not None:
                leg.connect(sip.audio)
            await controller.answered(at_ns)

    async def _reclaim(self) -> None:
        """The document does something with the call: what the bridge has left on beside the audio has
        nobody to be passed to any more.  Where that is in place of the audio, nothing is said before the
        audio is back, or has had time enough."""
        reclaiming = self._controller.leg().reclaim()
        if reclaiming is not None:
            await asyncio.wait((reclaiming,), timeout=RECLAIM_SECONDS)

    async def ring(self) -> None:
        leg = self._controller.leg()
        if not (self.is_answered or leg.has_early_media) and leg.sip is not None:
            leg.sip.ring()

    def _progress(self, codec: str) -> None:
        """Have a caller who is not answered hear us, in `codec` where that can be."""
        leg = self._controller.leg()
        if self.is_answered or leg.has_early_media or leg.sip is None:
            return
        leg.has_early_media = True
        leg.sip.progress(leg.local, codec)
        if leg.sip.audio is not None:
            leg.connect(leg.sip.audio, is_early=True)

    async def sleep(self, seconds: float) -> None:
        await self._reclaim()
        await asyncio.sleep(seconds)

    async def speech(self, text: str, *, voice: str, language: str) -> PlayItem:
        services = self._controller.services
        audio = await services.speech.synthesize(text, voice=voice, language=language)
        return PlayPrompt(await services.media.prompt(audio))

    async def audio(self, url: str) -> PlayItem:
        services = self._controller.services
        absolute = self.resolve(url)
        own = recording.file_of(self._controller, absolute)
        audio = own or await services.fetcher.media(absolute)
        return PlayPrompt(await services.media.prompt(audio))

    async def play(self, items: Sequence[PlayItem], *, loops: int = 1, stop_digits: str = "") -> Played:
        await self.answer()
        ended = await self._controller.leg().play(items, loops=loops, stop_digits=stop_digits)
        return Played(ended.reason, ended.digit)

    def playlist(self) -> AbstractContextManager[Playlist]:
        return self._controller.leg().playlist()

    def listen(self) -> AbstractContextManager[Digits]:
        leg = self._controller.leg()
        leg.reclaim()
        return leg.listen()

    async def record(self, order: RecordOrder) -> Recorded:
        await self.answer()
        if order.play_beep:
            beep = await self._controller.leg().play([PlayTone("beep")])
            if beep.reason is PlayEnd.CLOSED:
                raise CallGone("the call ended at the beep")
        running = recording.of_caller(self._controller, order)
        try:
            self.last_recording = await running.result()
        except asyncio.CancelledError:
            self.last_recording = await running.stop()
            raise
        if self.last_recording is None:
            raise CallGone("the recording could not be kept")
        return self.last_recording

    async def refer(self, target: str, told: Callable[[int], None] | None = None) -> Referred:
        await self.answer()
        return await self._controller.leg().refer(target, told)

    # ------------------------------------------------------------------ other legs

    async def place(self, target: DialTarget, cause: Cause = Cause.VERB) -> Child | FailedChild:
        child = await place(self._controller, self._context, target, cause)
        self._placed.append(child)
        if isinstance(child, FailedChild):
            return child
        self._children.append(child)
        self.look().add(child)
        child.start()
        return child

    def look(self) -> Search:
        """Somebody is to be found for the call to be connected with."""
        if self._search is None:
            self._search = self._controller.search = Search()
        return self._search

    async def ringback(self, tone: PlayItem) -> None:
        leg = self._controller.leg()
        if self.is_answered or leg.has_early_media:
            await leg.play((tone,), loops=0)

    async def hear(self, child: ChildCall, tone: PlayItem) -> None:
        if not isinstance(child, Child):
            return
        far = child.controller
        while not far.over.is_set():
            async with beside(self.ringback(tone)):
                await first_of(far.early.begun, far.over)
            if not far.over.is_set():
                await self._hear_early(far)

    async def _hear_early(self, far: Controller) -> None:
        media, leg, other = self._controller.services.media, self._controller.leg(), far.leg()
        self._progress(other.spoken)
        media.submit(Join(leg.id, other.id))
        try:
            await first_of(far.early.ended, far.over)
        finally:
            media.submit(Part(leg.id))

    def parameters_of(self, child: ChildCall) -> Parameters:
        rows = [("DialCallSid", child.sid)] if child.sid else []
        result = child.result
        if result.sip_call_id:
            rows.append(("DialSipCallId", result.sip_call_id))
        if result.sip_status:
            rows.append(("DialSipResponseCode", str(result.sip_status)))
        rows.extend(
            (f"DialSipHeader_{name}", value)
            for name, value in result.headers.items()
            if name.lower().startswith("x-")
        )
        return tuple(rows)

    # ------------------------------------------------------------------ the end of the scope

    async def release(self, keep: ChildCall | None) -> None:
        """End what the verb created and nobody took over; bounded by the controller's limit.  When a
        child is kept, the bridge does not wait for the others to be gone: their own tasks see to it."""
        children = [child for child in self._children if child is not keep]
        self._children.clear()
        for child in children:
            child.dismiss()
        try:
            if keep is None and children:
                await self._end(children)
        finally:
            self._looked(keep)

    async def _end(self, children: Sequence[Child]) -> None:
        ends = [asyncio.ensure_future(child.end()) for child in children]
        _, late = await asyncio.wait(ends, timeout=self._controller.services.settings.cleanup_seconds)
        for end in late:
            end.cancel()
            logger.error("child_did_not_end", call=self.sid)

    def _looked(self, found: ChildCall | None) -> None:
        search, self._search = self._search, None
        if search is None:
            return
        child = found if isinstance(found, Child) else None
        if child is None:
            self._controller.search = None  # else the two are about to be connected
        search.conclude(child, is_given_up=self._controller.over.is_set())
