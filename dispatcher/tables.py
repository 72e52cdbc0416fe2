"""Tables of the dispatcher.  `managed_by` says who looks after a row: `config` or `api`."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, String, Table, Text

from callrouter.storage.database import metadata

applications = Table(
    "applications",
    metadata,
    Column("sid", String(34), primary_key=True),
    Column("account_sid", String(34), ForeignKey("accounts.sid"), nullable=False),
    Column("name", String(64), nullable=False),
    Column("start", String(64), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("managed_by", String(16), nullable=False),
    Index("ix_applications_account_sid", "account_sid"),
)

application_instances = Table(
    "application_instances",
    metadata,
    Column("application_sid", String(34), ForeignKey("applications.sid"), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("module", String(128), nullable=False),
    Column("inlet", Text, nullable=False, comment="only for the account's own module"),
    Column("parameters", Text, nullable=False, comment="JSON: list of [name, value]"),
    Column("active", Boolean, nullable=False),
    Column("managed_by", String(16), nullable=False),
)

flow_edges = Table(
    "flow_edges",
    metadata,
    Column("application_sid", String(34), ForeignKey("applications.sid"), primary_key=True),
    Column("instance", String(64), primary_key=True),
    Column("outlet", String(64), primary_key=True),
    Column("next", String(64), nullable=False, comment="instance"),
    Column("active", Boolean, nullable=False),
    Column("managed_by", String(16), nullable=False),
)

event_mappings = Table(
    "event_mappings",
    metadata,
    Column("application_sid", String(34), ForeignKey("applications.sid"), primary_key=True),
    Column("instance", String(64), primary_key=True),
    Column("event", String(64), primary_key=True),
    Column("next", Text, nullable=False, comment="instance or target"),
    Column("active", Boolean, nullable=False),
    Column("managed_by", String(16), nullable=False),
)

policy_lists = Table(
    "policy_lists",
    metadata,
    Column("account_sid", String(34), primary_key=True, comment="empty: everybody"),
    Column("party", String(16), primary_key=True),
    Column("pattern", String(255), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("managed_by", String(16), nullable=False),
)
