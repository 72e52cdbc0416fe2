"""Tables of the metering room: money in micro-units, time in UTC milliseconds.

Intervals and charges are a projection of the journal; ledger entries are never changed, which
triggers of the database enforce.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from callrouter.storage.database import metadata

intervals = Table(
    "intervals",
    metadata,
    Column("call_sid", String(34), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("session_sid", String(34), nullable=False),
    Column("parent_sid", String(34), nullable=False),
    Column("account_sid", String(34), nullable=False),
    Column("key_number", String(255), nullable=False),
    Column("module", String(128), nullable=False),
    Column("owner", String(64), nullable=False),
    Column("mode", String(16), nullable=False),
    Column("instance", String(64), nullable=False),
    Column("application", String(34), nullable=False),
    Column("via", String(128), nullable=False),
    Column("on_behalf_of", String(34), nullable=False),
    Column("driven_by", String(34), nullable=False),
    Column("plan", String(64), nullable=False),
    Column("start_ms", BigInteger, nullable=False),
    Column("cause", String(16), nullable=False),
    Column("end_ms", BigInteger, nullable=True),
    Column("end_cause", String(16), nullable=True),
    Column("estimated", Boolean, nullable=False),
    Index("ix_intervals_session_sid", "session_sid"),
    Index("ix_intervals_key_number_start_ms", "key_number", "start_ms"),
    Index("ix_intervals_account_sid_start_ms", "account_sid", "start_ms"),
)

plan_versions = Table(
    "plan_versions",
    metadata,
    Column("plan", String(64), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("valid_from_ms", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("content", Text, nullable=False, doc="JSON, as configured"),
)

charges = Table(
    "charges",
    metadata,
    Column("key", String(320), primary_key=True),
    Column("call_sid", String(34), nullable=False),
    Column("session_sid", String(34), nullable=False),
    Column("account_sid", String(34), nullable=False, doc="who pays"),
    Column("key_number", String(255), nullable=False),
    Column("module", String(128), nullable=False),
    Column("owner", String(64), nullable=False),
    Column("mode", String(16), nullable=False),
    Column("plan", String(64), nullable=False),
    Column("plan_version", Integer, nullable=False),
    Column("status", String(16), nullable=False, doc="rated, or unrated: the plan is unknown"),
    Column("start_ms", BigInteger, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("billed_ms", BigInteger, nullable=False),
    Column("amount_micro", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("exact", Text, nullable=False, doc="the amount before rounding, a ratio"),
    Column("detail", Text, nullable=False, doc="JSON: how it came about"),
    Index("ix_charges_session_sid", "session_sid"),
    Index("ix_charges_account_sid_start_ms", "account_sid", "start_ms"),
)

ledger_accounts = Table(
    "ledger_accounts",
    metadata,
    Column("code", String(128), primary_key=True),
    Column("currency", String(3), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("holder", String(64), nullable=False, doc="account sid or owner, empty for the platform's"),
)

ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("transaction", String(340), primary_key=True, doc="idempotency key"),
    Column("line", Integer, primary_key=True),
    Column("account", String(128), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("amount_micro", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    ForeignKeyConstraint(
        ["account", "currency"],
        ["ledger_accounts.code", "ledger_accounts.currency"],
        name="fk_ledger_entries_account",
    ),
    Index("ix_ledger_entries_account", "account", "currency"),
)
