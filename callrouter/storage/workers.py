"""Who runs calls: each start of a worker is an epoch of its own, so that what an earlier one left
open can be told from what is live."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import bindparam, select, update

from callrouter.ports import Clock
from callrouter.storage.database import Database
from callrouter.storage.statements import insert_once
from callrouter.storage.tables import workers

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_KNOW = insert_once(workers)
_START = (
    update(workers)
    .where(workers.c.id == bindparam("worker"))
    .values(boot=bindparam("boot"), epoch=workers.c.epoch + 1, started_ms=bindparam("started_ms"))
)
_EPOCH = select(workers.c.epoch).where(workers.c.id == bindparam("worker"))


@dataclass(frozen=True, slots=True)
class Worker:
    """One life of one worker."""

    id: str
    boot: str
    """Boot of the machine: monotonic times of different boots cannot be compared."""
    epoch: int


async def claim(database: Database, worker_id: str, clock: Clock, *, boot: str = "") -> Worker:
    """Begin a new epoch of `worker_id`."""
    boot = boot or _machine_boot()
    row = {"boot": boot, "started_ms": clock.utc_ms()}
    await database.write(
        (_KNOW, {"id": worker_id, "epoch": 0, **row}),
        (_START, {"worker": worker_id, **row}),
    )
    rows = await database.read(_EPOCH, {"worker": worker_id})
    return Worker(worker_id, boot, rows[0]["epoch"])


def _machine_boot() -> str:
    return _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""
