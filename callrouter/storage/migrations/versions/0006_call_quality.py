"""What the audio of a call was like."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

COLUMNS = (
    "packets_in",
    "packets_out",
    "packets_lost",
    "packets_lost_out",
    "jitter_us",
    "round_trip_us",
    "r_factor_x100",
    "mos_x100",
    "mos_out_x100",
)


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column("calls", sa.Column(name, sa.BigInteger))
