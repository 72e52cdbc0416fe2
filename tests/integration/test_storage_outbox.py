"""Callbacks leave in order, at least once, and a slow receiver holds up nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from callrouter.errors import FetchFailed
from callrouter.storage.database import Database
from callrouter.storage.outbox import OutboxRow, destination_of, outbox_row
from callrouter.storage.sender import OutboxSender
from callrouter.storage.tables import outbox
from tests.patience import PATIENCE_SECONDS, until

START_MS = 1_700_000_000_000
REFUSED = FetchFailed("nobody listens", url="https://a.example/", code=11202, retryable=True)


class Clock:
    def __init__(self) -> None:
        self.now_ms = START_MS

    def monotonic_ns(self) -> int:
        return self.now_ms * 1_000_000

    def utc_ms(self) -> int:
        return self.now_ms


class Receiver:
    """Notes what arrives; `answers` are statuses or errors by URL, the last is repeated."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.answers: dict[str, list[int | Exception]] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.most_at_once = 0
        self._now = 0

    async def __call__(self, row: OutboxRow) -> int:
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            if gate := self.gates.get(row.url):
                await gate.wait()
            self.seen.append(row.url + "?" + dict(row.parameters).get("n", ""))
            answers = self.answers.get(row.url, [200])
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if isinstance(answer, Exception):
                raise answer
            return answer
        finally:
            self._now -= 1


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(f"sqlite:///{tmp_path / 'test.db'}")
    yield database
    await database.close()


@asynccontextmanager
async def sending(
    database: Database, deliver: Callable[[OutboxRow], Awaitable[int]], clock: Clock, **options: Any
) -> AsyncIterator[OutboxSender]:
    sender = OutboxSender(database, deliver, clock, **options)
    task = asyncio.create_task(sender.run())
    yield sender
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def callback(url: str, key: str, number: int = 0, kind: str = "callback") -> Any:
    return outbox_row(kind=kind, key=key, url=url, parameters=(("n", str(number)),), now_ms=START_MS)


async def outcomes(database: Database) -> list[tuple[int, bool, str]]:
    rows = await database.read(select(outbox).order_by(outbox.c.id))
    return [(row["attempts"], row["done_ms"] is not None, row["outcome"]) for row in rows]


async def all_done(database: Database) -> list[tuple[int, bool, str]]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found = await outcomes(database)
            if all(done for _, done, _ in found):
                return found
            await asyncio.sleep(0.005)


async def test_callbacks_of_a_call_arrive_in_order(database: Database) -> None:
    receiver = Receiver()
    async with sending(database, receiver, Clock()):
        for number in range(10):
            await database.write(callback("https://a.example/", "CA1", number))
        found = await all_done(database)
    assert receiver.seen == [f"https://a.example/?{number}" for number in range(10)]
    assert receiver.most_at_once == 1
    assert found == [(1, True, "delivered 200")] * 10


async def test_a_failing_callback_is_tried_once_more_before_the_next_of_its_call(database: Database) -> None:
    clock, receiver = Clock(), Receiver()
    receiver.answers["https://a.example/"] = [REFUSED, REFUSED, 200]
    await database.write(callback("https://a.example/", "CA1", 1), callback("https://a.example/", "CA1", 2))
    async with sending(database, receiver, clock) as sender:
        await until(lambda: len(receiver.seen) == 1)
        await until(lambda: not sender._busy)
        assert len(receiver.seen) == 1, "the second must wait for the first"
        clock.now_ms += 1000
        sender._wake.set()
        found = await all_done(database)
    assert receiver.seen == ["https://a.example/?1", "https://a.example/?1", "https://a.example/?2"]
    assert found[0] == (2, True, "unreachable 11202 nobody listens")
    assert found[1] == (1, True, "delivered 200")


async def test_a_callback_that_was_answered_is_not_repeated(database: Database) -> None:
    receiver = Receiver()
    receiver.answers["https://a.example/"] = [FetchFailed("500", url="", status=500, retryable=True)]
    await database.write(callback("https://a.example/", "CA1"))
    async with sending(database, receiver, Clock()):
        assert await all_done(database) == [(1, True, "refused 500 500")]


async def test_a_notification_is_repeated_by_its_schedule(database: Database) -> None:
    clock, receiver = Clock(), Receiver()
    receiver.answers["https://a.example/"] = [503, 503, 204]
    await database.write(callback("https://a.example/", "msg", kind="notification"))
    async with sending(database, receiver, clock) as sender:

        def has_tried(times: int) -> bool:
            return len(receiver.seen) == times and not sender._busy

        for tries, wait_ms in ((1, 5_000), (2, 300_000)):
            await until(partial(has_tried, tries))
            clock.now_ms += wait_ms - 1
            sender._wake.set()
            await asyncio.sleep(0.05)
            assert len(receiver.seen) == tries
            clock.now_ms += 1
            sender._wake.set()
        assert await all_done(database) == [(3, True, "delivered 204")]


async def test_a_slow_receiver_holds_up_only_itself(database: Database) -> None:
    receiver = Receiver()
    receiver.gates["https://slow.example/"] = gate = asyncio.Event()
    slow = [callback("https://slow.example/", f"CA{number}") for number in range(40)]
    quick = [callback("https://quick.example/", f"CB{number}") for number in range(40)]
    await database.write(*slow, *quick)
    async with sending(database, receiver, Clock(), at_once=16, at_once_per_destination=4):
        await until(lambda: len(receiver.seen) == 40)
        assert set(receiver.seen) == {"https://quick.example/?0"}
        assert receiver.most_at_once <= 16
        gate.set()
        await all_done(database)
    assert len(receiver.seen) == 80


async def test_what_a_stop_interrupts_is_delivered_after_the_next_start(database: Database) -> None:
    stuck, receiver = Receiver(), Receiver()
    stuck.gates["https://a.example/"] = asyncio.Event()
    await database.write(callback("https://a.example/", "CA1", 1), callback("https://a.example/", "CA1", 2))
    async with sending(database, stuck, Clock()):
        await until(lambda: stuck.most_at_once)
    assert await outcomes(database) == [(0, False, ""), (0, False, "")]
    async with sending(database, receiver, Clock()):
        await all_done(database)
    assert receiver.seen == ["https://a.example/?1", "https://a.example/?2"]


async def test_a_bug_in_delivery_costs_its_row_only(database: Database) -> None:
    receiver = Receiver()
    receiver.answers["https://a.example/"] = [ZeroDivisionError("oops")]
    await database.write(callback("https://a.example/", "CA1"), callback("https://b.example/", "CA2"))
    async with sending(database, receiver, Clock()):
        found = await all_done(database)
    assert [outcome for _, _, outcome in found] == ["unreachable 0 oops", "delivered 200"]


@pytest.mark.parametrize(
    ("url", "destination"),
    [
        ("https://user:secret@Host.example/path?q", "https://host.example"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
    ],
)
def test_a_destination_is_scheme_host_and_port(url: str, destination: str) -> None:
    assert destination_of(url) == destination
