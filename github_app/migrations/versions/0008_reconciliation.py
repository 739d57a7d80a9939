"""Periodic work, GitHub's rate limits shared by all processes, and which delivery announced a commit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing was done yet, and nothing is counted."""
    op.create_table(
        "turns",
        sa.Column("name", sa.String(50), primary_key=True),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "rate_limits",
        sa.Column("installation_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("blocked_until", sa.DateTime(timezone=True)),
        sa.Column("minute", sa.BigInteger, nullable=False),
        sa.Column("minute_writes", sa.Integer, nullable=False),
        sa.Column("hour", sa.BigInteger, nullable=False),
        sa.Column("hour_writes", sa.Integer, nullable=False),
    )
    op.add_column("jobs", sa.Column("announced_by", sa.BigInteger))


def downgrade() -> None:
    """The counts are lost; GitHub says when they were too many."""
    op.drop_column("jobs", "announced_by")
    op.drop_table("rate_limits")
    op.drop_table("turns")
