"""What is kept of calls in the database, and the callbacks that tell of it.

State and the callback that tells of it go into one transaction; nothing here waits for the disk
except `queued`, which a REST answer stands on, and `caught_up`.
"""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import structlog

from callrouter.calls import parameters
from callrouter.calls.call import Call, StatusCallback, callback_event
from callrouter.calls.quality import quality_of
from callrouter.calls.recording import RecordingFacts
from callrouter.calls.tables import call_events, calls, recordings
from callrouter.errors import FetchFailed
from callrouter.ports import Clock, FetchedDocument, FetchOrder, Ids, RecordingEnd, RecordingEnded
from callrouter.storage.database import Database, Write
from callrouter.storage.outbox import outbox_row
from callrouter.storage.statements import insert_new, upsert

logger = structlog.get_logger(__name__)

_json = json.JSONEncoder(check_circular=False).encode
UPSERT_CALL = upsert(calls, ["sid"])
UPSERT_RECORDING = upsert(recordings, ["sid"])
INSERT_EVENT = insert_new(call_events)
CATCH_UP_SECONDS = 1.0
LONGEST_KEPT_ANSWER = 4096
"""Characters of an answer kept for the developer to look at."""


class CallLog:
    """Writes calls, their events and their recordings."""

    def __init__(self, database: Database, clock: Clock, ids: Ids, worker: str) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._worker = worker

    async def queued(self, call: Call) -> None:
        """Put a new call into the table and wait until it is there."""
        await self._database.write((UPSERT_CALL, self._row(call)))

    def changed(self, call: Call) -> None:
        """Record the call as it is now and tell its status callbacks."""
        self._database.post((UPSERT_CALL, self._row(call)), *self._progress(call))

    def measured(self, call: Call) -> None:
        """The call's leg has closed: record what its audio was like."""
        self._database.post((UPSERT_CALL, self._row(call)))

    def detected(self, call: Call, told: StatusCallback | None) -> None:
        """Record who answered, and tell whoever asked for it."""
        writes: list[Write] = [(UPSERT_CALL, self._row(call))]
        if told is not None:
            rows = (
                ("CallSid", call.sid),
                ("AccountSid", call.facts.account_sid),
                *parameters.answerer(call),
            )
            writes.append(self._callback(call, told, rows, self._clock.utc_ms()))
        self._database.post(*writes)

    def fetched(self, call: Call, order: FetchOrder, document: FetchedDocument, at_ms: int) -> None:
        """A document was received."""
        text = document.body[:LONGEST_KEPT_ANSWER].decode("utf-8", "replace")
        self._event(
            call,
            kind="request",
            level="info",
            at_ms=at_ms,
            url=_shown(order.url),
            method=order.method,
            request=_json(order.parameters),
            status=document.status,
            response=text.replace("\x00", "�"),
            duration_ms=document.duration_ms,
        )

    def fetch_failed(self, call: Call, order: FetchOrder, error: FetchFailed, at_ms: int) -> None:
        """A document was not to be had."""
        self._event(
            call,
            kind="request",
            level="error",
            at_ms=at_ms,
            url=_shown(order.url),
            method=order.method,
            request=_json(order.parameters),
            status=error.status,
            code=error.code,
            message=str(error),
            duration_ms=self._clock.utc_ms() - at_ms,
        )

    def warned(self, call: Call, code: int, message: str, line: int, level: str) -> None:
        """Something in a document or on the call was not as it should be."""
        self._event(
            call,
            kind="notice",
            level=level,
            at_ms=self._clock.utc_ms(),
            code=code,
            message=message,
            line=line,
        )

    def recording_started(self, call: Call, facts: RecordingFacts) -> None:
        told = self._recording_callback(call, facts, "in-progress", None)
        self._database.post((UPSERT_RECORDING, _recording_row(facts, "in-progress", None)), *told)

    def recording_ended(self, call: Call, facts: RecordingFacts, event: RecordingEnded) -> None:
        status = "failed" if event.reason is RecordingEnd.FAILED else "completed"
        told = self._recording_callback(call, facts, status, event)
        self._database.post((UPSERT_RECORDING, _recording_row(facts, status, event)), *told)

    async def caught_up(self) -> None:
        """Return when everything told so far can be read, for somebody who is about to be referred to
        it.  Bounded: calls do not wait for a database that is away."""
        if not await self._database.caught_up(CATCH_UP_SECONDS):
            logger.warning("records_behind", waited_seconds=CATCH_UP_SECONDS)

    # ------------------------------------------------------------------ rows

    def _row(self, call: Call) -> dict[str, object]:
        return {
            "sid": call.sid,
            "account_sid": call.facts.account_sid,
            "parent_sid": call.facts.parent_sid,
            "session_sid": call.facts.session_sid,
            "split_from": call.split_from,
            "linked_sid": call.linked_sid,
            "key_number": call.facts.key_number,
            "direction": call.direction,
            "from_": call.from_[:256],
            "to": call.to[:256],
            "status": call.status.value,
            "created_ms": call.created_ms,
            "start_ms": call.start_ms,
            "answered_ms": call.answered_ms,
            "end_ms": call.end_ms,
            "updated_ms": self._clock.utc_ms(),
            "sip_status": call.sip_status,
            "q850": call.q850,
            "sip_call_id": call.sip_call_id[:256],
            "forwarded_from": call.forwarded_from[:256],
            "caller_name": call.caller_name[:256],
            "answered_by": call.answered_by,
            "error_code": call.error_code,
            "end_detail": call.end_detail[:256],
            "worker": self._worker,
            **quality_of({} if call.leg is None else call.leg.counters),
        }

    def _event(self, call: Call, **facts: object) -> None:
        row: dict[str, object] = {
            "id": self._ids.sid("NO"),
            "call_sid": call.sid,
            "account_sid": call.facts.account_sid,
            "code": 0,
            "message": "",
            "line": 0,
            "url": "",
            "method": "",
            "request": "",
            "status": 0,
            "response": "",
            "duration_ms": 0,
        }
        self._database.post((INSERT_EVENT, row | facts))

    # ------------------------------------------------------------------ callbacks

    def _progress(self, call: Call) -> list[Write]:
        event = callback_event(call.status)
        if not event or event in call.events_told:
            return []
        call.events_told.add(event)
        now_ms = self._clock.utc_ms()
        writes = []
        for callback in call.callbacks:
            if event in callback.events:
                told = parameters.merged(parameters.standard(call), parameters.progress(call, now_ms=now_ms))
                writes.append(self._callback(call, callback, told, now_ms))
                call.callbacks_sent += 1
        return writes

    def _recording_callback(
        self, call: Call, facts: RecordingFacts, status: str, ended: RecordingEnded | None
    ) -> list[Write]:
        event = "completed" if status == "failed" else status
        if not facts.callback or event not in facts.callback_events:
            return []
        rows = [
            ("AccountSid", facts.account_sid),
            ("CallSid", facts.call_sid),
            ("RecordingSid", facts.sid),
            ("RecordingUrl", facts.url),
            ("RecordingStatus", status),
            ("RecordingChannels", str(facts.channels)),
            ("RecordingStartTime", parameters.rfc2822(facts.start_ms)),
            ("RecordingSource", facts.source),
            ("RecordingTrack", "inbound" if facts.source == "RecordVerb" else "both"),
        ]
        if ended is not None and status == "completed":
            rows.append(("RecordingDuration", str((ended.duration_ms + 500) // 1000)))
        callback = StatusCallback(facts.callback, facts.callback_method, facts.callback_events)
        return [self._callback(call, callback, tuple(rows), self._clock.utc_ms())]

    def _callback(
        self, call: Call, callback: StatusCallback, told: tuple[tuple[str, str], ...], now_ms: int
    ) -> Write:
        return outbox_row(
            kind="callback",
            key=call.sid,
            account_sid=call.facts.account_sid,
            url=callback.url,
            method=callback.method,
            parameters=told,
            now_ms=now_ms,
        )


def _shown(url: str) -> str:
    """`url` without the password that may be in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else url


def _recording_row(facts: RecordingFacts, status: str, ended: RecordingEnded | None) -> dict[str, object]:
    return {
        "sid": facts.sid,
        "account_sid": facts.account_sid,
        "call_sid": facts.call_sid,
        "source": facts.source,
        "channels": facts.channels,
        "status": status,
        "path": str(facts.path),
        "start_ms": facts.start_ms,
        "duration_ms": ended.duration_ms if ended else None,
        "size_bytes": ended.size_bytes if ended else None,
        "error_code": 12400 if status == "failed" else 0,
    }
