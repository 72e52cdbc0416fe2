"""Recordings of a call: the file, its row, and who is told when it is there."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from callrouter.calls.leg import Leg, RunningRecording
from callrouter.ports import (
    AudioFile,
    BridgeRecording,
    Recorded,
    RecordingEnd,
    RecordingEnded,
    RecordOrder,
    RecordSource,
)

if TYPE_CHECKING:
    from callrouter.calls.controller import Controller


_SID = re.compile(r"RE[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class RecordingFacts:
    """The row of a recording."""

    sid: str
    account_sid: str
    call_sid: str
    source: str
    channels: int
    path: Path
    start_ms: int
    url: str
    callback: str
    callback_method: Literal["GET", "POST"]
    callback_events: frozenset[str]


class LiveRecording:
    """A recording that runs, and its way into the records."""

    def __init__(
        self, controller: Controller, leg: Leg, facts: RecordingFacts, running: RunningRecording
    ) -> None:
        self._controller = controller
        self._leg = leg
        self._facts = facts
        self._running = running
        controller.services.log.recording_started(controller.call, facts)
        running.ended.add_done_callback(self._on_ended)

    async def result(self) -> Recorded:
        return await self._recorded(await asyncio.shield(self._running.ended))

    async def stop(self) -> Recorded | None:
        """End it and wait until it is on disk; None when that failed or took too long."""
        self._leg.stop_recording(self._running)
        limit = self._controller.services.settings.cleanup_seconds
        done, _ = await asyncio.wait((self._running.ended,), timeout=limit)
        return await self._recorded(self._running.ended.result()) if done else None

    async def _recorded(self, ended: RecordingEnded) -> Recorded:
        """Whoever is told of the recording may ask for it at once: its row comes first."""
        await self._controller.services.log.caught_up()
        return Recorded(
            self._facts.sid, self._facts.url, (ended.duration_ms + 500) // 1000, ended.reason, ended.digit
        )

    def _on_ended(self, ended: asyncio.Future[RecordingEnded]) -> None:
        if ended.cancelled():
            return
        event = ended.result()
        if event.reason is RecordingEnd.FAILED:
            self._controller.warn(12400, f"recording {self._facts.sid} failed: {event.error}", level="error")
        self._controller.services.log.recording_ended(self._controller.call, self._facts, event)


def of_caller(controller: Controller, order: RecordOrder) -> LiveRecording:
    """Record what the far end of the call says."""
    leg = controller.leg()
    facts = _facts(controller, order.source, 1, order.callback, order.callback_method, order.callback_events)
    running = leg.record(
        facts.path,
        ((RecordSource(leg.id),),),
        max_ms=order.max_seconds * 1000,
        silence_ms=order.silence_seconds * 1000,
        stop_digits=order.stop_digits,
        trim_silence=order.trim_silence,
    )
    return LiveRecording(controller, leg, facts, running)


def of_call(controller: Controller) -> LiveRecording:
    """Record a whole call placed by the API: what its far end says and hears, mixed, until it ends."""
    leg = controller.leg()
    facts = _facts(controller, "OutboundAPI", 1, "", "POST", frozenset())
    running = leg.record(
        facts.path, ((RecordSource(leg.id), RecordSource(leg.id, "sent")),), trim_silence=True
    )
    return LiveRecording(controller, leg, facts, running)


def of_bridge(controller: Controller, other: Leg, order: BridgeRecording) -> LiveRecording:
    """Record both ends of a bridge: the caller in the first channel, the callee in the second."""
    leg = controller.leg()
    ends = (RecordSource(leg.id), RecordSource(other.id))
    channels = ((ends[0],), (ends[1],)) if order.dual else (ends,)
    facts = _facts(
        controller, "DialVerb", len(channels), order.callback, order.callback_method, order.callback_events
    )
    running = leg.record(facts.path, channels, trim_silence=order.trim_silence)
    return LiveRecording(controller, leg, facts, running)


def file_of(controller: Controller, url: str) -> AudioFile | None:
    """The file behind a RecordingUrl of this account, so that a document can play what was recorded
    without a request to ourselves; None for every other URL."""
    services, account = controller.services, controller.call.facts.account_sid
    base = _url(services.public_url, account, "")
    sid = url.removeprefix(base).removesuffix(".wav").removesuffix(".mp3")
    if not url.startswith(base) or not _SID.fullmatch(sid):
        return None
    path = services.recordings / account / f"{sid}.wav"
    return AudioFile(path, "audio/wav", sid) if path.exists() else None


def _url(public_url: str, account: str, sid: str) -> str:
    return f"{public_url}/2010-04-01/Accounts/{account}/Recordings/{sid}"


def _facts(
    controller: Controller,
    source: str,
    channels: int,
    callback: str,
    method: Literal["GET", "POST"],
    events: frozenset[str],
) -> RecordingFacts:
    services, call = controller.services, controller.call
    sid, account = services.ids.sid("RE"), call.facts.account_sid
    return RecordingFacts(
        sid=sid,
        account_sid=account,
        call_sid=call.facts.parent_sid or call.sid,
        source=source,
        channels=channels,
        path=services.recordings / account / f"{sid}.wav",
        start_ms=services.clock.utc_ms(),
        url=_url(services.public_url, account, sid),
        callback=callback,
        callback_method=method,
        callback_events=events,
    )
