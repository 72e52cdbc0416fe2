"""The server's database as an auditor reads it: opened for reading only, whatever the server does."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from callrouter.storage.segment import frame_at
from metering.facts import HEARTBEAT
from tests.e2e.server import Server
from tests.patience import until

Row = dict[str, Any]
KEPT = ("intervals", "charges", "ledger_entries", "ledger_accounts", "recordings")


async def killed_between_heartbeats(server: Server) -> int:
    """Kill it after two more heartbeats; when the last one that is in its journal was, in milliseconds of
    UTC: until then calls are known to have lasted."""
    data, since_ns = server.folder / "data", time.monotonic_ns()
    await until(lambda: sum(at_ns > since_ns for at_ns in heartbeats(data)) > 1)
    await server.kill()
    while True:
        before_ns, now_ms, after_ns = time.monotonic_ns(), time.time_ns() // 1_000_000, time.monotonic_ns()
        if after_ns - before_ns < 1_000_000:  # else there is no telling when it was so late
            return now_ms - (after_ns - heartbeats(data)[-1]) // 1_000_000


def heartbeats(data: Path) -> list[int]:
    """The monotonic nanoseconds of those in the journal so far."""
    found = []
    for path in sorted((data / "journal").glob("*/*.journal"), key=lambda path: int(path.stem)):
        written, offset = path.read_bytes(), 0
        while frame := frame_at(written, offset):
            record, offset = frame.record(), frame.end
            if record.kind == HEARTBEAT:
                found.append(record.body["ns"])
    return found


class Books:
    def __init__(self, data: Path) -> None:
        (self._path,) = data.glob("*.db")

    def rows(self, query: str, *values: object) -> list[Row]:
        with self._open() as connection:
            return [dict(row) for row in connection.execute(query, values)]

    def everything(self) -> dict[str, list[Row]]:
        """All that was counted and charged, and how every call ended."""
        tables = {name: self.rows(f"SELECT * FROM {name} ORDER BY 1, 2") for name in KEPT}
        return tables | {"calls": self.rows("SELECT sid, status, end_ms, end_detail FROM calls ORDER BY sid")}

    def tracks(self) -> dict[str, list[Row]]:
        """Intervals by call, in order."""
        rows = self.rows("SELECT * FROM intervals ORDER BY call_sid, sequence")
        return {sid: list(track) for sid, track in groupby(rows, lambda row: row["call_sid"])}

    def assert_closed(self) -> None:
        """Every track is closed, without gap or overlap; every call has ended when its track did.  Only
        a call that was lost before it came to anything has no track."""
        ends = {row["sid"]: row for row in self.rows("SELECT * FROM calls")}
        tracks = self.tracks()
        assert set(tracks) <= set(ends), set(tracks) - set(ends)
        for sid in set(ends) - set(tracks):
            assert ends[sid]["status"] == "failed", ends[sid]
            assert ends[sid]["answered_ms"] is None, ends[sid]
        for sid, track in tracks.items():
            assert [row["sequence"] for row in track] == list(range(len(track))), sid
            for earlier, later in pairwise(track):
                assert earlier["end_ms"] == later["start_ms"], (earlier, later)
            last = track[-1]
            assert last["end_ms"] is not None, last
            assert last["end_ms"] >= last["start_ms"], last
            call = ends[sid]
            assert call["status"] in {"completed", "failed", "busy", "no-answer", "canceled"}, call
            assert abs(call["end_ms"] - last["end_ms"]) <= 1, (call, last)

    def assert_balanced(self) -> None:
        """Each transaction sums to zero, and each charge of something was posted once."""
        sums: Counter[tuple[str, str]] = Counter()
        for entry in self.rows("SELECT * FROM ledger_entries"):
            sums[entry["transaction"], entry["currency"]] += entry["amount_micro"]
        assert not any(sums.values()), sums
        charged = {f"charge:{row['key']}" for row in self.rows("SELECT key FROM charges WHERE amount_micro")}
        assert charged == {key for key, _ in sums if key.startswith("charge:")}

    def assert_charged_as_metered(self) -> None:
        """Charges cover exactly the time of the intervals, by call, module and mode."""
        metered: Counter[tuple[str, str, str]] = Counter()
        for track in self.tracks().values():
            for row in track:
                if not row["driven_by"]:
                    key = (row["call_sid"], row["module"], row["mode"])
                    metered[key] += row["end_ms"] - row["start_ms"]
        charged: Counter[tuple[str, str, str]] = Counter()
        for row in self.rows("SELECT * FROM charges"):
            charged[row["call_sid"], row["module"], row["mode"]] += row["duration_ms"]
        for key, ms in charged.items():
            # An answered call lasts a second at least.
            assert ms == metered[key] or metered[key] < ms <= 1000, (key, ms, metered[key])
        free = {key: ms for key, ms in metered.items() if ms and key[2] != "setup" and key not in charged}
        assert not free, free

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=10)
        connection.row_factory = sqlite3.Row
        try:
            yield connection
        finally:
            connection.close()
