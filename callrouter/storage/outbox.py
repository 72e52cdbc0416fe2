"""The outbox: requests to be made because of what was committed, in the same transaction.

Rows of one key (a call) are delivered one after the other in the order they were written; rows of
different keys side by side, a few at a time to each destination, so that a slow one holds up only
itself.  What a crash interrupts is delivered again: at least once, never out of order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from callrouter.storage.database import Write
from callrouter.storage.statements import insert_new
from callrouter.storage.tables import outbox

Pairs = tuple[tuple[str, str], ...]

INSERT = insert_new(outbox)
_DESTINATION_CHARACTERS = 255


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One request, and how often it was tried."""

    id: int
    kind: str
    """`callback` or `notification`: decides the retries."""
    key: str
    account_sid: str
    """Whose secret signs it."""
    destination: str
    url: str
    method: Literal["GET", "POST"]
    parameters: Pairs
    body: str
    """Sent as it is, instead of the parameters, unless ""."""
    headers: Pairs
    attempts: int
    created_ms: int


def outbox_row(  # noqa: PLR0913 - one keyword per column
    *,
    kind: str,
    key: str,
    url: str,
    now_ms: int,
    account_sid: str = "",
    method: Literal["GET", "POST"] = "POST",
    parameters: Pairs = (),
    body: str = "",
    headers: Pairs = (),
) -> Write:
    """The write that queues a request; rows of the same `key` keep their order."""
    row = {
        "kind": kind,
        "key": key,
        "account_sid": account_sid,
        "destination": destination_of(url),
        "url": url,
        "method": method,
        "parameters": json.dumps(parameters),
        "body": body,
        "headers": json.dumps(headers),
        "attempts": 0,
        "created_ms": now_ms,
        "next_at_ms": now_ms,
        "done_ms": None,
        "outcome": "",
    }
    return (INSERT, row)


def destination_of(url: str) -> str:
    """Who receives requests to `url`: scheme, host and port, without credentials."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}".lower()[:_DESTINATION_CHARACTERS]


def row_of(data: Mapping[str, Any]) -> OutboxRow:
    """A row of the table."""
    return OutboxRow(
        data["id"],
        data["kind"],
        data["key"],
        data["account_sid"],
        data["destination"],
        data["url"],
        data["method"],
        tuple((name, value) for name, value in json.loads(data["parameters"])),
        data["body"],
        tuple((name, value) for name, value in json.loads(data["headers"])),
        data["attempts"],
        data["created_ms"],
    )
