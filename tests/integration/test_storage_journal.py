"""The journal on a real disk: order, durability, rotation, damage, and a disk that refuses."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from callrouter.errors import StartupError
from callrouter.storage.journal import Journal, JournalUnwritable
from callrouter.storage.segment import Record
from tests.patience import PATIENCE_SECONDS, until

SMALL = 64 * 1024


async def everything(journal: Journal, after: int = 0) -> list[Record]:
    return [record async for record in journal.cursor(after).all()]


class Disk:
    """A sync that counts, and that refuses while `full`."""

    def __init__(self) -> None:
        self.syncs = 0
        self.full = False

    def __call__(self, descriptor: int) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.syncs += 1
        os.fdatasync(descriptor)


async def test_records_come_back_in_order_after_a_restart(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path)
    journal.post("begin", {"call": "CA1"})
    assert await journal.append("end", {"call": "CA1", "name": "Jürgen"}) == 2
    await journal.close()

    journal = await Journal.open(tmp_path)
    assert await journal.append("begin", {"call": "CA2"}) == 3
    assert await everything(journal) == [
        Record(1, "begin", {"call": "CA1"}),
        Record(2, "end", {"call": "CA1", "name": "Jürgen"}),
        Record(3, "begin", {"call": "CA2"}),
    ]
    await journal.close()


async def test_an_append_alone_is_synced_at_once_and_many_share_a_sync(tmp_path: Path) -> None:
    disk = Disk()
    journal = await Journal.open(tmp_path, sync=disk)
    await journal.append("fact", {})
    assert disk.syncs == 1
    await asyncio.gather(*(journal.append("fact", {"n": n}) for n in range(500)))
    assert disk.syncs < 100
    await journal.close()


async def test_a_cursor_far_behind_reads_files_and_what_is_remembered_alike(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path, segment_bytes=SMALL)
    written = [Record(number, "fact", {"n": number}) for number in range(1, 6001)]
    for record in written[:-1]:
        journal.post(record.kind, record.body)
    cursor = journal.cursor()
    await journal.append("fact", {"n": 6000})
    seen: list[Record] = []
    while len(seen) < len(written):
        seen += await cursor.take()
    assert len(journal.segments) > 1
    kept = [record for record in seen if record.kind == "fact"]
    assert [record.sequence for record in seen] == list(range(1, len(seen) + 1))
    assert [record.body["n"] for record in kept] == list(range(1, len(kept) + 1))
    await journal.close()


async def test_a_cursor_follows_what_is_written(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path, segment_bytes=SMALL)
    cursor = journal.cursor()
    seen: list[int] = []

    async def follow() -> None:
        while records := await cursor.take(limit=7):
            seen.extend(record.sequence for record in records)

    follower = asyncio.create_task(follow())
    for _ in range(20):
        for _ in range(50):
            last = journal.post("fact", {"text": "x" * 100})
        await journal.durable(last)
    assert len(journal.segments) > 1
    await until(lambda: len(seen) == last)
    await journal.close()
    await follower
    assert seen == list(range(1, last + 1))


async def test_a_record_larger_than_what_is_read_at_once_is_read(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path)
    large = "x" * 1_000_000
    await journal.append("fact", {"text": large})
    await journal.append("fact", {})
    assert [record.body for record in await everything(journal)] == [{"text": large}, {}]
    await journal.close()


async def test_a_new_file_begins_with_a_snapshot_and_old_ones_go_once_released(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path, segment_bytes=SMALL)
    count = 0
    journal.on_rotate("counter", lambda: count)
    while len(journal.segments) < 3:
        await journal.append("fact", {"text": "x" * 1000})
        count += 1
    first, second, third = files = journal.segments
    before_release = await everything(journal)
    assert before_release[second - 1].kind == "snapshot"
    assert before_release[second - 1].body == {"counter": second - 1}

    journal.release(second - 1)
    assert journal.segments == files, "the file after it must be known to be read"
    journal.release(second)
    assert journal.segments == files[1:]
    assert (await everything(journal))[0].kind == "snapshot"
    await journal.close()

    journal = await Journal.open(tmp_path)
    assert (await everything(journal))[0].sequence == second
    assert (await everything(journal, after=third))[0].sequence == third + 1
    with pytest.raises(StartupError, match="fit"):
        journal.cursor(after=first)
    await journal.close()


async def test_a_torn_tail_is_cut_and_written_over(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path)
    await journal.append("fact", {"n": 1})
    await journal.append("fact", {"n": 2})
    await journal.close()
    path = tmp_path / "0000000000000001.journal"
    path.write_bytes(path.read_bytes()[:-3])

    journal = await Journal.open(tmp_path)
    await journal.append("fact", {"n": 3})
    assert [record.body["n"] for record in await everything(journal)] == [1, 3]
    await journal.close()


async def test_damage_to_what_was_acknowledged_is_named_with_file_and_offset(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path)
    for n in range(3):
        await journal.append("fact", {"n": n})
    await journal.close()
    path = tmp_path / "0000000000000001.journal"
    data = bytearray(path.read_bytes())
    size = len(data) // 3
    data[size + 30] ^= 1
    path.write_bytes(data)
    with pytest.raises(StartupError, match=rf"{path.name}: journal record 2 at offset {size} is damaged"):
        await Journal.open(tmp_path)


async def test_a_missing_file_is_noticed(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path, segment_bytes=SMALL)
    while len(journal.segments) < 3:
        await journal.append("fact", {"text": "x" * 1000})
    _, second, third = journal.segments
    await journal.close()
    (tmp_path / f"{second:016d}.journal").unlink()
    with pytest.raises(StartupError, match=f"records {second} to {third - 1} are missing"):
        await Journal.open(tmp_path)


async def test_two_processes_cannot_share_a_journal(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path)
    with pytest.raises(StartupError, match="in use by another process"):
        await Journal.open(tmp_path)
    await journal.close()
    await (await Journal.open(tmp_path)).close()


async def test_a_full_disk_refuses_appends_but_loses_nothing(tmp_path: Path) -> None:
    disk = Disk()
    journal = await Journal.open(tmp_path, sync=disk)
    await journal.append("fact", {"n": 1})
    disk.full = True
    with pytest.raises(JournalUnwritable, match="No space left"):
        await journal.append("fact", {"n": 2})
    assert not journal.writable
    with pytest.raises(JournalUnwritable):
        await journal.append("fact", {"n": 3})
    last = journal.post("fact", {"n": 4})
    assert journal.position.sequence == 1

    disk.full = False
    async with asyncio.timeout(PATIENCE_SECONDS):
        await journal.grown(last)
    assert journal.writable
    assert [record.body["n"] for record in await everything(journal)] == [1, 2, 3, 4]
    await journal.append("fact", {"n": 5})
    await journal.close()
    with pytest.raises(JournalUnwritable, match="closed"):
        journal.post("fact", {})


async def test_the_wait_of_a_cancelled_caller_does_not_disturb_the_others(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path)
    waiting = [asyncio.create_task(journal.append("fact", {"n": n})) for n in range(10)]
    await asyncio.sleep(0)
    waiting[3].cancel()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[3], asyncio.CancelledError)
    assert [result for result in results if isinstance(result, int)] == [1, 2, 3, 5, 6, 7, 8, 9, 10]
    await journal.close()


async def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match="file/journal cannot be used"):
        await Journal.open(tmp_path / "file" / "journal")
