"""A runner prepares one job at a time: two claims of one runner at the same moment cannot both take a job."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

WHERE = "status = 'claimed'"
OLDER = """
    UPDATE jobs SET runner_id = NULL WHERE status = 'claimed' AND EXISTS (
        SELECT 1 FROM jobs AS newer
        WHERE newer.status = 'claimed' AND newer.runner_id = jobs.runner_id AND newer.id > jobs.id
    )
"""
"""A job that was claimed twice over has no holder then; its lease lapses, and it goes back into the queue."""


def upgrade() -> None:
    """One claimed job for each runner."""
    op.execute(OLDER)
    condition = sa.text(WHERE)
    op.create_index(
        "uq_jobs_claimed",
        "jobs",
        ["runner_id"],
        unique=True,
        postgresql_where=condition,
        sqlite_where=condition,
    )


def downgrade() -> None:
    """Any number."""
    op.drop_index("uq_jobs_claimed", "jobs")
