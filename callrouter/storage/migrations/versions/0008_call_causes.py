"""Why the far end ended a call, as a cause of ITU-T Q.850."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("calls", sa.Column("q850", sa.Integer, nullable=False, server_default="0"))
