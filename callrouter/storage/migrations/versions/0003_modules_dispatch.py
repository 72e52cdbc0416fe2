"""Owners, modules, subscriptions, applications with their flows, policy lists, declared objects."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _owners()
    _modules()
    _subscriptions()
    _applications()
    _application_instances()
    _flow_edges()
    _event_mappings()
    _policy_lists()
    _declared_objects()


def _owners() -> None:
    op.create_table(
        "owners",
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("managed_by", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("code", name="pk_owners"),
    )


def _modules() -> None:
    op.create_table(
        "modules",
        sa.Column("code", sa.String(128), nullable=False),
        sa.Column("sid", sa.String(34), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("layer", sa.String(16), nullable=False),
        sa.Column("inlet", sa.Text, nullable=False),
        sa.Column("secret_sealed", sa.Text, nullable=False),
        sa.Column("secret_sha256", sa.String(64), nullable=False),
        sa.Column("parameters", sa.Text, nullable=False),
        sa.Column("outlets", sa.Text, nullable=False),
        sa.Column("plan", sa.String(64), nullable=False),
        sa.Column("private_hosts", sa.Text, nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("is_open", sa.Boolean, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("managed_by", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("code", name="pk_modules"),
        sa.UniqueConstraint("sid", name="uq_modules_sid"),
        sa.ForeignKeyConstraint(["owner"], ["owners.code"], name="fk_modules_owner"),
    )


def _subscriptions() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.String(255), nullable=False),
        sa.Column("module", sa.String(128), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("plan", sa.String(64), nullable=False),
        sa.Column("starts_ms", sa.BigInteger, nullable=True),
        sa.Column("ends_ms", sa.BigInteger, nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("managed_by", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_subscriptions"),
    )
    op.create_index("ix_subscriptions_scope_subject", "subscriptions", ["scope", "subject"])


def _applications() -> None:
    op.create_table(
        "applications",
        sa.Column("sid", sa.String(34), nullable=False),
        sa.Column("account_sid", sa.String(34), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("start", sa.String(64), nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("managed_by", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("sid", name="pk_applications"),
        sa.ForeignKeyConstraint(["account_sid"], ["accounts.sid"], name="fk_applications_account_sid"),
    )
    op.create_index("ix_applications_account_sid", "applications", ["account_sid"])


def _application_instances() -> None:
    op.create_table(
        "application_instances",
        sa.Column("application_sid", sa.String(34), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("module", sa.String(128), nullable=False),
        sa.Column("inlet", sa.Text, nullable=False),
        sa.Column("parameters", sa.Text, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("managed_by", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("application_sid", "name", name="pk_application_instances"),
        sa.ForeignKeyConstraint(
            ["application_sid"], ["applications.sid"], name="fk_application_instances_application_sid"
        ),
    )


def _flow_edges() -> None:
    op.create_table(
        "flow_edges",
        sa.Column("application_sid", sa.String(34), nullable=False),
        sa.Column("instance", sa.String(64), nullable=False),
        sa.Column("outlet", sa.String(64), nullable=False),
        sa.Column("next", sa.String(64), nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("managed_by", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("application_sid", "instance", "outlet", name="pk_flow_edges"),
        sa.ForeignKeyConstraint(
            ["application_sid"], ["applications.sid"], name="fk_flow_edges_application_sid"
        ),
    )


def _event_mappings() -> None:
    op.create_table(
        "event_mappings",
        sa.Column("application_sid", sa.String(34), nullable=False),
        sa.Column("instance", sa.String(64), nullable=False),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("next", sa.Text, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("managed_by", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("application_sid", "instance", "event", name="pk_event_mappings"),
        sa.ForeignKeyConstraint(
            ["application_sid"], ["applications.sid"], name="fk_event_mappings_application_sid"
        ),
    )


def _policy_lists() -> None:
    op.create_table(
        "policy_lists",
        sa.Column("account_sid", sa.String(34), nullable=False),
        sa.Column("party", sa.String(16), nullable=False),
        sa.Column("pattern", sa.String(255), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("managed_by", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("account_sid", "party", "pattern", name="pk_policy_lists"),
    )


def _declared_objects() -> None:
    op.create_table(
        "declared_objects",
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("applied_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("kind", "key", name="pk_declared_objects"),
    )
