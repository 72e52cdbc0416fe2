"""Tables of the identity room.  `managed_by` says who looks after a row: `config` or `api`."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, String, Table, Text

from callrouter.storage.database import metadata

accounts = Table(
    "accounts",
    metadata,
    Column("sid", String(34), primary_key=True),
    Column("code", String(64), nullable=False, unique=True, comment="owner of the account's own documents"),
    Column("name", String(255), nullable=False),
    Column("parent", String(34), nullable=False),
    Column("status", String(16), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("funds", String(16), nullable=False),
    Column("token_sealed", Text, nullable=False, comment="AES-GCM, see callrouter/identity/secrets.py"),
    Column("token_sha256", String(64), nullable=False),
    Column("billing_number", String(64), nullable=False),
    Column("plan", String(64), nullable=False),
    Column("fallback", Text, nullable=False),
    Column("managed_by", String(16), nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("sid", String(34), primary_key=True),
    Column("account_sid", String(34), ForeignKey("accounts.sid"), nullable=False),
    Column("name", String(255), nullable=False),
    Column("secret_sha256", String(64), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("managed_by", String(16), nullable=False),
    Index("ix_api_keys_account_sid", "account_sid"),
)

addresses = Table(
    "addresses",
    metadata,
    Column("address", String(255), primary_key=True, comment="E.164, sip:user@host or client:name"),
    Column("account_sid", String(34), ForeignKey("accounts.sid"), nullable=False),
    Column("key_number", String(64), nullable=False),
    Column("target", Text, nullable=False),
    Column("method", String(4), nullable=False),
    Column("fallback", Text, nullable=False),
    Column("fallback_method", String(4), nullable=False),
    Column("status_callback", Text, nullable=False),
    Column("status_callback_method", String(4), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("managed_by", String(16), nullable=False),
    Index("ix_addresses_account_sid", "account_sid"),
)
