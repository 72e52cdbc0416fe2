"""What the configuration file said when it was last applied: the base of the three-way comparison."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, String, Table, Text

from callrouter.storage.database import metadata

declared_objects = Table(
    "declared_objects",
    metadata,
    Column("kind", String(32), primary_key=True, comment="table"),
    Column("key", String(255), primary_key=True),
    Column("content", Text, nullable=False, comment="JSON; of secrets only their SHA-256"),
    Column("applied_ms", BigInteger, nullable=False),
)
