"""After a crash: end what a dead process left up, and write down how its calls ended."""

from __future__ import annotations

from collections.abc import Iterable

import structlog
from sqlalchemy import bindparam, update

from callrouter.calls.tables import calls, recordings
from callrouter.ports import CallStatus, Clock, Signalling
from callrouter.storage.database import Database

logger = structlog.get_logger(__name__)

UNFINISHED = [status.value for status in CallStatus if not status.final]
DETAIL = "the server stopped while the call was up"

CLOSE_ANSWERED = (
    update(calls)
    .where(calls.c.sid == bindparam("call"), calls.c.status == CallStatus.IN_PROGRESS.value)
    .values(status=CallStatus.COMPLETED.value, end_ms=bindparam("end"), end_detail=DETAIL)
)
CLOSE_UNANSWERED = (
    update(calls)
    .where(calls.c.sid == bindparam("call"), calls.c.status.in_(UNFINISHED))
    .values(status=CallStatus.FAILED.value, end_ms=bindparam("end"), end_detail=DETAIL)
)
CLOSE_REST = (
    update(calls)
    .where(calls.c.worker == bindparam("of_worker"), calls.c.status.in_(UNFINISHED))
    .values(status=CallStatus.FAILED.value, end_ms=bindparam("end"), end_detail=DETAIL)
)
CLOSE_RECORDINGS = (
    update(recordings).where(recordings.c.status == "in-progress").values(status="failed", error_code=12400)
)


async def close_dead_calls(
    database: Database, clock: Clock, worker: str, ends: Iterable[tuple[str, int]]
) -> None:
    """Give every call of the dead epoch an end: at its last heartbeat (`ends`: sid, UTC ms) where the
    meter knew it, now where it never came that far.  Runs before new calls are taken."""
    for sid, end_ms in ends:
        row = {"call": sid, "end": end_ms}
        await database.write((CLOSE_ANSWERED, row), (CLOSE_UNANSWERED, row))
    rest = {"of_worker": worker, "end": clock.utc_ms()}
    await database.write((CLOSE_REST, rest), (CLOSE_RECORDINGS, None))


def end_orphans(signalling: Signalling, dialogs: Iterable[tuple[str, str]]) -> list[str]:
    """Send a BYE into every dialog that was left behind; the sids of their calls."""
    ended = []
    for sid, state in dialogs:
        if state:
            signalling.end_orphan(state, "the server was restarted")
            logger.info("orphan_ended", call=sid)
        ended.append(sid)
    return ended
