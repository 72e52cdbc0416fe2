"""After a crash: end what a dead process left up, and write down how its calls ended.

The meter's journal knows more than the table of calls, whose last rows may have been lost with the
process: once the journal is in the database, each call's track says when it was answered and when
it ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import ColumnDefault, Select, bindparam, case, func, or_, select, update

from callrouter.calls.tables import calls, recordings
from callrouter.ports import CallStatus, Signalling, partial_recording
from callrouter.storage.database import Database
from callrouter.storage.statements import insert_once
from metering.interval import CallFacts, Mode
from metering.tables import intervals

logger = structlog.get_logger(__name__)

UNFINISHED = [status.value for status in CallStatus if not status.final]
DETAIL = "the server stopped while the call was up"
_WAV_HEADER: Final = 44
_OCTETS_A_MS: Final = 16
"""Of one channel of a recording."""

_BLANK = {
    column.name: column.default.arg for column in calls.columns if isinstance(column.default, ColumnDefault)
}
"""A call of which nothing is known."""
_KNOWN = (
    *("sid", "account_sid", "parent_sid", "session_sid", "key_number", "direction", "from_", "to"),
    *("status", "created_ms", "start_ms", "updated_ms", "worker"),
)
INSERT_LOST = insert_once(calls, {*_BLANK, *_KNOWN})
STARTS = (
    select(intervals.c.call_sid, intervals.c.start_ms)
    .outerjoin(calls, calls.c.sid == intervals.c.call_sid)
    .where(
        intervals.c.sequence == 0,
        intervals.c.call_sid.in_(bindparam("wanted", expanding=True)),
        calls.c.sid.is_(None),
    )
)
_TRACK: Select[tuple[int]] = select(func.max(intervals.c.end_ms)).where(intervals.c.call_sid == calls.c.sid)
_CONVERSATION: Select[tuple[int]] = select(func.min(intervals.c.start_ms)).where(
    intervals.c.call_sid == calls.c.sid, intervals.c.mode != Mode.SETUP.value
)
_ANSWERED = func.coalesce(calls.c.answered_ms, _CONVERSATION.scalar_subquery())
CLOSE = (
    update(calls)
    .where(calls.c.worker == bindparam("of_worker"), calls.c.status.in_(UNFINISHED))
    .values(
        status=case((_ANSWERED.is_not(None), CallStatus.COMPLETED.value), else_=CallStatus.FAILED.value),
        answered_ms=_ANSWERED,
        end_ms=func.coalesce(_TRACK.scalar_subquery(), calls.c.updated_ms),
        end_detail=DETAIL,
    )
)
UNFINISHED_RECORDINGS = (
    select(recordings.c.sid, recordings.c.path, recordings.c.channels)
    .outerjoin(calls, calls.c.sid == recordings.c.call_sid)
    .where(
        recordings.c.status == "in-progress",
        or_(calls.c.worker == bindparam("of_worker"), calls.c.sid.is_(None)),
    )
)
_END = ("status", "error_code", "duration_ms", "size_bytes")
CLOSE_RECORDING = (
    update(recordings)
    .where(recordings.c.sid == bindparam("of_sid"))
    .values({name: bindparam(f"its_{name}") for name in _END})
)


async def close_dead_calls(database: Database, worker: str, closed: Sequence[CallFacts]) -> None:
    """Give every call of the dead epoch an end: that of its track, or its last row's time where the
    meter never heard of it.  `closed` are the calls whose track the meter closed.  Runs before new
    calls are taken, and after the journal is in the database."""
    facts = {call.call_sid: call for call in closed}
    starts = await database.read(STARTS, {"wanted": list(facts)}) if facts else []
    lost = [_lost(facts[row["call_sid"]], row["start_ms"], worker) for row in starts]
    if lost:
        logger.warning("lost_calls_restored", calls=len(lost))
        await database.write((INSERT_LOST, lost))
    unfinished = await database.read(UNFINISHED_RECORDINGS, {"of_worker": worker})
    left = await asyncio.to_thread(lambda: [_left(**row) for row in unfinished])
    ends = ((CLOSE_RECORDING, left),) if left else ()
    await database.write((CLOSE, {"of_worker": worker}), *ends)


def _left(*, sid: str, path: str, channels: int) -> dict[str, object]:
    """How a recording ended whose process died.  It has its name only if it is whole; a part of one is of
    no use, and goes."""
    file = Path(path)
    try:
        partial_recording(file).unlink(missing_ok=True)
        size = file.stat().st_size
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            logger.warning("recording_left_behind", recording=sid, error=str(error))
        end: tuple[object, ...] = ("failed", 12400, None, None)
    else:
        end = ("completed", 0, (size - _WAV_HEADER) // (_OCTETS_A_MS * channels), size)
    return {"of_sid": sid} | {f"its_{name}": value for name, value in zip(_END, end, strict=True)}


def _lost(call: CallFacts, start_ms: int, worker: str) -> dict[str, object]:
    """The row of a call whose own never reached the table: what the meter knows of it."""
    known = {
        "sid": call.call_sid,
        "account_sid": call.account_sid,
        "parent_sid": call.parent_sid,
        "session_sid": call.session_sid,
        "key_number": call.key_number,
        "direction": "outbound-dial" if call.parent_sid else "inbound",
        "from_": "",
        "to": "" if call.parent_sid else call.key_number,
        "status": CallStatus.RINGING.value,
        "created_ms": start_ms,
        "start_ms": start_ms,
        "updated_ms": start_ms,
        "worker": worker,
    }
    return _BLANK | known


def end_orphans(signalling: Signalling, dialogs: Iterable[tuple[str, str]]) -> list[str]:
    """Send a BYE into every dialog that was left behind; the sids of their calls."""
    ended = []
    for sid, state in dialogs:
        if state:
            signalling.end_orphan(state, "the server was restarted")
            logger.info("orphan_ended", call=sid)
        ended.append(sid)
    return ended
