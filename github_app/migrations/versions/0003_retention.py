"""Retention: when the files of an old job were given up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

WHERE = "status = 'completed' AND files_removed_at IS NULL"


def upgrade() -> None:
    """No job's files are gone yet."""
    op.add_column("jobs", sa.Column("files_removed_at", sa.DateTime(timezone=True), nullable=True))
    condition = sa.text(WHERE)
    op.create_index(
        "ix_jobs_kept", "jobs", ["completed_at"], postgresql_where=condition, sqlite_where=condition
    )


def downgrade() -> None:
    """What was given up stays so."""
    op.drop_index("ix_jobs_kept", "jobs")
    op.drop_column("jobs", "files_removed_at")
