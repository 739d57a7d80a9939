"""Claims ahead: a job that a busy runner holds may be given up to an idle one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

WHERE = "status = 'claimed' AND ahead"


def upgrade() -> None:
    """So far nothing was claimed ahead."""
    op.add_column("jobs", sa.Column("ahead", sa.Boolean(), nullable=False, server_default=sa.false()))
    condition = sa.text(WHERE)
    op.create_index(
        "ix_jobs_ahead", "jobs", ["order_key", "id"], postgresql_where=condition, sqlite_where=condition
    )


def downgrade() -> None:
    """A job claimed ahead is a claimed job."""
    op.drop_index("ix_jobs_ahead", "jobs")
    op.drop_column("jobs", "ahead")
