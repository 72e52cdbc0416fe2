"""Tables of the system itself."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from callrouter.storage.database import metadata

Identifier = BigInteger().with_variant(Integer(), "sqlite")
"""A number the database counts up; SQLite does that for its one integer type only."""

workers = Table(
    "workers",
    metadata,
    Column("id", String(32), primary_key=True),
    Column(
        "boot",
        String(64),
        nullable=False,
        doc="boot of the machine: its monotonic clock restarts with it",
    ),
    Column("epoch", BigInteger, nullable=False, doc="one more with every start of the worker"),
    Column("started_ms", BigInteger, nullable=False),
)

positions = Table(
    "positions",
    metadata,
    Column("journal", String(32), primary_key=True, doc="identity of the journal"),
    Column("reader", String(32), primary_key=True, doc="who has put its records into the database"),
    Column("sequence", BigInteger, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Identifier, primary_key=True, autoincrement=True),
    Column("kind", String(32), nullable=False, doc="decides the retries"),
    Column("key", String(64), nullable=False, doc="rows of one key are delivered in order; a call's sid"),
    Column("account_sid", String(34), nullable=False, doc="whose secret signs the request"),
    Column("destination", String(255), nullable=False, doc="scheme, host and port"),
    Column("url", Text, nullable=False),
    Column("method", String(4), nullable=False),
    Column("parameters", Text, nullable=False, doc="JSON: list of [name, value]"),
    Column("body", Text, nullable=False, doc="sent instead of the parameters unless empty"),
    Column("headers", Text, nullable=False, doc="JSON: list of [name, value]"),
    Column("attempts", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("next_at_ms", BigInteger, nullable=False),
    Column("done_ms", BigInteger, nullable=True),
    Column("outcome", String(255), nullable=False, doc="of the last attempt"),
    Index("ix_outbox_key_id", "key", "id"),
    Index("ix_outbox_done_ms_next_at_ms", "done_ms", "next_at_ms"),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", Identifier, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("account_sid", String(34), nullable=False),
    Column("actor", String(255), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("detail", Text, nullable=False, doc="JSON"),
    Column("previous", String(64), nullable=False, doc="hash of the row before"),
    Column("hash", String(64), nullable=False, unique=True),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("account_sid", String(34), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("request_hash", String(64), nullable=False),
    Column("status", Integer, nullable=True, doc="of the stored answer; null while in flight"),
    Column("response", Text, nullable=True),
    Column("created_ms", BigInteger, nullable=False),
)
