"""Calls, what happened on them, and their recordings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _calls()
    op.create_table(
        "call_events",
        sa.Column("id", sa.String(34), primary_key=True),
        sa.Column("call_sid", sa.String(34), nullable=False),
        sa.Column("account_sid", sa.String(34), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("level", sa.String(8), nullable=False),
        sa.Column("code", sa.Integer, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("line", sa.Integer, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("method", sa.String(8), nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("response", sa.Text, nullable=False),
        sa.Column("duration_ms", sa.Integer, nullable=False),
    )
    op.create_index("call_events_by_call", "call_events", ["call_sid", "at_ms"])
    op.create_table(
        "recordings",
        sa.Column("sid", sa.String(34), primary_key=True),
        sa.Column("account_sid", sa.String(34), nullable=False),
        sa.Column("call_sid", sa.String(34), nullable=False),
        sa.Column("source", sa.String(32), nullable=False),
        sa.Column("channels", sa.Integer, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("start_ms", sa.BigInteger, nullable=False),
        sa.Column("duration_ms", sa.BigInteger),
        sa.Column("size_bytes", sa.BigInteger),
        sa.Column("error_code", sa.Integer, nullable=False),
    )
    op.create_index("recordings_by_call", "recordings", ["call_sid"])
    op.create_index("recordings_by_account", "recordings", ["account_sid", "start_ms"])


def _calls() -> None:
    op.create_table(
        "calls",
        sa.Column("sid", sa.String(34), primary_key=True),
        sa.Column("account_sid", sa.String(34), nullable=False),
        sa.Column("parent_sid", sa.String(34), nullable=False),
        sa.Column("session_sid", sa.String(34), nullable=False),
        sa.Column("split_from", sa.String(34), nullable=False),
        sa.Column("key_number", sa.String(64), nullable=False),
        sa.Column("direction", sa.String(16), nullable=False),
        sa.Column("from_", sa.String(256), nullable=False),
        sa.Column("to", sa.String(256), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("start_ms", sa.BigInteger),
        sa.Column("answered_ms", sa.BigInteger),
        sa.Column("end_ms", sa.BigInteger),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.Column("sip_status", sa.Integer, nullable=False),
        sa.Column("sip_call_id", sa.String(256), nullable=False),
        sa.Column("forwarded_from", sa.String(256), nullable=False),
        sa.Column("caller_name", sa.String(256), nullable=False),
        sa.Column("answered_by", sa.String(32), nullable=False),
        sa.Column("error_code", sa.Integer, nullable=False),
        sa.Column("end_detail", sa.String(256), nullable=False),
        sa.Column("worker", sa.String(64), nullable=False),
    )
    op.create_index("calls_by_account", "calls", ["account_sid", "created_ms"])
    op.create_index("calls_by_session", "calls", ["session_sid"])
