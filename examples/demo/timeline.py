"""A metered session on paper: what `/v1/sessions/{sid}` tells, printed, and checked by adding it up.

curl -su ACCOUNT:TOKEN http://127.0.0.1:8080/v1/sessions/CA… | python timeline.py
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

COLUMNS = "{:<18} {:<10} {:<12} {:>9} {:>9}  {:<10} {:<26} {:>10}"
HEADINGS = ("module", "owner", "mode", "start s", "ms", "cause", "rate", "cost")


def lines(session: dict[str, Any]) -> Iterator[str]:
    yield f"session {session['sid']}, metered to {session['key_number']}"
    for call in session["calls"]:
        parent = "dialled by it" if call["parent_sid"] else "the root"
        yield ""
        yield f"call {call['sid']} ({parent}): {call['from']} -> {call['to']}, {call['status']}"
        yield "  " + COLUMNS.format(*HEADINGS)
        begin = instant(call["intervals"][0]["started_at"]) if call["intervals"] else 0
        for interval in call["intervals"]:
            start = f"{(instant(interval['started_at']) - begin) / 1000:.3f}"
            price = f"{interval['cost']} {interval['currency']}" if interval["currency"] else "-"
            yield "  " + COLUMNS.format(
                interval["module"],
                interval["owner"],
                interval["mode"],
                start,
                interval["duration_ms"],
                interval["cause"],
                interval["rate"],
                price,
            )
        verdict = "no gap, no overlap" if not list(faults(call)) else "DOES NOT PARTITION THE CALL"
        yield f"  {total_ms(call)} ms in {len(call['intervals'])} intervals: {verdict}"
    yield ""
    yield "total " + (", ".join(f"{cost['amount']} {cost['currency']}" for cost in session["costs"]) or "0")


def problems(session: dict[str, Any]) -> list[str]:
    """What does not add up."""
    found = [] if session["status"] == "ended" else [f"the session is {session['status']}, not ended"]
    for call in session["calls"]:
        found += [f"call {call['sid']}: {fault}" for fault in faults(call)]
        found += _wrong_sum(f"call {call['sid']}", call["costs"], call["intervals"], "cost")
    every = [cost for call in session["calls"] for cost in call["costs"]]
    return found + _wrong_sum("the session", session["costs"], every, "amount")


def faults(call: dict[str, Any]) -> Iterator[str]:
    """Why the intervals of a call do not partition its life."""
    track = call["intervals"]
    if not track:
        yield "has no interval"
        return
    if not call["complete"]:
        yield "is not complete by the server's own account"
    for interval in track:
        if interval["ended_at"] is None:
            yield f"interval {interval['sequence']} is still open"
            return
        span = instant(interval["ended_at"]) - instant(interval["started_at"])
        if span != interval["duration_ms"]:
            yield f"interval {interval['sequence']} lasts {span} ms and says {interval['duration_ms']}"
    for earlier, later in pairwise(track):
        if earlier["ended_at"] != later["started_at"]:
            yield f"interval {later['sequence']} begins at {later['started_at']}, not {earlier['ended_at']}"


def total_ms(call: dict[str, Any]) -> int:
    return sum(interval["duration_ms"] for interval in call["intervals"])


def instant(text: str) -> int:
    """UTC milliseconds of a time as the interface writes it."""
    moment = datetime.fromisoformat(text)
    return int(moment.timestamp()) * 1000 + moment.microsecond // 1000


def _wrong_sum(of: str, said: list[dict[str, str]], parts: list[dict[str, str]], field: str) -> list[str]:
    added: dict[str, Decimal] = {}
    for part in parts:
        if part["currency"]:
            added[part["currency"]] = added.get(part["currency"], Decimal(0)) + Decimal(part[field])
    claimed = {cost["currency"]: Decimal(cost["amount"]) for cost in said}
    return [] if added == claimed else [f"{of} costs {claimed}, its parts {added}"]


if __name__ == "__main__":
    shown = json.load(sys.stdin)
    print("\n".join(lines(shown)))
    sys.exit("\n".join(problems(shown)) or None)
