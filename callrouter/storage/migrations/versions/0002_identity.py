"""Accounts, API keys, addresses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _accounts()
    _api_keys()
    _addresses()


def _accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("sid", sa.String(34), nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("parent", sa.String(34), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("funds", sa.String(16), nullable=False),
        sa.Column("token_sealed", sa.Text, nullable=False),
        sa.Column("token_sha256", sa.String(64), nullable=False),
        sa.Column("billing_number", sa.String(64), nullable=False),
        sa.Column("plan", sa.String(64), nullable=False),
        sa.Column("fallback", sa.Text, nullable=False),
        sa.Column("managed_by", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("sid", name="pk_accounts"),
        sa.UniqueConstraint("code", name="uq_accounts_code"),
    )


def _api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("sid", sa.String(34), nullable=False),
        sa.Column("account_sid", sa.String(34), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("secret_sha256", sa.String(64), nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("managed_by", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("sid", name="pk_api_keys"),
        sa.ForeignKeyConstraint(["account_sid"], ["accounts.sid"], name="fk_api_keys_account_sid"),
    )
    op.create_index("ix_api_keys_account_sid", "api_keys", ["account_sid"])


def _addresses() -> None:
    op.create_table(
        "addresses",
        sa.Column("address", sa.String(255), nullable=False),
        sa.Column("account_sid", sa.String(34), nullable=False),
        sa.Column("key_number", sa.String(64), nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("method", sa.String(4), nullable=False),
        sa.Column("fallback", sa.Text, nullable=False),
        sa.Column("fallback_method", sa.String(4), nullable=False),
        sa.Column("status_callback", sa.Text, nullable=False),
        sa.Column("status_callback_method", sa.String(4), nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("managed_by", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("address", name="pk_addresses"),
        sa.ForeignKeyConstraint(["account_sid"], ["accounts.sid"], name="fk_addresses_account_sid"),
    )
    op.create_index("ix_addresses_account_sid", "addresses", ["account_sid"])
