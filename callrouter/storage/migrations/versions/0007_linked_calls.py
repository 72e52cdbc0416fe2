"""The call of another session that a call is connected to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("calls", sa.Column("linked_sid", sa.String(34), nullable=False, server_default=""))
