"""Intervals, plan versions, charges and the ledger, whose entries cannot be changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _intervals()
    op.create_table(
        "plan_versions",
        sa.Column("plan", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("valid_from_ms", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("plan", "version", name="pk_plan_versions"),
    )
    _charges()
    _ledger()
    _forbid_changes()


def _intervals() -> None:
    op.create_table(
        "intervals",
        sa.Column("call_sid", sa.String(34), nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("session_sid", sa.String(34), nullable=False),
        sa.Column("parent_sid", sa.String(34), nullable=False),
        sa.Column("account_sid", sa.String(34), nullable=False),
        sa.Column("key_number", sa.String(255), nullable=False),
        sa.Column("module", sa.String(128), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("instance", sa.String(64), nullable=False),
        sa.Column("application", sa.String(34), nullable=False),
        sa.Column("via", sa.String(128), nullable=False),
        sa.Column("on_behalf_of", sa.String(34), nullable=False),
        sa.Column("driven_by", sa.String(34), nullable=False),
        sa.Column("plan", sa.String(64), nullable=False),
        sa.Column("start_ms", sa.BigInteger, nullable=False),
        sa.Column("cause", sa.String(16), nullable=False),
        sa.Column("end_ms", sa.BigInteger, nullable=True),
        sa.Column("end_cause", sa.String(16), nullable=True),
        sa.Column("estimated", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("call_sid", "sequence", name="pk_intervals"),
    )
    op.create_index("ix_intervals_session_sid", "intervals", ["session_sid"])
    op.create_index("ix_intervals_key_number_start_ms", "intervals", ["key_number", "start_ms"])
    op.create_index("ix_intervals_account_sid_start_ms", "intervals", ["account_sid", "start_ms"])


def _charges() -> None:
    op.create_table(
        "charges",
        sa.Column("key", sa.String(320), nullable=False),
        sa.Column("call_sid", sa.String(34), nullable=False),
        sa.Column("session_sid", sa.String(34), nullable=False),
        sa.Column("account_sid", sa.String(34), nullable=False),
        sa.Column("key_number", sa.String(255), nullable=False),
        sa.Column("module", sa.String(128), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("plan", sa.String(64), nullable=False),
        sa.Column("plan_version", sa.Integer, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("start_ms", sa.BigInteger, nullable=False),
        sa.Column("duration_ms", sa.BigInteger, nullable=False),
        sa.Column("billed_ms", sa.BigInteger, nullable=False),
        sa.Column("amount_micro", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("exact", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_charges"),
    )
    op.create_index("ix_charges_session_sid", "charges", ["session_sid"])
    op.create_index("ix_charges_account_sid_start_ms", "charges", ["account_sid", "start_ms"])


def _ledger() -> None:
    op.create_table(
        "ledger_accounts",
        sa.Column("code", sa.String(128), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("code", "currency", name="pk_ledger_accounts"),
    )
    op.create_table(
        "ledger_entries",
        sa.Column("transaction", sa.String(340), nullable=False),
        sa.Column("line", sa.Integer, nullable=False),
        sa.Column("account", sa.String(128), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("amount_micro", sa.BigInteger, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("transaction", "line", name="pk_ledger_entries"),
        sa.ForeignKeyConstraint(
            ["account", "currency"],
            ["ledger_accounts.code", "ledger_accounts.currency"],
            name="fk_ledger_entries_account",
        ),
    )
    op.create_index("ix_ledger_entries_account", "ledger_entries", ["account", "currency"])


def _forbid_changes() -> None:
    message = "ledger entries are never changed: post a correcting transaction"
    if op.get_bind().dialect.name == "sqlite":
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER ledger_entries_no_{action.lower()} BEFORE {action} ON ledger_entries "
                f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION ledger_entries_fixed() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{message}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER ledger_entries_fixed BEFORE UPDATE OR DELETE ON ledger_entries "
        "FOR EACH ROW EXECUTE FUNCTION ledger_entries_fixed()"
    )
