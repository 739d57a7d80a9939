"""Two indexes fewer, which each claim had to write and which others serve as well."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

LIVE = "status IN ('claimed', 'running')"


def upgrade() -> None:
    """A commit is looked up in its repository only, and live jobs, a few for each robot, by their robots.

    Without the index on their end, renewing a lease touches no index at all (on PostgreSQL).
    """
    op.create_index("ix_jobs_commit", "jobs", ["repository_id", "sha"])
    for name in ("ix_jobs_repository_id", "ix_jobs_sha", "ix_jobs_leased"):
        op.drop_index(name, "jobs")


def downgrade() -> None:
    """As before."""
    live = sa.text(LIVE)
    op.create_index("ix_jobs_leased", "jobs", ["lease_expires_at"], postgresql_where=live, sqlite_where=live)
    op.create_index("ix_jobs_sha", "jobs", ["sha"])
    op.create_index("ix_jobs_repository_id", "jobs", ["repository_id"])
    op.drop_index("ix_jobs_commit", "jobs")
