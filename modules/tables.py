"""Tables of the modules room.  `managed_by` says who looks after a row: `config` or `api`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, String, Table, Text

from callrouter.storage.database import metadata

owners = Table(
    "owners",
    metadata,
    Column("code", String(64), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("managed_by", String(16), nullable=False),
)

modules = Table(
    "modules",
    metadata,
    Column("code", String(128), primary_key=True, comment="owner.name"),
    Column("sid", String(34), nullable=False, unique=True),
    Column("owner", String(64), ForeignKey("owners.code"), nullable=False),
    Column("layer", String(16), nullable=False),
    Column("inlet", Text, nullable=False),
    Column("secret_sealed", Text, nullable=False),
    Column("secret_sha256", String(64), nullable=False),
    Column("parameters", Text, nullable=False, comment="JSON: list of declarations"),
    Column("outlets", Text, nullable=False, comment="JSON: list of names"),
    Column("plan", String(64), nullable=False),
    Column("private_hosts", Text, nullable=False, comment="JSON: list of host:port"),
    Column("version", String(32), nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("managed_by", String(16), nullable=False),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("id", String(255), primary_key=True, comment="module, scope and subject"),
    Column("module", String(128), nullable=False),
    Column("scope", String(16), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("plan", String(64), nullable=False),
    Column("starts_ms", BigInteger, nullable=True),
    Column("ends_ms", BigInteger, nullable=True),
    Column("state", String(16), nullable=False),
    Column("active", Boolean, nullable=False, comment="false: withdrawn by whoever manages it"),
    Column("managed_by", String(16), nullable=False),
    Index("ix_subscriptions_scope_subject", "scope", "subject"),
)
