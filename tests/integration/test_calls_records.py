"""What is written down of a call, and who is told of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, select

from callrouter.calls.call import Call, StatusCallback
from callrouter.calls.recording import RecordingFacts
from callrouter.calls.records import CallLog
from callrouter.calls.tables import call_events, calls, recordings
from callrouter.errors import FetchFailed
from callrouter.ids import RandomIds
from callrouter.ports import CallStatus, FetchedDocument, FetchOrder, RecordingEnd, RecordingEnded, Token
from callrouter.ports.leg_id import LegId
from callrouter.storage.database import Database
from callrouter.storage.tables import outbox
from metering.interval import CallFacts
from tests.integration.test_storage_outbox import Clock

SID, ACCOUNT = "CA" + "1" * 32, "AC" + "1" * 32
RECORDING = RecordingFacts(
    "RE" + "1" * 32, ACCOUNT, SID, "RecordVerb", 1, Path("/kept.wav"), 1_282_266_822_000,
    "http://here/kept", "https://app.test/recorded", "POST", frozenset({"in-progress", "completed"}),
)  # fmt: skip
ENDED = RecordingEnded(LegId(1), 0, Token(1), RecordingEnd.STOPPED, "", 2499, 40_028, "")


class Book:
    def __init__(self, database: Database) -> None:
        self.log = CallLog(database, Clock(), RandomIds(), "w1")
        self._database = database

    async def rows(self, table: Table) -> list[dict[str, Any]]:
        await self.log.caught_up()
        return [dict(row) for row in await self._database.read(select(table))]

    async def told(self) -> list[tuple[str, dict[str, str]]]:
        """Callbacks that were queued: where to, and with what."""
        return [(row["url"], dict(json.loads(row["parameters"]))) for row in await self.rows(outbox)]


@pytest.fixture
async def book(tmp_path: Path) -> AsyncIterator[Book]:
    database = await Database.open(f"sqlite:///{tmp_path / 'test.db'}")
    yield Book(database)
    await database.close()


def call(*callbacks: StatusCallback) -> Call:
    facts = CallFacts(SID, SID, ACCOUNT, "+15550100")
    return Call(facts, "inbound", "+15551234", "+15550100", 1000, 0, jar=object(), callbacks=callbacks)


async def test_each_step_is_told_once_and_only_to_who_wants_it(book: Book) -> None:
    every = StatusCallback("https://app.test/all", "POST", frozenset({"ringing", "answered", "completed"}))
    last = StatusCallback("https://app.test/end", "GET", frozenset({"completed"}))
    one = call(every, last)
    for status in (CallStatus.RINGING, CallStatus.RINGING, CallStatus.IN_PROGRESS, CallStatus.BUSY):
        one.status = status
        book.log.changed(one)
    told = [(url.rpartition("/")[2], rows["CallStatus"]) for url, rows in await book.told()]
    assert told == [("all", "ringing"), ("all", "in-progress"), ("all", "busy"), ("end", "busy")]
    assert one.callbacks_sent == 4
    (row,) = await book.rows(calls)
    assert (row["sid"], row["status"], row["worker"]) == (SID, "busy", "w1")


async def test_a_recording_is_kept_and_told_with_its_length_to_the_nearest_second(book: Book) -> None:
    one = call()
    book.log.recording_started(one, RECORDING)
    book.log.recording_ended(one, RECORDING, ENDED)
    book.log.recording_ended(one, replace(RECORDING, sid="RE2"), replace(ENDED, duration_ms=999_499))
    told = [rows for _, rows in await book.told()]
    assert [rows["RecordingStatus"] for rows in told] == ["in-progress", "completed", "completed"]
    assert [rows.get("RecordingDuration") for rows in told] == [None, "2", "999"]
    assert told[0]["RecordingStartTime"] == "Fri, 20 Aug 2010 01:13:42 +0000"
    kept = {row["sid"]: row for row in await book.rows(recordings)}[RECORDING.sid]
    assert (kept["status"], kept["duration_ms"], kept["size_bytes"], kept["error_code"]) == (
        "completed", 2499, 40_028, 0,
    )  # fmt: skip


async def test_a_recording_that_failed_is_told_to_who_waits_for_its_end_without_a_length(book: Book) -> None:
    book.log.recording_ended(call(), RECORDING, replace(ENDED, reason=RecordingEnd.FAILED))
    ((_, rows),) = await book.told()
    assert (rows["RecordingStatus"], "RecordingDuration" in rows) == ("failed", False)
    (row,) = await book.rows(recordings)
    assert (row["status"], row["error_code"]) == ("failed", 12400)


@pytest.mark.parametrize("change", [{"callback": ""}, {"callback_events": frozenset({"absent"})}])
async def test_nobody_is_told_of_a_recording_who_did_not_ask(book: Book, change: dict[str, Any]) -> None:
    book.log.recording_ended(call(), replace(RECORDING, **change), ENDED)
    assert await book.told() == []


async def test_requests_are_kept_without_passwords_and_answers_not_without_end(book: Book) -> None:
    one = call()
    order = FetchOrder("https://me:secret@app.test/a?b=c", "POST", (("Digits", "1"),), "")
    book.log.fetched(one, order, FetchedDocument(order.url, 200, "text/xml", b"\0" * 5000, 12), 7)
    book.log.fetch_failed(one, order, FetchFailed("no answer", url=order.url, code=11205), 8)
    book.log.warned(one, 12200, "unknown", 3, "warning")
    good, bad, notice = sorted(await book.rows(call_events), key=lambda row: row["at_ms"])
    assert (good["url"], good["status"], good["duration_ms"]) == ("https://app.test/a?b=c", 200, 12)
    assert good["response"] == "�" * 4096
    assert json.loads(good["request"]) == [["Digits", "1"]]
    assert (bad["level"], bad["code"], bad["message"]) == ("error", 11205, "no answer")
    assert (notice["kind"], notice["code"], notice["line"]) == ("notice", 12200, 3)
